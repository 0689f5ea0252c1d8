"""A structure of arrays: many configurations side by side, an array for each field.

All formulas of this package read `record.field` and compute with numpy, so they take a single record or `Columns`.
"""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

Numbers = Any
"""A number, or an array of numbers: one for each configuration."""

Record = Any
"""A settings class of this package, or `Columns` of its fields."""


class Columns:
    """The fields of many records as arrays; a field that is itself a record becomes `Columns` again."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no column {name!r}; there are {', '.join(self.__dict__)}")

    def take(self, rows: Any) -> "Columns":
        """The columns at these rows (an index array, a mask or a slice)."""
        return Columns(**{n: v.take(rows) if isinstance(v, Columns) else v[rows] for n, v in self.__dict__.items()})


def columns(records: Sequence[Any]) -> Columns:
    """Put records of one class into columns, in order."""
    made = {}
    for field in fields(records[0]):
        values = [getattr(record, field.name) for record in records]
        made[field.name] = columns(values) if is_dataclass(values[0]) else np.array(values)
    return Columns(**made)


def as_columns(record: Record) -> Columns:
    """Columns as they are, a sequence of records or a single record (one row) as columns."""
    if isinstance(record, Columns):
        return record
    return columns(list(record) if isinstance(record, list | tuple) else [record])


def flatten(record: Any, prefix: str = "") -> dict[str, Any]:
    """The plain fields of nested records by dotted name."""
    found: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            found |= flatten(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = value
    return found
