"""Alt-texts of a user's own pictures, each re-aligned with its picture, written as soon as it is there.

A picture that cannot be read gets a line that says why, and the others go on. What is in the output already, of the
same bytes and the same alt-text, is not done again.
"""

import codecs
import hashlib
import json
import multiprocessing
import os
import signal
import stat
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.altogether.captioner.captioning import Seen, captioned
from tasks.altogether.captioner.dual import load_dual, picture_vectors
from tasks.altogether.captioner.encoder import Encoding, Features, encoded, load_encoder
from tasks.altogether.captioner.stored import load_writer
from tasks.altogether.drawn.rendering import Unreadable, bitmap, on_background, vector
from tasks.altogether.texts.attributes import words
from tasks.altogether.texts.edits import edit
from tasks.base.errors import UserError
from tools.annotate.pictures import LARGEST, NOT_SHOWN, SHOWN, another_kind, number_of, sayable
from tools.caption.mending import Checked, check, likelihoods, mended
from tools.caption.trust import GREEDY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Opened = tuple[str, NDArray[np.uint8] | str]

CORES = len(os.sched_getaffinity(0))
AHEAD = 2
"""Batches that are opened while one is captioned."""
IN_A_ROW = 3
"""Pictures that end the process which opens them, one after the other, after which a run is given up."""
FEW = 4
"""Pictures that a core encodes at once: with more they no longer fit its cache, and each takes half as long again."""


@dataclass(frozen=True)
class Folders:
    """Where the parts of a trained captioner are, the size in pixels and the encoding that it was trained with, and
    what it is measured on."""

    encoder: Path
    dual: Path
    captioner: Path
    size: int
    encoding: Encoding
    features: Path
    levels: Path
    titled: Path
    held_out_style: str


@dataclass
class Counts:
    """What has been done so far."""

    pictures: int = 0
    captioned: int = 0
    changed: int = 0
    known: int = 0
    without_alt: int = 0
    unreadable: int = 0


@dataclass(frozen=True)
class Said:
    """What is said of a picture: the alt-text as it was, or changed. `confidence` is that of the least sure part of it,
    None where there was nothing to be sure of; `checked` what of the alt-text was looked for in the picture."""

    caption: str
    confidence: float | None
    checked: tuple[Checked, ...] = ()


class Realigner:
    """A trained captioner with its encoders, and how sure it has to be: `least` of each attribute that it may change,
    or `least_caption` of a whole caption where it writes those (`rewrites`)."""

    def __init__(
        self, folders: Folders, least: Mapping[str, float], least_caption: float = 0.0, rewrites: bool = False
    ) -> None:
        self.size, self.rewrites = folders.size, rewrites
        self._least, self._least_caption, self._encoding = least, least_caption, folders.encoding
        self._encoder = load_encoder(folders.encoder)
        self._dual = load_dual(folders.dual)
        self._writer = load_writer(folders.captioner)

    def said(self, pixels: "NDArray[np.uint8]", alts: Sequence[str]) -> list[Said]:
        """What is said of each picture (n, size, size, 3) with its alt-text, which may be empty."""
        import torch

        parts = [pixels[start : start + FEW] for start in range(0, len(pixels), FEW)]
        with ThreadPoolExecutor(CORES) as pool:
            found = list(pool.map(lambda part: encoded(part, self._encoder, self._encoding), parts))
        tokens, palettes = ([getattr(each, name) for each in found] for name in ("tokens", "palette"))
        features = Features(torch.cat(tokens), torch.cat(palettes))
        seen = Seen(features, picture_vectors(self._dual, features), {})
        return self._rewritten(seen, alts) if self.rewrites else self._mended(seen, alts)

    def _mended(self, seen: Seen, alts: Sequence[str]) -> list[Said]:
        checked = check(self._writer, seen, range(len(alts)), alts)
        return [
            Said(mended(alt, some, self._least), min((each.confidence for each in some), default=None), tuple(some))
            for alt, some in zip(alts, checked, strict=True)
        ]

    def _rewritten(self, seen: Seen, alts: Sequence[str]) -> list[Said]:
        rows = range(len(alts))
        captions = captioned(self._writer, seen, rows, alts, GREEDY)
        confidences = likelihoods(self._writer, seen, rows, alts, captions, each_token=True).exp().tolist()
        return [
            Said(caption if confidence >= self._least_caption else alt, confidence)
            for caption, alt, confidence in zip(captions, alts, confidences, strict=True)
        ]


