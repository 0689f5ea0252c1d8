"""A folder of good and bad pictures, and two rounds of annotations over it."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from tools.annotate.alts import Alt
from tools.annotate.pictures import find
from tools.annotate.rounds import Annotations
from tools.annotate.store import Decision, Event


def event(number: object, decision: Decision = "draft", text: str = "a hut", **other: Any) -> Event:
    given = {"after": "", "time": "2026-01-01T00:00:00.000+00:00", "by": "Ada", "image": "a.png", "sha256": "0" * 64}
    return Event(
        **{**given, "id": f"event-{number}", "round": 1, "state": decision, "text": text, "seconds": 1.5, **other}
    )


def drawn(kind: str, colour: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, kind)
    return data.getvalue()


def bomb() -> bytes:
    """A PNG of some hundred bytes whose header promises 60,000 × 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><script>alert(1)</script><path d="M0 0h4v4z"/></svg>'


def make_photos(made: Path) -> Path:
    """Four good pictures, and much that is not."""
    (made / "lake").mkdir(parents=True)
    (made / ".cache").mkdir()
    files = {
        "hut-10.png": drawn("PNG"),
        "hut-2.jpg": drawn("JPEG"),
        "lake/sée.webp": drawn("WEBP", "blue"),
        "tick.svg": SVG,
        "cut.jpg": drawn("JPEG", size=(400, 300))[:900],
        "bomb.png": bomb(),
        "words.gif": b"not a picture",
        "page.svg": b"<html xmlns='http://www.w3.org/1999/xhtml'/>",
        "broken.svg": b"<svg",
        "phone.heic": b"x",
        "notes.txt": b"x",
        ".cache/hidden.png": drawn("PNG"),
        "new\nline.png": drawn("PNG"),
    }
    for name, data in files.items():
        (made / name).write_bytes(data)
    return made


GOOD = ["hut-2.jpg", "hut-10.png", "lake/sée.webp", "tick.svg"]


def make_annotations(folder: Path) -> Annotations:
    """Round 1 by Ada and Bo, round 2 by Bo, over the four pictures."""
    found = find(folder, {})
    alts = {"hut-2.jpg": Alt("red hut", "wit"), "hut-10.png": Alt("a hut"), "tick.svg": Alt("tick, green")}
    annotations = Annotations(folder.parent / "work", found.pictures, alts)
    annotations.store.mkdir()
    shas = {picture.path: picture.sha256 for picture in found.pictures}

    def log(number: int, path: str, decision: Decision, text: str, by: str, seconds: float) -> None:
        one = annotations.round(number)
        before = one.by_path.get(path, [])
        made = event(
            f"{number}-{path}-{len(before)}", decision, text, by=by, image=path, sha256=shas[path], seconds=seconds
        )
        one.log.append(made.model_copy(update={"round": number, "after": before[-1].id if before else ""}))
        one.refresh()

    log(1, "hut-2.jpg", "draft", "A red", "Ada", 4)
    log(1, "hut-2.jpg", "accepted", "A red hut, snow.", "Ada", 6)
    log(1, "hut-10.png", "accepted", "a hut", "Ada", 2)
    log(1, "lake/sée.webp", "draft", "A lake", "Bo", 3)
    log(1, "tick.svg", "skipped", "tick, green", "Bo", 1)
    log(2, "hut-2.jpg", "accepted", "A small hut, snow.", "Bo", 5)
    log(2, "lake/sée.webp", "accepted", "A blue lake", "Bo", 7)
    return annotations
