"""Histories by chance: edits, kills, full disks, company, pulls and damage, and the six invariants after each.

TENFOLD_HISTORIES sets how many; `pytest -m slow tests/faults` runs the long form.
"""

import os
from collections import Counter
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from damage import KINDS
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from minis import Minis
from world import EDITS, Oracle, World

FEW, MANY = 5, 200
STEPS = 6
"""How much happens in a history."""

WHO = ("driver", "driver", "driver", "texts", "cleaned", "drawn-0", "clocked", "counted", "results", "verdicts")
edits = st.sampled_from([(name, value) for name, known in EDITS.items() for value in known[3]])
damages = st.tuples(st.sampled_from(KINDS), st.integers(0, 99)).map(lambda drawn: (*drawn[0], drawn[1]))
faults = st.fixed_dictionaries(
    {
        "who": st.sampled_from(WHO),
        "what": st.sampled_from(["kill", "kill", "raise", "interrupt"]),
        "at": st.integers(1, 150),
    }
)
company = st.lists(
    st.one_of(
        st.just(("reproduce", None)),
        st.just(("reproduce", None)),
        edits.map(lambda edit: ("edit", edit)),
        damages.map(lambda damage: ("damage", damage)),
    ),
    min_size=1,
    max_size=3,
)


class Histories(RuleBasedStateMachine):
    """What may happen to a checkout, in any order."""

    minis: ClassVar[Minis]
    oracle: ClassVar[Oracle]
    plain: ClassVar[bool] = True
    count: ClassVar[int] = 0
    happened: ClassVar[Counter[str]] = Counter()

    @initialize(finished=st.sampled_from([True, True, False]))
    def begin(self, finished: bool) -> None:
        mini = self.minis.done() if finished else self.minis.untouched()
        self.world = World(mini, self.oracle, self.plain)
        self.world.done.append("begin with all done" if finished else "begin with nothing done")

    @rule(edit=edits)
    def edit(self, edit: tuple[str, Any]) -> None:
        self.world.edit(*edit)

    @rule(damage=damages)
    def damage(self, damage: tuple[str, str, int]) -> None:
        self.world.damage(*damage)
        self.world.claims()

    @rule(jobs=st.integers(1, 3))
    def reproduce(self, jobs: int) -> None:
        self.world.reproduce(jobs)

    @rule(fault=faults, jobs=st.integers(1, 3))
    def reproduce_with_a_fault(self, fault: dict[str, Any], jobs: int) -> None:
        self.world.reproduce_with(fault, jobs)

    @rule(at=st.integers(1, 150), jobs=st.integers(1, 3), company=company)
    def reproduce_in_company(self, at: int, jobs: int, company: list[tuple[str, Any]]) -> None:
        self.world.reproduce_beside(at, jobs, company)

    @rule(at=st.integers(1, 150))
    @precondition(lambda self: not self.world.ever_damaged and "dvc" not in self.world.done)
    def reproduce_beside_dvc(self, at: int) -> None:
        self.world.reproduce_beside(at, 2, [("dvc", None)])

    @rule(damage=st.one_of(st.none(), st.integers(0, 99)))
    def pull(self, damage: int | None) -> None:
        self.world.pull(damage)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.reproduce(2)
            self.world.claims()
            type(self).count += 1
            self.happened.update(step.split()[0] for step in self.world.done)


class TrackedHistories(Histories):
    """The same with Prefect and MLflow."""

    plain = False
    count = 0
    happened: ClassVar[Counter[str]] = Counter()


def run(machine: type[Histories], number: int) -> None:
    """Run histories; one takes seconds, so that one which breaks an invariant is shown as it was found."""
    how = settings(
        max_examples=number,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(machine, settings=how)
    finally:
        print(f"{machine.count} histories: {dict(machine.happened.most_common())}")


def number(by_default: int) -> int:
    return int(os.environ.get("TENFOLD_HISTORIES", by_default))


def test_a_few_histories(minis: Minis, oracle: Oracle) -> None:
    Histories.minis, Histories.oracle = minis, oracle
    run(Histories, min(number(FEW), FEW))


@pytest.mark.slow
def test_many_histories(minis: Minis, oracle: Oracle, capsys: pytest.CaptureFixture[str]) -> None:
    Histories.minis, Histories.oracle = minis, oracle
    with capsys.disabled():
        run(Histories, number(MANY))


@pytest.mark.slow
def test_histories_with_prefect_and_mlflow(
    tracked_minis: Minis, oracle: Oracle, capsys: pytest.CaptureFixture[str]
) -> None:
    TrackedHistories.minis, TrackedHistories.oracle = tracked_minis, oracle
    with capsys.disabled():
        run(TrackedHistories, number(MANY) // 20)