def pictures_below(folder: Path) -> list[str]:
    """The paths of the pictures in the folder and below it, hidden files left out.

    Raises UserError where there is none.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name the folder that holds the pictures.")
    found = sorted(path for path in _below(folder) if Path(path).suffix.lower() in SHOWN)
    if not found:
        there = " ".join(["", *other_kinds_below(folder)])
        raise UserError(f"{folder} holds no picture: put PNG, JPEG, WebP, GIF or SVG files there.{there}")
    return found


def other_kinds_below(folder: Path) -> list[str]:
    """A sentence about the pictures in the folder that are of kinds which are not read; none where there are none."""
    others = Counter(Path(path).suffix.lower() for path in _below(folder))
    left = {ending: count for ending, count in sorted(others.items()) if ending in NOT_SHOWN}
    count, endings = sum(left.values()), ", ".join(left)
    return [f"{number_of(count, 'file')} left out, of kinds not read ({endings})."] if left else []


def _below(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name).relative_to(folder).as_posix() for name in names if not name.startswith("."))


def realign(
    images: Path,
    paths: Sequence[str],
    alts: Mapping[str, str],
    model: Realigner,
    out: Path,
    batch: int = 64,
    tell: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Append a line a picture to `out`, and return what was done.

    A line has image, sha256, alt, caption, how it was made, confidence, checked (each attribute that the alt-text
    states, with what is likeliest by the picture), and edit (words kept, added and removed); or image and problem. It
    is on the disk before the next batch begins, so a run that was broken off goes on where it was.
    """
    import numpy as np

    known = _known(out)
    how = "rewritten" if model.rewrites else "mended"
    counts = Counts()
    parts = [paths[start : start + batch] for start in range(0, len(paths), batch)]
    with open(out, "a", encoding="utf-8") as file:
        for part, opened in zip(parts, _opened(images, parts, model.size), strict=True):
            lines: dict[int, dict[str, Any]] = {}
            asked = []
            for place, (path, (digest, seen)) in enumerate(zip(part, opened, strict=True)):
                alt = alts.get(path, "")
                # A name may hold bytes that are no text, and JSON is text.
                name = path.encode(errors="backslashreplace").decode()
                counts.pictures += 1
                counts.without_alt += not alt
                if isinstance(seen, str):
                    counts.unreadable += 1
                    if known.get(name) != seen:
                        lines[place] = {"image": name, "problem": seen}
                elif known.get(name) == (digest, alt, how):
                    counts.known += 1
                else:
                    lines[place] = {"image": name, "sha256": digest, "alt": alt}
                    asked.append((lines[place], seen))
            if asked:
                made = model.said(np.stack([seen for _, seen in asked]), [line["alt"] for line, _ in asked])
                counts.captioned += len(made)
                for (line, _), said in zip(asked, made, strict=True):
                    counts.changed += said.caption != line["alt"]
                    line |= told(line["alt"], how, said)
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for _, line in sorted(lines.items()))
            file.flush()
            os.fsync(file.fileno())
            tell(counts)
    return counts


def told(alt: str, how: str, said: Said) -> dict[str, Any]:
    """What a line has of what was said."""
    checked = [
        {"attribute": each.attribute, "stated": each.stated, "seen": each.seen, "confidence": round(each.confidence, 3)}
        for each in said.checked
    ]
    return {
        "caption": said.caption,
        "how": how,
        "confidence": None if said.confidence is None else round(said.confidence, 3),
        "checked": checked,
        "edit": edit(words(alt), words(said.caption)).changes,
    }


