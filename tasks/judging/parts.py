"""One comparison of a claim: what was measured, the interval of the difference, and what is decided by it."""

import math
from dataclasses import dataclass, field
from typing import Any

from tasks.judging.claims import Comparison, Judging, Selection
from tasks.judging.crossed import DIGITS, Crossed, of_crossed
from tasks.judging.intervals import (
    Ensemble,
    Estimate,
    decide,
    edges,
    nearest_edge,
    of_clusters,
    of_pairs,
    region,
    sign_flip_p,
)
from tasks.judging.multiplicity import Evidence
from tasks.judging.pairing import CannotPair, Measured, Unavailable, discrepancy, label_in_words, name, pairs

DRAW = "draw"
"""What pairs the values that a simulator gives under the draws of its calibration."""

MINIMUM_DRAWS = 50

SIMULATED = {"SUPPORTED": "CONSISTENT", "CONTRADICTED": "INCONSISTENT"}
"""What is said of a simulation instead: it can agree or disagree with a measurement, and prove neither."""


@dataclass(frozen=True)
class Rules:
    """With which confidence, and from how many seeds and items at least."""

    alpha: float
    seeds: int
    items: int

    @classmethod
    def of(cls, judging: Judging) -> "Rules":
        return cls(judging.alpha, judging.minimum_seeds, judging.minimum_items)


