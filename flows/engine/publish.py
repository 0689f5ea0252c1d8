"""Publish a paper's verdicts: only from a clean checkout with current pipelines and passing controls."""

import subprocess
from pathlib import Path

from flows.engine.compile import compiled, stale
from flows.engine.discover import choose, papers
from flows.engine.evidence import Evidence, Judged, command, gather
from flows.engine.paper import Profiles
from flows.engine.publication import Figure, Publication, PublishedClaim, PublishedControl, write
from flows.engine.terminal import controls
from tasks.base.errors import UserError
from tasks.base.files import ROOT


def publish(paper: str, profile: str) -> Path:
    """Write `published/PAPER.json` and the README's table.

    Raises:
        UserError: the checkout is not clean, the pipelines are not current, a stage is not up to date, or a
            control did not pass; the sentence says which and what to do.
    """
    known = papers()
    choose([paper], known)
    if changed := stale(compiled(known)):
        raise UserError(f"{changed[0]} is not what the papers compile to: run tenfold compile and commit.")
    if dirty := _git("status", "--porcelain"):
        raise UserError(
            f"The checkout is not clean ({dirty.splitlines()[0].strip()}): commit what belongs to it, then publish."
        )
    (evidence,) = gather([paper], profile, [])
    if evidence.judged is None:
        first = evidence.plan.work[0].title
        raise UserError(f"{first} is not up to date, so there is nothing to publish: run {evidence.command}.")
    if failing := [control["id"] for control in evidence.judged.controls if not control["passed"]]:
        raise UserError(f"{controls(failing).capitalize()} did not pass: see tenfold trace {paper}/{failing[0]}.")
    if not evidence.judged.controls:
        raise UserError(f"{paper} has no controls: give flows/{paper} a planted and a shuffled one.")
    return write(_publication(evidence, evidence.judged))


def _publication(evidence: Evidence, judged: Judged) -> Publication:
    scale = scales(evidence)
    computed = {origin.made["processor"] for origin in judged.origins.values() if origin.made}
    machine = {"processor": ", ".join(sorted(computed)) or "unknown: restored from the cache"}
    trace = command(evidence.name, evidence.chosen)
    return Publication(
        paper=evidence.name,
        profile=evidence.chosen.name,
        commit=_git("rev-parse", "HEAD"),
        environment={**judged.environment, **machine},
        figures={
            name: Figure(value=figure.value, unit=figure.meaning, seeds=figure.seeds, interval=figure.interval)
            for name, figure in judged.figures.items()
        },
        controls=tuple(
            PublishedControl(id=control["id"], kind=control["kind"], passed=control["passed"])
            for control in judged.controls
        ),
        claims=tuple(
            PublishedClaim(
                **{name: claim[name] for name in COPIED},
                interval=tuple(claim["interval"]) if claim["interval"] else None,
                scale=scale,
                command=f"{trace} && tenfold trace {evidence.name}/{claim['id']} --profile {evidence.chosen.name}",
            )
            for claim in judged.claims
        ),
    )


COPIED = (
    "id", "says", "source", "evidence", "expected", "method", "verdict", "reason", "n", "effect", "p", "paper_value",
    "post_hoc",
)  # fmt: skip


def scales(evidence: Evidence) -> str:
    """The ledger on one line: what this profile uses where the paper used something else."""
    lines = []
    for scale in evidence.experiment.paper.scales:
        here = scale.here.at(evidence.chosen.base) if isinstance(scale.here, Profiles) else scale.here
        lines.append(f"{scale.quantity}: {here} (paper: {scale.paper})")
    return "; ".join(lines)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
