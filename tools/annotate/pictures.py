"""The pictures of a folder: which can be shown, what identifies them, and which cannot and why."""

import hashlib
import io
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from tasks.base.errors import UserError

SHOWN = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".svg")
NOT_SHOWN = (".avif", ".bmp", ".heic", ".heif", ".ico", ".psd", ".svgz", ".tif", ".tiff")
MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF")
LARGEST = 256 * 2**20
"""Bytes: a larger file is not read."""


@dataclass(frozen=True)
class Picture:
    """A readable picture: its path below the folder, its bytes' digest, its media type, its pixels (0 for SVG)."""

    path: str
    sha256: str
    media: str
    width: int
    height: int

    @property
    def key(self) -> str:
        """The picture's name in an address, where no path of the user's ever stands."""
        return hashlib.sha256(self.path.encode()).hexdigest()[:20]


@dataclass
class Found:
    """What a folder holds: pictures in natural order, unreadable files with the reason, endings not shown.

    `remembered` is what the next look at the folder can spare itself, by path.
    """

    pictures: list[Picture] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    not_shown: Counter[str] = field(default_factory=Counter)
    remembered: dict[str, dict[str, Any]] = field(default_factory=dict)


class Unreadable(Exception):
    """Why a file cannot be shown, to go on a sentence that begins with its name."""


def find(
    folder: Path,
    remembered: dict[str, dict[str, Any]],
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> Found:
    """Look at each file of the folder and below it; hidden ones (".…") are passed over.

    A file whose size and time are as `remembered` is not decoded again. `progress` may show how far it is.

    Raises:
        UserError: there is no such folder, or nothing in it can be shown.
    """
    if not folder.is_dir():
        wrong = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {wrong}: name the folder that holds the pictures.")
    found = Found()
    for path in progress(sorted(_files(folder, found), key=_natural)):
        try:
            seen = os.stat(folder / path)
            about = remembered.get(path, {})
            if (about.get("size"), about.get("changed")) != (seen.st_size, seen.st_mtime_ns):
                about = {"size": seen.st_size, "changed": seen.st_mtime_ns, **_look(folder, path, seen.st_size)}
        except OSError as problem:
            found.unreadable[path] = f"cannot be read ({problem.strerror})"
            continue
        found.remembered[path] = about
        if "problem" in about:
            found.unreadable[path] = about["problem"]
        else:
            found.pictures.append(Picture(path=path, **about["picture"]))
    if not found.pictures:
        first = next((f" ({path} {why})" for path, why in found.unreadable.items()), "")
        raise UserError(f"{folder} holds no picture that can be shown{first}: put PNG, JPEG, WebP, GIF or SVG there.")
    return found


def read(folder: Path, picture: Picture) -> bytes | None:
    """The bytes of a picture; None when they are gone or are no longer those that were looked at."""
    try:
        data = (folder / picture.path).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == picture.sha256 else None


def number_of(count: int, noun: str) -> str:
    """1 picture, 2 pictures."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _files(folder: Path, found: Found) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name).relative_to(folder).as_posix()
            ending = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if ending in NOT_SHOWN:
                found.not_shown[ending] += 1
            elif ending in SHOWN and not sayable(path):
                found.unreadable[ascii(path)] = "has a name with control or undecodable characters: rename it"
            elif ending in SHOWN:
                yield path


def sayable(path: str) -> bool:
    """Whether a path can be shown and written: without control characters and bytes that are no text.

    The no-break spaces that macOS puts into the names of screenshots can.
    """
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path)


def _natural(path: str) -> list[tuple[str, int]]:
    """a2 comes before a10."""
    return [(words.casefold(), int(digits or 0)) for words, digits in re.findall(r"([^0-9]*)([0-9]*)", path)]


def _look(folder: Path, path: str, size: int) -> dict[str, Any]:
    """What there is to know of a file: `picture` (all of a Picture but its path), or the `problem`."""
    try:
        if size > LARGEST:
            raise Unreadable(f"has more than {LARGEST >> 20} MiB")
        if not (folder / path).is_file():
            raise Unreadable("is no file")  # a named pipe would be waited for, for ever
        data = (folder / path).read_bytes()
        media, width, height = _vector(data) if path.lower().endswith(".svg") else _raster(data)
    except Unreadable as problem:
        return {"problem": str(problem)}
    picture = Picture(path, hashlib.sha256(data).hexdigest(), media, width, height)
    return {"picture": {name: value for name, value in asdict(picture).items() if name != "path"}}


def another_kind(data: bytes) -> str:
    """What a file with the name of a bitmap is instead of one, or "".

    Decoders know many more kinds; one runs another program on what a stranger wrote.
    """
    if not data:
        return "is empty"
    if data[4:8] == b"ftyp":
        return "is HEIC or AVIF, whatever its name says: convert it to JPEG"
    return "" if data.startswith(BEGINNINGS) else "is no PNG, JPEG, WebP or GIF, whatever its name says"


def _raster(data: bytes) -> tuple[str, int, int]:
    """Decode the whole picture, so that what is cut off or damaged is found now and not while somebody annotates."""
    from PIL import Image

    if another := another_kind(data):
        raise Unreadable(another)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF")) as image:
                media, (width, height) = MEDIA[str(image.format)], image.size
                image.load()
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
            raise Unreadable(f"has more than {limit:.0f} million pixels") from None
        except Exception:  # the decoders raise whatever a damaged file provokes
            raise Unreadable("is not a whole PNG, JPEG, WebP or GIF picture") from None
    return media, width, height


def _vector(data: bytes) -> tuple[str, int, int]:
    roots: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, attributes: dict[str, str]) -> None:
        if not roots:
            roots.append(name)

    parser.StartElementHandler = start
    try:
        parser.Parse(data, True)
    except expat.ExpatError as problem:
        raise Unreadable(f"is not well-formed SVG ({problem})") from None
    if roots[0] != "http://www.w3.org/2000/svg svg":
        raise Unreadable("is XML, but not SVG")
    return "image/svg+xml", 0, 0
