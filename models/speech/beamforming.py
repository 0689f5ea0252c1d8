"""Beamforming in the frequency domain: one clean channel out of several microphones.

MVDR by Souden et al. (2010) and by relative transfer functions (by eigenvectors, or by power iteration), from the
spatial covariances of speech and noise, as `torchaudio.transforms.SoudenMVDR` and `RTFMVDR` have it; delay-and-sum as
the baseline. Spectra are complex, [microphones, frequencies, frames].
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

WINDOW = 512
"""Samples of a frame, of which the next one begins after a quarter."""


def spectra(sound: Floats) -> Complex:
    """The short-time Fourier transform of [microphones, samples]."""
    found: Complex = _transform().stft(sound)
    return found


def sound_of(spectrum: Complex, samples: int) -> Floats:
    """The sound of a spectrum [… frequencies, frames] with so many samples; the inverse of `spectra`."""
    found: Floats = _transform().istft(spectrum, k1=samples)
    return found


def _transform() -> signal.ShortTimeFFT:
    return signal.ShortTimeFFT(np.sqrt(signal.windows.hann(WINDOW, sym=False)), WINDOW // 4, fs=1)


def covariance(spectrum: Complex, mask: Floats) -> Complex:
    """Spatial covariances [frequencies, microphones, microphones] of what a mask [frequencies, frames] lets through."""
    weight = mask / np.maximum(mask.sum(1, keepdims=True), 1e-10)
    return np.asarray(np.einsum("mft,nft,ft->fmn", spectrum, spectrum.conj(), weight))


def loaded(noise: Complex, amount: float = 1e-6) -> Complex:
    """A covariance with a little more on its diagonal, relative to its trace, so that it has an inverse."""
    count = noise.shape[-1]
    trace = np.trace(noise, axis1=1, axis2=2).real[:, None, None] / count
    return np.asarray(noise + (amount * trace + 1e-12) * np.eye(count))


def souden(speech: Complex, noise: Complex, reference: int = 0) -> Complex:
    """Weights [frequencies, microphones]: the column of the reference of Φ_NN⁻¹ Φ_SS over its trace."""
    ratio = np.linalg.solve(loaded(noise), speech)
    trace = np.trace(ratio, axis1=1, axis2=2)[:, None]
    return np.asarray(ratio[:, :, reference] / np.where(np.abs(trace) > 1e-12, trace, 1e-12))


def transfer_by_eigenvectors(speech: Complex, reference: int = 0) -> Complex:
    """Relative transfer functions [frequencies, microphones]: the main direction of speech, 1 at the reference."""
    _, vectors = np.linalg.eigh(speech)
    return _relative(vectors[:, :, -1], reference)


def transfer_by_power(speech: Complex, noise: Complex, reference: int = 0, rounds: int = 3) -> Complex:
    """The same by power iteration on Φ_NN⁻¹ Φ_SS, from the reference on."""
    ratio = np.linalg.solve(loaded(noise), speech)
    found = ratio[:, :, reference]
    for _ in range(rounds):
        found = np.einsum("fmn,fn->fm", ratio, found)
        found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return _relative(np.einsum("fmn,fn->fm", noise, found), reference)


def _relative(direction: Complex, reference: int) -> Complex:
    own = direction[:, [reference]]
    return np.asarray(direction / np.where(np.abs(own) > 1e-12, own, 1e-12))


def mvdr(noise: Complex, transfer: Complex) -> Complex:
    """Weights that pass the transfer function as it is and let through as little noise as possible: wᴴ d = 1."""
    solved = np.linalg.solve(loaded(noise), transfer[:, :, None])[:, :, 0]
    return np.asarray(solved / np.einsum("fm,fm->f", transfer.conj(), solved)[:, None])


def delay_and_sum(distances: Floats, frequencies: Floats, speed: float = 343.0) -> Complex:
    """Weights that undo the delays of a source at these distances [microphones]; `frequencies` are in Hz."""
    delays = (distances - distances[0]) / speed
    steering = np.exp(-2j * np.pi * frequencies[:, None] * delays[None])
    return np.asarray(steering / len(distances))


def applied(weights: Complex, spectrum: Complex) -> Complex:
    """One channel of several: wᴴ y, [frequencies, frames]."""
    return np.asarray(np.einsum("fm,mft->ft", weights.conj(), spectrum))


def ideal_mask(speech: Complex, noise: Complex) -> Floats:
    """The share of the power that is speech's, by time and frequency; its teacher has to know both."""
    power, other = np.abs(speech) ** 2, np.abs(noise) ** 2
    return np.asarray(power / np.maximum(power + other, 1e-20))


def si_sdr(estimate: Floats, clean: Floats) -> float:
    """Scale-invariant signal-to-distortion ratio in decibels (Le Roux et al. 2019)."""
    estimate, clean = estimate - estimate.mean(), clean - clean.mean()
    target = (estimate @ clean) / (clean @ clean) * clean
    return float(10 * np.log10((target @ target) / np.maximum((estimate - target) @ (estimate - target), 1e-20)))