def _opened(images: Path, parts: Sequence[Sequence[str]], size: int) -> "Iterator[list[Opened]]":
    """What `open_picture` makes of each batch, while the `AHEAD` after it are opened.

    By processes, for drawing an SVG holds the interpreter's lock, and a picture may end the program that decodes it.
    """
    pool = _openers(CORES)
    waiting: deque[list[Future[Opened]]] = deque()
    try:
        for number in range(len(parts)):
            try:
                for part in parts[number : number + 1 + AHEAD][len(waiting) :]:
                    waiting.append([pool.submit(open_picture, images, path, size) for path in part])
                opened = [each.result() for each in waiting.popleft()]
            except BrokenProcessPool:
                opened = _one_by_one(images, parts[number], size)
                pool, waiting = _openers(CORES), deque()
            yield opened
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(images: Path, part: Sequence[str], size: int) -> "list[Opened]":
    """The same of pictures of which one ends the process that opens it: that one has a problem, and no other.

    Raises UserError where several in a row do, for then it is not the pictures.
    """
    found: list[Opened] = []
    ended = 0
    while len(found) < len(part):
        with _openers(1) as pool:
            try:
                while len(found) < len(part):
                    found.append(pool.submit(open_picture, images, part[len(found)], size).result())
                    ended = 0
            except BrokenProcessPool:
                ended += 1
                if ended == IN_A_ROW:
                    raise UserError(
                        f"{ended} pictures in a row ended the process that opened them, the last one "
                        f"{part[len(found)]}: see that there is memory, and run again, which goes on from here."
                    ) from None
                found.append(("", "ends the process that opens it"))
    return found


def _openers(count: int) -> ProcessPoolExecutor:
    # An interrupt is for the process that has the terminal; these end with it.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))


def open_picture(images: Path, path: str, size: int) -> "Opened":
    """The digest of a file and its picture, or why there is none; no file can stop the others."""
    if not sayable(path):
        return "", "has a name with control or undecodable characters: rename it"
    try:
        about = (images / path).stat()
        if not stat.S_ISREG(about.st_mode):
            return "", "is no file"  # a named pipe would be waited for, for ever
        if about.st_size > LARGEST:
            return "", f"has more than {LARGEST >> 20} MiB"
        data = (images / path).read_bytes()
    except OSError as problem:
        return "", f"cannot be read ({problem.strerror})"
    digest = hashlib.sha256(data).hexdigest()
    try:
        if path.lower().endswith(".svg"):
            marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            return digest, on_background(vector(data.decode("utf-16" if marked else "utf-8-sig", "replace"), size))
        if another := another_kind(data):
            return digest, another
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd beside the picture, such as broken EXIF
            return digest, on_background(bitmap(data, size))
    except Unreadable as reason:
        return digest, str(reason)
    except Exception as error:  # the decoders raise whatever a damaged file provokes
        return digest, f"damaged image ({type(error).__name__})"


def _known(out: Path) -> dict[str, tuple[str, str, str] | str]:
    """What the output has of each picture: digest, alt-text and how it was made, or the problem.

    A line that was cut off is removed.

    Raises UserError where the file is something else.
    """
    if not out.exists():
        return {}
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    found: dict[str, tuple[str, str, str] | str] = {}
    try:
        for line in _lines(whole):
            done = (line["sha256"], line["alt"], line.get("how", "")) if "problem" not in line else line["problem"]
            found[line["image"]] = done
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{out} is not what tenfold caption writes: name another --out.") from None
    if len(whole) < len(data):
        with open(out, "r+b") as file:
            file.truncate(len(whole))
    return found


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    # Not splitlines, which ends a line at characters that names and alt-texts may hold.
    return (json.loads(line) for line in data.decode().split("\n") if line.strip())
