"""Candidate questions of all four chains."""
