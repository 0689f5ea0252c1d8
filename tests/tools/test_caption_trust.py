"""`tenfold caption` helps or abstains: what it changes, how sure it has to be, and what it refuses."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tasks.altogether.records import Record
from tasks.base.errors import UserError
from tools.__main__ import command_line
from tools.caption import cli as command
from tools.caption import mending, trust
from tools.caption.mending import Checked, check, mended
from tools.caption.realigning import Said
from tools.caption.trust import Tally, Trust, Written, tally


def checked(seen: str, confidence: float, stated: str = "dark", attribute: str = "skin") -> Checked:
    return Checked(attribute, stated, seen, confidence, "")


def record(true: str, wrong: bool) -> Record:
    return Record("x", "x", "s", "p", attributes={"skin": true}, wrong={"skin": "dark"} if wrong else {})


def test_an_alt_text_is_changed_where_it_is_sure_and_nowhere_else() -> None:
    """Catches a caption that loses what the picture does not show, and a change that nothing supports."""
    alt = "Ada Weaver, woman: dark skin tone"
    sure = checked("light", 0.9)
    assert mended(alt, [sure], {"skin": 0.8}) == "ada weaver, woman: light skin tone"
    assert mended(alt, [sure], {"skin": 0.95}) == alt
    assert mended(alt, [sure], {"gender": 0.1}) == alt
    assert mended(alt, [checked("dark", 0.99)], {"skin": 0.1}) == alt
    both = [sure, checked("male", 0.9, "female", "gender")]
    assert mended(alt, both, {"skin": 0.8, "gender": 0.8}) == "ada weaver, man: light skin tone"


def test_what_is_checked_is_the_picture_and_not_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a value that is chosen because texts have it more often."""
    odds = {"light": 3.0, "medium": 1.0}

    def likelihoods(writer: Any, seen: Any, rows: Any, alts: Any, texts: Any, blank: bool = False) -> torch.Tensor:
        common = torch.tensor([float("dark" in text) for text in texts]) * 9
        return common if blank else common + torch.tensor([odds.get(text.split()[1], 0.0) for text in texts])

    monkeypatch.setattr(mending, "likelihoods", likelihoods)
    nothing: Any = None
    found = check(nothing, nothing, [0, 1], ["woman: no attribute of skin", "x: dark skin tone"])
    assert [[each.attribute for each in some] for some in found] == [["gender"], ["skin"]]
    assert (found[1][0].stated, found[1][0].seen) == ("dark", "light")


@pytest.mark.parametrize(("mends", "breaks", "allowed"), [(10, 0, True), (9, 0, False), (20, 1, True), (19, 1, False)])
def test_ten_are_mended_for_one_that_is_broken(mends: int, breaks: int, allowed: bool) -> None:
    """Catches a captioner that does more harm than it says."""
    some = [(record("light", True), checked("light", 0.9))] * mends
    some += [(record("dark", False), checked("light", 0.8))] * breaks
    least = trust._least(some)
    assert bool(least) == (allowed or mends >= 10)
    if breaks and least:
        assert least["skin"] == (0.8 if allowed else 0.9)
        expected = Tally(wrong=mends, mended=mends, right=breaks, broken=breaks if allowed else 0)
        assert tally(some, least) == {"skin": expected}


def test_a_caption_is_taken_where_that_gains() -> None:
    captions = [trust._Caption(0.9, 0.8, 0.5), trust._Caption(0.7, 0.6, 0.5), trust._Caption(0.2, 0.1, 0.5)]
    least = trust._least_caption(captions)
    assert least == 0.7
    assert trust._written(captions, least).chosen == pytest.approx((0.8 + 0.6 + 0.5) / 3)
    assert trust._least_caption(captions[2:]) == 2.0
    assert not Trust(least_caption=2.0).writes


GOOD = Trust(
    {"skin": 0.8},
    {"stamps": {"skin": Tally(40, 30, 40, 1)}},
    0.5,
    {"drawings of new things": Written(9, 0.6, 0.5, 0.4)},
)
BAD = Trust({}, {"stamps": {"skin": Tally(40, 0, 40, 0)}}, 2.0, {"drawings of new things": Written(9, 0.4, 0.3, 0.4)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command without a real captioner: it says what it was allowed to."""
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "photos/a.png")
    (tmp_path / "alts.csv").write_text("image,alt\na.png,woman: dark skin tone\n")

    class Model:
        size = 8

        def __init__(self, folders: Any, least: Any, least_caption: float, rewrites: bool) -> None:
            self.rewrites, self.least = rewrites, least

        def said(self, pixels: Any, alts: list[str]) -> list[Said]:
            return [Said(json.dumps(self.least), 0.75, (checked("light", 0.75),)) for _ in alts]

    monkeypatch.setattr("tools.caption.realigning.Realigner", Model)
    monkeypatch.setattr(command, "captioner", lambda profile: None)
    return tmp_path


def run(folder: Path, *arguments: str) -> Any:
    alts = ("--alt", str(folder / "alts.csv"), "--out", str(folder / "out.jsonl"))
    return CliRunner().invoke(command_line(), ["caption", str(folder / "photos"), *alts, *arguments])


def test_one_that_is_no_better_than_a_copy_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches "green hearten hearten hearten" in the place of what a person wrote."""
    monkeypatch.setattr(trust, "trust_in", lambda *given: BAD)
    for mode in ((), ("--rewrite",)):
        ended = run(folder, *mode)
        assert isinstance(ended.exception, UserError)
        assert "no better than leaving the alt-texts as they are" in str(ended.exception)
        assert not (folder / "out.jsonl").exists()
    assert run(folder, "--anyway").exit_code == 0
    (line,) = [json.loads(line) for line in (folder / "out.jsonl").read_text().split("\n") if line]
    assert json.loads(line["caption"]) == {"skin": 0.9, "gender": 0.9, "hair": 0.9}


def test_each_line_has_its_confidence_and_the_standing_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches figures that nobody hears of before the captions are used."""
    monkeypatch.setattr(trust, "trust_in", lambda *given: GOOD)
    ended = run(folder, "--json")
    assert "sure enough to change: skin (from 0.80)" in ended.stderr
    assert "On stamps it mended 30 of 40 wrong statements, and broke 1 of 40 right ones." in ended.stderr
    told = json.loads(ended.stdout)
    assert (told["changed"], told["measured"]) == (1, dataclasses.asdict(GOOD))
    (line,) = [json.loads(line) for line in (folder / "out.jsonl").read_text().split("\n") if line]
    assert (line["confidence"], line["how"]) == (0.75, "mended")
    assert line["checked"] == [{"attribute": "skin", "stated": "dark", "seen": "light", "confidence": 0.75}]
    assert run(folder).exit_code == 0
    assert run(folder, "--rewrite").exit_code == 0
    assert len((folder / "out.jsonl").read_text().split("\n")) == 3


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a measurement that is made again at each call, or that another captioner inherits."""
    folders: Any = type("Folders", (), dict.fromkeys(("captioner", "dual", "encoder"), tmp_path))
    for name in ("captioner", "dual", "encoder"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    made = []
    monkeypatch.setattr(trust, "measure", lambda folders, tell: made.append(1) or GOOD)
    assert [trust.trust_in(folders, tmp_path / "kept", lambda done, total: None) for _ in range(2)] == [GOOD, GOOD]
    assert made == [1]
    (tmp_path / "captioner.safetensors").write_bytes(b"another")
    trust.trust_in(folders, tmp_path / "kept", lambda done, total: None)
    assert made == [1, 1]
