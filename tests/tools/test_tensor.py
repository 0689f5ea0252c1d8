"""`tenfold tensor`: a fault of one's own is found and named, and every mistake is a sentence."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.engine import cli as engine
from models.tensor.backend import REQUIRED
from tasks.base.errors import UserError
from tools.__main__ import command_line
from tools.tensor import bench

MINE = """
import numpy as np

from models.tensor.backend import TensorBackend
from models.tensor.memory import Naive, Place
from models.tensor.numpy_backend import NumpyBackend


class Good(NumpyBackend):
    pass


class Wrong(NumpyBackend):
    def cos(self, x):
        return np.cos(x) * 1.001


class Half(TensorBackend):
    def add(self, x, y):
        return x + y


class NeedsMore(NumpyBackend):
    def __init__(self, device):
        super().__init__()


class Greedy(Naive):
    def allocate(self, size):
        return Place(self._reserve(2 * size), 0, size)


class Overlapping(Naive):
    def allocate(self, size):
        self.segments[1] = 1 << 30
        return Place(1, 0, size)

    def free(self, place):
        pass


number = 3
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "tried.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tried", raising=False)
    monkeypatch.setattr(bench, "NETWORKS", ("mlp-4-16",))
    monkeypatch.setattr(bench, "TRAINED", ("mlp-4-16",))


def called(*words: str) -> tuple[int, str]:
    command_line()
    result = CliRunner().invoke(engine.app, ["tensor", *words])
    if isinstance(result.exception, UserError):
        return 1, str(result.exception)
    return result.exit_code, result.output


def test_a_good_backend_passes_and_is_timed() -> None:
    code, said = called("bench", "tried:Good", "--repetitions", "2")
    assert code == 0, said
    assert "cases pass" in said
    assert "mlp-4-16" in said


def test_a_wrong_one_fails_with_its_cases_and_the_rest_goes_on() -> None:
    code, said = called("bench", "tried:Wrong", "--repetitions", "2", "--shown", "3")
    assert code == 1
    assert "sin, float32: a gradient differs by up to" in said
    assert "more: --shown" in said
    assert "mlp-4-16" in said


def test_a_manager_is_compared_by_what_it_reserves() -> None:
    code, said = called("bench", "tried:Greedy")
    assert code == 0, said
    assert "yes" in said


def test_a_manager_that_gives_the_same_bytes_twice_is_found() -> None:
    code, said = called("bench", "tried:Overlapping")
    assert code == 1
    assert "meet others in use" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bench",), "Name your class, such as my_backend:Backend."),
        (("bench", "tried"), "tried is not of the form"),
        (("bench", "nowhere:Backend"), "nowhere cannot be imported"),
        (("bench", "tried:Nothing"), "tried has no Nothing."),
        (("bench", "tried:number"), "a backend or a memory manager is a class"),
        (("bench", "tried:Half"), f"Half lacks {len(REQUIRED) - 1} of {len(REQUIRED)} methods: from_numpy, to_numpy"),
        (("bench", "tried:NeedsMore"), "NeedsMore() cannot be made"),
        (("bench", "tried:Place"), "Place is no class below TensorBackend or MemoryManager"),
        (("stub", "tried:Good"), "stub takes no class"),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str, ...], says: str) -> None:
    code, said = called(*words)
    assert code == 1
    assert says in said


def test_the_skeleton_has_every_method_and_can_be_made(tmp_path: Path) -> None:
    code, said = called("stub")
    assert code == 0
    names: dict[str, type] = {}
    exec(said, names)  # noqa: S102 - it is our own skeleton
    backend = names["Backend"]()
    with pytest.raises(NotImplementedError, match="conv2d"):
        backend.conv2d(None, None, (1, 1), (0, 0), 1)
