"""Stages that write a few bytes in milliseconds, for the tests of faults."""

import json
import os
import random
import time
from hashlib import sha256
from pathlib import Path

from models.config import Count, Index, config
from tasks.base.measures import measures

VERSION = 1
"""A history edits this line: other code, which gives other bytes."""


@config
class Letters:
    """How many letters of each text to keep."""

    keep: Count


@config
class Drawing:
    """What is drawn, and how much of it."""

    seed: Index
    length: Count


@config
class Counting:
    """Nothing to choose."""

    repeats: Count = 1


def clean(*, texts: Path, config: Letters, out: Path) -> None:
    """Keep the first letters of every text."""
    _note(out)
    for path in sorted(texts.glob("*.txt")):
        (out / path.name).write_text(f"{VERSION} {path.read_text()[: config.keep]}")


def draw(*, cleaned: Path, config: Drawing, out: Path) -> None:
    """Draw bytes by chance, from the texts and the seed: as good as a training, and over at once."""
    _note(out)
    chance = random.Random(f"{_all(cleaned)} {config.seed} {VERSION}")
    (out / "inner").mkdir()
    (out / "inner" / "drawn.bin").write_bytes(chance.randbytes(config.length))


@measures(seconds="how long it took, in seconds")
def clock(*, cleaned: Path, config: Counting, out: Path) -> None:
    """A measuring stage, whose bytes differ each time."""
    _note(out)
    row = {"arm": "clock", "domain": "all", "seconds": time.perf_counter() + len(_all(cleaned))}
    (out / "metrics.json").write_text(json.dumps([row]))


@measures(share="a number that is drawn by chance")
def count(*, cleaned: Path, drawn: dict[str, Path], config: Counting, out: Path) -> None:
    """Numbers of two arms for nine seeds; every byte of the inputs has a part in them."""
    _note(out)
    inputs = [_all(cleaned), *(_all(folder) for _, folder in sorted(drawn.items()))]
    chance = random.Random(f"{inputs} {VERSION}")
    rows = [
        {"arm": arm, "domain": "drawn", "seed": seed, "share": round(more + chance.random() / 10, 4)}
        for seed in range(9)
        for arm, more in (("half", 0.5), ("third", 0.3), ("other-half", 0.5))
    ]
    (out / "metrics.json").write_text(json.dumps(rows))


def _all(folder: Path) -> str:
    whole = sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(path.read_bytes() if path.is_file() else b"/")
    return whole.hexdigest()


def _note(out: Path) -> None:
    """Leave word that the stage was computed, for the test that counts how often."""
    with open(os.environ["TENFOLD_TEST_COMPUTED"], "a") as file:
        file.write(out.name.removeprefix(".").removesuffix(".partial") + "\n")
