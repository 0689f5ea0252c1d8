"""What was judged, joined with where it comes from: the chain from a number back to the data.

A chain is unbroken when the stage that judged and everything that it rests on are up to date: code,
settings, inputs and environment are then what the record says. Numbers are handed out only with such a
chain (`Evidence.judged`), out of files whose bytes are hashed again as they are read; without one there is nothing to
show.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from flows.engine.discover import Experiment, papers
from flows.engine.paper import PROFILES
from flows.engine.plan import Plan, compare, compile_papers, describe, select, with_inputs
from flows.engine.publication import Publication, read
from flows.engine.stages import SOURCES, ConcreteStage
from flows.engine.store import Store
from flows.engine.variant import Variant, variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.judging.register import VERDICTS
from tasks.running.run import published
from tasks.running.spools import SPOOL

FIGURE_LEVEL = 0.95

SHOWN = 20
"""So many values of one number are shown; a simulator has hundreds."""


@dataclass(frozen=True)
class Origin:
    """Where a stage's output comes from.

    `made` is what was noted when it was computed on this machine (commit, finished, processor, device);
    empty when it came out of a cache. `run` is its run in MLflow.
    """

    stage: ConcreteStage
    digest: str
    inputs: Mapping[str, str]
    made: Mapping[str, str]
    run: str

    @property
    def where(self) -> str:
        """Where and when it was computed, in words."""
        return f"{self.machine}, {self.made['finished']}" if self.made else self.machine

    @property
    def machine(self) -> str:
        """On which machine and from which commit it was computed, in words."""
        if not self.made:
            return "computed elsewhere and restored from the cache"
        commit = self.made["commit"]
        short = commit[:12] + (" with uncommitted code" if commit.endswith("+") else "")
        return f"{self.made['processor']} ({self.made['device']}), commit {short}"


@dataclass(frozen=True)
class Figure:
    """A number of a paper's tables: the mean of its values, one a seed or, if simulated, one a draw.

    `over` says of what the interval is: "seed" or "value", as of blocks of a timing (Student's t), or "draw" (their
    central share). Several stages may tell the value of one seed, and then the interval is over the seeds' means.
    """

    name: str
    quantity: str
    meaning: str
    values: tuple[tuple[Any, float, str], ...]
    over: str

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; none of a single value. Only who shows it waits for scipy."""
        if self.over == "draw":
            return _interval([value for _, value, _ in self.values], self.over)
        by_seed: dict[Any, list[float]] = {}
        for number, (seed, value, _) in enumerate(self.values):
            by_seed.setdefault(("no seed", number) if seed is None else seed, []).append(value)
        return _interval([sum(each) / len(each) for each in by_seed.values()], self.over)

    @property
    def value(self) -> float:
        """The mean; a whole number where all values are the same one."""
        first = self.values[0][1]
        if all(value == first for _, value, _ in self.values):
            return first
        return sum(value for _, value, _ in self.values) / len(self.values)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(s for s, _, _ in self.values if s is not None and self.over == "seed"))

    @property
    def count(self) -> int:
        """Over how many seeds, draws or values the interval is."""
        unnamed = sum(label is None for label, _, _ in self.values)
        return len({label for label, _, _ in self.values if label is not None}) + unnamed

    @property
    def stages(self) -> list[str]:
        return sorted({stage for _, _, stage in self.values})


@dataclass(frozen=True)
class Judged:
    """A paper's verdicts and figures with an unbroken chain; `origins` by the stages' names.

    `rules` are alpha and the least numbers of seeds and items, `measured` gives the figures.
    """

    rules: dict[str, Any]
    claims: list[dict[str, Any]]
    controls: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    measured: Callable[[], dict[str, Figure]]
    origins: dict[str, Origin]
    environment: dict[str, str]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The cells of the paper's tables by name; only who shows them reads the paper."""
        return self.measured()

    def behind(self, stages: list[str]) -> list[Origin]:
        """The stages with everything that they rest on, the sources first."""
        by_out = {origin.stage.out: origin for origin in self.origins.values()}
        wanted: dict[str, Origin] = {}
        waiting = list(stages)
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted[name] = self.origins[name]
                waiting += [by_out[folder].stage.name for folder in self.origins[name].inputs if folder in by_out]
        return [origin for name, origin in self.origins.items() if name in wanted]


