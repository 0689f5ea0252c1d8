"""A published file against the commit that it names: the claims as they stood there, the register, what was judged.

What a file holds can be altered so that its numbers still follow from each other: a margin and the words about it, how
many comparisons must hold, a claim left out. The commit from which it was published has the claims as they were
compiled, the register of when each was written, and the digests of what was judged.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows.engine.publication import Part, Publication, PublishedClaim, PublishedControl, Side
from tasks.base.files import ROOT
from tasks.judging.claims import Comparison, Control, Judging, Selection, Statement, identity
from tasks.judging.register import REGISTER, VERDICTS, is_post_hoc

OF_CLAIM = ("says", "source", "evidence", "paper_value", "whose", "expected", "seen", "enlarged", "method", "needed")
OF_CONTROL = ("kind", "needed")
OF_PART = ("kind", "margin", "margin_of", "size", "paired", "cluster", "items", "fixed")


@dataclass(frozen=True)
class Recorded:
    """What a commit says of a paper at a profile: what was judged by which rules, the register, and the lock's text."""

    judging: Judging
    registered: Mapping[str, Any]
    lock: str


def recorded(published: Publication) -> Recorded | None:
    """What its commit has; None where this clone has not that commit, or has claims there in a shape of before."""
    texts = [_file(published, name) for name in ("params.json", REGISTER, "dvc.lock")]
    params, register, lock = texts
    if params is None or register is None or lock is None:
        return None
    try:
        judging: Judging = TypeAdapter(Judging).validate_json(json.dumps(json.loads(params)[VERDICTS]))
    except (ValidationError, KeyError):
        return None
    return Recorded(judging, json.loads(register)["claims"], lock)


def departures(published: Publication, there: Recorded) -> Iterator[str]:
    """A sentence for each thing that the file says otherwise than its commit."""
    for rule in ("alpha", "minimum_seeds", "minimum_items"):
        was, said = getattr(there.judging, rule), getattr(published, rule)
        if was != said:
            yield f"{rule} is published as {said}; it was {was} when the claims were judged."
    for stage, digest in published.judged.items():
        out = re.escape(f"data/{published.profile}/{published.paper}/{stage}")
        if set(re.findall(rf"- path: {out}\n +hash: md5\n +md5: (\S+)", there.lock)) != {digest}:
            yield f"The digest of {stage} is published as {digest}, which is not the one on record."
    yield from _told(published.claims, there.judging.claims, OF_CLAIM)
    yield from _told(published.controls, there.judging.controls, OF_CONTROL)
    for claim, stated in zip(published.claims, there.judging.claims, strict=False):
        if claim.id == stated.id and claim.digest != identity(stated):
            yield f"{claim.id}: the digest {claim.digest} is not that of the claim, {identity(stated)}."
        late = is_post_hoc(stated, there.registered, there.judging.families)
        if claim.id == stated.id and claim.post_hoc != late:
            said = "post hoc" if claim.post_hoc else "written beforehand"
            yield f"{claim.id} is published as {said}; by the register it is not."


def _told(
    published: Sequence[PublishedClaim | PublishedControl],
    stated: Sequence[Statement | Control],
    words: tuple[str, ...],
) -> Iterator[str]:
    """What of claims or controls is other than it was stated."""
    ids = [one.id for one in published]
    if ids != [one.id for one in stated]:
        lost = sorted({one.id for one in stated} ^ {*ids}) or ids
        yield f"The claims or controls are not those that were judged: see {', '.join(lost)}."
        return
    for one, was in zip(published, stated, strict=True):
        for name in words:
            if getattr(one, name) != getattr(was, name):
                yield f"{one.id}: {name} is published as {getattr(one, name)}; it was {getattr(was, name)}."
        if len(one.parts) != len(was.comparisons):
            yield f"{one.id}: {len(one.parts)} comparisons are published; there were {len(was.comparisons)}."
            continue
        for part, comparison in zip(one.parts, was.comparisons, strict=True):
            yield from _compared(f"{one.id}, {part.name}", part, comparison)


def _compared(where: str, part: Part, comparison: Comparison) -> Iterator[str]:
    for name in OF_PART:
        if getattr(part, name) != getattr(comparison, name):
            yield f"{where}: {name} is published as {getattr(part, name)}; it was {getattr(comparison, name)}."
    for side in ("left", "right"):
        if _side(getattr(part, side)) != _side(getattr(comparison, side)):
            yield f"{where}: its {side} side is another than was judged."


def _side(side: Side | Selection | float) -> Any:
    return side if isinstance(side, int | float) else (side.quantity, side.labels)


def _file(published: Publication, name: str) -> str | None:
    """A file of the paper's pipeline as it is in the commit from which it was published."""
    if not re.fullmatch("[0-9a-f]{40}", published.commit):
        return None
    path = f"{published.commit}:pipelines/{published.profile}/{published.paper}/{name}"
    try:
        shown = subprocess.run(["git", "-C", str(ROOT), "cat-file", "blob", path], capture_output=True, text=True)
    except FileNotFoundError:  # no git here
        return None
    return shown.stdout if shown.returncode == 0 else None
