"""From rows to pairs: the values of both sides of a comparison, seed by seed, item by item or draw by draw."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.judging.claims import Comparison, Discrepancy, Selection

Row = Mapping[str, Any]
ByQuantity = Mapping[str, list[Row]]


@dataclass(frozen=True)
class Measured:
    """The rows of metrics.json and the records of single examples, each by quantity.

    A quantity may be in both: the mean over examples stands in metrics.json under the same name.
    """

    rows: ByQuantity
    examples: ByQuantity

    @classmethod
    def of(cls, rows: Sequence[Row], examples: Sequence[Row]) -> "Measured":
        return cls(_by_quantity(rows), _by_quantity(examples))

    def read_by(self, comparison: Comparison) -> ByQuantity:
        return self.examples if comparison.reads_examples else self.rows


class Unavailable(Exception):
    """The machine cannot do what is to be measured; a measuring stage says why in the column `unavailable`."""


class CannotPair(Exception):
    """The rows do not give one left and one right value a pair; says why."""


def pairs(comparison: Comparison, measured: Measured) -> list[dict[str, Any]]:
    """One entry a pair: its label, both values, and the stages that measured them.

    Raises:
        Unavailable: the stage could not measure this here.
        CannotPair: none, several for one pair, one without the pairing label, or not a finite number.
    """
    index = measured.read_by(comparison)
    left = _values(comparison.left, comparison, index)
    if not isinstance(comparison.right, Selection):
        return [_pair(key, found, {comparison.left.quantity: comparison.right}, comparison) for key, found in left]
    right = dict(_values(comparison.right, comparison, index))
    missing = {key for key, _ in left} ^ set(right)
    if missing:
        names = [_which(key, comparison) for key in sorted(missing, key=_in_order)]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise CannotPair(f"{', '.join(names[:5])}{more} on one side only")
    return [_pair(key, found, right[key], comparison) for key, found in left]


def discrepancy(asked: Discrepancy, measured: Measured) -> float:
    """The standard deviation of a difference that the simulator's own error makes.

    The errors' logarithms are taken about their source's mean and pooled, as in an analysis of variance.

    Raises:
        CannotPair: nothing was measured, or no source has two figures.
    """
    from statistics import median

    groups: dict[Any, list[float]] = {}
    for row in _rows(asked.errors, measured.rows):
        groups.setdefault(row.get(asked.within), []).append(math.log1p(row[asked.errors.quantity]))
    centred = [value - sum(group) / len(group) for group in groups.values() for value in group]
    if len(centred) == len(groups):
        raise CannotPair(f"{name(asked.errors)} has no two figures of one {asked.within}")
    spread = math.sqrt(sum(value**2 for value in centred) / (len(centred) - len(groups)))
    unit: float = median(row[asked.of.quantity] for row in _rows(asked.of, measured.rows)) if asked.of else 1.0
    return spread * asked.times * abs(unit)


def name(selection: Selection) -> str:
    """A selection in a few words."""
    labels = ", ".join(label_in_words(key, value) for key, value in selection.labels.items())
    return f"{selection.quantity} of {labels}" if labels else selection.quantity


def label_in_words(key: str, value: object) -> str:
    """A label by its value alone; where that is a number, which tells nothing by itself, with its name."""
    said = str(value)
    return f"{key.replace('_', ' ')} {said}" if said.replace(".", "", 1).isdigit() else said


def _by_quantity(rows: Sequence[Row]) -> dict[str, list[Row]]:
    index: dict[str, list[Row]] = {}
    for row in rows:
        for quantity in row:
            index.setdefault(quantity, []).append(row)
    return index


def _rows(selection: Selection, index: ByQuantity) -> list[Row]:
    stages = selection.stages
    rows = [
        row
        for row in index.get(selection.quantity, [])
        if row["stage"] in stages and all(row.get(label) == value for label, value in selection.labels.items())
    ]
    if not rows:
        raise CannotPair(f"nothing was measured for {name(selection)}")
    if reasons := [str(row["unavailable"]) for row in rows if "unavailable" in row]:
        raise Unavailable(reasons[0])
    return rows


def _labels(comparison: Comparison) -> list[str]:
    """What pairs the values, in the order of a pair's key."""
    return [label for label in (comparison.cluster, comparison.items, comparison.paired) if label]


def _values(selection: Selection, comparison: Comparison, index: ByQuantity) -> list[tuple[tuple[Any, ...], Row]]:
    """The selected rows by what pairs them."""
    rows, labels = _rows(selection, index), _labels(comparison)
    named = name(selection)
    if any(label not in row for row in rows for label in labels):
        raise CannotPair(f"{named} was measured without the label {' or '.join(labels)}")
    if comparison.weight and any(comparison.weight not in row for row in rows):
        raise CannotPair(f"{named} was measured without the weight {comparison.weight}")
    keyed = [(tuple(row[label] for label in labels), row) for row in rows]
    if len({key for key, _ in keyed}) < len(keyed):
        several = f"several values for one {comparison.paired}" if labels else f"{len(keyed)} values, not one"
        raise CannotPair(f"{named} has {several}")
    for key, row in keyed:
        value = row[selection.quantity]
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise CannotPair(f"{named} is {value}" + (f" for {_which(key, comparison)}" if key else ""))
    return sorted(keyed, key=lambda item: _in_order(item[0]))


def _pair(key: tuple[Any, ...], left: Row, right: Row, comparison: Comparison) -> dict[str, Any]:
    quantity = comparison.right.quantity if isinstance(comparison.right, Selection) else comparison.left.quantity
    return {
        "pair": key[-1] if key else None,
        **({"group": key[0]} if comparison.reads_examples else {}),
        **({"weight": float(left[comparison.weight])} if comparison.weight else {}),
        "left": float(left[comparison.left.quantity]),
        "right": float(right[quantity]),
        "left_stage": left.get("stage"),
        "right_stage": right.get("stage"),
    }


def _in_order(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(value).zfill(9) for value in key)


def _which(key: tuple[Any, ...], comparison: Comparison) -> str:
    """A pair in words: "seed 3", or "seed 3 example 17"."""
    return " ".join(f"{label} {value}" for label, value in zip(_labels(comparison), key, strict=True))
