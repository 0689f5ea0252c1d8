"""Records of pictures and their texts, in the form that Altogether-FT was released in.

A file is `{"data": [record, …]}`. The released records have `round3` (the last caption), `alt`, `source` and
`img_path`, some of them `url` and `face_bbox`. Ours have the rounds before the last as well, and say where a record
comes from.
"""

import json
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError

PRETRAINING, TRANSFER = "openclipart", "stamps"
"""The set whose titles are read in pre-training, and the one that captioners are only tested on."""


@dataclass(frozen=True)
class Record:
    """One picture and its texts.

    `alt` is round 0. `round1` to `round3` are corrections of the text before; for records composed from published
    names and keywords they are annotation levels, not rounds by people. `voice` said the alt; `condition` says whether
    it is `as written`, a `natural error`, or states one attribute, truly (`stated`) or not (`swapped`). `attributes`
    has what can be seen, `wrong` what the alt gets wrong and the value it gives.
    """

    round3: str
    alt: str
    source: str
    img_path: str
    url: str = ""
    face_bbox: tuple[Any, ...] | None = None
    round1: str = ""
    round2: str = ""
    concept: str = ""
    style: str = ""
    split: str = ""
    kind: str = ""
    condition: str = ""
    voice: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def levels(self) -> tuple[str, str, str, str]:
        """The alt-text and the three texts after it; only round 3 is sure to have words."""
        return self.alt, self.round1, self.round2, self.round3


def read_records(path: Path) -> list[Record]:
    """The records of a file, ours or as released; keys that are not known are passed over.

    Raises UserError naming the file, and the record where one is wrong: a needed key is missing or a type differs.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: give the path of a JSON file with records.") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): correct it there.") from None
    if not isinstance(read, dict) or not isinstance(read.get("data"), list):
        raise UserError(f'{path} must be an object with a list "data" of records: see the released Altogether-FT.')
    return [_record(each, f"{path}, record {number}") for number, each in enumerate(read["data"])]


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records one a line, without the values that are empty."""
    lines = (json.dumps(_as_json(record), ensure_ascii=False, sort_keys=True) for record in records)
    path.write_text('{"data": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def _as_json(record: Record) -> dict[str, Any]:
    needed = {f.name for f in fields(Record) if f.default is MISSING and f.default_factory is MISSING}
    return {name: value for name, value in asdict(record).items() if name in needed or value not in ("", None, {})}


def _record(read: Any, where: str) -> Record:
    if not isinstance(read, dict):
        raise UserError(f"{where} is not an object: each record needs round3, alt, source and img_path.")
    values: dict[str, Any] = {}
    for each in fields(Record):
        if each.name not in read:
            if each.default is MISSING and each.default_factory is MISSING:
                raise UserError(f"{where} has no {each.name}: add it.")
            continue
        value = read[each.name]
        if each.name == "face_bbox":
            if not isinstance(value, list | None):
                raise UserError(f"{where}: face_bbox must be a list of boxes or null, not {value!r}.")
            values[each.name] = None if value is None else tuple(value)
        elif each.name in ("attributes", "wrong"):
            if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
                raise UserError(f"{where}: {each.name} must give a text for each attribute, not {value!r}.")
            values[each.name] = dict(value)
        elif not isinstance(value, str):
            raise UserError(f"{where}: {each.name} must be a text, not {value!r}.")
        else:
            values[each.name] = value
    if not values["round3"].strip():
        raise UserError(f"{where}: round3 is empty; it is the text that a captioner learns, so it must have words.")
    return Record(**values)
