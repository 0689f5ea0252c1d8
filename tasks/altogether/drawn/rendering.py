"""One file of a picture to pixels: SVG by resvg, anything else by Pillow; nothing that is hostile is decoded.

No other file is opened, whatever a picture names.
"""

import html
import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from tasks.altogether.texts.attributes import COLOURS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST_FILE = 4_000_000
"""Bytes of a file that is opened; the drawings here have some thousands."""

MOST_PIXELS = 40_000_000
"""Pixels of an image that is decoded: more than any camera's picture that the stages could use."""

BACKGROUND = 255
"""White, in all channels, behind every picture."""

_EXPANDS = re.compile(r"<!ENTITY\s+(?:%|\S+\s+(?:SYSTEM|PUBLIC))|(?:<!ENTITY[^>]*>\s*){64}", re.IGNORECASE)
"""Entities that name files, or more of them than Adobe Illustrator's thirty namespaces."""


class Unreadable(Exception):
    """A file that gives no picture; the message says why in a few words."""


def picture(path: Path, size: int) -> "NDArray[np.uint8]":
    """Return (size, size, 4) RGBA: the file's picture, shrunk or grown to fit, centred on transparency.

    Raises Unreadable where the file is too large, damaged, empty or would unpack to a decompression bomb.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise Unreadable("file too large")
    if path.suffix.lower() == ".svg":
        return vector(path.read_bytes().decode(errors="replace"), size)
    return bitmap(path.read_bytes(), size)


def vector(svg: str, size: int) -> "NDArray[np.uint8]":
    """The same for the text of an SVG. System fonts are not used, so a machine's fonts change nothing."""
    import resvg_py

    if _EXPANDS.search(svg):
        raise Unreadable("hostile entities")
    svg = _by_itself(svg)
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, dpi=96, skip_system_fonts=True)
    except ValueError as error:
        raise Unreadable(str(error).split("\n")[0][:60]) from None
    return bitmap(bytes(png), size)


def _by_itself(svg: str) -> str:
    """An SVG without its references to other files, which resvg would open: anywhere on this machine, pipes as well."""
    try:
        root = ElementTree.fromstring(svg)  # noqa: S314 (entities that grow or name files were refused before)
    except ElementTree.ParseError as error:
        raise Unreadable(f"not well-formed SVG ({error})"[:60]) from None
    found = False
    for element in root.iter():
        # As the parser gives them, entities have been put in: none can hide a name.
        for name in [name for name in element.attrib if name.rpartition("}")[2] == "href"]:
            if not element.attrib[name].strip().startswith(("#", "data:")):
                del element.attrib[name]
                found = True
    return ElementTree.tostring(root, encoding="unicode") if found else svg


def on_background(rgba: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Lay RGBA (…, 4) over the background; RGB (…, 3)."""
    import numpy as np

    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = (rgba[..., :3] * alpha + BACKGROUND * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def colours_seen(rgba: "NDArray[np.uint8]", share: float) -> list[str]:
    """The basic colours that cover at least this share of what is drawn, by name.

    The colours overlap, as words do: a brown may also be an orange. What is not in the list is surely not the colour.
    """
    import numpy as np

    drawn = rgba[rgba[..., 3] > 127][:, :3].astype(np.float32) / 255
    if not len(drawn):
        return []
    value, chroma = drawn.max(1), drawn.max(1) - drawn.min(1)
    saturation = chroma / np.maximum(value, 1e-6)
    red, green, blue = drawn.T
    safe = np.maximum(chroma, 1e-6)
    hue = np.where(value == red, (green - blue) / safe % 6, np.where(value == green, (blue - red) / safe + 2,
                   (red - green) / safe + 4)) * 60  # fmt: skip
    seen = {
        "red": ((hue <= 20) | (hue >= 335)) & (saturation >= 0.35) & (value >= 0.3),
        "orange": (hue >= 8) & (hue <= 48) & (saturation >= 0.4) & (value >= 0.6),
        "yellow": (hue >= 36) & (hue <= 75) & (saturation >= 0.3) & (value >= 0.6),
        "green": (hue >= 65) & (hue <= 175) & (saturation >= 0.15),
        "blue": (hue >= 165) & (hue <= 262) & (saturation >= 0.15) & (value >= 0.25),
        "purple": (hue >= 250) & (hue <= 330) & (saturation >= 0.12),
        "brown": (hue <= 48) & (saturation >= 0.2) & (value >= 0.2) & (value <= 0.85),
        "black": (value <= 0.42) & (chroma <= 0.2),
        "white": (value >= 0.8) & (saturation <= 0.15),
        "grey": (value >= 0.25) & (value <= 0.95) & (saturation <= 0.25),
        "pink": ((hue >= 290) | (hue <= 20)) & (saturation >= 0.1) & (saturation <= 0.75) & (value >= 0.6),
    }
    return [colour for colour in COLOURS if seen[colour].mean() >= share]


def described(svg: str) -> dict[str, str]:
    """Title, keywords and description in an SVG's Dublin Core metadata, empty where there is none."""
    found = {}
    for field in ("title", "description"):
        match = re.search(rf"<dc:{field}[^>]*>(.*?)</dc:{field}>", svg, re.DOTALL)
        found[field] = _text(match[1]) if match else ""
    subject = re.search(r"<dc:subject[^>]*>(.*?)</dc:subject>", svg, re.DOTALL)
    listed = re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", subject[1], re.DOTALL) if subject else []
    return {**found, "keywords": ", ".join(filter(None, map(_text, listed)))}


def _text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def bitmap(data: bytes, size: int) -> "NDArray[np.uint8]":
    """The same for the bytes of a picture that Pillow reads. A JPEG is decoded no larger than it has to be."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened: Any = Image.open(io.BytesIO(data))
            if opened.width * opened.height > MOST_PIXELS:
                raise Unreadable("decompression bomb")
            opened.draft("RGB", (2 * size, 2 * size))
            image = ImageOps.contain(_eight_bits(ImageOps.exif_transpose(opened)).convert("RGBA"), (size, size))
    except Image.DecompressionBombError:
        raise Unreadable("decompression bomb") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Unreadable(f"damaged image ({type(error).__name__})") from None
    canvas = np.zeros((size, size, 4), np.uint8)
    top, left = (size - image.height) // 2, (size - image.width) // 2
    canvas[top : top + image.height, left : left + image.width] = np.asarray(image)
    if not canvas[..., 3].any():
        raise Unreadable("nothing drawn")
    return canvas


def _eight_bits(image: Any) -> Any:
    """A grey picture of 16 bits in 8, of which Pillow would make white whatever is above 255."""
    import numpy as np
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))
