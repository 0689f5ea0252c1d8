"""Claims as plain data: what a paper's handles compile to, and what the judge reads."""

import itertools
import json
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

from pydantic import TypeAdapter

from models.config import Count, NotNegative, Positive, config

Value = str | int | float | bool


@config
class Selection:
    """Rows of the results: a quantity, in the rows that carry `labels`, as the stage `family` measured it.

    A family has a member for each combination of the values of its `axes`, such as a seed.
    """

    family: str
    quantity: str
    labels: dict[str, Value]
    axes: dict[str, tuple[Value, ...]]

    @property
    def stages(self) -> set[str]:
        """The names of the family's members."""
        return {member(self.family, values) for values in itertools.product(*self.axes.values())}


def member(family: str, values: Iterable[Value]) -> str:
    """The name of a family's member for these values of its axes."""
    return "-".join(filter(None, [family, label(values)]))


def label(values: Iterable[Value]) -> str:
    """Values of axes as part of a stage's name, where DVC allows letters, digits, - and _."""
    return "-".join(re.sub(r"[^a-z0-9-]+", "_", str(value).lower()) for value in values)


@config
class Comparison:
    """The difference `left - right` against a margin, in pairs of rows that share the label `paired`.

    `kind` says where the difference must lie for the comparison to hold: "less" below `-margin`, "greater" above
    `margin`, "at most" below `+margin`, "equivalent" between `-margin` and `margin`. Without `paired` there
    is one value on each side and no interval: computed figures, compared as they are. With `cluster` the
    pairs are examples, of which those with the same value of that label are not independent. Paired by "draw"
    they are what a simulator gives under the draws of its calibration.
    """

    kind: Literal["less", "greater", "at most", "equivalent"]
    left: Selection
    right: Selection | float
    margin: NotNegative
    paired: str
    cluster: str = ""


@config
class Statement:
    """One claim of a paper: it holds when at least `needed` of its comparisons hold.

    `not_tested` is the reason for which a claim is listed and not tested; it then has no comparisons.
    """

    id: str
    says: str
    source: str
    evidence: str
    paper_value: str
    expected: Literal["holds", "does not hold at this scale", "not tested"]
    method: Literal["measured", "computed", "simulated"]
    comparisons: tuple[Comparison, ...] = ()
    needed: Count = 1
    not_tested: str = ""


@config
class Control:
    """A check of the measurement itself: an effect that must be found, or a shuffling that must destroy one.

    `planted`: an effect that was put in on purpose is found. `shuffled`: with labels or inputs
    shuffled, what the claims rest on is gone.
    """

    id: str
    kind: Literal["planted", "shuffled"]
    says: str
    comparisons: tuple[Comparison, ...]
    needed: Count = 1


@config
class Judging:
    """What a paper's `verdicts` stage judges, with which confidence, from how many seeds at least.

    `families` are the paper's measuring stages, whether a claim rests on them or not.
    """

    claims: tuple[Statement, ...]
    controls: tuple[Control, ...]
    families: tuple[str, ...]
    alpha: Positive = 0.05
    minimum_seeds: Count = 8


WORDS = ("id", "says", "source", "evidence", "paper_value", "method")
"""What of a claim is said about its test, and is no part of it."""


def identity(claim: Statement | Control) -> str:
    """The digest of what a claim predicts and compares, with which margin and pairs, over which seeds or items.

    Wordings and citations can be corrected without making another claim of it; so can a stage be renamed (the
    register keeps which families a claim read), and a field that is at its default says nothing.
    """
    said = TypeAdapter(type(claim)).dump_python(claim, mode="json", exclude_defaults=True)
    test = {name: value for name, value in said.items() if name not in WORDS}
    for comparison in test.get("comparisons", ()):
        for side in (comparison["left"], comparison["right"]):
            if isinstance(side, dict):
                del side["family"]
    return sha256(json.dumps(test, sort_keys=True).encode()).hexdigest()[:16]


def families(claim: Statement | Control) -> set[str]:
    """The stages whose data a claim rests on, by family."""
    return {selection.family for selection in selections(claim)}


def selections(claim: Statement | Control) -> list[Selection]:
    """Both sides of every comparison, but for those that are numbers."""
    sides = [side for comparison in claim.comparisons for side in (comparison.left, comparison.right)]
    return [side for side in sides if isinstance(side, Selection)]