@dataclass
class Part:
    """One comparison with what was measured, and what came of it.

    `pairs` are shown: one a seed, draw or cluster. With `crossed` they are the means over items. `error` is that of
    the simulator itself. `level` and `interval` are those that decide, `plain` is the interval at 1 - alpha.
    """

    comparison: Comparison
    simulated: bool = False
    pairs: list[dict[str, Any]] = field(default_factory=list)
    crossed: Crossed | None = None
    error: float | None = None
    estimate: Estimate | Ensemble | None = None
    verdict: str = ""
    reason: str = ""
    level: float | None = None
    interval: tuple[float, float] | None = None
    plain: tuple[float, float] | None = None
    p: float | None = None
    size_found: str = ""

    @property
    def word(self) -> str:
        """The verdict as it is told."""
        return SIMULATED.get(self.verdict, self.verdict) if self.simulated else self.verdict

    @property
    def means(self) -> tuple[float, float] | None:
        """The mean of either side, over whatever weighs alike in the difference."""
        if not self.pairs:
            return None
        weights = [pair.get("weight", 1.0) for pair in self.pairs]
        left, right = (
            sum(pair[side] * weight for pair, weight in zip(self.pairs, weights, strict=True)) / sum(weights)
            for side in ("left", "right")
        )
        return left, right

    @property
    def effect(self) -> float | None:
        if self.estimate:
            return self.estimate.effect
        return self.means[0] - self.means[1] if self.means else None

    @property
    def items(self) -> int | None:
        """How many items were crossed with the seeds."""
        return len(self.crossed.items) if self.crossed else None

    @property
    def name(self) -> str:
        """What is compared, in a few words: what both sides share is said once."""
        left, right = self.comparison.left, self.comparison.right
        if not isinstance(right, Selection):
            return f"{name(left)} against {right:.4g}"
        if left.quantity != right.quantity:
            return f"{name(left)} against {name(right)}"
        apart = {key for key in {**left.labels, **right.labels} if left.labels.get(key) != right.labels.get(key)}
        own = [" ".join(label_in_words(k, v) for k, v in side.labels.items() if k in apart) for side in (left, right)]
        shared = [label_in_words(key, value) for key, value in left.labels.items() if key not in apart]
        return f"{own[0]} against {own[1]}" + (f" on {', '.join(shared)}" if shared else "")

    @property
    def evidence(self) -> Evidence | None:
        """What it adds to a claim; nothing where it cannot be decided."""
        kind, margin = self.comparison.kind, self.comparison.margin
        if self.verdict in SIMULATED:
            return Evidence(0.0, self.verdict == "SUPPORTED")
        if self.verdict or not self.estimate:
            return None
        effect = self.estimate.effect
        low, high = edges(kind, margin)
        return Evidence(self.estimate.p(nearest_edge(kind, margin, effect)), low < effect < high)

    @property
    def statistic(self) -> str:
        """What the interval is of, in words."""
        comparison, count = self.comparison, len(self.pairs)
        if not comparison.paired:
            return "computed values compared as they are"
        if comparison.paired == DRAW:
            own = f", with the simulator's own error of {self.error:.3g}" if self.error else ""
            return f"central share of {count} draws of the calibration, or of either half of them{own}"
        if comparison.cluster:
            return f"Student t over a bootstrap of {count} clusters by {comparison.cluster}"
        if not self.crossed:
            alone = f", about these very {comparison.fixed} alone" if comparison.fixed else ""
            return f"Student t over pairs by {comparison.paired}{alone}"
        seeds, items = _number(count, comparison.paired), _number(self.items or 0, comparison.items)
        if comparison.fixed == "items":
            return f"Student t over pairs by {comparison.paired}, about {_these(items)} alone"
        if comparison.fixed == "seeds":
            return f"Student t over {items}, about {_these(seeds)} alone"
        return f"Student t over {seeds} crossed with {items}"

    def decided_at(self, level: float) -> None:
        """Let the interval at a level decide, and say so in words."""
        assert self.estimate
        kind, margin = self.comparison.kind, self.comparison.margin
        self.level, self.interval = level, self.estimate.interval(level)
        self.verdict = decide(kind, margin, self.interval)
        low, high = self.interval
        straddled = [f"{edge + 0.0:g}" for edge in sorted({*edges(kind, margin)}) if low <= edge <= high]
        where = {
            "SUPPORTED": f"lies wholly {region(kind, margin)}",
            "CONTRADICTED": f"lies wholly outside of what is claimed ({region(kind, margin)})",
            "INCONCLUSIVE": f"{'straddles' if low < high else 'lies exactly on'} {' and '.join(straddled)}",
        }[self.verdict]
        self.reason = f"{self.estimate.effect:+.3g} [{low:+.3g}, {high:+.3g}] {where}"
        if isinstance(self.estimate, Ensemble) and self.verdict != "INCONCLUSIVE":
            least = self.estimate.least_draws(level)
            if len(self.pairs) < least:
                self.verdict = "INCONCLUSIVE"
                self.reason += f", but {len(self.pairs)} draws tell nothing at {level:.2%}; a verdict needs {least}"
        sign = {"less": -1, "greater": 1}.get(kind, 0)
        if self.verdict == "CONTRADICTED" and sign * self.estimate.effect > 0:
            whose = {"": "the margin", "paper": "the paper's margin", "ours": "a margin of ours"}
            self.reason += f": in the claimed direction, but by less than {whose[self.comparison.margin_of]}"
        if self.comparison.size is not None:
            self.size_found = against_size(self.comparison.size, self.interval)
            holds = "the direction holds, " if self.verdict == "SUPPORTED" else "the difference is "
            self.reason += f"; {holds}{self.size_found} ({self.comparison.size:+g})"

    def written(self) -> dict[str, Any]:
        """As verdicts.json holds it: with all that the verdict can be computed from again."""
        comparison = self.comparison
        means = self.means
        return {
            "name": self.name,
            "kind": comparison.kind,
            "margin": comparison.margin,
            "margin_of": comparison.margin_of,
            "size": comparison.size,
            "size_found": self.size_found,
            "paired": comparison.paired,
            "cluster": comparison.cluster,
            "items": comparison.items,
            "fixed": comparison.fixed,
            "left": _told(comparison.left),
            "right": _told(comparison.right) if isinstance(comparison.right, Selection) else comparison.right,
            "verdict": self.word,
            "reason": self.reason,
            "statistic": self.statistic,
            "n": len(self.pairs),
            "n_items": self.items,
            "left_mean": means[0] if means else None,
            "right_mean": means[1] if means else None,
            "effect": self.effect,
            "interval": list(self.interval) if self.interval else None,
            "level": self.level,
            "plain": list(self.plain) if self.plain else None,
            "p": self.p,
            "error": self.error,
            "pairs": self.pairs,
            "crossed": self.crossed.written() if self.crossed else None,
        }


def prepared(comparison: Comparison, measured: Measured, rules: Rules, simulated: bool = False) -> Part:
    """A comparison with its pairs and their estimate; already decided where no interval can decide."""
    part = Part(comparison, simulated)
    try:
        found = pairs(comparison, measured)
        if comparison.discrepancy:
            part.error = discrepancy(comparison.discrepancy, measured)
    except Unavailable as reason:
        part.verdict, part.reason = "NOT TESTED", str(reason)
        return part
    except CannotPair as problem:
        part.verdict, part.reason = "FAILED", str(problem)
        return part
    if comparison.items:
        part.crossed = _crossed(found)
        part.pairs = _grouped(found, "pair")
    elif comparison.cluster:
        part.pairs = _grouped(found, "group")
    else:
        part.pairs = _rounded(found) if comparison.paired == DRAW else found
    estimate(part, rules)
    return part


