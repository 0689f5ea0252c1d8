"""Each kind of damage and of company by itself, then the same command again."""

import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from damage import FILES, FOLDERS, KINDS, TO_FILES, TO_OUTPUTS, lose
from minis import Minis, until, waits_for_a_lock
from world import Oracle, World

from flows.engine.report import page


@pytest.fixture
def world(minis: Minis, oracle: Oracle) -> World:
    """A mini in which all is done."""
    return World(minis.done(), oracle)


HANDS = [*TO_FILES]
IN_EVERY_RUN = {
    *((kind, HANDS[number % len(HANDS)]) for number, kind in enumerate(FILES)),
    *((kind, "lose") for kind in FOLDERS),
    *(("output/", how) for how in TO_OUTPUTS),
}


@pytest.mark.parametrize(
    ("kind", "how"), [pytest.param(*one, marks=[] if one in IN_EVERY_RUN else pytest.mark.slow) for one in KINDS]
)
def test_damage(world: World, kind: str, how: str) -> None:
    for number in (0, 7):
        world.damage(kind, how, number)
    world.claims()
    world.reproduce(jobs=2)
    world.claims()


@pytest.mark.parametrize(
    "company",
    [
        pytest.param([("reproduce", None)], id="another"),
        pytest.param([("reproduce", None), ("reproduce", None)], id="two-others", marks=pytest.mark.slow),
        pytest.param([("dvc", None)], id="dvc", marks=pytest.mark.slow),
        pytest.param([("edit", ("keep", 11))], id="edit"),
        pytest.param([("edit", ("version", 2)), ("reproduce", None)], id="edit-and-another"),
    ],
)
@pytest.mark.parametrize(
    "at", [pytest.param(at, marks=[] if at == 70 else pytest.mark.slow) for at in range(10, 150, 10)]
)
def test_company(minis: Minis, oracle: Oracle, at: int, company: list[tuple[str, Any]]) -> None:
    """A driver stands still at one of its steps while others work."""
    world = World(minis.untouched(), oracle)
    world.reproduce_beside(at, 2, company)
    world.reproduce(jobs=2)


def test_a_pull_in_place_of_a_run(world: World) -> None:
    world.pull(None)
    ended = world.mini.reproduce()
    assert "Nothing to do" in ended.output, ended.output
    world.check_well(ended)


@pytest.mark.parametrize(
    "number", [0, pytest.param(9, marks=pytest.mark.slow), pytest.param(21, marks=pytest.mark.slow)]
)
def test_a_pull_from_a_damaged_remote(world: World, number: int) -> None:
    world.pull(number)
    world.reproduce(jobs=2)


def test_the_server_of_the_stages_dies(minis: Minis, oracle: Oracle) -> None:
    """A sentence, no stage that goes on, and the same command again."""
    world = World(minis.untouched(), oracle)
    ours = world.mini.begin("reproduce", "--plain", fault={"who": "cleaned", "what": "stop", "at": 5})
    server = int(Path(f"/proc/{world.mini.stopped()}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    ended = ours.wait()
    assert ended.code == 1, ended.output
    assert "free some, or run fewer stages at once" in ended.output
    world.check_after(ended, disturbed=True)
    world.reproduce(jobs=2)


# What histories have found


def test_a_link_to_a_folder_in_place_of_a_compiled_file(world: World) -> None:
    path = world.mini.root / "pipelines/sources/params.json"
    path.unlink()
    path.symlink_to(world.mini.root / "pipelines")
    world.reproduce(jobs=1)


@pytest.mark.slow
def test_a_dvc_repro_describes_the_machine_while_a_driver_does(minis: Minis, oracle: Oracle) -> None:
    world = World(minis.untouched(), oracle)
    world.reproduce_beside(91, 2, [("dvc", None)])


def test_a_lock_file_that_dvc_is_writing(world: World) -> None:
    """DVC writes the file bit by bit and holds its lock: who finds half a file waits for the other half."""
    path = world.mini.root / "pipelines/quick/mini/dvc.lock"
    whole = path.read_bytes()
    with open(world.mini.root / ".dvc/tmp/lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.write_bytes(whole[: len(whole) // 2])
        ours = world.mini.begin("reproduce", "--plain")
        until(lambda: waits_for_a_lock(ours.pid) or ours.is_over(), "the driver's wait")
        path.write_bytes(whole)
    ended = ours.wait()
    assert ended.code == 0, ended.output
    world.check_well(ended)


def test_what_was_made_and_not_recorded_is_taken(world: World) -> None:
    """As after a kill between an output and its record: the clock would give another one."""
    mini = world.mini
    before = mini.on_disk()["data/quick/mini/clocked"]
    lose(mini.root / "pipelines/quick/mini/dvc.lock")
    lose(mini.root / ".dvc/cache/runs")
    world.reproduce(jobs=2)
    assert mini.computed() == []
    assert mini.on_disk()["data/quick/mini/clocked"] == before


@pytest.mark.slow
def test_a_dvc_repro_removes_an_output_that_is_being_recorded(minis: Minis, oracle: Oracle) -> None:
    world = World(minis.untouched(), oracle)
    world.reproduce_beside(1, 2, [("dvc", None)])


def test_two_reports_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three reproductions ended at one moment, and one failed: another had moved away the file that it had written."""
    path, replace, others = tmp_path / "index.html", os.replace, []

    def after_another(source: Path, target: Path) -> None:
        if not others:
            others.append(os.fork())
            if not others[0]:
                page._put(path, "theirs")
                os._exit(0)
            os.waitpid(others[0], 0)
        replace(source, target)

    monkeypatch.setattr(os, "replace", after_another)
    page._put(path, "ours")
    assert path.read_text() == "ours"
