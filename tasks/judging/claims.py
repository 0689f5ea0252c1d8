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

Whose = Literal["paper, with a number", "paper, direction only", "ours", "foregone"]
"""Whose claim it is. Foregone ones could not fail, or were certain beforehand: they are tests of the code."""

WHOSE: tuple[Whose, ...] = ("paper, with a number", "paper, direction only", "ours", "foregone")


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
class Discrepancy:
    """How far a simulator may be off: by its errors on figures that it was not fitted to.

    `errors` are relative errors, one a figure held out. What those of one value of the label `within` (a source)
    have in common cancels where two predictions of one set-up are compared, so their spread about its mean is
    taken. A comparison's difference has `times` that error, in units of the median of `of` where that is given.
    """

    errors: Selection
    within: str
    times: Positive
    of: Selection | None = None


@config
class Comparison:
    """The difference `left - right` against a margin, in pairs of rows that share the label `paired`.

    `kind` says where the difference must lie for the comparison to hold: "less" below `-margin`, "greater" above
    `margin`, "at most" below `+margin`, "equivalent" between `-margin` and `margin`. `size` is how large the paper
    printed the difference, which is judged apart.

    Paired by "seed", with `items` the label of what else was drawn at random, such as questions, both are read from
    the records of single examples and the interval is crossed; `weight` is a column of these records. `fixed` says of
    what the comparison does not generalise: to other "items", or to other "seeds" of the same training. With
    `cluster` the pairs are examples, of which those with the same value of that label are not independent. Paired by
    "draw" they are what a simulator gives under the draws of its calibration, with its `discrepancy`. Without
    `paired` there is one value on each side and no interval: computed figures, compared as they are.
    """

    kind: Literal["less", "greater", "at most", "equivalent"]
    left: Selection
    right: Selection | float
    margin: NotNegative
    paired: str
    cluster: str = ""
    items: str = ""
    weight: str = ""
    fixed: Literal["", "items", "seeds"] = ""
    size: float | None = None
    margin_of: Literal["", "paper", "ours"] = ""
    discrepancy: Discrepancy | None = None

    @property
    def reads_examples(self) -> bool:
        """Whether its values stand in the records of single examples."""
        return bool(self.cluster or self.items)


@config
class Statement:
    """One claim of a paper: it holds when at least `needed` of its comparisons hold.

    `not_tested` is the reason for which a claim is listed and not tested; it then has no comparisons. `seen` says what
    was known before the prediction was written, `enlarged` how the sample grew after it had been judged once.
    """

    id: str
    says: str
    source: str
    evidence: str
    paper_value: str
    whose: Whose
    expected: Literal["holds", "does not hold at this scale", "not tested"]
    method: Literal["measured", "computed", "simulated"]
    comparisons: tuple[Comparison, ...] = ()
    needed: Count = 1
    not_tested: str = ""
    seen: str = ""
    enlarged: str = ""


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
    """What a paper's `verdicts` stage judges, with which confidence, from how many seeds and items at least.

    `families` are the paper's measuring stages, whether a claim rests on them or not.
    """

    claims: tuple[Statement, ...]
    controls: tuple[Control, ...]
    families: tuple[str, ...]
    alpha: Positive = 0.05
    minimum_seeds: Count = 8
    minimum_items: Count = 30


WORDS = ("id", "says", "source", "evidence", "paper_value", "method", "whose", "seen", "enlarged")
"""What of a claim is said about its test, and is no part of it."""


def identity(claim: Statement | Control) -> str:
    """The digest of what a claim predicts and compares, with which margin and pairs, over which seeds or items.

    Wordings and citations can be corrected without making another claim of it; so can a stage be renamed (the
    register keeps which families a claim read), and a field that is at its default says nothing.
    """
    said = TypeAdapter(type(claim)).dump_python(claim, mode="json", exclude_defaults=True)
    test = {name: value for name, value in said.items() if name not in WORDS}
    for comparison in test.get("comparisons", ()):
        comparison.pop("margin_of", None)
        if not comparison.get("items"):
            comparison.pop("fixed", None)  # said of an interval over seeds, and changing nothing in it
        discrepancy = comparison.get("discrepancy", {})
        for side in (comparison["left"], comparison["right"], discrepancy.get("errors"), discrepancy.get("of")):
            if isinstance(side, dict):
                del side["family"]
    return sha256(json.dumps(test, sort_keys=True).encode()).hexdigest()[:16]


def families(claim: Statement | Control) -> set[str]:
    """The stages whose data a claim rests on, by family."""
    return {selection.family for selection in selections(claim)}


def selections(claim: Statement | Control) -> list[Selection]:
    """Both sides of every comparison, but for those that are numbers, and the errors of a simulator."""
    sides: list[Selection | float | None] = []
    for comparison in claim.comparisons:
        sides += [comparison.left, comparison.right]
        if comparison.discrepancy:
            sides += [comparison.discrepancy.errors, comparison.discrepancy.of]
    return [side for side in sides if isinstance(side, Selection)]
