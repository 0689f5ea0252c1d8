"""A page that shows records: the picture, the alt-text, and what each level changes, word by word."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.altogether.records import Record
from tasks.altogether.texts.attributes import words
from tasks.altogether.texts.edits import edit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN_SIZE = 96
"""Side of a shown picture in pixels."""


def write_diffs(records: Sequence[Record], pixels: Callable[[str], "NDArray[np.uint8]"], path: Path) -> None:
    """Write one HTML file that needs no other; `pixels` gives the picture (size, size, 3) of an `img_path`."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    shown = [
        {"record": r, "levels": marked_levels(r), "picture": inline(pixels(r.img_path)), "size": SHOWN_SIZE}
        for r in records
    ]
    conditions = sorted({r.condition for r in records})
    page = environment.get_template("diffs.html.jinja").render(shown=shown, conditions=conditions)
    path.write_text(page, encoding="utf-8")


def marked_levels(record: Record) -> list[dict[str, Any]]:
    """Levels 1 to 3 of a record, each as its text and its words marked kept, added or removed."""
    texts = [words(text) for text in record.levels]
    return [
        {"number": number, "text": record.levels[number], "changes": edit(texts[number - 1], texts[number]).changes}
        for number in range(1, 4)
    ]


def inline(pixels: "NDArray[np.uint8]") -> str:
    """A picture as a small PNG in base64, for a data URL."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SHOWN_SIZE, SHOWN_SIZE))
    file = io.BytesIO()
    image.quantize(64).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
