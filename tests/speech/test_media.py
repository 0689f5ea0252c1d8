"""Sound in and out in chunks: against whole files, other libraries, and files that lie."""

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from tasks.base.errors import UserError
from tasks.speech.media import SoundReader, SoundWriter, Unreadable, read_sound, through_codec

RATE = 16000


def noise(seconds: float, channels: int = 1, rate: int = RATE) -> NDArray[np.float32]:
    chance = np.random.default_rng(0)
    shape = (round(seconds * rate), channels)
    return np.clip(0.2 * chance.standard_normal(shape), -0.99, 0.99).astype(np.float32)


def tone(seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    times = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[:, None]


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("16.wav", "PCM_16", 2**-15),
        ("24.wav", "PCM_24", 2**-23),
        ("float.wav", "FLOAT", 0.0),
        ("8.wav", "PCM_U8", 2**-7),
        ("mu.wav", "ULAW", 0.02),
        ("16.flac", "PCM_16", 2**-15),
        ("24.flac", "PCM_24", 2**-23),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_another_library_wrote_is_read(
    tmp_path: Path, name: str, subtype: str, error: float, channels: int
) -> None:
    """Planes taken for packed frames, or 24 bits for 32, would give noise."""
    sound = noise(0.7, channels)
    soundfile.write(tmp_path / name, sound, RATE, subtype=subtype)
    with SoundReader(tmp_path / name) as reader:
        found = reader.read()
        assert (reader.about.rate, reader.about.channels) == (RATE, channels)
        assert not reader.damage
    assert found.shape == sound.shape
    assert np.abs(found - sound).max() <= error + 1e-7


@pytest.mark.parametrize("chunk", [1, 333, 4096, 10**6])
def test_chunks_are_the_whole(tmp_path: Path, chunk: int) -> None:
    sound = noise(0.1 if chunk == 1 else 1.3, 2)
    soundfile.write(tmp_path / "x.wav", sound, RATE, subtype="FLOAT")
    with SoundReader(tmp_path / "x.wav", chunk=chunk) as reader:
        chunks = list(reader)
    assert {len(each) for each in chunks[:-1]} <= {chunk}
    assert np.array_equal(np.concatenate(chunks), sound)


@pytest.mark.parametrize(("rate", "to"), [(8000, 16000), (44100, 16000), (16000, 44100), (48000, 16000)])
def test_resampling_in_chunks_is_resampling_at_once(tmp_path: Path, rate: int, to: int) -> None:
    """A filter begun anew with each chunk would click at their seams. The tone itself is the second witness."""
    sound = tone(1.7, rate)
    soundfile.write(tmp_path / "x.wav", sound, rate, subtype="FLOAT")
    with SoundReader(tmp_path / "x.wav", to, chunk=1000) as reader:
        found = reader.read()
    whole = soxr.resample(sound, rate, to, quality="HQ")
    assert len(found) == len(whole)
    assert np.abs(found - whole).max() <= 1e-5
    inner = slice(to // 10, -to // 10)
    assert np.abs(found[inner] - tone(1.7, to)[: len(found)][inner]).max() < 2e-3


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3"])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 2.71])
def test_a_place_that_was_sought_is_that_place_to_the_frame(tmp_path: Path, name: str, seconds: float) -> None:
    """Containers seek to packets: what is given instead would be off by up to a packet."""
    with SoundWriter(tmp_path / name, RATE, 1) as writer:
        writer.write(noise(4.0))
    with SoundReader(tmp_path / name) as reader:
        whole = reader.read()
        reader.seek(seconds)
        found = reader.read()
    assert np.allclose(found, whole[round(seconds * reader.about.rate) :], atol=1e-6)


def test_what_is_written_is_read_by_another_library(tmp_path: Path) -> None:
    sound = noise(1.1, 2)
    for name in ("x.wav", "x.flac"):
        with SoundWriter(tmp_path / name, RATE, 2) as writer:
            for piece in np.array_split(sound, 7):
                writer.write(piece)
        found, rate = soundfile.read(tmp_path / name, dtype="float32")
        assert rate == RATE
        assert np.abs(found - sound).max() <= 2**-15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.flac", "x.wav"]


def test_a_file_that_is_not_finished_does_not_appear(tmp_path: Path) -> None:
    def write() -> None:
        with SoundWriter(tmp_path / "x.wav", RATE, 1) as writer:
            writer.write(noise(0.1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("codec", "rate", "least"), [("pcm_mulaw", 8000, 30), ("g722", 16000, 10), ("libopus", 48000, 5)]
)
def test_a_codec_keeps_most_of_a_tone_and_not_all(codec: str, rate: int, least: float) -> None:
    """A codec that is skipped would lose nothing."""
    sound = tone(1.0, rate)
    made = through_codec(sound, rate, codec)
    lags = range(0, 400)
    inner = slice(rate // 4, rate // 2)
    ratios = []
    for lag in lags:
        error = made[rate // 4 + lag : rate // 2 + lag] - sound[inner]
        ratios.append(10 * np.log10((sound[inner] ** 2).sum() / (error**2).sum()))
    assert least < max(ratios) < 90


# ------------------------------------------------------------------ files that lie


def header(frames: int, rate: int = RATE, channels: int = 1, bits: int = 16) -> bytes:
    size = frames * channels * bits // 8
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, channels, rate, rate * channels * bits // 8,
        channels * bits // 8, bits, b"data", size,
    )  # fmt: skip


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    """What is there is read, and the rest is said to be missing."""
    (tmp_path / "x.wav").write_bytes(header(4 * RATE) + b"\1\0" * RATE)
    with SoundReader(tmp_path / "x.wav") as reader:
        assert len(reader.read()) == RATE
        assert "ends after 1.00 s; its header says" in reader.damage or "damaged" in reader.damage


def test_a_header_of_a_stream_that_never_knew_its_length(tmp_path: Path) -> None:
    """Recorders that were switched off leave the largest number there is."""
    data = bytearray(header(0) + b"\1\0" * RATE)
    data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "x.wav").write_bytes(bytes(data))
    with SoundReader(tmp_path / "x.wav") as reader:
        assert len(reader.read()) == RATE


def test_a_flac_cut_in_the_middle(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", noise(3.0), RATE)
    data = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(data[: len(data) // 2])
    with SoundReader(tmp_path / "x.flac") as reader:
        found = reader.read()
        assert RATE < len(found) < 2 * RATE
        assert reader.damage


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"no sound at all\n" * 50, "is no sound or video file"),
        (header(0), "has no sound in it|is no sound|no frames"),
        (header(1000, rate=0) + b"\0" * 2000, "sampling rate|is no sound"),
        (header(1000, channels=0) + b"\0" * 2000, "channels|is no sound"),
    ],
)
def test_what_gives_no_sound_is_named(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "x.wav").write_bytes(data)
    with pytest.raises(Unreadable, match=says):
        read_sound(tmp_path / "x.wav", RATE)
    with pytest.raises(Unreadable, match="not a file"):
        read_sound(tmp_path / "nowhere.wav", RATE)


def test_an_unknown_ending_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.xyz names no codec"):
        SoundWriter(tmp_path / "x.xyz", RATE, 1)


def test_a_longer_file_takes_no_more_memory(tmp_path: Path) -> None:
    """A reader that gathers the file first would hold fifteen times as much of the longer one."""
    peaks = []
    for seconds in (20, 300):
        with SoundWriter(tmp_path / "x.wav", RATE, 1) as writer:
            for _ in range(seconds):
                writer.write(noise(1.0))
        tracemalloc.start()
        with SoundReader(tmp_path / "x.wav", 22050) as reader:
            total = sum(len(chunk) for chunk in reader)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == pytest.approx(seconds * 22050, abs=2)
    assert peaks[1] < 1.2 * peaks[0]


def test_bytes_are_read_as_files_are() -> None:
    held = io.BytesIO()
    soundfile.write(held, noise(0.2), RATE, format="WAV", subtype="FLOAT")
    held.seek(0)
    assert np.array_equal(read_sound(held, RATE), noise(0.2)[:, 0])
