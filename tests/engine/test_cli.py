"""What the command says: help with examples, and one plain sentence for whatever is wrong."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT, Clone
from typer.models import CommandInfo

from flows.engine.cli import app
from flows.engine.discover import papers
from flows.engine.variant import settings, variant
from tasks.base.errors import UserError

SERVER = """
import json, os, sys
from flows.engine.discover import papers
from tools.__main__ import main
papers()
for line in sys.stdin:
    arguments, printed, complained = json.loads(line)
    if not os.fork():
        for path, number in ((os.devnull, 0), (printed, 1), (complained, 2)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
        sys.argv = ["tenfold", *arguments]
        try:
            main()
        finally:
            print("loaded", sorted({"torch", "prefect", "mlflow"} & set(sys.modules)), file=sys.stderr)
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
"""Forks a process for each command once the papers are imported, which takes as long as a command itself."""


@dataclass
class Ended:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Tenfold = Callable[..., Ended]


@pytest.fixture(scope="module")
def tenfold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenfold]:
    """The command in this checkout, which says last what large libraries it has loaded."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    requests, answers = server.stdin, server.stdout

    def run(*arguments: str) -> Ended:
        folder = tmp_path_factory.mktemp("command")
        printed, complained = folder / "stdout", folder / "stderr"
        print(json.dumps([arguments, str(printed), str(complained)]), file=requests, flush=True)
        return Ended(int(answers.readline()), printed.read_text(), complained.read_text())

    yield run
    requests.close()
    server.wait()


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
        (["trace", "btx/mixture-beats-soop"], "Did you mean btx/mixture-beats-soup?"),
        (["trace", "btx/btm-on"], "Did you mean btx/beats-btm-on-average or btx/beats-btm-on-mixed-documents?"),
        (["trace", "nothing-of-the-kind"], "There is no claim nothing-of-the-kind. The nearest of "),
        (["why", "expert-cod-0"], "Did you mean btx/expert-code-0?"),
        (["verify", "--rerun", "nothing"], "There is no stage nothing."),
        (["reproduse"], "No such command 'reproduse'"),
        (["ui", "--mlflow-port", "0"], "greater than or equal to 1"),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(tenfold: Tenfold, arguments: list[str], said: str) -> None:
    ended = tenfold(*arguments)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert len(ended.stderr) < 400, "every name that there is"
    assert "Traceback" not in ended.stderr
    assert "loaded []" in ended.stderr


@pytest.mark.parametrize(
    "command", ["reproduce", "list", "status", "why", "data", "compile", "ui", "doctor", "verify", "new"]
)
def test_help_has_an_example(tenfold: Tenfold, command: str) -> None:
    ended = tenfold(command, "--help")
    assert ended.returncode == 0
    assert f"tenfold {command}" in ended.stdout.split("Example", 1)[1]


def named(command: CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "")


COMMANDS = tuple(named(command) for command in app.registered_commands)
LONG = ("reproduce", "ui", "publish", "new", "certificates", "scheduler", "worker")
"""Examples that run for long or write into the checkout: only their settings are tried."""
ELSEWHERE = {"--serve", "--rerun", "--cluster"}
"""What an example cannot show in a test: it runs on, or it needs a machine or a result that is not here."""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_work(tenfold: Tenfold, command: str, tmp_path: Path) -> None:
    """Or say in one sentence what has to run before: an example with a stage or a setting that is not there teaches
    nothing."""
    (shown,) = (one.callback.__doc__ or "" for one in app.registered_commands if one.callback and named(one) == command)
    examples = [line.strip() for line in shown.splitlines() if line.strip().startswith(f"tenfold {command}")]
    assert examples, "help without an example"
    for example in examples:
        words = shlex.split(example.partition("&&")[0])[1:]
        if command not in LONG and not ELSEWHERE & set(words) and "+" not in example:
            words = [str(tmp_path) if word in ("public",) else word for word in words]
            ended = tenfold(*words)
            needs = "tenfold reproduce" in ended.stdout + ended.stderr or "damaged or missing" in ended.stderr
            needs = needs or (command == "doctor" and "checks failed" in ended.stderr)  # what this machine lacks
            assert ended.returncode == 0 or needs, f"{example}: {ended.stderr}"
        for name, following in pairwise(words):
            if name == "-S":
                settings(papers()["btx"], variant("quick", [following]))


def test_a_setting_is_known_by_the_end_of_its_name() -> None:
    found = settings(papers()["btx"], variant("quick", ["expert.steps=500"]))
    assert found["expert"].optimisation.steps == 500
    with pytest.raises(UserError, match="has no setting steps"):
        settings(papers()["btx"], variant("quick", ["dense.steps=500"]))  # of the expert, or of the finetuning


def test_a_broken_paper_names_itself_and_stops_no_other(done: Clone) -> None:
    """Nor may it lose its pipelines, with the record of what has run."""
    (done.root / "flows/half.py").write_text('"""Half a paper."""\n\npaper = Paper(\n')
    compiled = (done.root / "dvc.yaml").read_text()
    ended = done.tenfold("claims", "tiny")
    assert "The paper half cannot be read and is left out: flows/half.py, line 3: SyntaxError" in ended.stderr
    assert "SUPPORTED" in ended.stdout
    assert done.tenfold("reproduce", "tiny").stdout.startswith("Nothing to do")
    asked = done.tenfold("status", "half", check=False)
    assert asked.returncode == 1
    assert "The paper half cannot be read: flows/half.py, line 3" in asked.stderr
    assert done.tenfold("compile", "--check", check=False).returncode == 1
    (done.root / "flows/half.py").unlink()
    done.edit("flows/tiny.py", lambda code: code + "\nbroken = nothing\n")
    assert "line" in done.tenfold("list").stderr
    assert (done.root / "pipelines/quick/tiny/dvc.lock").exists()
    assert (done.root / "dvc.yaml").read_text() == compiled


def test_a_broken_tool_names_itself_and_stops_no_command(done: Clone) -> None:
    (done.root / "tools/half.py").write_text('"""Half a tool."""\n\ndef command(\n')
    (done.root / "tools/none.py").write_text('"""No tool."""\n')
    ended = done.tenfold("claims", "tiny")
    assert "The tool half cannot be read and is left out: tools/half.py, line 3: SyntaxError" in ended.stderr
    assert "The tool none cannot be read" in ended.stderr
    assert "SUPPORTED" in ended.stdout


def test_debug_shows_the_traceback(tenfold: Tenfold) -> None:
    ended = tenfold("--debug", "reproduce", "bxt")
    assert ended.returncode != 0
    assert "Traceback" in ended.stderr


def test_doctor_and_data_and_list(tenfold: Tenfold) -> None:
    assert "✓ git" in tenfold("doctor").stdout
    assert "CC BY-SA 4.0" in tenfold("data").stdout
    assert "2403.07816" in tenfold("list").stdout


def test_a_broken_lock_is_a_sentence(done: Clone) -> None:
    (done.root / "pipelines/quick/tiny/dvc.lock").write_text("schema: '2.0'\nstages: [")
    ended = done.tenfold("status", check=False)
    assert ended.returncode == 1
    assert "git restore" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_waits_for_no_large_library() -> None:
    """Half of the time that `tenfold --help` took went into settings that it does not show."""
    code = "import sys, tools.__main__ as tenfold; tenfold.command_line(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pydantic", "yaml", "numpy", "prefect", "mlflow", "dvc", "torch"} & set(ended.stdout.split())


def test_a_report_that_is_current_is_not_written_anew(done: Clone) -> None:
    """Writing it takes longer than finding out that there is nothing to do; but what it shows may have changed."""
    page = done.root / "report/index.html"

    def written() -> int:
        assert "Report: report/index.html" in done.tenfold("reproduce").stdout
        return page.stat().st_mtime_ns

    first = written()
    assert written() == first
    os.utime(done.root / "flows/tiny.py")
    assert written() > first
