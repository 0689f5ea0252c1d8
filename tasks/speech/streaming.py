"""Whether sound in chunks is what it is as a whole, and how much memory that takes."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, Positive, config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.prompts import RATE, read_corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PLACES = (0.0, 0.37, 0.9)
"""Where a file is sought, as shares of its length."""
EFFECTS = "highpass=200,gain=-3,peak=1000:6,lowpass=7000,echo=0.12:0.5"


@config
class Streaming:
    """So many seconds of prompts, in chunks of so many frames, and so many times as long for the comparison of memory.

    `rates` are those that sound is resampled to.
    """

    seed: Index = 0
    seconds: Positive = 60.0
    longer: Count = 5
    chunks: tuple[int, ...] = (160, 1000, 16384)
    rates: tuple[int, ...] = (8000, 44100)


@measures(
    difference="largest difference of a sample between sound in chunks and the same sound as a whole",
    peak_ratio="peak memory of reading the longer file in units of that of the shorter one",
    missed="samples by which a place that was sought is missed",
)
def measure_streams(*, prompts: Path, config: Streaming, out: Path) -> None:
    """Write metrics.json: sound from FLAC, resampled and through effects, in chunks against at once."""
    import numpy as np
    import soxr

    from tasks.speech.media import SoundReader, SoundWriter

    sound = _some(prompts, round(config.seconds * RATE))
    path = out / "sound.flac"
    with SoundWriter(path, RATE, 1) as writer:
        writer.write(sound[:, None])
    # What is in the file is what can be compared: whole numbers of 16 bits.
    whole = np.asarray(np.clip(np.rint(sound * 32768), -32768, 32767) / 32768, np.float32)[:, None]
    rows: list[dict[str, Any]] = []
    for chunk in config.chunks:
        with SoundReader(path, chunk=chunk) as reader:
            rows.append({"what": "reading", "chunk": str(chunk), "difference": _far(reader.read(), whole)})
        for rate in config.rates:
            offline = soxr.resample(whole, RATE, rate, quality="HQ")
            with SoundReader(path, rate, chunk=chunk) as reader:
                rows.append(
                    {
                        "what": f"resampling to {rate} Hz",
                        "chunk": str(chunk),
                        "difference": _far(reader.read(), offline),
                    }
                )
        with SoundReader(path, chunk=chunk) as reader:
            made = _with_effects(iter(reader))
        rows.append({"what": "effects", "chunk": str(chunk), "difference": _far(made, _with_effects(iter([whole])))})
    for share in PLACES:
        place = share * config.seconds
        with SoundReader(path) as reader:
            reader.seek(place)
            found = reader.read()
        rows.append({"what": "seeking", "place": f"{share:.0%}", "missed": _missed(found, whole, round(place * RATE))})
    # Some bytes differ from run to run, those of a path for one: two digits have the same bytes everywhere.
    rows.append({"what": "reading", "peak_ratio": round(_peak_ratio(sound, config, out), 2)})
    write_json(out / "metrics.json", rows)
    path.unlink()


def _some(prompts: Path, frames: int) -> "Floats":
    import numpy as np

    corpus = read_corpus(prompts)
    sound = np.asarray(corpus.sound / 32768, np.float32)
    return np.tile(sound, -(-frames // len(sound)))[:frames]


def _with_effects(chunks: "Iterator[Floats]") -> "Floats":
    import numpy as np

    from models.speech.effects import applied, parse

    return np.concatenate(list(applied(parse(EFFECTS, RATE), chunks)))


def _far(found: "Floats", whole: "Floats") -> float:
    """The largest difference; infinitely far where the lengths differ, which is written as a large number."""
    import numpy as np

    return float(np.abs(found - whole).max()) if found.shape == whole.shape else 1e9


def _missed(found: "Floats", whole: "Floats", place: int) -> int:
    """The shift at which what was found is exactly what is there, looked for within a tenth of a second."""
    import numpy as np

    probe = found[: RATE // 2]
    for shift in sorted(range(-RATE // 10, RATE // 10), key=abs):
        start = place + shift
        if start >= 0 and np.array_equal(whole[start : start + len(probe)], probe):
            return abs(shift)
    return RATE


def _peak_ratio(sound: "Floats", config: Streaming, out: Path) -> float:
    from tasks.speech.media import SoundReader, SoundWriter

    peaks = []
    for times in (1, config.longer):
        path = out / "long.flac"
        with SoundWriter(path, RATE, 1) as writer:
            for _ in range(times):
                writer.write(sound[:, None])

        def read(path: Path = path) -> None:
            with SoundReader(path, 8000) as reader:
                for _ in reader:
                    pass

        peaks.append(_peak(read))
        path.unlink()
    return peaks[1] / peaks[0]


def _peak(run: Callable[[], None]) -> float:
    """Bytes that Python and numpy hold at most while this runs."""
    tracemalloc.start()
    try:
        run()
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
