"""PyTorch distributed for real, on this machine: what it sends, and how long that takes."""
