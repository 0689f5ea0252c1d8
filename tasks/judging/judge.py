"""Judge a paper's claims and controls on what its stages measured; writes verdicts.json."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.base import spool
from tasks.base.files import write_json
from tasks.judging.claims import Control, Judging, Statement, identity
from tasks.judging.deciding import Decided, came_true, decide_claims, together
from tasks.judging.pairing import Measured
from tasks.judging.parts import Part, Rules, prepared
from tasks.judging.register import is_post_hoc, seen_at

DECIDED = ("SUPPORTED", "CONTRADICTED", "CONSISTENT", "INCONSISTENT")
VERDICTS = (*DECIDED, "INCONCLUSIVE", "NOT TESTED", "FAILED")
Row = Mapping[str, Any]
SUMMARY, EFFECTS = "summary.json", "effects.json"
"""What `dvc metrics` and `dvc plots` show: verdict counts and effects as one small object, effects as rows."""

SAID = (
    "id", "says", "source", "evidence", "paper_value", "whose", "expected", "method", "seen", "enlarged",
)  # fmt: skip
"""What verdicts.json repeats of a claim."""


def judge(*, results: Path, registered: Path, config: Judging, out: Path) -> None:
    """Judge every claim and control, and write `verdicts.json`; for DVC's own commands `summary.json`, `effects.json`.

    A claim is marked post hoc if `registered`, the pipeline's register, does not hold it as it stands, or if its sample
    grew after it had been judged. Where a control did not pass, no verdict either way is given.
    """
    rows = json.loads((results / "metrics.json").read_text())
    examples = []
    if (results / "examples.parquet").exists():
        import pyarrow.parquet

        # Stages have columns of their own, which are empty in the rows of the others.
        examples = [
            {name: value for name, value in row.items() if value is not None}
            for row in pyarrow.parquet.read_table(results / "examples.parquet").to_pylist()
        ]
    known = json.loads(registered.read_text())["claims"]
    claims, controls = verdicts(rows, config, examples)
    for judged, claim in zip(claims, config.claims, strict=True):
        judged["post_hoc"] = is_post_hoc(claim, known, config.families)
        judged["seen_at"] = seen_at(claim, known)
        if judged["post_hoc"]:
            judged["as_expected"] = None  # a prediction is made before
    rules = {"alpha": config.alpha, "minimum_seeds": config.minimum_seeds, "minimum_items": config.minimum_items}
    write_json(out / "verdicts.json", {**rules, "claims": claims, "controls": controls})
    write_json(out / SUMMARY, summed_up(claims, controls))
    effects = [{"claim": claim["id"], "effect": claim["effect"]} for claim in claims if claim["effect"] is not None]
    write_json(out / EFFECTS, effects)
    _say(claims, controls)


def verdicts(
    rows: Sequence[Row], config: Judging, examples: Sequence[Row] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The claims and the controls with their verdicts, as verdicts.json holds them (without what the register says).

    Comparisons over items or clusters read `examples`, all others `rows`: a quantity may be in both.
    """
    measured, rules = Measured.of(rows, examples), Rules.of(config)
    parts = [
        [prepared(comparison, measured, rules, claim.method == "simulated") for comparison in claim.comparisons]
        for claim in config.claims
    ]
    controls = [_controlled(control, measured, config.alpha) for control in config.controls]
    failing = [control["id"] for control in controls if not control["passed"]]
    decided = decide_claims([(group, claim.needed) for group, claim in zip(parts, config.claims, strict=True)], rules)
    return [_judged(claim, one, failing) for claim, one in zip(config.claims, decided, strict=True)], controls


def _controlled(control: Control, measured: Measured, alpha: float) -> dict[str, Any]:
    """A control, decided by plain intervals: it has to pass on its own, so nothing is widened."""
    parts = [prepared(comparison, measured, Rules(alpha, 2, 2)) for comparison in control.comparisons]
    for part in parts:
        if not part.verdict:
            part.decided_at(1 - alpha)
    verdict, reason = together(parts, control.needed)
    return {
        "id": control.id,
        "kind": control.kind,
        "says": control.says,
        "needed": control.needed,
        "passed": verdict == "SUPPORTED",
        "reason": reason,
        "parts": [part.written() for part in parts],
    }


def _judged(claim: Statement, decided: Decided, failing: list[str]) -> dict[str, Any]:
    verdict, reason = decided.verdict, decided.reason
    if not decided.parts:
        verdict, reason = "NOT TESTED", claim.not_tested
    if failing and verdict in DECIDED:
        verdict, reason = "FAILED", f"withheld: the control {', '.join(failing)} did not pass"
    leading = decided.leading
    return {
        **{name: getattr(claim, name) for name in SAID},
        "digest": identity(claim),
        "verdict": verdict,
        "reason": reason,
        "as_expected": came_true(claim.expected, verdict),
        "statistic": decided.statistic,
        **summary(leading),
        "needed": claim.needed,
        "parts": [part.written() for part in decided.parts],
    }


def summary(leading: Part | None) -> dict[str, Any]:
    """What of the part that speaks for a claim stands beside its verdict."""
    return {
        "n": len(leading.pairs) if leading else 0,
        "effect": leading.effect if leading else None,
        "interval": list(leading.interval) if leading and leading.interval else None,
        "level": leading.level if leading else None,
        "plain": list(leading.plain) if leading and leading.plain else None,
        "p": leading.p if leading else None,
    }


TRACKED = {"paper, with a number": "number", "paper, direction only": "direction", "ours": "ours"}
"""Whose claims are counted, each kind by itself, and in which metrics."""


def _say(claims: list[dict[str, Any]], controls: list[dict[str, Any]]) -> None:
    """Tell the tracking store: a table of the verdicts, and their counts by whose claim it is."""
    rows = []
    columns = ("claim", "whose", "verdict", "expected", "effect", "low", "high", "n", "post_hoc")
    for claim in claims:
        low, high = claim["interval"] or (None, None)
        told = {**claim, "claim": claim["id"], "low": low, "high": high}
        rows.append({name: told[name] for name in columns})
    if rows:
        spool.table("verdicts", rows)
    summary = summed_up(claims, controls)
    for short, counts in summary["verdicts"].items():
        for verdict, count in counts.items():
            spool.metric(f"verdicts/{short}/{verdict}", count)
    predicted = [claim["as_expected"] for claim in claims if claim["whose"] in TRACKED]
    spool.metric("verdicts/as-expected", sum(came is True for came in predicted))
    for word, count in summary["controls"].items():
        spool.metric(f"controls/{word}", count)


def summed_up(claims: list[dict[str, Any]], controls: list[dict[str, Any]]) -> dict[str, Any]:
    """How many claims of each counted kind came out how, how many controls passed, and each claim's effect."""
    verdicts = {}
    for whose, short in TRACKED.items():
        counts = Counter(claim["verdict"] for claim in claims if claim["whose"] == whose)
        if counts:
            verdicts[short] = {verdict.lower().replace(" ", "-"): counts[verdict] for verdict in VERDICTS}
    passed = sum(control["passed"] for control in controls)
    return {
        "verdicts": verdicts,
        "controls": {"passed": passed, "failed": len(controls) - passed},
        "effects": {claim["id"]: claim["effect"] for claim in claims if claim["effect"] is not None},
    }
