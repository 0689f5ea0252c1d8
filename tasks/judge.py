"""Judge a paper's claims and controls on what its stages measured; writes verdicts.json."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks import spool
from tasks.claims import Comparison, Control, Judging, Selection, Statement
from tasks.intervals import (
    Estimate,
    decide,
    edges,
    holm,
    nearest_edge,
    of_clusters,
    of_pairs,
    sign_flip_p,
)
from tasks.registration import digest
from tasks.report import write_json

VERDICTS = ("SUPPORTED", "CONTRADICTED", "INCONCLUSIVE", "NOT TESTED", "FAILED")
Row = Mapping[str, Any]


@dataclass
class Part:
    """One comparison with its pairs, and what came of it."""

    comparison: Comparison
    pairs: list[dict[str, Any]] = field(default_factory=list)
    estimate: Estimate | None = None
    verdict: str = ""
    reason: str = ""
    level: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None

    @property
    def effect(self) -> float | None:
        if self.estimate:
            return self.estimate.effect
        whole = [pair["left"] - pair["right"] for pair in self.pairs]
        return sum(whole) / len(whole) if whole and self.verdict != "FAILED" else None

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
        shown = f"{self.estimate.effect:+.3g} [{low:+.3g}, {high:+.3g}]"
        self.reason = f"{shown} {WHERE[self.verdict]} {region(kind, margin)}"
        sign = {"less": -1, "greater": 1}.get(kind, 0)
        if self.verdict == "CONTRADICTED" and sign * low > 0 and sign * high > 0:
            self.reason += ": in the claimed direction, but by less than the margin"


WHERE = {
    "SUPPORTED": "lies wholly",
    "CONTRADICTED": "lies wholly outside of what is claimed,",
    "INCONCLUSIVE": "is not wholly",
}


def region(kind: str, margin: float) -> str:
    """Where the difference must lie, in words."""
    return {
        "less": f"below {-margin:g}",
        "greater": f"above {margin:g}",
        "at most": f"below {margin:g}",
        "equivalent": f"between {-margin:g} and {margin:g}",
    }[kind].replace("-0", "0", 1 if margin == 0 else 0)


def judge(*, results: Path, registered: Path, config: Judging, out: Path) -> None:
    """Judge every claim and control, and write `verdicts.json`.

    A claim is marked post hoc if `registered`, the pipeline's register, does not hold it as it stands. Where a
    control did not pass, no verdict either way is given.
    """
    rows = json.loads((results / "metrics.json").read_text())
    if (results / "examples.parquet").exists():
        import pyarrow.parquet

        rows += pyarrow.parquet.read_table(results / "examples.parquet").to_pylist()
    known = json.loads(registered.read_text())["claims"]
    claims, controls = verdicts(rows, config)
    statements: list[Statement | Control] = [*config.claims, *config.controls]
    for judged, statement in zip([*claims, *controls], statements, strict=True):
        written = TypeAdapter(type(statement)).dump_python(statement, mode="json")
        judged["post_hoc"] = bool(statement.comparisons) and known.get(statement.id) != digest(written)
    write_json(
        out / "verdicts.json",
        {"alpha": config.alpha, "minimum_seeds": config.minimum_seeds, "claims": claims, "controls": controls},
    )
    _say(claims, controls)


def verdicts(rows: Sequence[Row], config: Judging) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The claims and the controls with their verdicts, as verdicts.json holds them (without `post_hoc`)."""
    index = _by_quantity(rows)
    parts = {
        claim.id: [_prepared(comparison, index, config.minimum_seeds) for comparison in claim.comparisons]
        for claim in config.claims
    }
    family = [part for group in parts.values() for part in group if part.estimate and not part.verdict]
    by_seed = [part for part in family if not part.comparison.cluster]
    levels = holm([(p.comparison.kind, p.comparison.margin, p.estimate) for p in by_seed if p.estimate], config.alpha)
    for part, level in zip(by_seed, levels, strict=True):
        part.decided_at(level)
    for part in family:
        if part.comparison.cluster:
            part.decided_at(1 - config.alpha)
    controls = [_controlled(control, index, config.alpha) for control in config.controls]
    failing = [control["id"] for control in controls if not control["passed"]]
    return [_judged(claim, parts[claim.id], len(by_seed), failing) for claim in config.claims], controls