@dataclass(frozen=True)
class Evidence:
    """A paper at a profile: its plan, what is published of it and, if the chain is unbroken, what was judged."""

    name: str
    chosen: Variant
    plan: Plan
    published: Publication | None
    judged: Judged | None

    @cached_property
    def experiment(self) -> Experiment:
        """The paper itself; what came of it can be told without."""
        return papers()[self.name]

    @property
    def command(self) -> str:
        """The command that computes all of it."""
        return command(self.name, self.chosen)


def command(paper: str, chosen: Variant) -> str:
    """The command that computes a paper at a profile, with the changes of a variant."""
    changes = "".join(f" -S {key}={value}" for key, value in chosen.changes)
    return f"tenfold reproduce {paper} --profile {chosen.base}{changes}"


def gather(names: list[str], profile: str | None, changes: list[str]) -> list[Evidence]:
    """The evidence of the chosen papers (all by default).

    Without a profile, each paper's is the largest one whose chain is unbroken, or quick.

    Raises:
        UserError: a name or a setting is wrong.
    """
    wanted = variant(profile or "quick", changes)
    known, _ = compile_papers(wanted, names)
    store = Store()
    chosen = names or list(known)
    describe(select(chosen, wanted, known), store)  # once for all; a wrong name fails before any reading
    if profile or changes:
        return [_evidence(known, name, wanted, store) for name in chosen]
    return [_largest(known, name, store) for name in chosen]


def judged_in(planned: Plan, chosen: Variant) -> list[ConcreteStage]:
    """The stages of a plan that judge the papers which it was made for, in their order."""
    found = [stage for stage in planned.stages if stage.name == VERDICTS and stage.profile == chosen.name]
    return sorted(found, key=lambda stage: stage.paper)


def of_plan(planned: Plan, chosen: Variant, store: Store) -> list[Evidence]:
    """The evidence of all papers of a plan, as it has just been compared with the record."""
    return [
        _of(stage.paper, chosen, _part(planned, with_inputs([stage], planned.stages)), store)
        for stage in judged_in(planned, chosen)
    ]


def _part(planned: Plan, stages: list[ConcreteStage]) -> Plan:
    outs = {stage.out for stage in stages}
    return Plan(stages, {out: planned.reasons[out] for out in outs}, planned.waiting & outs)


def _largest(known: dict[str, Experiment], name: str, store: Store) -> Evidence:
    for profile in reversed(PROFILES):
        if (_folder(name, Variant(profile)) / VERDICTS).exists():  # else there is nothing to compare with the record
            found = _evidence(known, name, Variant(profile), store)
            if found.judged:
                return found
    return _evidence(known, name, Variant("quick"), store)


def _folder(name: str, chosen: Variant) -> Path:
    return ROOT / "data" / chosen.name / name


def _evidence(known: dict[str, Experiment], name: str, chosen: Variant, store: Store) -> Evidence:
    return _of(name, chosen, compare(select([name], chosen, known), store), store)


def _of(name: str, chosen: Variant, planned: Plan, store: Store) -> Evidence:
    judged = None if planned.work else _judged(name, chosen, planned.stages, store)
    return Evidence(name, chosen, planned, read(name), judged)


def _judged(name: str, chosen: Variant, stages: list[ConcreteStage], store: Store) -> Judged:
    own = {stage.out: stage for stage in stages}
    folder = f"data/{chosen.name}/{name}"
    results = own[f"{folder}/results"]
    verdicts = json.loads(store.read(own[f"{folder}/{VERDICTS}"], "verdicts.json"))
    rows = json.loads(store.read(results, "metrics.json"))
    return Judged(
        rules={rule: verdicts[rule] for rule in ("alpha", "minimum_seeds", "minimum_items")},
        claims=verdicts["claims"],
        controls=verdicts["controls"],
        tables=json.loads(store.read(results, "tables.json")),
        measured=partial(_measured, name, rows),
        origins=_origins(stages, store),
        environment=_environment(stages),
    )


