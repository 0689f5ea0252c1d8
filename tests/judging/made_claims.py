"""Claims and measured rows that the tests of the judge make."""

from typing import Any

from tasks.judging.claims import Comparison, Control, Judging, Selection, Statement
from tasks.judging.intervals import Kind
from tasks.judging.judge import verdicts

EIGHT = [3.0, 3.1, 2.9, 3.05, 2.95, 3.02, 2.98, 3.0]
LOWER = [value - 0.5 + 0.01 * index for index, value in enumerate(EIGHT)]


def select(arm: str, quantity: str = "bits") -> Selection:
    return Selection(family="evaluation", axes={}, quantity=quantity, labels={"arm": arm})


def compare(kind: Kind, left: str = "a", right: str | float = "b", margin: float = 0.0, **how: Any) -> Comparison:
    side = select(right) if isinstance(right, str) else right
    return Comparison(kind=kind, left=select(left), right=side, margin=margin, **{"paired": "seed", **how})


def claim(name: str, *comparisons: Comparison, expected: Any = "holds", **more: Any) -> Statement:
    words = {"says": name, "source": "Table 1", "evidence": "P", "paper_value": "1", "method": "measured"}
    words["whose"] = "paper, with a number"
    return Statement(id=name, comparisons=comparisons, expected=expected, **{**words, **more})


def rows_of(**arms: Any) -> list[dict[str, Any]]:
    """One row a seed for each arm."""
    return [
        {"stage": "evaluation", "arm": arm, "seed": seed, "bits": value}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]


def verdict_of(rows: list[dict[str, Any]], *claims: Statement, controls: tuple[Control, ...] = ()) -> list[Any]:
    return verdicts(rows, Judging(families=("evaluation",), claims=claims, controls=controls))[0]


def controls(noise: str) -> tuple[Control, ...]:
    planted = Control(id="planted", kind="planted", says="", comparisons=(compare("greater", noise, "a"),))
    return (planted,)


def examples_of(a: dict[int, list[float]], b: dict[int, list[float]]) -> list[dict[str, Any]]:
    return [
        {"stage": "evaluation", "arm": arm, "seed": seed, "example": example, "bits": value}
        for arm, seeds in (("a", a), ("b", b))
        for seed, values in seeds.items()
        for example, value in enumerate(values)
    ]
