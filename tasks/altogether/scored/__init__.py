"""The tests of captioners, with their baselines and controls."""
