"""What the command says: help with examples, and one plain sentence for whatever is wrong."""

import subprocess
import sys

import pytest
from conftest import ROOT, Clone


def tenfold(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from tools.__main__ import main\n"
        f"sys.argv = {['tenfold', *arguments]!r}\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('loaded', sorted({'torch', 'prefect', 'mlflow'} & set(sys.modules)), file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reproduce", "bxt"], "There is no paper bxt. Did you mean btx?"),
        (["reproduce", "--profile", "quik"], "There is no profile quik. Did you mean quick?"),
        (["reproduce", "btx", "-S", "expert.generl=0.2"], "Did you mean general?"),
        (["reproduce", "btx", "-S", "expert.general=-0.2"], "greater than or equal to 0"),
        (["reproduce", "btx", "-S", "expert.general=NaN"], "general"),
        (["reproduce", "btx", "-S", "expert.general=lots"], "valid number"),
        (["reproduce", "--jobs", "-3"], "greater than or equal to 1"),
        (["why", "expert-cod-0"], "Did you mean btx/expert-code-0?"),
        (["verify", "--rerun", "nothing"], "There is no stage nothing."),
        (["reproduse"], "No such command 'reproduse'"),
        (["ui", "--mlflow-port", "0"], "greater than or equal to 1"),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(arguments: list[str], said: str) -> None:
    ended = tenfold(*arguments)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "loaded []" in ended.stderr


@pytest.mark.parametrize(
    "command", ["reproduce", "list", "status", "why", "data", "compile", "ui", "doctor", "verify", "new"]
)
def test_help_has_an_example(command: str) -> None:
    ended = tenfold(command, "--help")
    assert ended.returncode == 0
    assert f"tenfold {command}" in ended.stdout.split("Example", 1)[1]


def test_debug_shows_the_traceback() -> None:
    ended = tenfold("--debug", "reproduce", "bxt")
    assert ended.returncode != 0
    assert "Traceback" in ended.stderr


def test_doctor_and_data_and_list() -> None:
    assert "✓ git" in tenfold("doctor").stdout
    assert "CC BY-SA 4.0" in tenfold("data").stdout
    assert "2403.07816" in tenfold("list").stdout


def test_a_broken_lock_is_a_sentence(done: Clone) -> None:
    (done.root / "pipelines/quick/tiny/dvc.lock").write_text("schema: '2.0'\nstages: [")
    ended = done.tenfold("status", check=False)
    assert ended.returncode == 1
    assert "git restore" in ended.stderr
    assert "Traceback" not in ended.stderr
