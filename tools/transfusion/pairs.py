"""A folder of pictures with texts: which picture has which, and what cannot be used and why."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.altogether.drawn.rendering import Unreadable, on_background, picture
from tasks.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".svg")
TEXTS = (".txt", ".md")
LONGEST_CAPTION = 200
"""Characters of a caption that are read."""


@dataclass
class Pairs:
    """Pictures (side, side, 3) with their captions, documents without a picture, and problems, a sentence each."""

    pictures: "list[NDArray[np.uint8]]" = field(default_factory=list)
    captions: list[tuple[str, ...]] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_pairs(folder: Path, side: int) -> Pairs:
    """Every picture NAME.png (or jpg, webp, gif, bmp, svg) with the lines of NAME.txt; other texts are documents.

    Raises:
        UserError: there is no such folder, or no picture in it that has a text and can be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give one with pictures and a text file of the same name beside each.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    texts = {path.with_suffix(""): path for path in files if path.suffix.lower() in TEXTS}
    pairs = Pairs()
    used = set()
    for path in files:
        if path.suffix.lower() not in PICTURES:
            continue
        name = path.relative_to(folder).as_posix()
        beside = texts.get(path.with_suffix(""))
        if beside is None:
            pairs.problems.append(f"{name} has no text: write one into {path.stem}.txt beside it.")
            continue
        used.add(beside)
        lines = [" ".join(line.split())[:LONGEST_CAPTION] for line in _text(beside).splitlines()]
        captions = tuple(line for line in lines if line)
        if not captions:
            pairs.problems.append(f"{name} has an empty text: write what it shows into {beside.name}.")
            continue
        try:
            pairs.pictures.append(on_background(picture(path, side)))
        except (Unreadable, OSError) as reason:
            pairs.problems.append(f"{name} cannot be read ({reason}).")
            continue
        pairs.captions.append(captions)
    pairs.documents = [text for path in texts.values() if path not in used and (text := _text(path).strip())]
    if not pairs.pictures:
        said = f" {pairs.problems[0]}" if pairs.problems else ""
        raise UserError(f"{folder} has no picture with a text of the same name beside it.{said}")
    return pairs


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
