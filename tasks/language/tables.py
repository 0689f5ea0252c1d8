"""The tables of words and wordings, which lie in data/ for people to review without reading Python."""

from functools import cache
from typing import Any

import yaml

from tasks.base.files import ROOT


@cache
def read_table(path: str) -> dict[str, Any]:
    """The parts of a table. Who reads it names its whole path, so that the stages of that code depend on it."""
    table: dict[str, Any] = yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return table