def _prepared(comparison: Comparison, index: Mapping[str, list[Row]], minimum: int) -> Part:
    """A comparison with its pairs and their estimate; already decided where no interval can decide."""
    part = Part(comparison)
    try:
        part.pairs = _pairs(comparison, index)
    except _CannotPairError as problem:
        part.verdict, part.reason = "FAILED", str(problem)
        return part
    if not comparison.paired:
        _compare_exactly(part)
        return part
    import numpy as np

    differences = np.array([pair["left"] - pair["right"] for pair in part.pairs])
    if comparison.cluster:
        clusters = np.array([str(pair["cluster"]) for pair in part.pairs])
        count, what, needed = len(np.unique(clusters)), f"values of {comparison.cluster}", 2
        if count > 1:
            part.estimate = of_clusters(differences, clusters)
        part.pairs = _by_cluster(part.pairs)
    else:
        count, what, needed = len(differences), f"{comparison.paired}s", minimum
        if count > 1:
            part.estimate = of_pairs(differences)
    if part.estimate:
        edge = nearest_edge(comparison.kind, comparison.margin, part.estimate.effect)
        part.p = part.estimate.p(edge) if comparison.cluster else sign_flip_p(differences, edge)
        part.level, part.interval = 0.95, part.estimate.interval(0.95)
    if count < needed:
        part.verdict, part.reason = "INCONCLUSIVE", f"{count} {what}; a verdict needs {needed}"
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
        names = ", ".join(sorted(str(key[-1]) for key in missing))
        raise _CannotPairError(f"{comparison.paired} {names} is on one side only")
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
        _CannotPairError: none, several for one pair, one without the pairing label, or not a finite number.
    """
    rows = [
        row
        for row in index.get(selection.quantity, [])
        if row["stage"] in selection.stages and all(row.get(name) == value for name, value in selection.labels.items())
    ]
    named = _name(selection)
    labels = [label for label in (comparison.cluster, comparison.paired) if label]
    if not rows:
        raise _CannotPairError(f"nothing was measured for {named}")
    if any(label not in row for row in rows for label in labels):
        raise _CannotPairError(f"{named} was measured without the label {' or '.join(labels)}")
    keyed = [(tuple(row[label] for label in labels), row) for row in rows]
    if len({key for key, _ in keyed}) < len(keyed):
        several = f"several values for one {comparison.paired}" if labels else f"{len(keyed)} values, not one"
        raise _CannotPairError(f"{named} has {several}")
    for key, row in keyed:
        value = row[selection.quantity]
        if not isinstance(value, int | float) or not math.isfinite(value):
            where = f" for {comparison.paired} {key[-1]}" if key else ""
            raise _CannotPairError(f"{named} is {value}{where}")
    return sorted(keyed, key=lambda item: tuple(str(part).zfill(9) for part in item[0]))


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


def _controlled(control: Control, index: Mapping[str, list[Row]], alpha: float) -> dict[str, Any]:
    """A control, decided by plain intervals: it has to pass on its own, so nothing is widened."""
    parts = [_prepared(comparison, index, 2) for comparison in control.comparisons]
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
    if not parts:
        verdict, reason = "NOT TESTED", claim.not_tested
    else:
        verdict, reason = _together(parts, claim.needed)
        if failing and verdict in ("SUPPORTED", "CONTRADICTED"):
            verdict, reason = "FAILED", f"withheld: the control {', '.join(failing)} did not pass"
    came = {("holds", "SUPPORTED"): True, ("does not hold at this scale", "CONTRADICTED"): True}
    decided = verdict in ("SUPPORTED", "CONTRADICTED")
    leading = max(parts, key=lambda part: -1.0 if part.p is None else part.p, default=None)
    return {
        **told,
        "verdict": verdict,
        "reason": reason,
        "as_expected": came.get((claim.expected, verdict), False) if decided else None,
        "statistic": _statistic(claim, family),
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
    elif counts["SUPPORTED"] >= needed:
        verdict = "SUPPORTED"
    elif counts["CONTRADICTED"] > len(parts) - needed:
        verdict = "CONTRADICTED"
    else:
        verdict = "INCONCLUSIVE"
    reason = f"{counts['SUPPORTED']} of {len(parts)} comparisons hold and {needed} must"
    other = [part for part in parts if part.verdict != "SUPPORTED"]
    if other:
        reason += f"; {other[0].name}: {other[0].reason}"
    return verdict, reason


def _statistic(claim: Statement, family: int) -> str:
    if not claim.comparisons:
        return "none"
    first = claim.comparisons[0]
    if not first.paired:
        return "computed values compared as they are"
    if first.cluster:
        return f"bootstrap of clusters by {first.cluster}, Student t with one degree less than clusters"
    return f"Student t over pairs by {first.paired}, Holm over {family} comparisons"


def _written(part: Part) -> dict[str, Any]:
    comparison = part.comparison
    count = len(part.pairs)
    return {
        "kind": comparison.kind,
        "margin": comparison.margin,
        "left": _told(comparison.left),
        "right": _told(comparison.right) if isinstance(comparison.right, Selection) else comparison.right,
        "name": part.name,
        "verdict": part.verdict,
        "reason": part.reason,
        "n": count,
        "left_mean": sum(pair["left"] for pair in part.pairs) / count if count else None,
        "right_mean": sum(pair["right"] for pair in part.pairs) / count if count else None,
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
    columns = ("id", "verdict", "expected", "effect", "interval", "n", "post_hoc", "reason")
    if claims:
        spool.table("verdicts", [{name: claim[name] for name in columns} for claim in claims])
    counts = Counter(claim["verdict"] for claim in claims)
    for verdict in VERDICTS:
        spool.metric(f"verdicts/{verdict.lower().replace(' ', '-')}", counts[verdict])
    spool.metric("verdicts/as-expected", sum(claim["as_expected"] is True for claim in claims))
    spool.metric("controls/passed", sum(control["passed"] for control in controls))
    spool.metric("controls/failed", sum(not control["passed"] for control in controls))
