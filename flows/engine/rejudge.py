"""Compute every verdict of a published file again, from that file alone."""

import math
from collections.abc import Iterator
from typing import Any

from flows.engine import publication
from flows.engine.publication import Publication, PublishedClaim, PublishedControl, Side
from tasks.judging.claims import Comparison, Selection
from tasks.judging.crossed import DIGITS, Crossed
from tasks.judging.deciding import Decided, decide_claims, together
from tasks.judging.parts import DRAW, Part, Rules, estimate

NOT_JUDGED = ("FAILED", "NOT TESTED")
TOLERANCE = 1e-9
ROUNDED = 10.0 ** (1 - DIGITS)
"""How far means may be apart that were rounded before they were published, relatively."""


def differences(published: Publication) -> Iterator[str]:
    """A sentence for each number or verdict that is not what the published pairs give."""
    if malformed := list(_malformed(published)):
        yield from malformed
        return
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


def _malformed(published: Publication) -> Iterator[str]:
    """What no run of the judge can have written, so that nothing can be computed from it."""
    if failing := [control.id for control in published.controls if not control.passed]:
        yield f"The control {failing[0]} is published as not passed, so there can be no verdicts."
    every: list[PublishedClaim | PublishedControl] = [*published.claims, *published.controls]
    for told in every:
        if told.parts and not 0 < told.needed <= len(told.parts):
            yield f"{told.id}: {told.needed} of {len(told.parts)} comparisons cannot be needed."
        for part in told.parts:
            where = f"{told.id}, {part.name}"
            if part.verdict in NOT_JUDGED:
                if part.pairs.left:
                    yield f"{where}, is published as {part.verdict}, but has values."
            elif not part.pairs.left:
                yield f"{where}, is published as {part.verdict}, but has no values."
            else:
                yield from _incoherent(where, part)


def _incoherent(where: str, part: publication.Part) -> Iterator[str]:
    """What of a comparison's values is told twice, and not alike."""
    count = len(part.pairs.left)
    if part.n != count:
        yield f"{where}: it is published with {part.n} pairs and has {count}."
    if part.error is not None and part.paired != DRAW:
        yield f"{where}: only a simulation has an error of its own."
    if bool(part.items) != (part.crossed is not None):
        yield f"{where}: means by item belong to a comparison over items, and to no other."
    if part.crossed is None:
        return
    try:
        crossed = Crossed.read(part.crossed)
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        yield f"{where}: its means by seed and by item are not whole."
        return
    if part.n_items != len(crossed.items):
        yield f"{where}: it is published with {part.n_items} {part.items}s and has means of {len(crossed.items)}."
    weights = part.pairs.weights or (1.0,) * count
    rows = sorted(zip(part.pairs.rows(), weights, strict=True), key=lambda row: str(row[0][0]))  # as in of_crossed
    scale = max(abs(value) for (_, left, right), _ in rows for value in (left, right))
    own = [(weight / sum(weights), left - right) for (_, left, right), weight in rows]
    if len(crossed.seeds) != count or not all(map(_near, own, crossed.seeds, [scale] * count)):
        yield f"{where}: its pairs and its means by {part.paired} are not the same."
    by_seed, by_item = (sum(share * mean for share, mean in group) for group in (crossed.seeds, crossed.items))
    scale = max(scale, *(abs(mean) for _, mean in crossed.items))
    if not math.isclose(by_seed, by_item, rel_tol=0, abs_tol=ROUNDED * scale):
        yield f"{where}: its means by {part.paired} have the mean {by_seed}, and those by {part.items} {by_item}."


def _near(first: tuple[float, float], second: tuple[float, float], scale: float) -> bool:
    """Whether two shares and means are alike to the digits that are published."""
    same_share = math.isclose(first[0], second[0], rel_tol=ROUNDED)
    return same_share and math.isclose(first[1], second[1], rel_tol=0, abs_tol=ROUNDED * scale)


def _of_claim(claim: PublishedClaim, decided: Decided) -> Iterator[str]:
    if not claim.parts:
        if (claim.verdict, claim.expected) != ("NOT TESTED", "not tested"):
            yield f"{claim.id} is {claim.verdict}, expected: {claim.expected}, but has no comparisons."
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
    found = {name: getattr(now, name) for name in ("effect", "level", "p", "interval", "plain")}
    for name, value in {"n": len(now.pairs), **found}.items():
        was = getattr(before, name)
        if not _alike(was, value):
            yield f"{where}: {name} is published as {was}; its pairs give {value}."


def _alike(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    if isinstance(first, tuple):
        return all(_alike(one, other) for one, other in zip(first, second, strict=True))
    return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=1e-12)


def _part(published: publication.Part, method: str, rules: Rules) -> Part:
    """A comparison as the judge had it, when its pairs had been read."""
    comparison = Comparison(
        kind=published.kind,
        left=_selection(published.left),
        right=_selection(published.right) if isinstance(published.right, Side) else published.right,
        margin=published.margin,
        margin_of=published.margin_of,
        size=published.size,
        paired=published.paired,
        cluster=published.cluster,
        items=published.items,
        fixed=published.fixed,
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
