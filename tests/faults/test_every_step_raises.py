"""Something fails at each step of a reproduction in turn: none in which a stage did not end is a success."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from minis import Minis
from world import Oracle, World

ENGINE = ("execute", "store", "record", "schedule", "surroundings", "processes", "plan", "plain", "session")
FEW = (
    "Executor.run", "Executor._run_command", "Executor._tell", "Store.snapshot", "Store.restore", "Store.commit",
    "Lock.write", "save_run", "refresh_code", "reproduce.<locals>.begin",
)  # fmt: skip
"""Where something fails in every test run; elsewhere and at other times it is slow to try."""
STEPS = 160
"""More than a reproduction here takes."""


def functions() -> Iterator[tuple[str, str]]:
    """Every function of the modules that run stages: its file, and its name there."""

    def inside(node: ast.AST, where: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from inside(child, f"{where}{child.name}.")
            elif isinstance(child, ast.FunctionDef):
                yield f"{where}{child.name}"
                yield from inside(child, f"{where}{child.name}.<locals>.")

    for name in ENGINE:
        file = f"flows/engine/{name}.py"
        yield from ((file, function) for function in inside(ast.parse((ROOT / file).read_text()), ""))


def cases() -> Iterator[Any]:
    for file, function in functions():
        for at in (1, 2, 5):
            few = at == 2 and function in FEW
            name = f"{Path(file).stem}-{function}-{at}"
            yield pytest.param(file, function, at, id=name, marks=[] if few else pytest.mark.slow)


@pytest.fixture
def world(minis: Minis, oracle: Oracle) -> World:
    """A mini in which most has to run again."""
    made = World(minis.done(), oracle)
    made.edit("length", 1001)
    return made


@pytest.mark.parametrize(("file", "function", "at"), [*cases()])
def test_an_error_in_a_function(world: World, file: str, function: str, at: int) -> None:
    ended = world.reproduce_with({"in": function, "file": file, "at": at}, jobs=2)
    if at == 2 and function in FEW:
        assert ended.code == 1, "it failed, and was not heard"
    world.reproduce(jobs=2)


@pytest.mark.slow
@pytest.mark.parametrize("function", FEW[:-1])
def test_an_error_in_a_function_is_no_finished_run(tracked_minis: Minis, oracle: Oracle, function: str) -> None:
    """With Prefect and MLflow, too, which is told that the reproduction failed."""
    world = World(tracked_minis.done(), oracle, plain=False)
    world.edit("length", 1001)
    file = next(file for file, name in functions() if name == function)
    assert world.reproduce_with({"in": function, "file": file, "at": 2}, jobs=2).code == 1
    world.reproduce(jobs=2)


@pytest.mark.parametrize("what", ["raise", "kill", "interrupt"])
@pytest.mark.parametrize(
    "at", [pytest.param(at, marks=[] if at % 80 == 20 else pytest.mark.slow) for at in range(1, STEPS)]
)
def test_a_fault_at_each_step_of_the_driver(world: World, what: str, at: int) -> None:
    world.reproduce_with({"who": "driver", "what": what, "at": at}, jobs=1)
    world.reproduce(jobs=1)


@pytest.mark.parametrize("what", ["raise", "kill"])
@pytest.mark.parametrize("at", [pytest.param(at, marks=[] if at == 7 else pytest.mark.slow) for at in range(1, 25)])
def test_a_fault_at_each_step_of_a_stage(world: World, what: str, at: int) -> None:
    world.reproduce_with({"who": "drawn-1", "what": what, "at": at}, jobs=1)
    world.reproduce(jobs=1)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise SystemExit", "tenfold: drawn-0 ended itself by sys.exit(None)"),
        ("os._exit(0)", "It ended with exit code 0, and left no result."),
    ],
)
def test_a_stage_that_ends_itself_has_not_ended_well(minis: Minis, how: str, said: str) -> None:
    """A library that ends the process, with exit code 0, and nothing is there."""
    mini = minis.untouched()
    mini.edit("tasks/mini.py", lambda code: code.replace('(out / "inner").mkdir()', how))
    ended = mini.reproduce()
    assert ended.code == 1, ended.output
    assert said in ended.output
    assert "edited" not in ended.output
