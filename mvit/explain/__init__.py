"""What goes on inside: attention, unfolding and folding, what linear probes read."""
