"""Other networks than ours: trained by the same command on the same images, and measured beside it."""
