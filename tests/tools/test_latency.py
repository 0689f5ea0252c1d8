"""tenfold latency: every mistake is a sentence, and the answer says what the times say, with intervals."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tasks.base.errors import UserError
from tests.framework_tax.made_records import point, record
from tools.latency import answer as answers
from tools.latency import cli
from tools.latency.comparison import compare
from tools.latency.page import write_page

BATCHES = (1, 2, 4, 8, 64)


def made(scale: float = 1.0, **changes: Any) -> dict[str, Any]:
    """Eager 1 + 0.1 b ms, ONNX Runtime 0.2 + 0.1 b ms, OpenVINO as eager but wrong."""
    points = [point("eager", b, scale * (1 + 0.1 * b)) for b in BATCHES]
    points += [point("onnxruntime", b, 0.2 + 0.1 * b) for b in BATCHES]
    points += [point("openvino", b, 0.1) | {"error": 0.2} for b in BATCHES]
    points += [point("torchscript", b) | {"failed": "it branches"} for b in BATCHES]
    return record(*points) | changes


def written(path: Path, found: dict[str, Any]) -> Path:
    path.write_text(json.dumps(answers.answer(found, 2.0) | {"model": "m:build", "record": found}))
    return path


def test_the_answer_tells_regime_knee_ranking_and_what_is_free() -> None:
    found = answers.answer(made(), 2.0)
    assert found["withheld"] == ""
    assert [row["runtime"] for row in found["ranking"]["1"]] == ["onnxruntime", "eager"]
    assert found["ranking"]["1"][1]["slower_than_first"][0] == pytest.approx(1.1 / 0.3, rel=0.02)
    eager = found["regimes"]["eager"]
    assert (eager["1"]["regime"], eager["64"]["regime"]) == ("framework-bound", "growing with the batch")
    assert eager["1"]["fixed"][0] == pytest.approx(1 / 1.1, abs=0.03)
    assert eager["1"]["removable"][0] == pytest.approx(0.8, abs=0.05)
    assert found["regimes"]["onnxruntime"]["1"]["regime"] == "mostly fixed", "no other runtime has less"
    assert found["knees"]["eager"] == pytest.approx(10, rel=0.2)
    assert eager["1"]["free_batch"] == 2
    assert "onnxruntime is fastest" in found["advice"][0]
    assert {one["runtime"] for one in found["void"]} == {"openvino"}
    assert {one["reason"] for one in found["failed"]} == {"it branches"}
    for runtime, own in found["latency_ms"].items():
        for value, low, high in own.values():
            assert low <= value <= high, runtime


def test_what_no_runtime_does_without_is_not_called_the_frameworks() -> None:
    """Weights that are read from memory do not grow with the batch either."""
    points = [point(arm, b, 1 + 0.1 * b) for arm in ("eager", "onnxruntime") for b in BATCHES]
    found = answers.answer(record(*points), None)
    assert found["regimes"]["eager"]["1"]["regime"] == "mostly fixed"
    assert "may be weights" in found["advice"][0]


def test_a_curve_that_is_not_affine_has_no_regime() -> None:
    points = [point("eager", b, 10.0 if b == 4 else 1 + 0.1 * b) for b in BATCHES]
    found = answers.answer(record(*points), None)
    assert not found["regimes"]
    assert "not affine" in found["advice"][0]


def test_runtimes_that_are_alike_are_not_ranked() -> None:
    points = [point(arm, b, 1 + 0.1 * b) for arm in ("eager", "onnxruntime") for b in BATCHES]
    found = answers.answer(record(*points), None)
    assert "not told apart" in found["advice"][0] or found["ranking"]["1"][1]["slower_than_first"][0] < 1.02


def test_a_busy_machine_gets_no_advice_but_to_measure_again() -> None:
    found = answers.answer(made(busy={"unavailable": "others kept 1.9 of 2 cores busy"}), None)
    assert found["advice"] == ["Measure again: others kept 1.9 of 2 cores busy."]


def test_a_regression_is_told_with_its_interval_and_noise_is_not(tmp_path: Path) -> None:
    before = written(tmp_path / "a.json", made())
    same, slower = written(tmp_path / "b.json", made()), written(tmp_path / "c.json", made(1.2))
    assert {one.verdict for one in compare(before, same)} == {"not told apart"}
    found = {(one.runtime, one.batch): one for one in compare(before, slower)}
    assert found["eager", 1].verdict == "slower"
    assert found["eager", 1].ratio == pytest.approx(1.2, rel=0.01)
    small = written(tmp_path / "d.json", made(1.03))
    assert {one.verdict for one in compare(before, small)} == {"not told apart"}, "processes differ by as much"
    assert found["onnxruntime", 1].verdict == "not told apart"
    assert ("openvino", 1) not in found


def test_answers_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    before = written(tmp_path / "a.json", made())
    other = written(tmp_path / "b.json", made(machine="another processor"))
    with pytest.raises(UserError, match="differ in machine"):
        compare(before, other)
    busy = written(tmp_path / "c.json", made(busy={"unavailable": "others kept 1.9 of 2 cores busy"}))
    with pytest.raises(UserError, match="no sound measurement"):
        compare(before, busy)
    (tmp_path / "d.json").write_text("[]")
    with pytest.raises(UserError, match="no answer of tenfold latency"):
        compare(before, tmp_path / "d.json")


def test_the_page_loads_nothing_and_escapes_what_it_is_given(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(answers.answer(made(), 2.0), "<script>alert(1)</script>", page)
    text = page.read_text()
    assert "<script" not in text
    assert "src=" not in text
    assert "<svg" in text
    assert "onnxruntime" in text
    assert "it branches" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": ""}, "Name your model"),
        ({"model": "no_such_module:build"}, "cannot be imported"),
        ({"model": "nothing"}, "no folder, no ONNX file"),
        ({"model": "no.onnx"}, "no file no.onnx"),
        ({"model": "json:loads", "batch": "0,1"}, "no batches"),
        ({"model": "json:loads", "runtimes": "tensorrt"}, "tensorrt cannot be asked for"),
        ({"model": "x:y", "compare_with": (Path("a"), Path("b"))}, "takes two answers"),
    ],
)
def test_bad_input_is_a_sentence(arguments: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {
        "batch": "1",
        "runtimes": "",
        "threads": 1,
        "blocks": 8,
        "out": Path("latency.json"),
        "page": Path("latency.html"),
        "compare_with": None,
    }
    with pytest.raises(UserError, match=said):
        cli.latency(**(given | arguments))


def test_the_command_is_there() -> None:
    from tools.__main__ import command_line

    done = CliRunner().invoke(command_line(), ["latency", "--help"])
    assert done.exit_code == 0
    assert "--compare" in done.output
