"""Read a user's alt-texts, whatever state they are in: what cannot be used is said in a sentence, the rest goes on."""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tools.annotate.pictures import number_of

SEPARATOR = "; "
"""Between several alt-texts of one picture, as the paper joins them (Altogether, section 4)."""
IMAGE_COLUMNS = ("image", "img_path", "path", "file", "filename")
ALT_COLUMNS = ("alt", "alt_text", "alt-text")


@dataclass(frozen=True)
class Alt:
    """A picture's alt-text and where it is from (`wit` or `datacomp` in the released records; "" for not known)."""

    text: str
    source: str = ""


def read_alts(file: Path, folder: Path, paths: Iterable[str]) -> tuple[dict[str, Alt], list[str]]:
    """The alt-texts by picture, and sentences about what was odd, from CSV or from records in JSON or JSON lines.

    CSV has the columns image and alt (and source). A record has img_path and alt, as the released ones.

    Raises:
        UserError: the file cannot be read at all, or lacks the columns.
    """
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise UserError(f"{file} cannot be read ({problem.strerror}): name a CSV file or JSON records.") from None
    text, notes = _decode(file, data)
    kind = file.suffix.lower()
    rows = _records(file, text, kind, notes) if kind in (".json", ".jsonl") else _table(file, text, notes)
    return _by_picture(file, rows, folder, list(paths), notes), notes


def _decode(file: Path, data: bytes) -> tuple[str, list[str]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), []
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), [f"{file.name} is not UTF-8 and was read as Windows-1252."]


def _table(file: Path, text: str, notes: list[str]) -> list[dict[str, Any]]:
    csv.field_size_limit(2**24)
    if "\0" in text:
        notes.append(f"{file.name} holds NUL characters, which were left out.")
    lines = text.replace("\0", "")
    head = lines.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter))
    except csv.Error as problem:
        raise UserError(f"{file} is not CSV ({problem}): give a table with the columns image and alt.") from None
    header = [name.strip().casefold() for name in rows[0]] if rows else []
    image = next((header.index(name) for name in IMAGE_COLUMNS if name in header), None)
    alt = next((header.index(name) for name in ALT_COLUMNS if name in header), None)
    if image is None or alt is None:
        there = ", ".join(name for name in header if name)[:80] or "nothing"
        raise UserError(f"{file} has no columns image and alt in its first line (it has {there}): name them so.")
    source = header.index("source") if "source" in header else None
    found = []
    for row in rows[1:]:
        if len(row) > max(image, alt):
            given = row[source] if source is not None and len(row) > source else ""
            found.append({"image": row[image], "alt": row[alt], "source": given})
        elif any(row):
            found.append({})
    return found


def _records(file: Path, text: str, kind: str, notes: list[str]) -> list[dict[str, Any]]:
    if kind == ".jsonl":
        return [_record(_json(line)) for line in text.split("\n") if line.strip()]
    whole = _json(text)
    records = whole.get("data") if isinstance(whole, dict) else whole
    if not isinstance(records, list):
        raise UserError(f'{file} does not hold {{"data": [records]}}: give records with img_path and alt, or CSV.')
    return [_record(record) for record in records]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None


def _record(record: Any) -> dict[str, Any]:
    """The three fields of a record that count here; {} if it is not one."""
    if not isinstance(record, dict):
        return {}
    image, alt, source = (record.get(name) for name in ("img_path", "alt", "source"))
    if not isinstance(image, str) or not isinstance(alt, str | None):
        return {}
    return {"image": image, "alt": alt or "", "source": source if isinstance(source, str) else ""}


def _by_picture(
    file: Path, rows: list[dict[str, Any]], folder: Path, paths: list[str], notes: list[str]
) -> dict[str, Alt]:
    names = {_plain(path): path for path in paths}
    texts: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    unknown, several, broken = [], [], 0
    for row in rows:
        if not row or not row["image"].strip():
            broken += 1
            continue
        path = names.get(_plain(row["image"])) or names.get(_below(folder, row["image"]))
        if path is None:
            unknown.append(row["image"].strip())
            continue
        alt = " ".join(row["alt"].split()).encode(errors="replace").decode()
        known = texts.setdefault(path, [])
        if alt and alt not in known:
            if known:
                several.append(path)
            known.append(alt)
        sources.setdefault(path, row["source"].strip())
    if broken:
        notes.append(f"{file.name}: {number_of(broken, 'line')} without an image or an alt-text, left out.")
    if unknown:
        notes.append(f"{file.name}: {number_of(len(unknown), 'image')} not in {folder} ({_some(unknown)}), left out.")
    if several:
        paths = list(dict.fromkeys(several))
        notes.append(f"{file.name}: {number_of(len(paths), 'image')} with several alt-texts, joined ({_some(paths)}).")
    return {path: Alt(SEPARATOR.join(known), sources[path]) for path, known in texts.items()}


def _plain(path: str) -> str:
    """One spelling for one file: forward slashes, no leading "./", composed characters."""
    return os.path.normpath(unicodedata.normalize("NFC", path.strip().replace("\\", "/")))


def _below(folder: Path, path: str) -> str:
    """The path seen from the folder, where it was written from elsewhere (the working folder, or the root)."""
    return os.path.relpath(os.path.abspath(_plain(path)), _plain(str(folder.resolve())))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
