"""Compile papers, keep what they made, run what is not up to date."""
