"""Sound and video files as streams: read, resampled, passed through codecs and written, chunk by chunk.

`torchaudio.io` had this until 2.9 (`StreamReader`, `StreamWriter`). It rests on PyAV, which carries its own FFmpeg, and
on soxr. However long a file is, memory holds a chunk of it. Sound is float32, [frames, channels].
"""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from tasks.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

CHUNK = 16384
"""Frames of a chunk, where nothing else is asked for."""

EXACT = ("flac", "alac")
"""Codecs that decode from any packet on to the very numbers of the whole, as all PCM does; the others are decoded from
their beginning to the place that is sought, for their packets overlap and their containers round."""


class Unreadable(UserError):
    """A file gives no sound: the sentence says why."""


@dataclass(frozen=True)
class About:
    """What a file says of its sound. `seconds` is what its header claims, None where it claims nothing."""

    codec: str
    rate: int
    channels: int
    seconds: float | None
    bits: int


class SoundReader:
    """The first sound stream of a file, from PyAV.

    `rate` resamples (soxr, high quality), `channels=1` is the mean of all channels; without them both are the file's.
    Iterating gives chunks of `chunk` frames, the last one shorter. What was decoded before damage is given, and
    `damage` then says in words where the file broke off.

    Raises:
        Unreadable: no such file, nothing that FFmpeg knows, no sound in it, or none that can be decoded.
    """

    def __init__(
        self,
        source: Path | io.BytesIO,
        rate: int | None = None,
        channels: int | None = None,
        chunk: int = CHUNK,
        format: str | None = None,
    ) -> None:
        self._source, self._format = source, format
        self._name = source.name if isinstance(source, Path) else "the sound"
        if isinstance(source, Path):
            if not source.is_file():
                raise Unreadable(f"{source} is not a file.")
            if source.stat().st_size == 0:
                raise Unreadable(f"{self._name} is empty: it has no bytes.")
        self.about = self._open()
        self.rate = rate or self.about.rate
        self.channels = channels or self.about.channels
        if self.channels not in (1, self.about.channels):
            raise ValueError(f"{self.channels} channels cannot be made of {self.about.channels}")
        self._chunk = chunk
        self._from = 0
        self.damage = ""

    def _open(self) -> About:
        """Begin with the file anew: a decoder that has met its end forgets what it needs for the first packet."""
        import av

        source = self._source
        if not isinstance(source, Path):
            source.seek(0)
        try:
            self._container = av.open(str(source) if isinstance(source, Path) else source, "r", format=self._format)
        except (av.FFmpegError, ValueError, OSError) as problem:
            raise Unreadable(
                f"{self._name} is no sound or video file that FFmpeg can read ({_why(problem)})."
            ) from None
        if not self._container.streams.audio:
            self._container.close()
            raise Unreadable(f"{self._name} has no sound stream in it.")
        self._stream = self._container.streams.audio[0]
        context = self._stream.codec_context
        if not context.sample_rate or not context.channels:
            self._container.close()
            raise Unreadable(f"{self._name} does not say its sampling rate or its channels.")
        claimed = self._stream.duration
        seconds = float(claimed * self._stream.time_base) if claimed and self._stream.time_base else None
        if seconds is None and self._container.duration:
            seconds = self._container.duration / av.time_base
        if seconds is not None and isinstance(source, Path):
            seconds = max(seconds, _promised(source, context.sample_rate))
        bits = context.format.bits if context.format else 0
        return About(context.name, context.sample_rate, context.channels, seconds, bits)

    def __enter__(self) -> "SoundReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._container.close()

    def seek(self, seconds: float) -> None:
        """Let the next iteration begin at this time, to the frame."""
        self._from = round(seconds * self.about.rate)

    def __iter__(self) -> Iterator["Sound"]:
        import numpy as np

        waiting: list[Sound] = []
        held = 0
        for piece in self._resampled(self._decoded()):
            waiting.append(piece)
            held += len(piece)
            if held >= self._chunk:
                joined = np.concatenate(waiting)
                whole = held // self._chunk * self._chunk
                yield from np.split(joined[:whole], whole // self._chunk)
                waiting, held = [joined[whole:]], held - whole
        if held:
            yield np.concatenate(waiting)

    def read(self) -> "Sound":
        """All of it at once."""
        import numpy as np

        chunks = list(self)
        return np.concatenate(chunks) if chunks else np.zeros((0, self.channels), np.float32)

    def _decoded(self) -> Iterator["Sound"]:
        """Pieces as they come out of the decoder, from the place that was sought for."""
        import av

        self._container.close()
        self._open()
        rate, begun = self.about.rate, self._from
        base = float(self._stream.time_base) if self._stream.time_base else 1 / rate
        offset = self._stream.start_time or 0
        at: int | None = 0
        if begun and (self.about.codec.startswith("pcm_") or self.about.codec in EXACT):
            try:
                self._container.seek(int(begun / rate / base) + offset, stream=self._stream, backward=True)
                at = None
            except av.FFmpegError:
                at = 0
        given = 0
        try:
            for packet in self._container.demux(self._stream):
                for frame in packet.decode():
                    piece = _plain(frame)
                    if at is None:
                        at = round(((frame.pts or 0) - offset) * base * rate)
                    skipped = min(max(0, begun - at), len(piece))
                    at += len(piece)
                    if skipped < len(piece):
                        given += len(piece) - skipped
                        yield _mixed(piece[skipped:], self.channels)
        except av.FFmpegError as problem:
            self.damage = f"{self._name} is damaged after {(begun + given) / rate:.2f} s ({_why(problem)})."
        if not given and not begun:
            raise Unreadable(self.damage or f"{self._name} has no sound in it: its stream has no frames.")
        claimed = self.about.seconds
        if not self.damage and claimed is not None and (begun + given) / rate < claimed - 0.1:
            self.damage = f"{self._name} ends after {(begun + given) / rate:.2f} s; its header says {claimed:.2f} s."

    def _resampled(self, pieces: Iterable["Sound"]) -> Iterator["Sound"]:
        if self.rate == self.about.rate:
            yield from pieces
            return
        yield from resampled(pieces, self.about.rate, self.rate, self.channels)


def resampled(pieces: Iterable["Sound"], rate: int, to: int, channels: int) -> Iterator["Sound"]:
    """Pieces of sound at another sampling rate (soxr, high quality)."""
    import numpy as np
    import soxr

    stream = soxr.ResampleStream(rate, to, channels, dtype="float32", quality="HQ")
    for piece in pieces:
        made = stream.resample_chunk(np.ascontiguousarray(piece))
        if len(made):
            yield made.reshape(-1, channels)
    made = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    if len(made):
        yield made.reshape(-1, channels)


def read_sound(source: Path | io.BytesIO, rate: int, format: str | None = None) -> "NDArray[np.float32]":
    """All of a file's sound in one channel, [frames].

    Raises:
        Unreadable: it gives none; the sentence says why.
    """
    with SoundReader(source, rate, 1, format=format) as reader:
        return reader.read()[:, 0]


def _plain(frame: Any) -> "Sound":
    """A decoded frame as float32 between -1 and 1, [frames, channels]."""
    import numpy as np

    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if array.dtype == np.uint8:
        return np.asarray((array.astype(np.float32) - 128) / 128, np.float32)
    if np.issubdtype(array.dtype, np.integer):
        return np.asarray(array / float(2 ** (8 * array.dtype.itemsize - 1)), np.float32)
    return np.ascontiguousarray(array, dtype=np.float32)


def _mixed(piece: "Sound", channels: int) -> "Sound":
    return piece.mean(1, keepdims=True) if channels < piece.shape[1] else piece


def _promised(path: Path, rate: int) -> float:
    """The seconds that the header of a WAV file says it has, which FFmpeg corrects in silence; 0 for what is none.

    Recorders that stream write the largest number there is, which promises nothing.
    """
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
            return 0.0
        frame = 0
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return size / frame / rate if frame and size < 2**32 - 2**16 else 0.0
            body = file.read(size + size % 2)
            if head[:4] == b"fmt ":
                frame = int.from_bytes(body[12:14], "little")
    return 0.0


def _why(problem: BaseException) -> str:
    return (getattr(problem, "strerror", "") or str(problem) or type(problem).__name__).rstrip(".")


# ------------------------------------------------------------------ writing

CODECS = {
    ".wav": ("wav", "pcm_s16le", "s16"),
    ".flac": ("flac", "flac", "s16"),
    ".mp3": ("mp3", "libmp3lame", "fltp"),
    ".ogg": ("ogg", "libopus", "flt"),
    ".opus": ("ogg", "libopus", "flt"),
}
"""Container, codec and its numbers, by the file's ending."""

NAMED = {
    "pcm_s24le": ("wav", "pcm_s24le", "s32"),
    "pcm_f32le": ("wav", "pcm_f32le", "flt"),
    "pcm_mulaw": ("wav", "pcm_mulaw", "s16"),
    "g722": ("g722", "g722", "s16"),
}
"""Codecs by name, for what no ending says."""


class SoundWriter:
    """A file that is written chunk by chunk, and appears under its name when it is whole.

    The codec is that of the ending (WAV, FLAC, MP3, Opus in Ogg) or `codec` by its name in FFmpeg.
    """

    def __init__(self, target: Path | io.BytesIO, rate: int, channels: int, codec: str = "", bits: int = 0) -> None:
        import av

        ending = target.suffix.lower() if isinstance(target, Path) else ""
        kind = NAMED.get(codec) or next((each for each in CODECS.values() if each[1] == codec), None)
        kind = kind or (None if codec else CODECS.get(ending))
        if kind is None:
            raise UserError(f"{codec or ending or 'No ending'} names no codec: use {', '.join(CODECS)}.")
        self._target, self._part = target, target
        if isinstance(target, Path):
            self._part = target.with_name(f".{target.name}.{os.getpid()}")
        container, name, self._format = kind
        self._layout = _layout(channels)
        self._channels, self._rate, self._at = channels, rate, 0
        self._container = av.open(
            str(self._part) if isinstance(self._part, Path) else self._part, "w", format=container
        )
        try:
            # Its type depends on the codec's name, which no checker of types can follow.
            self._stream = cast(Any, self._container.add_stream(name, rate=rate, layout=self._layout))
            self._stream.codec_context.format = self._format
            if bits:
                self._stream.bit_rate = bits
            self._stream.codec_context.open()
        except (av.FFmpegError, ValueError) as problem:
            self._container.close()
            raise UserError(f"{name} cannot hold {channels} channels at {rate} Hz ({_why(problem)}).") from None
        self._shaper = av.AudioResampler(
            format=self._format, layout=self._layout, rate=rate, frame_size=self._stream.codec_context.frame_size or 0
        )

    def __enter__(self) -> "SoundWriter":
        return self

    def write(self, chunk: "Sound") -> None:
        """Append float32 sound, [frames, channels]; what is beyond -1 and 1 is clipped by whole numbers."""
        import av
        import numpy as np

        if not len(chunk):
            return
        packed = np.ascontiguousarray(_whole_numbers(chunk, self._format).reshape(1, -1))
        packed_format = self._format.removesuffix("p")
        frame = av.AudioFrame.from_ndarray(packed, format=packed_format, layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._at
        self._at += len(chunk)
        for shaped in self._shaper.resample(frame):
            self._container.mux(self._stream.encode(shaped))

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            for shaped in self._shaper.resample(None):
                self._container.mux(self._stream.encode(shaped))
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if isinstance(self._target, Path) and isinstance(self._part, Path):
            if kind is None:
                self._part.replace(self._target)
            else:
                self._part.unlink(missing_ok=True)


def through_codec(sound: "Sound", rate: int, codec: str, bits: int = 0) -> "Sound":
    """What is left of the sound after a codec, such as "pcm_mulaw", "libmp3lame" or "libopus"; it may be longer."""
    import numpy as np

    held = io.BytesIO()
    held.name = "sound"
    with SoundWriter(held, rate, sound.shape[1], codec, bits) as writer:
        writer.write(sound)
    held.seek(0)
    with SoundReader(held, rate, format="g722" if codec == "g722" else None) as reader:
        return np.ascontiguousarray(reader.read())


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")


def _whole_numbers(chunk: "Sound", format: str) -> "NDArray[Any]":
    """Sound in the numbers of an encoder; halves are rounded to even."""
    import numpy as np

    if format.startswith("s16"):
        return np.asarray(np.clip(np.rint(chunk * 32768.0), -32768, 32767), np.int16)
    if format.startswith("s32"):
        return np.asarray(np.clip(np.rint(chunk.astype(float) * 2147483648.0), -2147483648, 2147483647), np.int32)
    return np.asarray(chunk, np.float32)
