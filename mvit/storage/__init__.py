"""What lies on disk: files that are whole or not there, and a checkpoint, which is a folder of them."""
