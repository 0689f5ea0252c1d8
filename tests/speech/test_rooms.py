"""Rooms against reflections by hand, and beamformers against what they promise."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.speech.beamforming import (
    applied,
    covariance,
    delay_and_sum,
    ideal_mask,
    mvdr,
    si_sdr,
    souden,
    sound_of,
    spectra,
    transfer_by_eigenvectors,
    transfer_by_power,
)
from models.speech.rooms import SPEED, TAPS, eyring, images, impulse_responses, reverberation_time, sabine

ROOM = (5.0, 4.0, 3.0)
SOURCE = (1.5, 2.0, 1.2)
MICROPHONES = np.array([[3.0, 2.5, 1.4], [3.05, 2.5, 1.4], [3.0, 2.55, 1.4], [3.0, 2.5, 1.45]])
RATE = 16000


def test_without_walls_there_is_the_direct_sound_alone() -> None:
    """Its delay and its loudness are those of the distance."""
    response = impulse_responses(ROOM, SOURCE, MICROPHONES[:1], 1.0, RATE)[0]
    distance = float(np.linalg.norm(MICROPHONES[0] - SOURCE))
    frequencies = np.fft.rfftfreq(len(response), 1 / RATE)
    spectrum = np.fft.rfft(response)
    middle = (frequencies > 500) & (frequencies < 5000)
    expected = np.exp(-2j * np.pi * frequencies * (distance / SPEED + (TAPS // 2) / RATE)) / (4 * np.pi * distance)
    assert np.abs(spectrum[middle] - expected[middle]).max() < 1e-3 / (4 * np.pi * distance)


def test_the_first_reflections_are_those_of_six_mirrors() -> None:
    places, gains = images(np.array(ROOM), np.array(SOURCE), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 1)
    found = {(*np.round(place, 9).tolist(), round(gain, 9)) for place, gain in zip(places, gains, strict=True)}
    assert found == {
        (1.5, 2.0, 1.2, 1.0),
        (-1.5, 2.0, 1.2, 0.1),
        (8.5, 2.0, 1.2, 0.2),
        (1.5, -2.0, 1.2, 0.3),
        (1.5, 6.0, 1.2, 0.4),
        (1.5, 2.0, -1.2, 0.5),
        (1.5, 2.0, 4.8, 0.6),
    }
    _, gains = images(np.array(ROOM), np.array(SOURCE), np.array([0.1, 0.2, 1.0, 1.0, 1.0, 1.0]), 2)
    assert sum(np.isclose(gains, 0.02)) == 2  # off the near wall and the far one, and the other way round


def test_reverberation_lasts_as_the_formulas_say_and_absorption_shortens_it() -> None:
    times = []
    for absorption in (0.2, 0.35, 0.5):
        response = impulse_responses(ROOM, SOURCE, MICROPHONES[:1], absorption, RATE, order=25)[0]
        times.append(reverberation_time(response, RATE))
        low, high = sorted((eyring(ROOM, absorption), sabine(ROOM, absorption)))
        assert 0.75 * low < times[-1] < 1.25 * high
    assert times == sorted(times, reverse=True)


def test_what_is_outside_of_the_room_is_refused() -> None:
    with pytest.raises(ValueError, match="within the room"):
        impulse_responses(ROOM, (6.0, 1.0, 1.0), MICROPHONES, 0.5)
    with pytest.raises(ValueError, match="absorb"):
        impulse_responses(ROOM, SOURCE, MICROPHONES, 1.5)


def scene() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Speech-like bursts from one place and noise from another, [microphones, samples] each."""
    chance = np.random.default_rng(0)
    samples = 3 * RATE
    bursts = chance.standard_normal(samples) * (np.sin(2 * np.pi * 2 * np.arange(samples) / RATE) > 0)
    hum = chance.standard_normal(samples)
    made = []
    for place, dry in ((SOURCE, bursts), ((4.2, 0.8, 2.0), hum)):
        responses = impulse_responses(ROOM, place, MICROPHONES, 0.6, RATE, order=4)
        made.append(np.stack([np.convolve(dry, each)[:samples] for each in responses]))
    speech, noise = made
    return speech, noise * np.sqrt((speech[0] ** 2).mean() / (noise[0] ** 2).mean())


def test_spectra_come_back_as_sound() -> None:
    speech, _ = scene()
    assert np.allclose(sound_of(spectra(speech), speech.shape[1]), speech, atol=1e-9)


def test_mvdr_lets_speech_through_and_beats_every_microphone_and_delay_and_sum() -> None:
    speech, noise = scene()
    both, clean = spectra(speech + noise), speech[0]
    mask = ideal_mask(spectra(speech)[0], spectra(noise)[0])
    of_speech, of_noise = covariance(both, mask), covariance(both, 1 - mask)
    frequencies = np.linspace(0, RATE / 2, both.shape[1])
    distances = np.linalg.norm(MICROPHONES - SOURCE, axis=1)
    exact = transfer_by_eigenvectors(covariance(spectra(speech), np.ones_like(mask)))
    weights = {
        "souden": souden(of_speech, of_noise),
        "power": mvdr(of_noise, transfer_by_power(of_speech, of_noise)),
        "eigenvectors": mvdr(covariance(spectra(noise), np.ones_like(mask)), exact),
        "delay and sum": delay_and_sum(distances, frequencies),
    }
    gained = {name: si_sdr(sound_of(applied(w, both), len(clean)), clean) for name, w in weights.items()}
    best = max(si_sdr(each, clean) for each in speech + noise)
    assert best < 1
    for name in ("souden", "power", "eigenvectors"):
        assert gained[name] > best + 5
        assert gained[name] > gained["delay and sum"] + 3
    # Distortionless: what comes from the direction passes as it is.
    assert np.abs(np.einsum("fm,fm->f", weights["eigenvectors"].conj(), exact) - 1).max() < 1e-6


def test_masks_that_say_nothing_gain_nothing() -> None:
    """With the same covariance of speech and noise no direction is told from another."""
    speech, noise = scene()
    both = spectra(speech + noise)
    flat = np.full(both.shape[1:], 0.5)
    weights = souden(covariance(both, flat), covariance(both, 1 - flat))
    assert np.allclose(weights[5:, 0], 1 / 4, atol=1e-3)
    assert np.abs(weights[5:, 1:]).max() < 1e-3


def test_si_sdr_by_hand() -> None:
    clean = np.array([1.0, -1.0, 1.0, -1.0])
    error = np.array([1.0, 1.0, -1.0, -1.0]) * 0.1
    assert si_sdr(3 * (clean + error), clean) == pytest.approx(20.0)
