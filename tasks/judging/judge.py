"""Judge a paper's claims and controls on what its stages measured; writes verdicts.json."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.base import spool
from tasks.base.files import write_json
from tasks.judging.claims import Comparison, Control, Judging, Selection, Statement
from tasks.judging.intervals import (
    Ensemble,
    Estimate,
    decide,
    edges,
    holm,
    nearest_edge,
    of_clusters,
    of_pairs,
    region,
    sign_flip_p,
)
from tasks.judging.register import is_post_hoc

DRAW = "draw"
"""What pairs the values that a simulator gives under the draws of its calibration."""

MINIMUM_DRAWS = 50
DECIDED = ("SUPPORTED", "CONTRADICTED")
VERDICTS = (*DECIDED, "INCONCLUSIVE", "NOT TESTED", "FAILED")
Row = Mapping[str, Any]
Index = tuple[Mapping[str, list[Row]], Mapping[str, list[Row]]]
"""The rows of metrics.json and those of single examples, each by quantity."""


@dataclass
class Part:
    """One comparison with its pairs, and what came of it."""

    comparison: Comparison
    pairs: list[dict[str, Any]] = field(default_factory=list)
    means: tuple[float, float] | None = None
    estimate: Estimate | Ensemble | None = None
    verdict: str = ""
    reason: str = ""
    level: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None

    @property
    def effect(self) -> float | None:
        if self.estimate:
            return self.estimate.effect
        return self.means[0] - self.means[1] if self.means else None

    @property
    def name(self) -> str:
        """What is compared, in a few words: what both sides share is said once."""
        left, right = self.comparison.left, self.comparison.right
        if not isinstance(right, Selection):
            return f"{_name(left)} against {right:g}"
        if left.quantity != right.quantity:
            return f"{_name(left)} against {_name(right)}"
        own = [
            " ".join(str(side.labels[k]) for k in side.labels if k in _differing(left, right)) for side in (left, right)
        ]
        shared = [str(value) for key, value in left.labels.items() if key not in _differing(left, right)]
        return f"{own[0]} against {own[1]}" + (f" on {', '.join(shared)}" if shared else "")

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
        sign = {"less": -1, "greater": 1}.get(kind, 0)
        if self.verdict == "CONTRADICTED" and sign * self.estimate.effect > 0:
            self.reason += ": in the claimed direction, but by less than the margin"


def judge(*, results: Path, registered: Path, config: Judging, out: Path) -> None:
    """Judge every claim and control, and write `verdicts.json`.

    A claim is marked post hoc if `registered`, the pipeline's register, does not hold it as it stands. Where a
    control did not pass, no verdict either way is given.
    """
    rows = json.loads((results / "metrics.json").read_text())
    examples = []
    if (results / "examples.parquet").exists():
        import pyarrow.parquet

        examples = pyarrow.parquet.read_table(results / "examples.parquet").to_pylist()
    known = json.loads(registered.read_text())["claims"]
    claims, controls = verdicts(rows, config, examples)
    for judged, claim in zip(claims, config.claims, strict=True):
        judged["post_hoc"] = is_post_hoc(claim, known, config.families)
    write_json(
        out / "verdicts.json",
        {"alpha": config.alpha, "minimum_seeds": config.minimum_seeds, "claims": claims, "controls": controls},
    )
    _say(claims, controls)


def verdicts(
    rows: Sequence[Row], config: Judging, examples: Sequence[Row] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The claims and the controls with their verdicts, as verdicts.json holds them (without `post_hoc`).

    Comparisons with a cluster read `examples`, all others `rows`: a quantity may be in both.
    """
    index = _by_quantity(rows), _by_quantity(examples)
    parts = {
        claim.id: [_prepared(comparison, index, config.minimum_seeds, config.alpha) for comparison in claim.comparisons]
        for claim in config.claims
    }
    family = [part for group in parts.values() for part in group if part.estimate and not part.verdict]
    by_seed = [
        (part, (part.comparison.kind, part.comparison.margin, part.estimate))
        for part in family
        if isinstance(part.estimate, Estimate) and not part.comparison.cluster
    ]
    for (part, _), level in zip(by_seed, holm([entry for _, entry in by_seed], config.alpha), strict=True):
        part.decided_at(level)
    for part in family:
        if not part.verdict:
            part.decided_at(1 - config.alpha)
    controls = [_controlled(control, index, config.alpha) for control in config.controls]
    failing = [control["id"] for control in controls if not control["passed"]]
    return [_judged(claim, parts[claim.id], len(by_seed), failing) for claim in config.claims], controls