def estimate(part: Part, rules: Rules) -> None:
    """The estimate that a part's pairs give, with the interval at 1 - alpha; or why there is no verdict."""
    import numpy as np

    comparison = part.comparison
    if not comparison.paired:
        _compare_exactly(part)
        return
    differences = np.array([pair["left"] - pair["right"] for pair in part.pairs])
    count = len(differences)
    enough = [(count, comparison.cluster or comparison.paired, 2 if comparison.cluster else rules.seeds)]
    if comparison.paired == DRAW:
        enough = [(count, DRAW, MINIMUM_DRAWS)]
        part.estimate = Ensemble(tuple(differences.tolist()), part.error or 0.0, halves=True)
    elif part.crossed:
        items = part.items or 0
        enough.append((items, comparison.items, rules.items))
        if comparison.fixed:  # of what is about these very ones, one is enough
            enough = enough[1:] if comparison.fixed == "seeds" else enough[:1]
        if min(number for number, _, _ in enough) > 1:
            part.estimate = part.crossed.about(comparison.fixed)
    elif count > 1:
        sizes = np.array([pair.get("weight", 1.0) for pair in part.pairs])
        part.estimate = of_clusters(differences, sizes) if comparison.cluster else of_pairs(differences)
    if part.estimate:
        edge = nearest_edge(comparison.kind, comparison.margin, part.estimate.effect)
        by_seed = not part.crossed and not comparison.cluster and comparison.paired != DRAW
        part.p = sign_flip_p(differences, edge) if by_seed else part.estimate.p(edge)
        part.level, part.interval = 1 - rules.alpha, part.estimate.interval(1 - rules.alpha)
        part.plain = part.interval
    few = [f"{_number(n, what)}; a verdict needs {least}" for n, what, least in enough if n < least]
    if few:
        part.verdict, part.reason = "INCONCLUSIVE", few[0]


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _these(number: str) -> str:
    """ "these 8 seeds", or "this 1 seed"."""
    return f"{'this' if number.startswith('1 ') else 'these'} {number}"


def against_size(size: float, interval: tuple[float, float]) -> str:
    """Where the interval lies against the size that the paper printed."""
    if interval[0] <= size <= interval[1]:
        return "not told apart from the printed size"
    nearer = interval[0] > size if size < 0 else interval[1] < size
    return "smaller than printed" if nearer else "larger than printed"


def _compare_exactly(part: Part) -> None:
    """Compare two computed values as they are."""
    kind, margin, effect = part.comparison.kind, part.comparison.margin, part.effect
    assert effect is not None
    low, high = edges(kind, margin)
    inside = effect == 0 if kind == "equivalent" and margin == 0 else low < effect < high
    part.verdict = "SUPPORTED" if inside else "CONTRADICTED"
    part.reason = f"the difference is {effect:+.4g}, {'' if inside else 'not '}{region(kind, margin)}"
    if kind == "equivalent" and margin == 0:
        part.reason = "the two are equal" if inside else f"the two differ by {effect:+.4g}"


def _crossed(found: list[dict[str, Any]]) -> Crossed:
    import numpy as np

    return of_crossed(
        np.array([pair["left"] - pair["right"] for pair in found]),
        np.array([str(pair["pair"]) for pair in found]),
        np.array([str(pair["group"]) for pair in found]),
        np.array([pair.get("weight", 1.0) for pair in found]),
    )


def _rounded(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Draws with the digits that are published, of which there are many."""
    return [{**pair, **{side: float(f"{pair[side]:.{DIGITS}g}") for side in ("left", "right")}} for pair in found]


def _grouped(found: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The means of each seed's items, or of each cluster's examples, with their weights where these differ."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for pair in found:
        groups.setdefault(pair[by], []).append(pair)
    made = []
    for label in sorted(groups, key=lambda value: str(value).zfill(9)):
        group = groups[label]
        weights = [pair.get("weight", 1.0) for pair in group]
        total = math.fsum(weights)
        means = {
            side: math.fsum(pair[side] * weight for pair, weight in zip(group, weights, strict=True)) / total
            for side in ("left", "right")
        }
        stages = {side: group[0][side] for side in ("left_stage", "right_stage")}
        made.append({"pair": label, "weight": total, **means, **stages})
    if all(math.isclose(one["weight"], made[0]["weight"]) for one in made):
        for one in made:
            del one["weight"]
    return made


def _told(selection: Selection) -> dict[str, Any]:
    return {"quantity": selection.quantity, "labels": dict(selection.labels)}
