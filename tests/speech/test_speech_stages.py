"""The stages from end to end in a language of tones: who is trained on what, and what is counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import tones
import torch
from conftest import read_json

from models.config import Optimisation
from models.speech.features import log_mel, log_mel_of, masked
from models.speech.settings import Search
from tasks.base.errors import UserError
from tasks.speech.aligning import Aligning, align_recordings, read_calibration, recordings, speech
from tasks.speech.decoding import Decoding, decode
from tasks.speech.hour import Hour, align_hour
from tasks.speech.media import SoundWriter
from tasks.speech.prompts import Prompts, gather_prompts, read_corpus, read_texts
from tasks.speech.recognition import Choice, hear, letter_errors, word_errors
from tasks.speech.spectra import Spectra, make_spectra, read_spectra
from tasks.speech.streaming import Streaming, measure_streams
from tasks.speech.texts import Alphabet, normalised
from tasks.speech.timing import Timing, time_search
from tasks.speech.training import Batches, Training, example_of, load_recogniser, train_model

STEPS = Optimisation(steps=120, batch=16, learning_rate=0.01, warmup=10, weight_decay=0.0)
TRAINING = Training(seed=0, languages=("en",), width=48, layers=1, optimisation=STEPS, stretch=0.05, noise=20.0)
DECODING = Decoding(
    languages=("en",),
    search=Search(beam=20),
    choice=Choice(order=2, weights=(0.0, 0.5), word_scores=(0.0,)),
    beams=(5, 30),
    tokens=3,
)


class World:
    """Every stage's folder, made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        sounds, texts = tones.packages(root)
        self.sounds = {"en": sounds}
        self.texts = {"en": texts}
        self.prompts, self.spectra = self.folder("prompts"), self.folder("spectra")
        config = Prompts(languages=("en",), test=0.25, development=0.15)
        gather_prompts(sounds=self.sounds, texts=self.texts, config=config, out=self.prompts)
        make_spectra(prompts=self.prompts, config=Spectra(), out=self.spectra)
        self.of = {"prompts": self.prompts, "spectra": self.spectra}
        self.model = self.train()
        self.decoded = self.folder("decoded")
        decode(**self.of, model=self.model, config=DECODING, out=self.decoded)
        self.aligned = self.folder("aligned")
        align_recordings(
            prompts=self.prompts, model=self.model, config=Aligning(languages=("en",), prompts=3), out=self.aligned
        )

    def folder(self, name: str) -> Path:
        made = self.root / name
        made.mkdir()
        return made

    def train(self, **settings: Any) -> Path:
        out = self.folder(f"model {settings}")
        train_model(**self.of, config=replace(TRAINING, **settings), out=out)
        return out


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    return World(tmp_path_factory.mktemp("world"))


def rows(folder: Path) -> list[dict[str, Any]]:
    found = pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def value(folder: Path, quantity: str, **labels: Any) -> float:
    (row,) = [
        each
        for each in read_json(folder / "metrics.json")
        if quantity in each and all(each.get(name) == value for name, value in labels.items())
    ]
    return float(row[quantity])


def test_transcripts_are_words_or_nothing() -> None:
    assert normalised("Press 7, please!", {"7": "seven"}) == "press seven please"
    assert normalised("L\u2019appel, c'est-à-dire…") == "l'appel c'est à dire"
    assert normalised("Нажмите «один».") == "нажмите один"
    for text in ("[a beep]", "perch?no", "press 12", "", "…", "<silence>"):
        assert normalised(text, {"7": "seven"}) is None


def test_prompts_without_speech_are_left_out_and_numbers_are_said_as_the_prompts_say_them(world: World) -> None:
    said = read_texts(world.texts["en"])
    assert said["seven"] == "ca dab"
    assert "beep" not in said
    assert "broken" not in said
    corpus = read_corpus(world.prompts)
    assert {each.id for each in corpus.utterances} >= {"en/seven", "en/digits/7"}
    assert not {each.id for each in corpus.utterances} & {"en/beep", "en/broken", "en/nowhere"}


def test_no_text_of_test_is_trained_on_or_in_the_language_model(world: World) -> None:
    """The same words in two prompts would otherwise be learned by heart."""
    corpus = read_corpus(world.prompts)
    texts = {part: {each.text for each in corpus.split(part, "en")} for part in ("train", "development", "test")}
    assert all(texts.values())
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["development"]
    assert not texts["development"] & texts["test"]
    assert not set(corpus.sentences["en"]) & (texts["test"] | texts["development"])
    assert texts["train"] <= set(corpus.sentences["en"])


