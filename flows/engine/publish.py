"""Publish a paper's verdicts: only from a clean checkout with current pipelines and passing controls."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.engine.compile import compiled, stale
from flows.engine.discover import broken, choose, papers
from flows.engine.evidence import Evidence, Judged, command, gather
from flows.engine.paper import Profiles
from flows.engine.publication import (
    Figure,
    Pairs,
    Part,
    Publication,
    PublishedClaim,
    PublishedControl,
    Side,
    grouped,
    write,
)
from flows.engine.readme import refresh
from flows.engine.rejudge import differences
from flows.engine.terminal import controls
from tasks.base.errors import UserError
from tasks.running.spools import git


def publish(paper: str, profile: str) -> Path:
    """Write `published/PAPER.json`, the tables beside it, and the README's findings.

    Raises:
        UserError: the checkout is not clean, the pipelines are not current, a stage is not up to date, or a
            control did not pass; the sentence says which and what to do.
    """
    known = papers()
    if unread := broken():
        raise UserError(f"{', '.join(unread)} cannot be read, so what is compiled cannot be checked: mend it first.")
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
    made = judged_again(_publication(evidence, evidence.judged), evidence.published)
    if wrong := next(differences(made), ""):
        raise UserError(f"What would be published does not give its own verdicts: {wrong}")
    path = write(made)
    refresh()
    return path


def _publication(evidence: Evidence, judged: Judged) -> Publication:
    computed = {origin.made["processor"] for origin in judged.origins.values() if origin.made}
    machine = {"processor": ", ".join(sorted(computed)) or "unknown: restored from the cache"}
    trace = command(evidence.name, evidence.chosen)
    return Publication(
        paper=evidence.name,
        profile=evidence.chosen.name,
        commit=_git("rev-parse", "HEAD"),
        environment={**judged.environment, **machine},
        scale=scales(evidence),
        judged={name: judged.origins[name].digest for name in ("results", "verdicts")},
        **judged.rules,
        figures=grouped(
            {
                name: Figure(figure.value, figure.meaning, figure.seeds, figure.interval)
                for name, figure in judged.figures.items()
            }
        ),
        controls=tuple(published_control(control) for control in judged.controls),
        claims=tuple(
            published_claim(
                claim,
                f"{trace} && tenfold trace {evidence.name}/{claim['id']} --profile {evidence.chosen.name}",
            )
            for claim in judged.claims
        ),
    )


def judged_again(made: Publication, before: Publication | None) -> Publication:
    """With the verdicts that the same data had before, where others came of them by a later rule of the judge."""
    if before is None or before.judged.get("results") != made.judged["results"]:
        return made
    known = {(claim.id, claim.digest): claim for claim in before.claims}

    def earlier(claim: PublishedClaim) -> str:
        was = known.get((claim.id, claim.digest))
        if was is None:
            return ""
        return was.earlier if was.verdict == claim.verdict else was.verdict

    return replace(made, claims=tuple(replace(claim, earlier=earlier(claim)) for claim in made.claims))


def published_control(control: dict[str, Any]) -> PublishedControl:
    """A control as verdicts.json has it, with what it can be judged by again."""
    return PublishedControl(**{name: control[name] for name in OF_CONTROL}, parts=_parts(control))


def published_claim(claim: dict[str, Any], command: str) -> PublishedClaim:
    """A claim as verdicts.json has it, with what it can be judged by again."""
    return PublishedClaim(
        **{name: claim[name] for name in OF_CLAIM},
        interval=_interval(claim["interval"]),
        plain=_interval(claim["plain"]),
        withdrawn="",
        seen_at=tuple(claim["seen_at"]),
        command=command,
        parts=_parts(claim),
    )


OF_CONTROL = ("id", "kind", "passed", "needed")
OF_CLAIM = (
    "id", "says", "source", "evidence", "paper_value", "whose", "expected", "seen", "enlarged", "method", "digest",
    "verdict", "reason", "statistic", "n", "effect", "level", "p", "post_hoc", "needed",
)  # fmt: skip
OF_PART = (
    "name", "kind", "margin", "margin_of", "size", "paired", "cluster", "items", "fixed", "verdict", "reason",
    "statistic", "n", "n_items", "effect", "level", "p", "error",
)  # fmt: skip


def _parts(entry: dict[str, Any]) -> tuple[Part, ...]:
    return tuple(
        Part(
            **{name: part[name] for name in OF_PART},
            left=Side(**part["left"]),
            right=Side(**part["right"]) if isinstance(part["right"], dict) else part["right"],
            interval=_interval(part["interval"]),
            plain=_interval(part["plain"]),
            pairs=_pairs(part["pairs"]),
            crossed={name: tuple(v) if isinstance(v, list) else v for name, v in part["crossed"].items()}
            if part["crossed"]
            else None,
        )
        for part in entry["parts"]
    )


def _pairs(pairs: list[dict[str, Any]]) -> Pairs:
    labels = tuple(pair["pair"] for pair in pairs)
    right = tuple(pair["right"] for pair in pairs)
    return Pairs(
        labels=() if labels == tuple(range(len(pairs))) else labels,
        left=tuple(pair["left"] for pair in pairs),
        right=right[:1] if len(set(right)) == 1 else right,
        weights=tuple(pair["weight"] for pair in pairs if "weight" in pair),
    )


def _interval(ends: list[float] | None) -> tuple[float, float] | None:
    return (ends[0], ends[1]) if ends else None


def scales(evidence: Evidence) -> str:
    """The ledger on one line: what this profile uses where the paper used something else."""
    lines = []
    for scale in evidence.experiment.paper.scales:
        here = scale.here.at(evidence.chosen.base) if isinstance(scale.here, Profiles) else scale.here
        lines.append(f"{scale.quantity}: {here} (paper: {scale.paper})")
    return "; ".join(lines)


def _git(*arguments: str) -> str:
    ended = git(*arguments)
    if ended.returncode:
        said = " ".join(ended.stderr.split())
        raise UserError(f"git {arguments[0]} did not succeed, and what is published names its commit: {said}")
    return ended.stdout.strip()
