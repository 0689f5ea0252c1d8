"""Draw the emoji in several styles, as arrays of one size."""

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Count, Fraction, config
from tasks.altogether.arrays import write_pictures
from tasks.altogether.drawn.rendering import Unreadable, colours_seen, on_background, picture, vector
from tasks.altogether.texts.emoji import key_of
from tasks.altogether.texts.voices import read_gathered
from tasks.base.errors import UserError
from tasks.base.measures import measures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Drawing = Callable[[int], "NDArray[np.uint8]"]
"""A picture at a size in pixels, as RGBA; raises Unreadable."""


@config
class Drawn:
    """The side of a picture in pixels, and the share of a drawing that a colour must cover to count as seen."""

    size: Count = 128
    seen: Fraction = 0.1


@measures(
    pictures="pictures that were drawn",
    missing="emoji that the style does not have",
    broken="files that gave no picture",
    twins="pictures that are pixel for pixel another emoji's picture in the style",
)
def draw_emoji(*, gathered: Path, styles: dict[str, Path], config: Drawn, out: Path) -> None:
    """Write `pictures.safetensors` and `index.parquet`: every emoji in every style that has it.

    `pictures` is uint8 (n, size, size, 3) on white, and row i of the index tells about picture i: img_path, key,
    style, `colours` (the basic colours seen in it), `same_as` (an earlier key with the same pixels, or empty).
    `broken.json` says which file gave no picture, and why. Raises UserError when a style has no picture at all.
    """
    emoji, _ = read_gathered(gathered)
    pixels, index, broken, rows = [], [], [], []
    for style, folder in sorted(styles.items()):
        drawings = style_drawings(folder)
        counts: Counter[str] = Counter()
        seen: dict[bytes, str] = {}
        for e in emoji:
            if e.key not in drawings:
                counts["missing"] += 1
                continue
            img_path = f"{style}/{e.key}.png"
            try:
                rgba = drawings[e.key](config.size)
            except Unreadable as reason:
                broken.append({"img_path": img_path, "reason": str(reason)})
                continue
            rgb = on_background(rgba)
            twin = seen.setdefault(rgb.tobytes(), e.key)
            counts["twins"] += twin != e.key
            pixels.append(rgb)
            index.append(
                {
                    "img_path": img_path,
                    "key": e.key,
                    "style": style,
                    "colours": colours_seen(rgba, config.seen),
                    "same_as": "" if twin == e.key else twin,
                }
            )
        drawn = sum(row["style"] == style for row in index)
        failed = sum(row["img_path"].startswith(f"{style}/") for row in broken)
        if not drawn:
            raise UserError(f"No emoji is drawn in the style {style}: see what data/sources.yaml asks of its files.")
        rows.append({"arm": style, "pictures": drawn, "broken": failed}
                    | {name: counts[name] for name in ("missing", "twins")})  # fmt: skip
    write_pictures(out, pixels, index, broken, rows)


def style_drawings(folder: Path) -> dict[str, Drawing]:
    """How to draw each emoji of a style, by key.

    A style is a folder of `*.svg` or `*.png` named by code points, at any depth, or an Iconify set (`icons.json` with
    the bodies, `chars.json` with the names by code points).
    """
    if not (folder / "icons.json").exists():
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".svg", ".png"))
        named = [path for path in files if re.fullmatch("[0-9A-Fa-f]+([-_][0-9A-Fa-f]+)*", path.stem)]
        return {key_of(path.stem): partial(picture, path) for path in reversed(named)}
    try:
        icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        characters = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
        width, height = icons.get("width", 16), icons.get("height", 16)
        opening = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}">'
        )
        bodies = {key_of(code): icons["icons"][name]["body"] for code, name in characters.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"The folder {folder.name} is not an Iconify set: it needs icons.json and chars.json as Iconify has them."
        ) from None
    return {key: partial(vector, f"{opening}{body}</svg>") for key, body in bodies.items()}
