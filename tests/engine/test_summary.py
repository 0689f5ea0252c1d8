"""What a reproduction says at its end."""

import sys

from conftest import Clone


def test_the_end_says_what_came_of_each_paper_and_what_it_is_worth(done: Clone) -> None:
    said = done.tenfold("reproduce").stdout
    assert "works; 2 of 2 controls pass" in said
    assert "its figures are no evidence" in said
    assert "supported" not in said, "quick gives no verdicts"
    assert "tenfold results tiny" in said
    assert "Letters" in done.tenfold("results", "tiny").stdout
    assert "Report: report/index.html" in said
    assert (done.root / "report/tiny.html").exists()


def test_who_cannot_type_tenfold_is_told_what_to_type(done: Clone) -> None:
    """make puts it on the PATH of its own commands alone."""
    told = "tenfold is not on your PATH: call"
    done.environment = {**done.environment, "MAKELEVEL": "1", "VIRTUAL_ENV": ""}
    assert told in done.tenfold("reproduce").stdout
    done.environment = {**done.environment, "VIRTUAL_ENV": sys.prefix}
    assert told not in done.tenfold("reproduce").stdout


def test_another_profile_gives_its_verdicts_and_names_controls_that_fail(clone: Clone) -> None:
    clone.edit("flows/tiny.py", lambda code: code.replace("test=greater(half, third)),", "test=greater(third, half)),"))
    said = clone.tenfold("reproduce", "--plain", "--profile", "cpu").stdout
    assert "failed" in said
    assert "tiny: the control planted did not pass" in said
    assert "no evidence" not in said