def test_a_language_that_is_missing_is_left_out(world: World, tmp_path: Path) -> None:
    (tmp_path / "unavailable.json").write_text("{}")
    out = tmp_path / "out"
    out.mkdir()
    config = Prompts(languages=("en", "fr"))
    gone = {"fr": tmp_path}
    gather_prompts(sounds=world.sounds | gone, texts=world.texts | gone, config=config, out=out)
    assert {each.language for each in read_corpus(out).utterances} == {"en"}


def test_librispeechs_layout_is_read_with_its_readers(tmp_path: Path) -> None:
    """Three files in two chapters: their own readers are the speakers, not the language's."""
    library = {"84-1-0000": "AB BA", "84-1-0001": "CAD", "251-7-0000": "DAB BAD"}
    for name, text in library.items():
        reader, chapter, _ = name.split("-")
        folder = tmp_path / "dev-clean" / reader / chapter
        folder.mkdir(parents=True, exist_ok=True)
        with SoundWriter(folder / f"{name}.flac", 16000, 1) as writer:
            writer.write(tones.spoken(text.lower())[:, None])
        with open(folder / f"{reader}-{chapter}.trans.txt", "a") as file:
            file.write(f"{name} {text}\n")
    out = tmp_path / "out"
    out.mkdir()
    both = {"en": tmp_path / "dev-clean"}
    gather_prompts(sounds=both, texts=both, config=Prompts(languages=("en",)), out=out)
    corpus = read_corpus(out)
    found = {each.id: (each.speaker, each.text) for each in corpus.utterances}
    assert found == {f"en/{name}": (name.split("-")[0], text.lower()) for name, text in library.items()}
    assert np.abs(corpus.of(corpus.utterances[0])).max() > 0.2
    with pytest.raises(UserError, match=r"no \*\.txt\.gz"):
        read_texts(out)


def test_the_games_layout_is_read_with_its_two_voices(tmp_path: Path) -> None:
    """What other people say in it would be taken for one more voice of the same person."""
    said = {"kitchen/k-m-one": "ab ba", "kitchen/k-v-two": "cad", "reef/v-three": "dab", "reef/k-x-crab": "ca"}
    for name, text in said.items():
        level, _, own = name.partition("/")
        (tmp_path / "sound" / level / "cs").mkdir(parents=True, exist_ok=True)
        with SoundWriter(tmp_path / "sound" / level / "cs" / f"{own}.ogg", 48000, 1) as writer:
            writer.write(np.repeat(tones.spoken(text), 3)[:, None])
        (tmp_path / "script" / level).mkdir(parents=True, exist_ok=True)
        with open(tmp_path / "script" / level / "dialogs_cs.lua", "a") as file:
            file.write(f'dialogId("{own}", "font_small", "in English (%1)")\ndialogStr("{text.upper()}.")\n\n')
    out = tmp_path / "out"
    out.mkdir()
    sounds, texts = {"cs": tmp_path / "sound"}, {"cs": tmp_path / "script"}
    gather_prompts(sounds=sounds, texts=texts, config=Prompts(languages=("cs",)), out=out)
    found = {each.id: (each.speaker, each.text) for each in read_corpus(out).utterances}
    assert found == {
        "cs/kitchen/k-m-one": ("cs m", "ab ba"),
        "cs/kitchen/k-v-two": ("cs v", "cad"),
        "cs/reef/v-three": ("cs v", "dab"),
    }


def test_spectra_in_chunks_are_those_of_the_whole() -> None:
    sound = tones.spoken("ab cad bad", 3)
    whole = log_mel(sound)
    assert len(whole) == -(-len(sound) // 160)
    for size in (1, 159, 4000):
        chunks = [sound[start : start + size] for start in range(0, len(sound), size)] if size > 1 else [sound]
        assert np.allclose(log_mel_of(chunks), whole, atol=1e-4)
    assert log_mel(sound[:0]).shape == (0, 40)
    loudest = log_mel(np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32))[50].argmax()
    lower = log_mel(np.sin(2 * np.pi * 500 * np.arange(16000) / 16000).astype(np.float32))[50].argmax()
    assert lower < loudest < 20


