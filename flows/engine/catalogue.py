"""The catalogue of data, `data/sources.yaml`: where each source comes from, and what people should know of it."""

import json
import re
from functools import cache
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
    try:
        return _entries((ROOT / CATALOGUE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        said = " ".join(str(problem).split())
        raise UserError(f"{CATALOGUE} cannot be read ({said}): correct it, or git restore {CATALOGUE}.") from problem


@cache
def _entries(text: str) -> dict[str, Entry]:
    """What the text says: a command asks for the sources once a paper."""
    # The safe loader, as safe_load uses it, in C: many times faster, and this is read by every command.
    entries = yaml.load(text, Loader=yaml.CSafeLoader)
    if not isinstance(entries, dict):
        raise UserError(f"{CATALOGUE} does not name its sources, as in `name: {{kind: …}}`: correct it.")
    return {name: _entry(name, given) for name, given in entries.items()}


def _entry(name: Any, given: Any) -> Entry:
    # The name becomes a folder, and a word of the command line that `dvc repro` gives to a shell.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(f"{CATALOGUE}: a source is named {name!r}: use letters, digits, - and _ only.")
    if not isinstance(given, dict):
        raise UserError(f"{CATALOGUE}, {name}: what it is, is missing, as in `kind: folder`. Correct that entry.")
    words = {word: given[word] for word in ("licence", "citation", "replaces") if word in given}
    source = {"name": name, **{key: value for key, value in given.items() if key not in words}}
    try:
        entry: Entry = TypeAdapter(Entry).validate_json(json.dumps({"source": source, **words}))
    except ValidationError as problem:
        raise UserError(f"{CATALOGUE}, {name}: {first_error(problem)}. Correct that entry.") from problem
    return entry
