"""Read a user's alt-texts, whatever state they are in: what cannot be used is said in a sentence, the rest goes on."""

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.mail.charsets import likeliest
from tools.annotate.pictures import number_of

SEPARATOR = "; "
"""Between several alt-texts of one picture, as the paper joins them (Altogether, section 4)."""
EMPTY = frozenset(("nan", "null", "none", "n/a", "#n/a", "<na>", "nil"))
"""What programs write into a cell that has no text."""
IMAGE_COLUMNS = ("image", "img_path", "path", "file", "filename", "file_name")
ALT_COLUMNS = ("alt", "alt_text", "alt-text", "text")
"""What the two columns, or fields of a record, are called; the first that is there is taken."""
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How the own files of Excel and LibreOffice begin."""


@dataclass(frozen=True)
class Alt:
    """A picture's alt-text and where it is from (`wit` or `datacomp` in the released records; "" for not known)."""

    text: str
    source: str = ""


def read_alts(file: Path, folder: Path, paths: Iterable[str]) -> tuple[dict[str, Alt], list[str]]:
    """The alt-texts by picture, and sentences about what was odd, from CSV or from records in JSON or JSON lines.

    CSV has the columns image and alt (and source). A record has img_path and alt, as the released ones, or image and
    alt. Which of them a file is, is seen by how it begins, whatever its name.

    Raises:
        UserError: the file cannot be read at all, or lacks the columns.
    """
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise UserError(f"{file} cannot be read ({problem.strerror}): name a CSV file or JSON records.") from None
    if data.startswith(SPREADSHEETS):
        raise UserError(f"{file} is a spreadsheet program's own file: save it as CSV there, and name that.")
    text, notes = _decode(file, data)
    if "\0" in text:
        notes.append(f"{file.name} holds NUL characters, which were left out.")
        text = text.replace("\0", "")
    text = text.lstrip("\ufeff")
    known = list(paths)
    records = file.suffix.lower() in (".json", ".jsonl", ".ndjson") or text.lstrip()[:1] in ("{", "[")
    rows = _records(file, text) if records else _table(file, text, known, notes)
    return _by_picture(file, rows, folder, known, notes), notes


def _decode(file: Path, data: bytes) -> tuple[str, list[str]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), []
    # UTF-16 without its mark has a zero beside each ASCII letter.
    for place, charset in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(data) > 1 and data[place::2].count(0) > 0.4 * len(data) / 2:
            return data.decode(charset, errors="replace"), [f"{file.name} was read as UTF-16."]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", errors="replace")
    if (wrong := text.count("\ufffd")) < sum(not letter.isascii() for letter in text) - wrong:
        return text, [f"{file.name}: what is not UTF-8 ({number_of(wrong, 'letter')}) became \ufffd."]
    codec = likeliest(data)
    name = "Windows-1252" if codec == "cp1252" else codec
    return data.decode(codec, errors="replace"), [f"{file.name} is not UTF-8 and was read as {name}."]


def _table(file: Path, text: str, paths: Iterable[str], notes: list[str]) -> list[dict[str, Any]]:
    csv.field_size_limit(max(len(text), 2**17))  # a quote that is never closed makes one field of all the rest
    # What Excel puts first, to say which delimiter it means.
    said = re.match(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n)', text, re.IGNORECASE)
    text = text[said.end() :] if said else text
    if re.search(r'\\"(?![,;\t\r\n])', text) and '""' not in text:
        text = text.replace('\\"', '""')
    # The first delimiter that gives the columns: a header may hold others.
    heads = {sign: _columns(_split(file, text[: 2**16], sign)) for sign in ([said[1]] if said else ",;\t|")}
    sign = next((sign for sign, head in heads.items() if head.usable), next(iter(heads)))
    head = heads[sign]
    if not head.usable:
        there = ", ".join(name for name in head.names if name)[:80] or "nothing"
        raise UserError(f"{file} has no columns image and alt in its first line (it has {there}): name them so.")
    rows = _rows(file, text, sign, paths, notes)
    found = []
    for row in rows[1:]:
        if len(row) > len(head.names) and head.alt == len(head.names) - 1:
            # A text with delimiters that nobody quoted.
            row = [*row[: head.alt], sign.join(row[head.alt :])]
        if len(row) > max(head.image, head.alt):
            given = row[head.source] if -1 < head.source < len(row) else ""
            found.append({"image": row[head.image], "alt": row[head.alt], "source": given})
        elif any(row):
            found.append({})
    return found


