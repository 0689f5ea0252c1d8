"""Small real work of every kind, for the engine's own tests."""

import json
import random
import time
from pathlib import Path

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.measures import measures


@config
class Letters:
    """Which letters to keep, and how long to take over it."""

    keep: str = "abcdefghijklmnopqrstuvwxyz"
    milliseconds: Index = 0


@config
class Counting:
    """How often to count."""

    repeats: Count = 1
    seed: Index = 0
    fail: bool = False


def clean(*, texts: Path, config: Letters, out: Path) -> None:
    """Keep some letters of every text."""
    for path in sorted(texts.glob("*.txt")):
        time.sleep(config.milliseconds / 2000)
        (out / path.name).write_text("".join(c for c in path.read_text() if c in config.keep + " "))
    spool.note("The texts are clean.")


@measures(letters="how many letters there are", seconds="how long counting took, in seconds")
def clock(*, cleaned: Path, config: Counting, out: Path) -> None:
    """Count letters against the clock: a measuring stage, whose bytes differ each time."""
    start = time.perf_counter()
    for _ in range(config.repeats):
        letters = sum(len(path.read_text()) for path in cleaned.glob("*.txt"))
        time.sleep(0.2)
    row = {"arm": "clock", "domain": "all", "letters": letters, "seconds": time.perf_counter() - start}
    (out / "metrics.json").write_text(json.dumps([row]))


@measures(letters="how many letters there are", share="share of the letters that are drawn by chance")
def count(*, cleaned: Path, lines: dict[str, Path], config: Counting, out: Path) -> None:
    """Count letters, with one row for each fitted line, and draw half or a third of them for each of nine seeds."""
    if config.fail:
        raise UserError("The counting was told to fail: set count.fail to false.")
    text = "".join(path.read_text() for path in sorted(cleaned.glob("*.txt")))
    rows = [{"arm": f"line-{label}", "domain": "all", "letters": len(text)} for label in lines]
    for seed in range(9):
        chance = random.Random(seed)
        for arm, rate in (("half", 0.5), ("third", 1 / 3), ("other-half", 0.5)):
            share = sum(chance.random() < rate for _ in range(4000)) / 4000
            rows.append({"arm": arm, "domain": "drawn", "seed": seed, "share": share})
    (out / "metrics.json").write_text(json.dumps(rows))
