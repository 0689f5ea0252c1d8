"""Claims as plain data: what a paper's handles compile to, and what the judge reads."""

from typing import Literal

from models.config import Count, NotNegative, Positive, config


@config
class Selection:
    """Rows of the results: a quantity, as `stages` measured it, in the rows that carry `labels`."""

    stages: tuple[str, ...]
    quantity: str
    labels: dict[str, str | int | float | bool]


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
    """What a paper's `verdicts` stage judges, with which confidence, from how many seeds at least."""

    claims: tuple[Statement, ...]
    controls: tuple[Control, ...]
    alpha: Positive = 0.05
    minimum_seeds: Count = 8
