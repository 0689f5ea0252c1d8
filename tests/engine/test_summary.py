"""What a reproduction says at its end."""

from conftest import Clone


def test_the_end_says_what_came_of_each_paper_and_what_it_is_worth(done: Clone) -> None:
    said = done.tenfold("reproduce").stdout
    assert "works; 2 of 2 controls pass" in said
    assert "its figures are no evidence" in said
    assert "supported" not in said, "quick gives no verdicts"
    assert "tenfold results tiny" in said
    assert "letters" in done.tenfold("results", "tiny").stdout


def test_another_profile_gives_its_verdicts_and_names_controls_that_fail(clone: Clone) -> None:
    clone.edit("flows/tiny.py", lambda code: code.replace("test=greater(half, third)),", "test=greater(third, half)),"))
    said = clone.tenfold("reproduce", "--plain", "--profile", "cpu").stdout
    assert "failed" in said
    assert "tiny: the control planted did not pass" in said
    assert "no evidence" not in said
