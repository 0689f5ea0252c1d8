"""Rooms by the image-source method (Allen and Berkley 1979): impulse responses from sources to microphones in a box.

`torchaudio.prototype.functional.simulate_rir_ism` had this until it was removed. Walls are rigid up to a share of the
energy that they absorb, which is the same at all frequencies here; fractions of a sample are delayed by a windowed
sinc of 81 taps, as there and in pyroomacoustics.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SPEED = 343.0
"""Metres a second."""
TAPS = 81
"""Samples of a delay that is not whole."""

Floats = NDArray[np.float64]


def impulse_responses(
    room: Sequence[float],
    source: Sequence[float],
    microphones: NDArray[np.float64],
    absorption: float | Sequence[float],
    rate: int = 16000,
    order: int = 10,
) -> Floats:
    """Responses [microphones, samples] of a room of so many metres, all of it given as x, y, z from one corner.

    `absorption` is the share of energy that walls take: one for all, or those at x = 0, x = room[0], y = 0 and so on.
    Images are of at most `order` reflections. Sample 0 is the moment at which the source sounds, after half a filter.

    Raises:
        ValueError: the source or a microphone is not within the room, or walls take less than nothing or more than all.
    """
    size = np.asarray(room, float)
    where = np.asarray(microphones, float).reshape(-1, 3)
    at = np.asarray(source, float)
    walls = np.broadcast_to(np.asarray(absorption, float), (6,))
    if (at <= 0).any() or (at >= size).any() or (where <= 0).any() or (where >= size).any():
        raise ValueError("the source and all microphones have to be within the room")
    if (walls < 0).any() or (walls > 1).any():
        raise ValueError("walls absorb between nothing and all of the energy")
    places, gains = images(size, at, np.sqrt(1 - walls), order)
    distances = np.linalg.norm(places[None] - where[:, None], axis=2)
    length = int(np.ceil(distances.max() / SPEED * rate)) + TAPS
    responses = np.zeros((len(where), length))
    delays = distances * rate / SPEED
    whole = np.floor(delays).astype(int)
    taps = np.arange(TAPS) - TAPS // 2
    window = np.hanning(TAPS)
    for row in range(len(where)):
        amplitudes = gains / (4 * np.pi * distances[row])
        shapes = np.sinc(taps[None] - (delays[row] - whole[row])[:, None]) * window
        places_of_taps = whole[row][:, None] + np.arange(TAPS)[None]
        np.add.at(responses[row], places_of_taps.ravel(), (amplitudes[:, None] * shapes).ravel())
    return responses


def images(size: Floats, source: Floats, reflected: Floats, order: int) -> tuple[Floats, Floats]:
    """Where the images of a source lie [images, 3], and the share of its amplitude that each keeps [images].

    Along an axis, image n lies in the n-th copy of the room; a copy of odd number is mirrored. On the way there sound
    meets the near and the far wall in turn, |n| times in all.
    """
    along = []
    for axis in range(3):
        found = []
        for number in range(-order, order + 1):
            place = number * size[axis] + (source[axis] if number % 2 == 0 else size[axis] - source[axis])
            near, far = (abs(number) + (number < 0)) // 2, (abs(number) + (number > 0)) // 2
            gain = reflected[2 * axis] ** near * reflected[2 * axis + 1] ** far
            found.append((abs(number), place, gain))
        along.append(found)
    kept = [each for each in itertools.product(*along) if sum(number for number, _, _ in each) <= order]
    places = np.array([[place for _, place, _ in each] for each in kept])
    gains = np.array([each[0][2] * each[1][2] * each[2][2] for each in kept])
    return places, gains


def reverberation_time(response: Floats, rate: int, fall: float = 20.0) -> float:
    """RT60 in seconds: Schroeder's energy decay from -5 dB over `fall` dB, times 60 / fall."""
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    decibels = 10 * np.log10(energy / energy[0] + 1e-30)
    begin, end = np.argmax(decibels < -5), np.argmax(decibels < -5 - fall)
    times = np.arange(begin, end) / rate
    slope = np.polyfit(times, decibels[begin:end], 1)[0]
    return float(-60 / slope)


def sabine(room: Sequence[float], absorption: float) -> float:
    """RT60 by Sabine's formula."""
    x, y, z = room
    return 0.161 * x * y * z / (2 * (x * y + y * z + x * z) * absorption)


def eyring(room: Sequence[float], absorption: float) -> float:
    """RT60 by Eyring's formula."""
    x, y, z = room
    return 0.161 * x * y * z / (-2 * (x * y + y * z + x * z) * float(np.log(1 - absorption)))
