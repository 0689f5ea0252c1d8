"""Log-mel spectra (25 ms every 10 ms at 16 kHz), and what is done to them in training."""

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE = 16000
WINDOW, HOP, BINS = 400, 160, 512
BLOCK = 4096
"""Frames that are transformed at once."""
FLOOR = 1e-5
"""Below this power a mel band is silent: some 20 dB under the quantisation noise of telephone sound."""

Floats = NDArray[np.float32]


def log_mel(sound: Floats, mels: int = 40) -> Floats:
    """Log power in mel bands of sound at 16 kHz, [frames, mels]; frame i is centred on sample 160 i.

    Sound has as many frames as hops in it, the last one begun; what is before and after it counts as silence.
    """
    return log_mel_of([sound], mels)


def log_mel_of(chunks: Iterable[Floats], mels: int = 40) -> Floats:
    """The same of sound that comes in chunks, of which one at a time is held: an hour has 58 MB of spectrum."""
    waiting = np.zeros(WINDOW // 2, np.float32)
    made = [np.zeros((0, mels), np.float32)]
    frames = samples = 0
    for chunk in chunks:
        samples += len(chunk)
        waiting = np.concatenate([waiting, chunk])
        while len(waiting) >= WINDOW:
            count = min(BLOCK, (len(waiting) - WINDOW) // HOP + 1)
            made.append(_power(waiting[: (count - 1) * HOP + WINDOW], mels))
            waiting = waiting[count * HOP :]
            frames += count
    rest = -(-samples // HOP) - frames
    if rest > 0:
        made.append(_power(np.pad(waiting, (0, (rest - 1) * HOP + WINDOW - len(waiting))), mels))
    return np.concatenate(made)


def _power(sound: Floats, mels: int) -> Floats:
    """Log power of all frames that fit into this sound."""
    pieces = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(pieces * np.hanning(WINDOW + 1)[:WINDOW].astype(np.float32), BINS)) ** 2
    return np.asarray(np.log(power.astype(np.float32) @ _bands(mels) + FLOOR), np.float32)


@cache
def _bands(mels: int, low: float = 60.0, high: float = 7600.0) -> Floats:
    """Triangles that are equally wide in mel (O'Shaughnessy 1987), [bins, mels]."""
    edges = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), mels + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    bins = np.arange(BINS // 2 + 1)[:, None] * RATE / BINS
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def masked(spectrum: Floats, chance: np.random.Generator, times: int = 2, bands: int = 2) -> Floats:
    """SpecAugment (Park et al. 2019) without warping: stretches of time and bands of frequency become the mean."""
    made = spectrum.copy()
    frames, mels = spectrum.shape
    mean = spectrum.mean(0)
    for _ in range(times):
        width = int(chance.integers(0, max(1, min(25, frames // 8)) + 1))
        start = int(chance.integers(0, frames - width + 1))
        made[start : start + width] = mean
    for _ in range(bands):
        width = int(chance.integers(0, mels // 6 + 1))
        start = int(chance.integers(0, mels - width + 1))
        made[:, start : start + width] = mean[start : start + width]
    return made
