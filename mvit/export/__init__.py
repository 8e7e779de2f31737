"""A checkpoint as a file for programs without PyTorch."""
