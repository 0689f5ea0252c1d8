"""Effects chunk by chunk: equal to the whole sound's, and what each does to a sound whose answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.speech.effects import Biquad, applied, parse

RATE = 16000
ALL = "highpass=200,gain=-3,peak=1000:6,lowpass=5000,overdrive=6,echo=0.05:0.5"


def noise(frames: int, channels: int = 1) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(0).standard_normal((frames, channels))).astype(np.float32)


def made(text: str, *chunks: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate(list(applied(parse(text, RATE), chunks)))


@pytest.mark.parametrize("text", [*ALL.split(","), ALL])
@pytest.mark.parametrize("size", [1, 160, 5000])
def test_chunks_give_what_the_whole_gives(text: str, size: int) -> None:
    """A filter without memory would click at each seam."""
    sound = noise(400 if size == 1 else 12000, 2)
    whole = made(text, sound)
    pieces = made(text, *(sound[start : start + size] for start in range(0, len(sound), size)))
    assert pieces.shape == whole.shape
    assert np.abs(pieces - whole).max() < 1e-5


def test_a_delay_that_was_put_in_is_measured() -> None:
    """The correlation's second peak lies where the echo was put, to the frame."""
    sound = noise(16000)
    after = made("echo=0.123:0.7", sound)[:, 0]
    assert len(after) == len(sound) + round(0.123 * RATE)
    correlation = np.correlate(after, sound[:, 0], "valid")
    assert correlation.argmax() == 0
    correlation[0] = 0
    assert correlation.argmax() == round(0.123 * RATE)
    assert correlation.max() / (sound**2).sum() == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize(
    ("text", "frequency", "decibels"),
    [
        ("gain=-6", 1000, -6.0),
        ("highpass=1000", 1000, -3.01),
        ("lowpass=1000", 1000, -3.01),
        ("highpass=1000", 100, -40.2),
        ("lowpass=500", 5000, -47.3),
        ("peak=1000:6", 1000, 6.0),
        ("peak=1000:6", 100, 0.0),
    ],
)
def test_a_tone_comes_out_as_loud_as_the_filter_says(text: str, frequency: float, decibels: float) -> None:
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)[:, None]
    after = made(text, tone)[RATE // 2 :]
    ratio = 20 * np.log10(np.sqrt((after**2).mean()) / np.sqrt(0.5))
    assert ratio == pytest.approx(decibels, abs=0.1)


@pytest.mark.parametrize("text", ["louder=3", "gain", "gain=1:2", "lowpass=9000", "gain=much"])
def test_what_is_no_effect_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"effect|numbers|Hz|float"):
        parse(text, RATE)
    with pytest.raises(ValueError, match="9000"):
        Biquad("lowpass", RATE, 9000)
