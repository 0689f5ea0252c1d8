"""MiniMalloc's format for problems of placement (id, lower, upper, size), and instances with a known optimum."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

from models.olla.placement import Block

CAPACITY = 2**20
"""Of MiniMalloc's published instances."""

FIELDS = ("id", "lower", "upper", "size")


def read_csv(path: Path) -> list[Block]:
    """The blocks of a file with the columns id, lower, upper (exclusive) and size; others are left aside.

    Raises:
        ValueError: a column is missing, a value is no number, or a lifetime or a size is not positive.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [field for field in FIELDS[1:] if field not in (reader.fieldnames or ())]:
            raise ValueError(f"{path.name} has no column {missing[0]}")
        blocks = []
        for line, row in enumerate(reader, 2):
            try:
                lower, upper, size = (int(row[field]) for field in FIELDS[1:])
            except (TypeError, ValueError) as problem:
                raise ValueError(f"{path.name}, line {line}: lower, upper and size are whole numbers") from problem
            if upper <= lower or size <= 0:
                raise ValueError(f"{path.name}, line {line}: a block needs a lifetime and bytes")
            blocks.append(Block(line - 2, lower, upper, size))
    return blocks


def write_csv(blocks: Sequence[Block], path: Path) -> None:
    """Write blocks in the format."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows([b.id, b.lower, b.upper, b.size] for b in blocks)


def perfect(count: int, seed: int, moments: int = 1000, capacity: int = CAPACITY) -> tuple[list[Block], int]:
    """Blocks that fill a rectangle of time and bytes without a gap, cut at random, in random order; and its height.

    Every cut goes through a whole piece, the one with the largest area first, so that pieces stay of like size.
    """
    draw = random.Random(seed)
    pieces = [(0, moments, 0, capacity)]
    while len(pieces) < count:
        pieces.sort(key=lambda p: (p[1] - p[0]) * (p[3] - p[2]))
        left, right, low, high = pieces.pop()
        share = draw.uniform(0.25, 0.75)
        in_time = (right - left) / moments > (high - low) / capacity
        middle = round(left + share * (right - left)) if in_time else round(low + share * (high - low))
        if in_time and left < middle < right:
            pieces += [(left, middle, low, high), (middle, right, low, high)]
        elif not in_time and low < middle < high:
            pieces += [(left, right, low, middle), (left, right, middle, high)]
        else:
            raise ValueError(f"{count} pieces are too many for {moments} moments")
    draw.shuffle(pieces)
    return [Block(number, left, right, high - low) for number, (left, right, low, high) in enumerate(pieces)], capacity
