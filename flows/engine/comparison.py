"""What differs between two runs of a paper: settings, verdicts and figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from flows.engine.discover import Experiment, choose, papers
from flows.engine.evidence import Evidence, gather
from flows.engine.publication import effect_and_interval, five_digits
from flows.engine.publication import read as read_publication
from flows.engine.stages import to_json
from flows.engine.variant import Variant, settings, variant
from tasks.base.errors import UserError

PUBLISHED = "published"

Value = tuple[float, tuple[float, float] | None]


@dataclass(frozen=True)
class Side:
    """One of the two runs, as far as a comparison needs it."""

    name: str
    settings: Mapping[str, Any]
    verdicts: Mapping[str, str]
    figures: Mapping[str, Value]


def compare(first: str, second: str, names: list[str]) -> Iterator[tuple[str, Table | None]]:
    """For each paper that both runs have: a title and a table for settings, for verdicts and for figures.

    Raises:
        UserError: a name is neither a profile, a variant nor `published`, or no paper has both.
    """
    shared = False
    known = papers()
    chosen = [experiment.name for experiment in choose(names, known)]
    runs = [_run(one, chosen, known) for one in (first, second)]
    for name in chosen:
        sides = [run[name] for run in runs]
        if missing := [side for side in sides if isinstance(side, str)]:
            yield missing[0], None
            continue
        shared = True
        left, right = (side for side in sides if isinstance(side, Side))
        yield from _differences(name, left, right)
    if not shared:
        raise UserError(f"No paper has both {first} and {second}: see the lines above for what to run.")


def _differences(paper: str, left: Side, right: Side) -> Iterator[tuple[str, Table | None]]:
    changed = [key for key in {**left.settings, **right.settings} if left.settings.get(key) != right.settings.get(key)]
    yield f"{paper}: {len(changed)} settings differ", _table("setting", left, right, [
        (key, str(left.settings.get(key, "–")), str(right.settings.get(key, "–"))) for key in changed
    ])  # fmt: skip
    verdicts = [key for key in left.verdicts if left.verdicts[key] != right.verdicts.get(key, left.verdicts[key])]
    yield f"{paper}: {len(verdicts)} of {len(left.verdicts)} verdicts differ", _table("claim", left, right, [
        (key, left.verdicts[key], right.verdicts[key]) for key in verdicts
    ])  # fmt: skip
    both = [key for key in left.figures if key in right.figures and _differ(left.figures[key], right.figures[key])]
    yield f"{paper}: {len(both)} of {len(left.figures)} figures differ", _table("figure", left, right, [
        (key, _shown(left.figures[key]), _shown(right.figures[key]),
         f"{right.figures[key][0] - left.figures[key][0]:+.4g}") for key in both
    ])  # fmt: skip


def _table(what: str, left: Side, right: Side, rows: list[tuple[str, ...]]) -> Table | None:
    if not rows:
        return None
    table = Table(what, left.name, right.name, *(["difference"] if len(rows[0]) > 3 else []))
    for row in rows:
        table.add_row(*row)
    return table


def _differ(one: Value, other: Value) -> bool:
    """Whether two figures differ in the digits that are published."""
    first, second = ((five_digits(mean), *map(five_digits, interval or ())) for mean, interval in (one, other))
    return first != second


def _shown(value: Value) -> str:
    return effect_and_interval(*value).replace("+", "").replace("[", "\\[")


def _run(name: str, papers: list[str], known: Mapping[str, Experiment]) -> dict[str, Side | str]:
    """Each paper's part of a run, or the sentence that says why there is none."""
    if name == PUBLISHED:
        return {paper: _published(known[paper]) for paper in papers}
    base, *changes = name.split("+")
    return {evidence.name: _side(evidence) for evidence in gather(papers, base, changes)}


def _published(experiment: Experiment) -> Side | str:
    published = read_publication(experiment.name)
    if published is None:
        return f"Nothing is published of {experiment.name}."
    return Side(
        f"published ({published.profile})",
        _settings(experiment, variant(published.profile, [])),
        {claim.id: claim.verdict for claim in published.claims},
        {key: (figure.value, figure.interval) for key, figure in published.by_name().items()},
    )


def _side(evidence: Evidence) -> Side | str:
    if evidence.judged is None:
        return f"{evidence.name} is not up to date at {evidence.chosen.name}: run {evidence.command}."
    return Side(
        evidence.chosen.name,
        _settings(evidence.experiment, evidence.chosen),
        {claim["id"]: claim["verdict"] for claim in evidence.judged.claims},
        {key: (figure.value, figure.interval) for key, figure in evidence.judged.figures.items()},
    )


def _settings(experiment: Experiment, chosen: Variant) -> dict[str, Any]:
    """The settings of each stage, and what it repeats over, by dotted names."""
    found = {name: to_json(config) for name, config in settings(experiment, chosen).items()}
    for name, stage in experiment.stages.items():
        for axis, given in stage.each.items():
            values = given if not hasattr(given, "at") else given.at(chosen.base)
            found[name][axis] = ", ".join(str(value) for value in values)
    return dict(_flat(found))


def _flat(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}{name}.")
        else:
            yield f"{where}{name}", value
