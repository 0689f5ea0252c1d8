"""Branch-Train-MiX: its training steps and its evaluation."""
