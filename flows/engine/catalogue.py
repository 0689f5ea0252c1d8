"""The catalogue of data, `data/sources.yaml`: where each source comes from, and what people should know of it."""

import json
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from flows.engine.errors import first_error
from models.config import config
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.sources.fetch import Source

CATALOGUE = "data/sources.yaml"


@config
class Entry:
    """A source with its licence and citation, none of which changes a byte of it.

    `replaces` says which data of the paper this stands for, and how to point at those instead (kind: folder, path: …).
    """

    source: Source
    licence: str
    citation: str
    replaces: str


def catalogue() -> dict[str, Entry]:
    """The data sources by name.

    Raises:
        UserError: an entry of data/sources.yaml is wrong.
    """
    # The safe loader, as safe_load uses it, in C: many times faster, and this is read by every command.
    entries = yaml.load((ROOT / CATALOGUE).read_text(), Loader=yaml.CSafeLoader)
    return {name: _entry(name, given) for name, given in entries.items()}


def _entry(name: str, given: dict[str, Any]) -> Entry:
    words = {word: given[word] for word in ("licence", "citation", "replaces") if word in given}
    source = {"name": name, **{key: value for key, value in given.items() if key not in words}}
    try:
        entry: Entry = TypeAdapter(Entry).validate_json(json.dumps({"source": source, **words}))
    except ValidationError as problem:
        raise UserError(f"{CATALOGUE}, {name}: {first_error(problem)}. Correct that entry.") from problem
    return entry
