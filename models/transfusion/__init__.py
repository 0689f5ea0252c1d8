"""Transfusion: one transformer for text and images, next token and diffusion (Zhou et al. 2024, arXiv 2408.11039)."""
