"""`tenfold align` and `tenfold transcribe`: sound of tones, files that are none, and runs that were broken off."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tones
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.speech.subtitles import Timed
from tasks.base.errors import UserError
from tasks.speech.aligning import Calibration
from tasks.speech.media import SoundWriter, Unreadable
from tasks.speech.texts import Alphabet
from tools.align import cli as align_cli
from tools.align.cli import Format, aligned, read_transcript, written_as
from tools.transcribe import cli, engines
from tools.transcribe.engines import Heard, windows
from tools.transcribe.recognisers import recogniser

CALIBRATION = Calibration(1.0, 0.0, 0.0, 0.2, 1.0)


class Model:
    """As much of an acoustic model as an aligner asks for."""

    seconds = 0.1


class Hears:
    """A recogniser of the letters a and b."""

    model = Model()
    alphabet = Alphabet(["a", "b"])


def spoken(text: str) -> NDArray[np.float32]:
    """Emissions in which each letter is said for a frame, with a blank after it."""
    path = [token for letter in text for token in ({"-": 0, "a": 1, "b": 2, "|": 3}[letter], 0)]
    logs = np.full((len(path), 4), np.log(0.01), np.float32)
    logs[np.arange(len(path)), path] = np.log(0.97)
    return logs


def test_words_keep_their_writing_and_get_times() -> None:
    """Capitals, commas and dashes belong to the transcript and not to the sound."""
    found = aligned(Hears(), spoken("ab|-ba|a|"), ["Ab,", "–", "BA-a."], CALIBRATION)  # type: ignore[arg-type]
    assert [each.text for each in found] == ["Ab,", "–", "BA-a."]
    assert found[0].begin == pytest.approx(0.0)
    assert found[0].end == pytest.approx(0.3)
    assert found[2].begin == pytest.approx(0.8)
    assert found[2].end == pytest.approx(1.5)
    assert not any(each.doubt for each in found)


def test_a_word_that_is_not_in_the_sound_is_doubted_and_a_figure_is_any_speech() -> None:
    found = aligned(Hears(), spoken("ab|---ba|--aa|"), ["ab", "bb", "ba", "aa", "7"], CALIBRATION)  # type: ignore[arg-type]
    assert [each.doubt for each in found] == [
        "",
        "not borne out by the sound",
        "",
        "",
        "not in the recogniser's letters",
    ]


def test_gaps_let_words_be_missing() -> None:
    said = spoken("--ab|bbb|bb|ba|--")
    with_gaps = aligned(Hears(), said, ["ab", "ba"], CALIBRATION, gaps=True)  # type: ignore[arg-type]
    assert with_gaps[0].begin == pytest.approx(0.4)
    assert with_gaps[1].begin == pytest.approx((len(said) - 10) / 10)


def test_a_recording_that_is_too_short_is_said_to_be() -> None:
    with pytest.raises(UserError, match="too short for the transcript"):
        aligned(Hears(), spoken("a"), ["abababab"], CALIBRATION)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no word in letters"):
        aligned(Hears(), spoken("ab|ab|"), ["42"], CALIBRATION)  # type: ignore[arg-type]


def test_every_format_has_every_word(tmp_path: Path) -> None:
    words = aligned(Hears(), spoken("ab|ba|"), ["ab", "ba"], CALIBRATION)  # type: ignore[arg-type]
    for out in Format:
        text = written_as(out, words, 1.2, "")
        assert "ab" in text
        assert "ba" in text
    said = json.loads(written_as(Format.JSON, words, 1.2, "cut off"))
    assert (said["damage"], said["doubted"], len(said["words"])) == ("cut off", [], 2)
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    (tmp_path / "empty").write_text(" \n")
    for name, says in (("latin", "not UTF-8"), ("empty", "no word"), ("nowhere", "no file")):
        with pytest.raises(UserError, match=says):
            read_transcript(tmp_path / name)


def test_a_language_without_a_recogniser_is_named() -> None:
    with pytest.raises(UserError, match=r"no recogniser of 'de'"):
        recogniser("de", "cpu")
    with pytest.raises(UserError, match="no profile huge"):
        recogniser("en", "huge")


# ------------------------------------------------------------------ transcribing


class Deaf:
    """An engine that hears one word a second, and nothing in a file that is none."""

    name = "a test"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, path: Path, tell: Callable[[float], None]) -> Heard:
        self.heard.append(path.name)
        if path.read_bytes()[:4] != b"RIFF":
            raise Unreadable(f"{path.name} is no sound or video file.")
        tell(1.0)
        return Heard([Timed("one", 0.1, 0.5), Timed("two", 1.1, 1.5)], 2.0, "")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    deaf = Deaf()
    monkeypatch.setattr(cli, "_engine", lambda *_: deaf)
    import typer

    app = typer.Typer()
    app.command()(cli.transcribe)

    def invoke(*arguments: object) -> Any:
        deaf.heard.clear()
        ended = CliRunner().invoke(app, [str(each) for each in arguments])
        return ended, list(deaf.heard)

    return invoke


def test_a_folder_goes_on_where_it_was_and_a_bad_file_stops_no_other(tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "b.mp3").write_bytes(b"no")
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    (tmp_path / "notes.txt").write_text("no sound")
    ended, heard = run(tmp_path, "--out", "srt")
    assert ended.exit_code == 1
    assert heard == ["a.wav", "b.mp3", "c.wav"]
    assert "b.mp3 is no sound" in ended.output
    assert "00:00:00,100 --> " in (tmp_path / "c.wav.srt").read_text()
    ended, heard = run(tmp_path, "--out", "srt")
    assert heard == ["b.mp3"]
    ended, heard = run(tmp_path / "a.wav", "--out", "srt", "--again", "--json")
    assert heard == ["a.wav"]
    assert json.loads(ended.output)["files"][0]["seconds"] == 2.0
    ended, heard = run(tmp_path / "a.wav", "--to", tmp_path / "other", "--out", "json")
    assert json.loads((tmp_path / "other/a.wav.json").read_text())["text"] == "one two"
    with pytest.raises(UserError, match="no sound or video file"):
        cli.sound_files([tmp_path / "other"], "txt")
    with pytest.raises(UserError, match="no file"):
        cli.sound_files([tmp_path / "nowhere.wav"], "txt")


def test_windows_are_cut_where_it_is_quiet_and_lose_nothing() -> None:
    chance = np.random.default_rng(0)
    sound = chance.standard_normal(160_000).astype(np.float32)[:, None]
    sound[52_000:56_000] = 0
    pieces = list(windows(iter(np.split(sound, 10)), 64_000))
    assert np.array_equal(np.concatenate(pieces), sound[:, 0])
    assert 52_000 <= len(pieces[0]) <= 56_000
    assert all(len(each) <= 64_000 for each in pieces)


def test_sound_without_an_engine_for_its_language_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Whisper is for English"):
        cli._engine(cli.Engine.WHISPER, "fr", [], None)
    monkeypatch.setattr(engines, "has_whisper", lambda: False)
    with pytest.raises(UserError, match="pip install faster-whisper"):
        cli._engine(cli.Engine.WHISPER, "en", [], None)


def test_the_aligner_reads_a_file_and_writes_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file of sound to subtitles, with the recogniser alone replaced."""
    from tasks.speech import aligning, training
    from tools.transcribe import recognisers

    with SoundWriter(tmp_path / "x.flac", 16000, 1) as writer:
        writer.write(tones.spoken("ab ba")[:, None])
    (tmp_path / "x.txt").write_text("Ab ba!")
    folders = recognisers.Folders(tmp_path, tmp_path, tmp_path, tmp_path, "en", "quick", "")
    monkeypatch.setattr(recognisers, "recogniser", lambda *_: folders)
    monkeypatch.setattr(training, "load_recogniser", lambda _: Hears())
    monkeypatch.setattr(aligning, "read_calibration", lambda _: CALIBRATION)
    heard: list[int] = []

    def hear(_: object, chunks: Any) -> NDArray[np.float32]:
        heard.append(sum(len(chunk) for chunk in chunks))
        return spoken("ab|ba|")

    monkeypatch.setattr(aligning, "hear_chunks", hear)
    align_cli.align(tmp_path / "x.flac", tmp_path / "x.txt", out=Format.SRT, to=tmp_path / "x.srt")
    assert heard == [len(tones.spoken("ab ba"))]
    assert "Ab ba!" in (tmp_path / "x.srt").read_text()