def test_masks_hide_little_and_change_nothing_else() -> None:
    spectrum = np.random.default_rng(0).standard_normal((100, 40)).astype(np.float32)
    made = masked(spectrum, np.random.default_rng(1))
    changed = made != spectrum
    assert 0 < changed.mean() < 0.8
    assert masked(spectrum[:3], np.random.default_rng(2)).shape == (3, 40)


def test_batches_are_functions_of_the_step_and_cover_every_utterance(world: World) -> None:
    corpus = read_corpus(world.prompts)
    utterances = corpus.split("train", "en")
    spectra = read_spectra(world.spectra, corpus.utterances)
    alphabet = Alphabet.of(each.text for each in utterances)
    small = replace(TRAINING, optimisation=replace(STEPS, batch=4))
    batches = Batches(utterances, [spectra[each.id] for each in utterances], alphabet, small)
    first, again = batches(3), batches(3)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    seen = [tuple(row[row > 0].tolist()) for step in range(len(utterances) // 4) for row in batches(step)[2]]
    assert len(set(seen)) >= len({each.text for each in utterances}) - 3
    shuffled = replace(small, transcripts="shuffled")
    other = Batches(utterances, [spectra[each.id] for each in utterances], alphabet, shuffled)
    assert sorted(map(tuple, other.texts)) == sorted(map(tuple, batches.texts))
    assert sum(a != b for a, b in zip(other.texts, batches.texts, strict=True)) > len(utterances) // 2


@pytest.mark.parametrize("frames", [40, 400])
def test_the_example_of_a_model_may_be_a_short_prompt(world: World, frames: int) -> None:
    """A language whose first prompt is shorter than the example would else lose its trained model."""
    model = load_recogniser(world.model).model
    example = example_of(np.zeros((frames, model.config.mels), np.float32))
    assert model(**example).shape[1] == model.frames(example["lengths"])


def test_the_model_hears_in_windows_what_it_hears_at_once(world: World) -> None:
    """A window that is cut wrongly would shift or repeat frames."""
    from models.speech.acoustic import emissions

    recogniser = load_recogniser(world.model)
    spectrum = log_mel(np.concatenate([tones.spoken(text, 1) for text in tones.sentences(12, 5)]))
    whole = emissions(recogniser.model, spectrum, window=10**6)
    pieces = emissions(recogniser.model, spectrum, window=400, context=120)
    assert whole.shape == pieces.shape
    assert np.mean(whole.argmax(1) == pieces.argmax(1)) > 0.97
    assert np.allclose(np.exp(pieces).sum(1), 1, atol=1e-3)


def test_tones_are_recognised_and_shuffled_transcripts_teach_nothing(world: World, tmp_path: Path) -> None:
    greedy = value(world.decoded, "cer", decoder="greedy")
    assert greedy < 0.15
    assert value(world.decoded, "wer", decoder="lexicon and n-grams") <= value(world.decoded, "wer", decoder="greedy")
    misled = world.train(transcripts="shuffled")
    decode(**world.of, model=misled, config=DECODING, out=tmp_path)
    assert value(tmp_path, "cer", decoder="greedy") > 2 * greedy + 0.3


def test_every_quantity_has_rows_of_single_examples(world: World) -> None:
    """Claims read these: a quantity whose column is lost fails every claim about it."""
    assert {name for row in rows(world.decoded) for name in row} >= {"wer", "cer", "oracle_wer", "words", "case"}
    errors = {"error", "mean_error", "near", "late", "shift", "confidence"}
    assert {name for row in rows(world.aligned) for name in row} >= errors


def test_errors_are_summed_over_words(world: World) -> None:
    """A mean of rates would weigh a prompt of one word like one of ten."""
    found = [row for row in rows(world.decoded) if row["decoder"] == "lexicon" and "wer" in row]
    errors = sum(row["wer"] * row["words"] for row in found)
    assert value(world.decoded, "wer", decoder="lexicon") == pytest.approx(errors / sum(r["words"] for r in found))
    assert word_errors("a b c", "a c d d") == 3
    assert letter_errors("abc", "adc") == 1
    assert word_errors("a b", "") == 2
    oracle = value(world.decoded, "oracle_wer", decoder="lexicon and n-grams")
    assert oracle <= value(world.decoded, "wer", decoder="lexicon and n-grams")


def test_tones_are_found_where_they_are(world: World) -> None:
    """The truth is where prompts were put; the aligner never saw it."""
    right = value(world.aligned, "error", method="forced alignment")
    assert right < 0.06
    assert right < value(world.aligned, "error", method="uniform split")
    # Tones are equally long, and so the baseline that goes by letters and pauses is as near as can be.
    assert value(world.aligned, "error", method="split by pauses") < 0.03
    assert right < value(world.aligned, "error", method="shuffled transcript")
    for stars in ("stars in their places", "stars everywhere", "no star"):
        assert value(world.aligned, "error", method=f"30% of words deleted, {stars}") > 0
    assert value(world.aligned, "shift", method="forced alignment") == pytest.approx(Aligning().delay, abs=0.05)
    calibration = read_calibration(world.aligned)
    assert abs(calibration.begin) < 0.2
    assert 0 < calibration.doubt < 1


def test_recordings_have_their_prompts_where_they_say(world: World) -> None:
    corpus = read_corpus(world.prompts)
    made = recordings(corpus, "test", Aligning(languages=("en",), prompts=3), Alphabet("abcd"))
    pieces = [piece for each in made for piece in each.pieces]
    assert sorted(p.utterance.id for p in pieces) == sorted(u.id for u in corpus.split("test", "en"))
    for prompts in range(2, 9):
        sizes = [len(each.pieces) for each in recordings(corpus, "test", Aligning(prompts=prompts), Alphabet("abcd"))]
        assert len(sizes) == 1 or 2 * min(sizes) >= prompts, "a recording of one prompt would weigh as much as of eight"
    without = recordings(corpus, "test", Aligning(languages=("en",)), Alphabet("abc"))
    assert not any("d" in piece.utterance.text for each in without for piece in each.pieces)
    for recording in made:
        for piece in recording.pieces:
            heard = recording.sound[round(piece.begin * 16000) : round(piece.end * 16000)]
            assert np.abs(heard[:1600]).max() > 0.1
            before = recording.sound[max(0, round(piece.begin * 16000) - 480) : round(piece.begin * 16000) - 160]
            assert np.abs(before).max(initial=0) < 0.05
    begin, end = speech(np.concatenate([np.zeros(8000), np.ones(1600), np.zeros(800)]).astype(np.float32))
    assert (begin, end) == (pytest.approx(8000, abs=160), pytest.approx(9600, abs=160))


def test_streams_and_searches_are_measured(world: World, tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    config = Streaming(seconds=3.0, longer=4, chunks=(160, 1000, 16384))
    measure_streams(prompts=world.prompts, config=config, out=tmp_path / "streams")
    found = read_json(tmp_path / "streams" / "metrics.json")
    assert all(row["difference"] <= 1e-5 for row in found if "difference" in row)
    assert {row["missed"] for row in found if "missed" in row} == {0}
    assert [path.name for path in (tmp_path / "streams").iterdir()] == ["metrics.json"]
    (tmp_path / "timed").mkdir()
    timing = Timing(decoding=DECODING, repeats=1, tokens=50, utterances=2, frames=30)
    time_search(**world.of, model=world.model, decoded=world.decoded, config=timing, out=tmp_path / "timed")
    found = read_json(tmp_path / "timed" / "metrics.json")
    assert {(row["search"], row["of"]) for row in found} >= {("few tokens", "made-up emissions"), ("all", "prompts")}
    assert all(row["seconds"] > 0 and 0 <= row["same"] <= 1 for row in found)


def test_a_long_recording_is_aligned_in_a_process_of_its_own(world: World, tmp_path: Path) -> None:
    """The truth is where prompts were put; memory that counts what this process holds would say nothing."""
    held = np.zeros(300_000_000, np.uint8)
    held[::4096] = 1
    config = Hour(languages=("en",), minutes=1.0)
    align_hour(prompts=world.prompts, model=world.model, aligned=world.aligned, config=config, out=tmp_path)
    assert value(tmp_path, "minutes") == pytest.approx(1.0, abs=0.1)
    assert value(tmp_path, "error") < 0.06
    loaded, peak = value(tmp_path, "loaded_megabytes"), value(tmp_path, "megabytes")
    assert 50 < loaded <= peak < loaded + 100
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    del held


def test_emissions_are_padded_with_nothing_that_counts(world: World) -> None:
    recogniser = load_recogniser(world.model)
    spectra = [log_mel(tones.spoken(text)) for text in ("ab", "cad bad dab", "ca")]
    heard = hear(recogniser, spectra)
    assert heard.frames.tolist() == [(len(each) + 3) // 4 for each in spectra]
    alone = hear(recogniser, spectra[2:])
    assert np.array_equal(heard.emissions[2, : heard.frames[2]], alone.emissions[0])
