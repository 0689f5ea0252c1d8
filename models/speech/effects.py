"""Effects on sound that comes in chunks: what is made of the chunks is what would be made of the whole.

Each effect keeps what it has to remember between chunks. `torchaudio.io.AudioEffector` had them from FFmpeg; it was
removed in 2.9 without a replacement. Sound is float32, [frames, channels]. The filters are those of the
Audio EQ Cookbook (R. Bristow-Johnson), as in SoX and FFmpeg.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Sound = NDArray[np.float32]


class Effect(Protocol):
    """Something that is done to sound, chunk by chunk."""

    def __call__(self, chunk: Sound) -> Sound:
        """The next chunk, as long as it was."""

    def tail(self) -> Sound | None:
        """What still sounds after the last chunk; None where nothing does."""


class Gain:
    """Louder or quieter by so many decibels."""

    def __init__(self, decibels: float) -> None:
        self.factor = np.float32(10 ** (decibels / 20))

    def __call__(self, chunk: Sound) -> Sound:
        return chunk * self.factor

    def tail(self) -> None:
        return None


class Biquad:
    """A filter of second order: "lowpass", "highpass", or "peak" with a gain in decibels, about `frequency` in Hz."""

    def __init__(
        self, kind: str, rate: int, frequency: float, quality: float = math.sqrt(0.5), gain: float = 0
    ) -> None:
        if not 0 < frequency < rate / 2:
            raise ValueError(f"{frequency:g} Hz is not between 0 and half the sampling rate of {rate} Hz")
        angle = 2 * math.pi * frequency / rate
        cosine, width, amplitude = math.cos(angle), math.sin(angle) / (2 * quality), 10 ** (gain / 40)
        after = [1 + width, -2 * cosine, 1 - width]
        if kind == "lowpass":
            before = [(1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2]
        elif kind == "highpass":
            before = [(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2]
        else:
            before = [1 + width * amplitude, -2 * cosine, 1 - width * amplitude]
            after = [1 + width / amplitude, -2 * cosine, 1 - width / amplitude]
        self.sections = np.array([[*before, *after]]) / after[0]
        self.state: NDArray[np.float64] | None = None

    def __call__(self, chunk: Sound) -> Sound:
        if self.state is None:
            self.state = np.zeros((1, 2, chunk.shape[1]))
        made, self.state = signal.sosfilt(self.sections, chunk, axis=0, zi=self.state)
        return np.asarray(made, np.float32)

    def tail(self) -> None:
        return None


class Overdrive:
    """Soft clipping by a cubic, after a gain in decibels."""

    def __init__(self, decibels: float = 20) -> None:
        self.factor = 10 ** (decibels / 20)

    def __call__(self, chunk: Sound) -> Sound:
        driven = np.clip(chunk * self.factor, -1, 1)
        return np.asarray(driven - driven**3 / 3, np.float32)

    def tail(self) -> None:
        return None


class Reverberation:
    """Convolution with an impulse response, by overlap and add; it sounds on for the response's length."""

    def __init__(self, response: NDArray[Any]) -> None:
        if response.ndim != 1 or not len(response):
            raise ValueError("an impulse response is a list of at least one number")
        self.response = np.asarray(response, np.float64)
        self.rest: NDArray[np.float64] | None = None

    def __call__(self, chunk: Sound) -> Sound:
        if self.rest is None:
            self.rest = np.zeros((len(self.response) - 1, chunk.shape[1]))
        if not len(chunk):
            return chunk
        made = signal.oaconvolve(chunk, self.response[:, None], axes=0)
        made[: len(self.rest)] += self.rest
        self.rest = made[len(chunk) :]
        return np.asarray(made[: len(chunk)], np.float32)

    def tail(self) -> Sound | None:
        return None if self.rest is None else self.rest.astype(np.float32)


def echo(rate: int, seconds: float, decay: float) -> Reverberation:
    """The sound again after so many seconds, times `decay`."""
    response = np.zeros(round(seconds * rate) + 1)
    response[0], response[-1] = 1, decay
    return Reverberation(response)


EFFECTS: dict[str, Callable[..., Effect]] = {
    "gain": lambda rate, decibels: Gain(decibels),
    "lowpass": lambda rate, frequency: Biquad("lowpass", rate, frequency),
    "highpass": lambda rate, frequency: Biquad("highpass", rate, frequency),
    "peak": lambda rate, frequency, gain, quality=1.0: Biquad("peak", rate, frequency, quality, gain),
    "overdrive": lambda rate, decibels=20.0: Overdrive(decibels),
    "echo": echo,
}


def parse(text: str, rate: int) -> list[Effect]:
    """Effects written as "highpass=300,gain=-6,echo=0.2:0.4", in this order.

    Raises:
        ValueError: there is no such effect, or its numbers are not those that it takes.
    """
    made = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, numbers = part.partition("=")
        if name not in EFFECTS:
            raise ValueError(f"{name} is no effect: there are {', '.join(EFFECTS)}")
        try:
            made.append(EFFECTS[name](rate, *(float(number) for number in numbers.split(":") if number)))
        except TypeError:
            raise ValueError(f"{part} has not the numbers that {name} takes") from None
    return made


def applied(effects: Iterable[Effect], chunks: Iterable[Sound]) -> Iterable[Sound]:
    """The chunks after all effects, in order, with what still sounds at the end."""
    effects = list(effects)
    channels = 1
    for chunk in chunks:
        channels = chunk.shape[1]
        for effect in effects:
            chunk = effect(chunk)
        yield chunk
    for place, effect in enumerate(effects):
        rest = effect.tail()
        if rest is not None and len(rest):
            for later in effects[place + 1 :]:
                rest = later(rest.reshape(-1, channels))
            yield rest
