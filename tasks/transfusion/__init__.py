"""Transfusion: images with captions and text, generators of many arms, and what each one is measured to do."""
