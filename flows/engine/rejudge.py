"""Compute every verdict of a published file again, from that file alone."""

import math
from collections.abc import Iterator
from typing import Any

from flows.engine import publication
from flows.engine.publication import Publication, PublishedClaim, PublishedControl, Side
from tasks.judging.claims import Comparison, Selection
from tasks.judging.crossed import Crossed
from tasks.judging.deciding import Decided, decide_claims, together
from tasks.judging.parts import Part, Rules, estimate

NOT_JUDGED = ("FAILED", "NOT TESTED")
TOLERANCE = 1e-9


def differences(published: Publication) -> Iterator[str]:
    """A sentence for each number or verdict that is not what the published pairs give."""
    rules = Rules(published.alpha, published.minimum_seeds, published.minimum_items)
    for control in published.controls:
        yield from _of_control(control, Rules(published.alpha, 2, 2))
    every = [[_part(part, claim.method, rules) for part in claim.parts] for claim in published.claims]
    needed = [claim.needed for claim in published.claims]
    for claim, decided in zip(
        published.claims, decide_claims(list(zip(every, needed, strict=True)), rules), strict=True
    ):
        yield from _of_claim(claim, decided)


def recomputable(published: Publication) -> bool:
    """Whether the pairs were kept."""
    return bool(published.judged)


def _of_claim(claim: PublishedClaim, decided: Decided) -> Iterator[str]:
    if not claim.parts:
        if claim.verdict != "NOT TESTED":
            yield f"{claim.id} is {claim.verdict}, but has no comparisons."
        return
    if claim.verdict != decided.verdict:
        yield f"{claim.id} is published as {claim.verdict}; its pairs give {decided.verdict} ({decided.reason})."
    yield from _of_parts(claim.id, claim.parts, decided.parts)
    if decided.leading:
        yield from _numbers(claim.id, claim, decided.leading)


def _of_control(control: PublishedControl, rules: Rules) -> Iterator[str]:
    parts = [_part(part, "measured", rules) for part in control.parts]
    for part in parts:
        if not part.verdict:
            part.decided_at(1 - rules.alpha)
    verdict, reason = together(parts, control.needed)
    if (verdict == "SUPPORTED") != control.passed:
        said = "passed" if control.passed else "not passed"
        yield f"The control {control.id} is published as {said}; its pairs give {verdict} ({reason})."
    yield from _of_parts(control.id, control.parts, parts)


def _of_parts(where: str, published: tuple[publication.Part, ...], parts: list[Part]) -> Iterator[str]:
    for before, now in zip(published, parts, strict=True):
        if before.verdict != now.word:
            yield f"{where}, {before.name}, is published as {before.verdict}; its pairs give {now.word}."
        yield from _numbers(f"{where}, {before.name}", before, now)


def _numbers(where: str, before: Any, now: Part) -> Iterator[str]:
    """The numbers of a comparison, or of the claim that it speaks for, that are not what the pairs give."""
    for name in ("effect", "level", "p", "interval", "plain"):
        was, found = getattr(before, name), getattr(now, name)
        if not _alike(was, found):
            yield f"{where}: {name} is published as {was}; its pairs give {found}."


def _alike(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    if isinstance(first, tuple):
        return all(_alike(one, other) for one, other in zip(first, second, strict=True))
    return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=1e-12)


def _part(published: publication.Part, method: str, rules: Rules) -> Part:
    """A comparison as the judge had it, when its pairs had been read."""
    comparison = Comparison(
        kind=published.kind,  # type: ignore[arg-type]
        left=_selection(published.left),
        right=_selection(published.right) if isinstance(published.right, Side) else published.right,
        margin=published.margin,
        margin_of=published.margin_of,  # type: ignore[arg-type]
        size=published.size,
        paired=published.paired,
        cluster=published.cluster,
        items=published.items,
        fixed=published.fixed,  # type: ignore[arg-type]
    )
    part = Part(comparison, method == "simulated", error=published.error)
    if published.verdict in NOT_JUDGED:
        part.verdict, part.reason = published.verdict, published.reason
        return part
    pairs = published.pairs
    part.pairs = [{"pair": label, "left": left, "right": right} for label, left, right in pairs.rows()]
    for pair, weight in zip(part.pairs, pairs.weights, strict=False):
        pair["weight"] = weight
    part.crossed = Crossed.read(published.crossed) if published.crossed else None
    estimate(part, rules)
    return part


def _selection(side: Side) -> Selection:
    return Selection(family="", quantity=side.quantity, labels=dict(side.labels), axes={})