def _prepared(comparison: Comparison, index: Index, minimum: int, alpha: float) -> Part:
    """A comparison with its pairs and their estimate; already decided where no interval can decide."""
    part = Part(comparison)
    try:
        part.pairs = _pairs(comparison, index[bool(comparison.cluster)])
    except _UnavailableError as reason:
        part.verdict, part.reason = "NOT TESTED", str(reason)
        return part
    except _CannotPairError as problem:
        part.verdict, part.reason = "FAILED", str(problem)
        return part
    left, right = (sum(pair[side] for pair in part.pairs) / len(part.pairs) for side in ("left", "right"))
    part.means = left, right
    if not comparison.paired:
        _compare_exactly(part)
        return part
    import numpy as np

    differences = np.array([pair["left"] - pair["right"] for pair in part.pairs])
    if comparison.cluster:
        clusters = np.array([str(pair["cluster"]) for pair in part.pairs])
        count, what, needed = len(np.unique(clusters)), comparison.cluster, 2
        if count > 1:
            part.estimate = of_clusters(differences, clusters)
        part.pairs = _by_cluster(part.pairs)
    elif comparison.paired == DRAW:
        count, what, needed = len(differences), DRAW, MINIMUM_DRAWS
        part.estimate = Ensemble(tuple(sorted(differences.tolist())))
    else:
        count, what, needed = len(differences), comparison.paired, minimum
        if count > 1:
            part.estimate = of_pairs(differences)
    if part.estimate:
        edge = nearest_edge(comparison.kind, comparison.margin, part.estimate.effect)
        by_seed = not comparison.cluster and comparison.paired != DRAW
        part.p = sign_flip_p(differences, edge) if by_seed else part.estimate.p(edge)
        part.level, part.interval = 1 - alpha, part.estimate.interval(1 - alpha)
    if count < needed:
        part.verdict = "INCONCLUSIVE"
        part.reason = f"{count} {what}{'' if count == 1 else 's'}; a verdict needs {needed}"
    return part


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


class _UnavailableError(Exception):
    """The machine cannot do what is to be measured; a measuring stage says why in the column `unavailable`."""


class _CannotPairError(Exception):
    """The rows do not give one left and one right value a pair; says why."""


def _pairs(comparison: Comparison, index: Mapping[str, list[Row]]) -> list[dict[str, Any]]:
    """One entry a pair: its label, both values, and the stages that measured them."""
    left = _values(comparison.left, comparison, index)
    if not isinstance(comparison.right, Selection):
        return [_pair(key, found, {comparison.left.quantity: comparison.right}, comparison) for key, found in left]
    right = dict(_values(comparison.right, comparison, index))
    missing = {key for key, _ in left} ^ set(right)
    if missing:
        names = [_which(key, comparison) for key in sorted(missing, key=_in_order)]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise _CannotPairError(f"{', '.join(names[:5])}{more} on one side only")
    return [_pair(key, found, right[key], comparison) for key, found in left]


def _pair(key: tuple[Any, ...], left: Row, right: Row, comparison: Comparison) -> dict[str, Any]:
    quantity = comparison.right.quantity if isinstance(comparison.right, Selection) else comparison.left.quantity
    return {
        "pair": key[-1] if key else None,
        **({"cluster": key[0]} if comparison.cluster else {}),
        "left": float(left[comparison.left.quantity]),
        "right": float(right[quantity]),
        "left_stage": left.get("stage"),
        "right_stage": right.get("stage"),
    }


