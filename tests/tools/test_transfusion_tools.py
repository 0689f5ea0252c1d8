"""`tenfold imagine`, `describe` and `transfusion train` on small pictures: what is wrong is told in a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tasks.base.errors import UserError
from tools import describe, imagine
from tools.transfusion import cli, painter, training
from tools.transfusion.painter import of_folder
from tools.transfusion.pairs import read_pairs


def picture(path: Path, colour: str, size: int = 20) -> None:
    Image.new("RGB", (size, size), colour).save(path)


def folder_of(root: Path, count: int = 8) -> Path:
    folder = root / "pictures"
    folder.mkdir()
    for number in range(count):
        colour = ("red", "blue")[number % 2]
        picture(folder / f"{number}.png", colour)
        (folder / f"{number}.txt").write_text(f"a {colour} square\n{colour}\n")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("trained")
    pairs = read_pairs(folder_of(root), 16)
    training.train_folder(pairs, root / "model", 2, 0, lambda _: None)
    return root / "model"


def test_pictures_get_the_text_beside_them_and_problems_are_sentences(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    picture(folder / "alone.png", "green")
    picture(folder / "mute.png", "green")
    (folder / "mute.txt").write_text("  \n")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("something")
    (folder / "essay.md").write_text("Red squares are square.")
    pairs = read_pairs(folder, 16)
    assert len(pairs.pictures) == 8
    assert pairs.pictures[0].shape == (16, 16, 3)
    assert pairs.captions[1] == ("a blue square", "blue")
    assert pairs.documents == ["Red squares are square."]
    assert len(pairs.problems) == 3
    for name, said in (("alone.png", "has no text"), ("mute.png", "empty text"), ("broken.png", "damaged image")):
        assert any(problem.startswith(name) and said in problem for problem in pairs.problems), name


def test_a_huge_picture_is_named_and_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.altogether.drawn import rendering

    monkeypatch.setattr(rendering, "MOST_PIXELS", 100)
    with pytest.raises(UserError, match="decompression bomb"):
        read_pairs(folder_of(tmp_path), 16)


def test_a_folder_without_pictures_and_one_that_is_none_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture with a text"):
        read_pairs(tmp_path, 16)
    with pytest.raises(UserError, match="is no folder"):
        read_pairs(tmp_path / "nowhere", 16)
    with pytest.raises(UserError, match="8 are the fewest"):
        training.train_folder(read_pairs(folder_of(tmp_path, 3), 16), tmp_path / "out", 1, 0, lambda _: None)


def test_what_was_trained_draws_and_describes(trained: Path, tmp_path: Path) -> None:
    assert (trained / "preview.png").is_file()
    assert not (trained / "checkpoints").exists()
    imagine.command("a red square", out=tmp_path / "red.png", n=3, guidance=2.0, seed=1, model=trained)
    assert Image.open(tmp_path / "red.png").width == 3 * 64 + 2 * 4
    picture(tmp_path / "blue.png", "blue")
    describe.command([tmp_path / "blue.png"], model=trained)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"broken.png cannot be read \(damaged image"):
        describe.command([tmp_path / "broken.png", tmp_path / "blue.png"], model=trained)
    with pytest.raises(UserError, match="No such file"):
        describe.command([tmp_path / "none.png"], model=trained)


def test_the_same_seed_draws_the_same_and_another_does_not(trained: Path) -> None:
    found = of_folder(trained)
    one, same, other = (found.draw("red", 2, 3.0, seed, steps=2) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == (2, 3, 16, 16)


def test_unknown_words_are_named_or_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imagine.command("a red heart", out=tmp_path / "a.png", n=1, guidance=1.0, seed=0, model=trained)
    assert "No caption that this model learned from had heart." in capsys.readouterr().err
    with pytest.raises(UserError, match=r"try .*blue"):
        imagine.command("xyzzy", out=tmp_path / "a.png", n=1, guidance=1.0, seed=0, model=trained)
    with pytest.raises(UserError, match="prompt is empty"):
        imagine.command("  ", out=tmp_path / "a.png", n=1, guidance=1.0, seed=0, model=trained)
    with pytest.raises(UserError, match="make it shorter"):
        imagine.command("red " * 200, out=tmp_path / "a.png", n=1, guidance=1.0, seed=0, model=trained)
    with pytest.raises(UserError, match="cannot be written"):
        imagine.command("red", out=tmp_path / "no" / "a.png", n=1, guidance=1.0, seed=0, model=trained)


def test_no_model_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"has no config.json: give the folder"):
        of_folder(tmp_path)
    monkeypatch.setattr(painter, "is_here", lambda *_, **__: False)
    with pytest.raises(UserError, match="tenfold reproduce transfusion"):
        painter.painter(None, None)


def test_a_stopped_training_goes_on_and_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on with other pictures would mix two trainings in one model."""
    pairs = read_pairs(folder_of(tmp_path), 16)
    out = tmp_path / "model"

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "learn", stopped)
        with pytest.raises(KeyboardInterrupt):
            training.train_folder(pairs, out, 2, 0, lambda _: None)
    said: list[str] = []
    training.train_folder(pairs, out, 2, 0, said.append)
    assert said == ["the generator learns to draw what is said"]
    with pytest.raises(UserError, match="other pictures, texts or settings"):
        training.train_folder(pairs, out, 3, 0, lambda _: None)


def test_dark_digits_on_light_paper_are_turned_around(tmp_path: Path) -> None:
    picture(tmp_path / "paper.png", "white")
    picture(tmp_path / "night.png", "black")
    for name in ("paper.png", "night.png"):
        assert np.array_equal(describe.seen(tmp_path / name, 8, 1), np.zeros((8, 8, 1), np.uint8))
    assert describe.seen(tmp_path / "paper.png", 8, 3).min() == 255


def test_the_command_line_trains_and_says_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.transfusion.cli.cores", lambda: 1)
    folder = folder_of(tmp_path)
    picture(folder / "alone.png", "green")
    ended = CliRunner().invoke(
        cli.app, ["train", str(folder), "--out", str(tmp_path / "model"), "--steps", "1", "--side", "16"]
    )
    assert ended.exit_code == 0, ended.output
    assert "alone.png has no text" in ended.output
    assert "8 pictures with 16 captions" in ended.output