def _measured(name: str, rows: list[dict[str, Any]]) -> dict[str, Figure]:
    return figures_of(papers()[name], rows)


def _environment(stages: list[ConcreteStage]) -> dict[str, str]:
    """Python, the device class, and the versions of the libraries that the stages' code imports."""
    found: dict[str, str] = json.loads((ROOT / "data/environment/environment.json").read_text())
    for code in sorted({stage.code for stage in stages if stage.code}):
        found |= json.loads((ROOT / code).read_text())["libraries"]
    return found


def _origins(stages: list[ConcreteStage], store: Store) -> dict[str, Origin]:
    known_runs = _known_runs()
    digests = {stage.out: store.digest(stage) for stage in stages}
    origins = {}
    for stage in stages:
        made = published(stage.out)
        if made.get("digest") != digests[stage.out] or "commit" not in made:
            made = {}
        inputs = {folder: digests[folder] for folder in stage.input_folders if folder in digests}
        origins[stage.name] = Origin(stage, digests[stage.out], inputs, made, known_runs.get(stage.out, ""))
    return origins


def _known_runs() -> dict[str, str]:
    """The run in MLflow of each output; none where the note of them is damaged, for no number rests on it."""
    try:
        known = json.loads((SPOOL / "runs.json").read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def figures_of(experiment: Experiment, rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """The cells of the paper's tables by name, out of the rows that were measured.

    Raises UserError where a name means different numbers: one would stand in the place of the other.
    """
    found: dict[str, Figure] = {}
    for figure in _figures(experiment, rows):
        if found.setdefault(figure.name, figure) != figure:
            raise UserError(
                f"flows/{experiment.name}: two tables have different figures named {figure.name}: "
                "give the rows of one of them other names."
            )
    return found


def _figures(experiment: Experiment, rows: list[dict[str, Any]]) -> Iterator[Figure]:
    """The cells of the paper's tables, with their values."""
    for table in experiment.paper.tables:
        cells: dict[tuple[str, str], list[tuple[Any, float, str]]] = {}
        drawn: set[tuple[str, str]] = set()
        for row in rows:
            for quantity in table.quantities:
                if quantity in row and table.rows in row and (not table.columns or table.columns in row):
                    labels = [quantity, row[table.rows], *([row[table.columns]] if table.columns else [])]
                    place = ("/".join(str(label) for label in labels), quantity)
                    label = row.get("seed", row.get("draw"))
                    cells.setdefault(place, []).append((label, row[quantity], row["stage"]))
                    if "draw" in row:
                        drawn.add(place)
        for (name, quantity), values in cells.items():
            seeded = any(label is not None for label, _, _ in values)
            over = "draw" if (name, quantity) in drawn else "seed" if seeded else "value"
            yield Figure(name, quantity, _meaning(experiment, values[0][2], quantity), tuple(values), over)


def _meaning(experiment: Experiment, stage: str, quantity: str) -> str:
    """What a quantity is, in the words of the stage that measured it: two stages may have one of the same name."""
    families = [name for name in experiment.stages if f"{stage}-".startswith(f"{name}-")]
    meaning: str = experiment.stages[max(families, key=len)].function.measures[quantity]  # type: ignore[attr-defined]
    return meaning


def _interval(values: list[float], over: str) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    import numpy as np

    from tasks.judging.intervals import Ensemble, of_pairs

    if over == "draw":
        return Ensemble(tuple(sorted(values))).interval(FIGURE_LEVEL)

    return of_pairs(np.array(values)).interval(FIGURE_LEVEL)


def measured_by(entry: Mapping[str, Any]) -> list[str]:
    """The stages that measured what a claim or a control rests on."""
    sides = ("left_stage", "right_stage")
    return sorted({pair[side] for part in entry["parts"] for pair in part["pairs"] for side in sides if pair[side]})


def sources(origins: list[Origin]) -> list[Origin]:
    """Those of the stages that fetch data."""
    return [origin for origin in origins if origin.stage.paper == SOURCES and origin.stage.kind == "fetch"]
