"""What networks cost: parameters, FLOPs, images per second, memory."""
