"""The walk-through of CONTRIBUTING.md, as it stands there: what is added shows up everywhere, and no code is edited."""

import re
import subprocess

from conftest import ROOT, Clone, read_json, runs_of

SHARED = ("flows/engine/", "tasks/", "tools/__main__.py", "models/", "pyproject.toml")
COMMANDS = 'set -e\ntenfold() { python -m tools "$@"; }\npytest() { python -m pytest "$@"; }\n'
"""The clone's own commands: those on the PATH are this checkout's."""


def walk_through() -> list[str]:
    """The blocks of shell commands in the section, without the indentation of the list that they stand in."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## An eleventh paper")[1]
    blocks = re.findall(r"^   ```sh\n(.*?)^   ```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub("^   ", "", block, flags=re.MULTILINE) for block in blocks]


def shell(clone: Clone, script: str, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        ["bash", "-c", COMMANDS + script], cwd=clone.root, env=clone.environment, capture_output=True, text=True
    )
    assert not check or ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
    return ended


def edited(clone: Clone) -> list[str]:
    """The tracked files that differ from the commit."""
    command = ["git", "diff", "--name-only", "HEAD"]
    return subprocess.run(command, cwd=clone.root, capture_output=True, text=True, check=True).stdout.splitlines()


def test_what_the_walk_through_adds_shows_up_everywhere(done: Clone) -> None:
    """A paper, its tasks, a source and a tool, by the commands of the document alone."""
    before = edited(done)
    source, paper, tool = walk_through()
    write_tool, ask = tool.rsplit("tenfold", 1)
    ask = f"tenfold{ask}"

    shell(done, source)
    shell(done, paper.split("\n", 1)[0])
    shell(done, write_tool)
    missing = shell(done, ask, check=False)
    assert missing.returncode == 1
    assert missing.stderr.splitlines() == [
        "tenfold: vowels/counts-1 has not run here at quick: run tenfold reproduce vowels --profile quick first."
    ]
    said = shell(done, paper.split("\n", 1)[1]).stdout
    assert "2 of the 2 predictions" in said

    assert "vowels" in done.tenfold("list").stdout
    assert "own-code" in done.tenfold("data").stdout
    assert "guess" in done.tenfold("--help").stdout
    for profile in ("quick", "cpu"):
        assert (done.root / "pipelines" / profile / "vowels/dvc.yaml").exists()
    assert "own-code" in (done.root / "pipelines/sources/dvc.yaml").read_text()
    assert "data/quick/vowels/verdicts" in (done.root / "dvc.yaml").read_text()
    assert "name: vowels" in (done.root / "prefect.yaml").read_text()
    described = read_json(done.root / "mlflow/experiments.json")["vowels"]
    assert "Four letters of context foretell a letter better than two" in described

    judged = read_json(done.root / "data/quick/vowels/verdicts/verdicts.json")
    assert [claim["verdict"] for claim in judged["claims"]] == ["SUPPORTED", "CONTRADICTED"]
    assert [claim["n"] for claim in judged["claims"]] == [8, 8]
    assert not any(claim["post_hoc"] for claim in judged["claims"])
    assert {control["kind"]: control["passed"] for control in judged["controls"]} == {"planted": True, "shuffled": True}

    output = done.tenfold("reproduce", "--plain").stdout
    assert "✓ report/report" in output
    assert "✓ tiny/" not in output, "the other papers are left alone"
    assert "vowels: Bits a letter" in (done.root / "data/report/report.md").read_text()
    done.tenfold("report", "vowels")
    assert "Two letters of context foretell a letter" in (done.root / "report/vowels.html").read_text()
    runs = runs_of(done)["vowels"]
    assert ("counts-1", "FINISHED", ["letters"]) in [(run["name"], run["status"], [*run["metrics"]]) for run in runs]
    assert any("bits/context-2/held-out" in run["metrics"] for run in runs)

    assert shell(done, ask).stdout == "e\n"
    done.edit("tasks/vowels/letters.py", lambda code: code.replace("def count(", "# Counted.\ndef count("))
    assert shell(done, ask).stdout == "e\n", "a comment makes nothing stale"
    done.edit("tasks/vowels/letters.py", lambda code: code.replace('"[^a-z]+"', '"[^a-y]+"'))
    *stale, answer = shell(done, ask).stdout.splitlines()
    assert answer == "e"
    assert " ".join(stale).count("vowels/counts-1 is not up to date at quick") == 1
    assert "read in tasks/vowels/letters.py" in " ".join(stale)
    assert "tenfold reproduce vowels --profile quick" in " ".join(stale)

    assert "data/sources.yaml" in set(edited(done)) - set(before)
    assert not [path for path in edited(done) if path.startswith(SHARED)]