def _values(
    selection: Selection, comparison: Comparison, index: Mapping[str, list[Row]]
) -> list[tuple[tuple[Any, ...], Row]]:
    """The selected rows by what pairs them.

    Raises:
        _UnavailableError: the stage could not measure this here.
        _CannotPairError: none, several for one pair, one without the pairing label, or not a finite number.
    """
    stages = selection.stages
    rows = [
        row
        for row in index.get(selection.quantity, [])
        if row["stage"] in stages and all(row.get(name) == value for name, value in selection.labels.items())
    ]
    named = _name(selection)
    labels = [label for label in (comparison.cluster, comparison.paired) if label]
    if not rows:
        raise _CannotPairError(f"nothing was measured for {named}")
    if reasons := [str(row["unavailable"]) for row in rows if "unavailable" in row]:
        raise _UnavailableError(reasons[0])
    if any(label not in row for row in rows for label in labels):
        raise _CannotPairError(f"{named} was measured without the label {' or '.join(labels)}")
    keyed = [(tuple(row[label] for label in labels), row) for row in rows]
    if len({key for key, _ in keyed}) < len(keyed):
        several = f"several values for one {comparison.paired}" if labels else f"{len(keyed)} values, not one"
        raise _CannotPairError(f"{named} has {several}")
    for key, row in keyed:
        value = row[selection.quantity]
        if not isinstance(value, int | float) or not math.isfinite(value):
            where = f" for {_which(key, comparison)}" if key else ""
            raise _CannotPairError(f"{named} is {value}{where}")
    return sorted(keyed, key=lambda item: _in_order(item[0]))


def _in_order(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(value).zfill(9) for value in key)


def _which(key: tuple[Any, ...], comparison: Comparison) -> str:
    """A pair in words: "seed 3", or "seed 3 example 17"."""
    labels = filter(None, (comparison.cluster, comparison.paired))
    return " ".join(f"{label} {value}" for label, value in zip(labels, key, strict=True))


def _by_quantity(rows: Sequence[Row]) -> dict[str, list[Row]]:
    index: dict[str, list[Row]] = {}
    for row in rows:
        for name in row:
            index.setdefault(name, []).append(row)
    return index


