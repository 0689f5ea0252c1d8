"""What a reproduction has to do: the stages in order, and why each one must run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from flows.engine import recall, surroundings
from flows.engine.compile import compiled, write
from flows.engine.discover import Experiment, broken, choose, papers
from flows.engine.errors import did_you_mean
from flows.engine.expand import expand
from flows.engine.stages import ConcreteStage, report_stage, source_stages
from flows.engine.store import EditedWhileRunning, Reason, Store
from flows.engine.variant import Variant
from tasks.base.errors import UserError
from tasks.base.manifest import FOLDER
from tasks.judging.register import VERDICTS


@dataclass(frozen=True)
class Plan:
    """Stages in an order in which they can run, with the reasons of those that are not up to date.

    `waiting` are stages that are up to date by themselves but come after one that must run.
    """

    stages: list[ConcreteStage]
    reasons: dict[str, list[Reason]]
    waiting: set[str] = field(default_factory=set)

    @property
    def work(self) -> list[ConcreteStage]:
        """The stages that run or may run."""
        return [stage for stage in self.stages if self.reasons[stage.out] or stage.out in self.waiting]


def compile_papers(chosen: Variant, names: Sequence[str] = ()) -> tuple[dict[str, Experiment], list[str]]:
    """Load all papers and bring the compiled files up to date; returns the papers and what changed.

    A variant is compiled for the papers that are named, or for all: others do not have the stages that it changes.
    """
    known = papers()
    return known, write(compiled(known, list(dict.fromkeys([Variant(chosen.base), chosen])), names))


def select(names: list[str], chosen: Variant, known: dict[str, Experiment]) -> list[ConcreteStage]:
    """The stages of the chosen papers at a profile with all that they need, in running order."""
    experiments = choose(names, known)
    stages = source_stages(known)
    for experiment in experiments:
        # A variant reads what it leaves unchanged from the profile it departs from.
        for each in dict.fromkeys([Variant(chosen.base), chosen]):
            stages += expand(experiment, each)
    wanted = [stage for stage in stages if stage.name == VERDICTS and stage.profile == chosen.name]
    if not names and chosen == Variant("quick"):
        stages.append(report_stage(known))
        wanted = stages[-1:]
    return with_inputs(wanted, stages)


def with_inputs(wanted: list[ConcreteStage], stages: list[ConcreteStage]) -> list[ConcreteStage]:
    """Those of the stages that are wanted, with all that they need and what describes code and machine."""
    makers = {stage.out: stage for stage in stages}
    needed: set[str] = set()
    waiting = [stage.out for stage in wanted]
    while waiting:
        out = waiting.pop()
        if out not in needed:
            needed.add(out)
            waiting += [folder for folder in makers[out].input_folders if folder in makers]
    return [stage for stage in stages if stage.out in needed or stage.kind == "environment"]


def find_stage(name: str, stages: list[ConcreteStage]) -> ConcreteStage:
    """The stage that a user means by `name` or `paper/name`.

    Raises:
        UserError: no stage has that name, or stages of several papers do.
    """
    found = [stage for stage in stages if name in (stage.name, stage.title)]
    if not found:
        raise UserError(f"There is no stage {name}.{did_you_mean(name, [stage.title for stage in stages])}")
    if len(found) > 1:
        raise UserError(f"Several stages are called {name}: say {' or '.join(stage.title for stage in found)}.")
    return found[0]


def current(names: list[str], chosen: Variant, store: Store, *, record: bool = False) -> tuple[Plan, list[str]]:
    """The plan of the chosen papers, and which compiled files have changed; no paper is read where none can differ."""
    stages = recall.recalled(names, chosen)
    if stages is None:
        return anew(names, chosen, store, record=record)
    describe(stages, store, record=record, code=False)
    return compare(stages, store), []


def anew(names: list[str], chosen: Variant, store: Store, *, record: bool = False) -> tuple[Plan, list[str]]:
    """The same, with all papers read and compiled, and noted for the next process."""
    seen = recall.look()
    known, changed = compile_papers(chosen, names)
    stages = select(names, chosen, known)
    planned = plan(stages, store, record=record)
    if not broken():
        recall.note(seen, names, chosen, stages)
    return planned, changed


def plan(stages: list[ConcreteStage], store: Store, *, record: bool = False) -> Plan:
    """Compare the stages with the record, after describing code and machine as they are now.

    With `record`, that description goes into the record, as what runs after it will.
    """
    describe(stages, store, record=record)
    return compare(stages, store)


def describe(stages: list[ConcreteStage], store: Store, *, record: bool = False, code: bool = True) -> None:
    """Describe code and machine as they are now, in those of the stages that do; not the `code` that is known."""
    described = [stage for stage in stages if stage.kind == "environment"]
    surroundings.refresh(stage for stage in described if code or stage.out != FOLDER)
    if record:
        for stage in described:
            if store.reasons(stage):
                # A `dvc repro` beside us may describe them anew at this moment; then it records them, too.
                with suppress(FileNotFoundError, EditedWhileRunning):
                    store.commit(stage, store.snapshot(stage))


def compare(stages: list[ConcreteStage], store: Store) -> Plan:
    """Compare the stages with the record, code and machine as they were last described."""
    with store.digests.at_a_glance():
        reasons = {stage.out: [] if stage.kind == "environment" else store.reasons(stage) for stage in stages}
    store.digests.save()  # hard links of another checkout change a time by which files are known
    touched: set[str] = set()
    for stage in stages:
        if reasons[stage.out] or touched & set(stage.input_folders):
            touched.add(stage.out)
    return Plan(stages, reasons, {out for out in touched if not reasons[out]})