@dataclass(frozen=True)
class _Columns:
    names: list[str]
    image: int
    alt: int
    source: int

    @property
    def usable(self) -> bool:
        return self.image >= 0 and self.alt >= 0


def _columns(rows: list[list[str]]) -> _Columns:
    """Where the columns are by the first row, each -1 where there is none."""
    names = [name.strip().casefold() for name in rows[0]] if rows else []
    known = (IMAGE_COLUMNS, ALT_COLUMNS, ("source",))
    return _Columns(names, *(next((names.index(name) for name in each if name in names), -1) for each in known))


def _split(file: Path, text: str, sign: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=sign))
    except csv.Error as problem:
        raise UserError(f"{file} is not CSV ({problem}): give a table with the columns image and alt.") from None


def _rows(file: Path, text: str, sign: str, paths: Iterable[str], notes: list[str]) -> list[list[str]]:
    """The table's rows. A quote that is never closed would swallow those below it: then each line is one row."""
    rows = _split(file, text, sign)
    names = {path.casefold() for path in paths}
    swallowed = sum(
        line.partition(sign)[0].strip(' "').casefold() in names
        for row in rows
        for cell in row
        for line in re.split(r"\r\n|\r|\n", cell)[1:]
    )
    if not swallowed:
        return rows
    notes.append(f"{file.name} has a quote that is never closed: each line was read as a row of its own.")
    return [_line(file, line, sign) for line in re.split(r"\r\n|\r|\n", text)]


def _line(file: Path, line: str, sign: str) -> list[str]:
    """One line as one row; where its quotes do not pair off, they stand for themselves."""
    if line.count('"') % 2 == 0:
        return next(iter(_split(file, line, sign)), [])
    return [cell.removeprefix('"') for cell in line.split(sign)]


def _records(file: Path, text: str) -> list[dict[str, Any]]:
    whole = _json(text)
    records = whole.get("data", [whole]) if isinstance(whole, dict) else whole
    if whole is None:  # a record a line
        records = [_json(line) for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not isinstance(records, list) or not any(isinstance(record, dict) for record in records):
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
    image, alt = (
        next((record[name] for name in names if name in record), None) for names in (IMAGE_COLUMNS, ALT_COLUMNS)
    )
    source = record.get("source")
    if not isinstance(image, str) or not isinstance(alt, str | None):
        return {}
    return {"image": image, "alt": alt or "", "source": source if isinstance(source, str) else ""}


def _by_picture(
    file: Path, rows: list[dict[str, Any]], folder: Path, paths: list[str], notes: list[str]
) -> dict[str, Alt]:
    names = {_plain(path): path for path in paths}
    # Files that differ in nothing but small and capital letters are told apart by them.
    loose = {name.casefold(): path for name, path in names.items()}
    loose = loose if len(loose) == len(names) else {}
    texts: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    unknown, several, broken, empty = [], [], 0, 0
    for row in rows:
        if not row or not row["image"].strip():
            broken += 1
            continue
        spelled = (_plain(row["image"]), _below(folder, row["image"]), _after(folder, row["image"]))
        path = next((names[name] for name in spelled if name in names), None)
        path = path or next((loose[name.casefold()] for name in spelled if name.casefold() in loose), None)
        if path is None:
            unknown.append(row["image"].strip())
            continue
        alt = " ".join(row["alt"].split()).encode(errors="replace").decode()
        if alt.casefold() in EMPTY:
            alt, empty = "", empty + 1
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
    if empty:
        notes.append(
            f"{file.name}: {number_of(empty, 'alt-text')} that a program wrote for none (nan, NULL), left out."
        )
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


def _after(folder: Path, path: str) -> str:
    """What follows the folder's own name in a path of another machine."""
    return f"/{_plain(path)}".rpartition(f"/{folder.resolve().name}/")[2]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