def _by_cluster(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The means of each cluster's pairs, which is what a reader can take in."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for pair in pairs:
        groups.setdefault(pair["cluster"], []).append(pair)
    return [
        {
            **{name: group[0][name] for name in ("left_stage", "right_stage")},
            "pair": cluster,
            "left": sum(pair["left"] for pair in group) / len(group),
            "right": sum(pair["right"] for pair in group) / len(group),
        }
        for cluster, group in groups.items()
    ]


def _controlled(control: Control, index: Index, alpha: float) -> dict[str, Any]:
    """A control, decided by plain intervals: it has to pass on its own, so nothing is widened."""
    parts = [_prepared(comparison, index, 2, alpha) for comparison in control.comparisons]
    for part in parts:
        if not part.verdict:
            part.decided_at(1 - alpha)
    verdict, reason = _together(parts, control.needed)
    return {
        "id": control.id,
        "kind": control.kind,
        "says": control.says,
        "passed": verdict == "SUPPORTED",
        "reason": reason,
        "parts": [_written(part) for part in parts],
    }


def _judged(claim: Statement, parts: list[Part], family: int, failing: list[str]) -> dict[str, Any]:
    words = TypeAdapter(Statement).dump_python(claim, mode="json")
    told = {name: words[name] for name in ("id", "says", "source", "evidence", "paper_value", "expected", "method")}
    verdict, reason = _together(parts, claim.needed) if parts else ("NOT TESTED", claim.not_tested)
    # The weakest of the parts that made the verdict speaks for the claim.
    deciding = [part for part in parts if part.verdict == verdict] or parts
    leading = max(deciding, key=lambda part: -1.0 if part.p is None else part.p, default=None)
    if failing and verdict in DECIDED:
        verdict, reason = "FAILED", f"withheld: the control {', '.join(failing)} did not pass"
    came_true = {("holds", "SUPPORTED"), ("does not hold at this scale", "CONTRADICTED")}
    return {
        **told,
        "verdict": verdict,
        "reason": reason,
        "as_expected": (claim.expected, verdict) in came_true if verdict in DECIDED else None,
        "statistic": _statistic(leading, family),
        "n": len(leading.pairs) if leading else 0,
        "effect": leading.effect if leading else None,
        "interval": list(leading.interval) if leading and leading.interval else None,
        "level": leading.level if leading else None,
        "p": leading.p if leading else None,
        "needed": claim.needed,
        "parts": [_written(part) for part in parts],
    }


def _together(parts: list[Part], needed: int) -> tuple[str, str]:
    """The verdict on a claim of several comparisons, of which `needed` must hold, and why."""
    if len(parts) == 1:
        return parts[0].verdict, parts[0].reason
    counts = Counter(part.verdict for part in parts)
    if counts["FAILED"]:
        verdict = "FAILED"
    elif counts["NOT TESTED"]:
        return next((part.verdict, part.reason) for part in parts if part.verdict == "NOT TESTED")
    elif counts["SUPPORTED"] >= needed:
        verdict = "SUPPORTED"
    elif counts["CONTRADICTED"] > len(parts) - needed:
        verdict = "CONTRADICTED"
    else:
        verdict = "INCONCLUSIVE"
    reason = f"{counts['SUPPORTED']} of {len(parts)} comparisons hold and {needed} must"
    telling = [part for part in parts if (part.verdict == verdict) != (verdict == "SUPPORTED")]
    if telling:
        reason += f"; {telling[0].name}: {telling[0].reason}"
    return verdict, reason


def _statistic(part: Part | None, family: int) -> str:
    if part is None:
        return "none"
    if not part.comparison.paired:
        return "computed values compared as they are"
    if part.comparison.paired == DRAW:
        return f"central 95 % of {len(part.pairs)} draws of the calibration"
    if part.comparison.cluster:
        return f"Student t over a bootstrap of {len(part.pairs)} clusters by {part.comparison.cluster}"
    return (
        f"Student t over pairs by {part.comparison.paired}, Holm over {family} comparison{'' if family == 1 else 's'}"
    )


def _written(part: Part) -> dict[str, Any]:
    comparison = part.comparison
    return {
        "kind": comparison.kind,
        "margin": comparison.margin,
        "left": _told(comparison.left),
        "right": _told(comparison.right) if isinstance(comparison.right, Selection) else comparison.right,
        "name": part.name,
        "verdict": part.verdict,
        "reason": part.reason,
        "n": len(part.pairs),
        "left_mean": part.means[0] if part.means else None,
        "right_mean": part.means[1] if part.means else None,
        "effect": part.effect,
        "interval": list(part.interval) if part.interval else None,
        "level": part.level,
        "p": part.p,
        "pairs": part.pairs,
    }


def _differing(left: Selection, right: Selection) -> set[str]:
    return {key for key in {**left.labels, **right.labels} if left.labels.get(key) != right.labels.get(key)}


def _told(selection: Selection) -> dict[str, Any]:
    return {"quantity": selection.quantity, "labels": dict(selection.labels)}


def _name(selection: Selection) -> str:
    labels = ", ".join(f"{value}" for value in selection.labels.values())
    return f"{selection.quantity} of {labels}" if labels else selection.quantity


def _say(claims: list[dict[str, Any]], controls: list[dict[str, Any]]) -> None:
    """Tell the tracking store: a table of the verdicts, and their counts."""
    rows = []
    columns = ("claim", "verdict", "expected", "effect", "low", "high", "n", "post_hoc")
    for claim in claims:
        low, high = claim["interval"] or (None, None)
        told = {**claim, "claim": claim["id"], "low": low, "high": high}
        rows.append({name: told[name] for name in columns})
    if rows:
        spool.table("verdicts", rows)
    counts = Counter(claim["verdict"] for claim in claims)
    for verdict in VERDICTS:
        spool.metric(f"verdicts/{verdict.lower().replace(' ', '-')}", counts[verdict])
    spool.metric("verdicts/as-expected", sum(claim["as_expected"] is True for claim in claims))
    spool.metric("controls/passed", sum(control["passed"] for control in controls))
    spool.metric("controls/failed", sum(not control["passed"] for control in controls))
