"""Hardware scaling: the simulator calibrated, tested and applied to its paper; real runs over Gloo beside it."""
