"""What somebody who knows DVC sees of a paper, by DVC's own commands alone."""

import json
import re
import subprocess

from conftest import Clone


def test_dvc_shows_verdicts_and_effects_and_what_an_edit_changes(done: Clone) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["add", "-A"], ["commit", "-qm", "Results"]):
        subprocess.run([*git, *command], cwd=done.root, check=True)
    shown = json.loads(done.dvc("metrics", "show", "--json").stdout)[""]["data"]
    metrics = shown["data/quick/tiny/verdicts/summary.json"]["data"]
    assert metrics["verdicts"]["number"]["supported"] == 2
    assert metrics["controls"] == {"passed": 2, "failed": 0}
    assert metrics["effects"]["half-is-more"] > 0.1

    done.edit("flows/tiny.py", lambda code: code.replace("margin=0.1,", "margin=0.9,"))
    done.tenfold("reproduce", "--plain")
    found = json.loads(done.dvc("metrics", "diff", "--json").stdout)
    # DVC puts the differences under a name of their own where it has also errors to tell.
    changes = found.get("diff", found)["data/quick/tiny/verdicts/summary.json"]
    assert changes["verdicts.number.supported"]["diff"] == -1
    assert changes["verdicts.number.contradicted"]["diff"] == 1
    lock = (done.root / "pipelines/quick/tiny/dvc.lock").read_text().replace("data/quick/", "data/cpu/")
    elsewhere = re.sub(r"md5: \w{30}", f"md5: {'f' * 30}", lock)
    (done.root / "pipelines/cpu/tiny/dvc.lock").write_text(elsewhere)
    drawn = done.dvc("plots", "show", "--json").stdout
    assert "half-is-more" in drawn, "a profile that ran elsewhere hid what is here"
    (done.root / "pipelines/cpu/tiny/dvc.lock").unlink()
    assert "data/quick/tiny/verdicts" in done.dvc("exp", "show", "--json").stdout
    assert "up to date" in done.dvc("status", "pipelines/quick/tiny/dvc.yaml").stdout
