"""Watts of a GPU: idle, and above it a mix of how busy its tensor cores and its links are."""

import numpy as np

from models.hardware.columns import Numbers, Record


def watts(seconds: Numbers, computing: Numbers, sending: Numbers, cluster: Record, calibration: Record) -> Numbers:
    """Mean watts of one GPU in a step of `seconds`, of which it computes and its links are busy for so many."""
    accelerator, k = cluster.accelerator, calibration
    computation, links = np.minimum(computing / seconds, 1.0), np.minimum(sending / seconds, 1.0)
    mix = np.minimum(k.power_compute * computation + k.power_communication * links, 1.0)
    return accelerator.idle_w + (accelerator.max_w - accelerator.idle_w) * mix
