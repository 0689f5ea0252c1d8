"""Pictures of other people with the words that one person gave each: clip art with titles, stamps with a sentence."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import Count, Index, config
from tasks.altogether.arrays import write_pictures
from tasks.altogether.drawn.rendering import Unreadable, described, on_background, picture
from tasks.altogether.records import Record, write_records
from tasks.base import spool
from tasks.base.measures import measures


@config
class Titled:
    """The side of a picture in pixels, and how many pictures of each set to take at most (0: all)."""

    size: Count = 128
    limit: Index = 0


@dataclass(frozen=True)
class Titles:
    """The texts of a file by voice. What the words are about is the `sentence` written for it, if there is one."""

    texts: Mapping[str, str]
    sentence: str = ""

    @property
    def title(self) -> str:
        """What tells the picture from others of its set."""
        return self.sentence or self.texts.get("title", "")


@measures(
    pictures="pictures that were drawn",
    records="pictures with one of their texts as the alt-text",
    broken="files that gave no picture",
    untitled="files without a title of two letters or more",
    repeated="files whose title an earlier file has, but for numbers",
)
def draw_titled(*, sets: dict[str, Path], config: Titled, out: Path) -> None:
    """Write `pictures.safetensors`, `index.parquet` (img_path and style), and records for each set, `<set>.json`.

    A picture with a sentence of its own gives one record: the words of its file name as the alt-text, the sentence as
    the correction. Any other gives one for each of its texts, the longest of them as the correction. Of a series
    ("star 1", "star 2") the first is taken. A set that this machine cannot have has no records, and a note says so.
    """
    pixels: list[Any] = []
    index: list[dict[str, Any]] = []
    broken: list[dict[str, str]] = []
    rows = []
    for name, folder in sorted(sets.items()):
        records: list[Record] = []
        before, failed = len(index), len(broken)
        counts: Counter[str] = Counter()
        if (folder / "unavailable.json").exists():
            spool.note(f"The pictures of {name} are not available here, so nothing is drawn of them.")
        for path, titles in _titled_files(folder, counts):
            if config.limit and len(index) - before == config.limit:
                break
            img_path = f"{name}/{path.relative_to(folder).as_posix()}"
            try:
                pixels.append(on_background(picture(path, config.size)))
            except Unreadable as reason:
                broken.append({"img_path": img_path, "reason": str(reason)})
                continue
            index.append({"img_path": img_path, "style": name})
            records += _records(name, img_path, titles)
        write_records(out / f"{name}.json", records)
        rows.append(
            {
                "arm": name,
                "pictures": len(index) - before,
                "records": len(records),
                "broken": len(broken) - failed,
                "untitled": counts["untitled"],
                "repeated": counts["repeated"],
            }
        )
    write_pictures(out, pixels, index, broken, rows)


def _titled_files(folder: Path, counts: Counter[str]) -> Iterator[tuple[Path, Titles]]:
    series: set[str] = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".svg", ".png") or not path.is_file():
            continue
        titles = _titles(path)
        key = " ".join(re.sub(r"[\d_]+", " ", titles.title).lower().split())
        # Tux Paint's symbols are letters and shapes; mirrored and flipped stamps have no sentence of their own.
        if len(re.findall(r"[^\W\d_]", key)) < 2 or "symbols" in path.relative_to(folder).parts:
            counts["untitled"] += 1
        elif key in series:
            counts["repeated"] += 1
        else:
            series.add(key)
            yield path, titles


def _titles(path: Path) -> Titles:
    """A sentence in a `.txt` beside the picture, or the metadata of an SVG."""
    beside = path.with_suffix(".txt")
    if beside.exists():
        lines = beside.read_bytes().decode(errors="replace").splitlines() or [""]
        named = " ".join(re.findall(r"[^\W\d_]+", path.stem)).lower()
        return Titles({"file name": named}, lines[0].strip())
    return Titles(described(path.read_bytes().decode(errors="replace")) if path.suffix.lower() == ".svg" else {})


def _records(name: str, img_path: str, titles: Titles) -> list[Record]:
    """A record for each text; texts that say the same are one."""
    texts = {text: voice for voice, text in titles.texts.items() if text or titles.sentence}
    wanted = titles.sentence or max(texts, key=lambda text: (len(text), text))
    return [
        Record(
            round3=wanted,
            alt=text,
            source=name,
            img_path=img_path,
            concept=img_path,
            style=name,
            kind="picture",
            condition="as written",
            voice=voice,
        )
        for text, voice in texts.items()
    ]
