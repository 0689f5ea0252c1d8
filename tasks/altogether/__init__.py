"""Altogether: pictures, what different people call them, and corrections of one text by the others.

Xu et al. 2024 (arXiv 2410.17251): captions are made by re-aligning existing alt-texts with the image, in rounds.
"""
