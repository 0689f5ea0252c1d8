"""The test of Altogether's captioners: what is asked, what baselines may use, that scores are what they say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_features import prepare

from tasks.altogether.captioner.captioning import Seen
from tasks.altogether.captioner.dual import load_dual, save_dual
from tasks.altogether.captioner.stored import Sizes, new_writer, save_writer
from tasks.altogether.captioner.subwords import load_subwords
from tasks.altogether.records import Record, read_records
from tasks.altogether.scored.asked import FALSE, NATURAL, OTHER, SEEN, TRUE, Asking, Question, ask, shuffled
from tasks.altogether.scored.baselines import neighbours, training_pictures, with_attributes, with_keywords
from tasks.altogether.scored.evaluation import COPY, FULL, IMAGE, NEIGHBOUR, TEXT, VOICE, Evaluation, evaluate
from tasks.altogether.scored.gallery import Shown, chosen
from tasks.altogether.scored.scoring import Reference, corpus_scores, means, reads, score
from tasks.altogether.scored.zero_shot import ZeroShot, by_name, classes, classify, zero_shot

RECORD = Record(
    round3="woman running: dark skin tone, race, sport",
    round2="woman running: dark skin tone",
    round1="person running",
    alt="man running: light skin tone",
    source="emoji",
    img_path="openmoji/1f3c3.png",
    concept="1f3c3",
    attributes={"gender": "female", "skin": "dark"},
    wrong={"skin": "light"},
)
ASKED = Question(SEEN, RECORD)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The stages before the test, with captioners that were not trained: their captions are noise."""
    from models.dual_encoder import DualEncoder, DualSizes

    root = tmp_path_factory.mktemp("evaluation")
    out = prepare(root)
    for name in ("dual", "captioner"):
        (root / name).mkdir()
    words = load_subwords(out["subwords"])
    torch.manual_seed(0)
    save_dual(DualEncoder(DualSizes(vocabulary=words.size, channels=3, palette=500, shared=8)), root / "dual")
    seen = Seen.load(out["features"], root / "dual")
    sizes = Sizes(width=32, layers=1, prefix=2, pooled=8, caption=6)
    save_writer(new_writer(out["subwords"], *seen.sizes, sizes), root / "captioner")
    names = ("full", "image-only", "text-only", "level-1", "level-2", "level-3")
    return {
        **out,
        "dual": root / "dual",
        "scorer": root / "dual",
        "captioners": dict.fromkeys(names, root / "captioner"),
    }


@pytest.fixture(scope="module")
def measured(made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("measured")
    evaluate(**made, config=Evaluation(seed=1, asking=Asking(written=30, new_style=10, composed=8), shown=9), out=out)
    return out


def row(measured: Path, **labels: Any) -> dict[str, Any]:
    rows = json.loads((measured / "metrics.json").read_text())
    (found,) = [r for r in rows if all(r.get(name) == value for name, value in labels.items())]
    return dict(found)


# ------------------------------------------------------------------ questions


def test_no_question_is_about_a_concept_of_training(made: dict[str, Any]) -> None:
    trained = {r.concept for s in ("train", "validation") for r in read_records(made["levels"] / f"{s}.json")}
    asked = {q.record.concept for q in ask(made["levels"], "noto", Asking())}
    assert asked
    assert not asked & trained


def test_stamps_are_asked_about_and_judged_by_their_sentence(measured: Path) -> None:
    copied = row(measured, arm=COPY, domain=OTHER)
    # "red fox" shares 2 of 2 and 5 words with "A fox with a red heart.", "zebra" 1 of 1 and 3 with "A striped zebra."
    assert copied["captions"] == 2
    assert copied["f1"] == pytest.approx((4 / 7 + 1 / 2) / 2)
    assert row(measured, arm=FULL, domain=OTHER)["captions"] == 2


def test_a_false_alt_text_differs_from_the_true_one_in_one_attribute(made: dict[str, Any]) -> None:
    questions = ask(made["levels"], "noto", Asking())
    true, false = ([q for q in questions if q.domain == domain] for domain in (TRUE, FALSE))
    assert len(true) > 5
    for one, other in zip(true, false, strict=True):
        assert one.record.img_path == other.record.img_path
        assert reads(one, one.record.alt)[one.attribute]
        assert not reads(other, other.record.alt)[other.attribute]
        assert set(other.record.wrong) == {one.attribute}
        assert not one.record.wrong
    assert {q.record.style for q in true} == {"openmoji", "twemoji"}


def test_few_questions_are_of_many_concepts(made: dict[str, Any]) -> None:
    """A concept with a hundred tones would otherwise be most of the test."""
    some = [q for q in ask(made["levels"], "noto", Asking(written=6)) if q.domain == SEEN]
    every = {q.record.concept for q in ask(made["levels"], "noto", Asking()) if q.domain == SEEN}
    assert len({q.record.concept for q in some}) == min(6, len(every))


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=20))
def test_what_is_shuffled_comes_from_another_group(groups: list[str]) -> None:
    values = [f"{group}{n}" for n, group in enumerate(groups)]
    moved = shuffled(values, groups, 0)
    assert sorted(moved) == sorted(values)
    stayed = sum(value[0] == group for value, group in zip(moved, groups, strict=True))
    largest = max(groups.count(group) for group in groups)
    assert stayed <= max(0, 2 * largest - len(groups))


# ------------------------------------------------------------------ baselines


def test_a_neighbour_lends_its_attributes_and_keywords() -> None:
    neighbour = replace(RECORD, round2="man cook: dark skin tone", round3="man cook: dark skin tone, chef, food")
    assert with_attributes("runner", neighbour) == "runner: dark skin tone"
    assert with_keywords("runner", neighbour) == "runner: dark skin tone, chef, food"
    assert with_keywords("food, dark skin tone", neighbour) == "food, dark skin tone, chef"


def test_neighbours_are_the_most_similar() -> None:
    assert neighbours(torch.tensor([[0.0, 1.0], [1.0, 0.1]]), torch.eye(2)) == [1, 0]


def test_neighbours_come_from_training(made: dict[str, Any], measured: Path) -> None:
    """The nearest picture in the test is the same concept in another style."""
    training = {r.round3 for r in training_pictures(read_records(made["levels"] / "train.json"))}
    assert row(measured, arm=NEIGHBOUR, domain=SEEN, shown=NEIGHBOUR)["phrase_recall"] < 0.5
    assert not {r.round3 for r in read_records(made["levels"] / "test.json")} <= training


# ------------------------------------------------------------------ scores


def test_scores_of_one_caption_by_hand() -> None:
    reference = Reference.of([ASKED], {"person", "woman", "man", "dark", "light", "skin", "tone"})
    found = score(ASKED, "woman running: light skin tone, race", reference)
    assert found["recall"] == pytest.approx(5 / 7)
    assert found["precision"] == pytest.approx(5 / 6)
    # Beyond the alt-text: woman and race are right; dark and sport are missing.
    assert found["new_f1"] == pytest.approx(2 * 2 / (2 + 4))
    assert found["name_recall"] == 0.5
    assert found["rare_recall"] == 1.0
    assert found["kept"] == pytest.approx(4 / 5)
    assert found["added"] == 2
    assert found["repeated"] == 1
    assert found["phrase_f1"] == pytest.approx(2 * 2 / (3 + 4))


def test_copying_adds_nothing_and_repeats_every_error() -> None:
    found = score(ASKED, RECORD.alt, Reference.of([ASKED], set()))
    assert (found["new_f1"], found["added"], found["repeated"], found["kept"]) == (0, 0, 1, 1)


def test_a_caption_that_states_two_values_states_none() -> None:
    """Naming every skin tone would otherwise be right each time."""
    assert reads(ASKED, "woman: light skin tone, dark skin tone") == {"gender": True, "skin": False}


def test_corpus_scores_are_those_of_sacrebleu() -> None:
    """BLEU by hand: all unigrams to 4-grams of five words are right, the reference has seven: exp(1 - 7 / 5)."""
    found = corpus_scores(["a b c d e"], ["a b c d e f g"])
    assert found["bleu_4"] == pytest.approx(100 * 2.718281828 ** (1 - 7 / 5), abs=0.01)
    assert corpus_scores(["a b c d"] * 2, ["a b c d"] * 2)["distinct"] == 0.5
    assert corpus_scores(["A Red Heart now"], ["a red heart now"])["chrf"] == pytest.approx(100)


def test_means_leave_out_what_does_not_apply() -> None:
    assert means([{"f1": 1.0, "repeated": 1}, {"f1": 0.0}]) == {"f1": 0.5, "repeated": 1.0}


# ------------------------------------------------------------------ the stage


def test_the_reference_scores_one_and_a_copy_repeats_every_error(measured: Path) -> None:
    assert row(measured, arm="reference", domain=SEEN, shown="reference")["f1"] == 1
    assert row(measured, arm=COPY, arm_by_domain=COPY, domain=FALSE)["repeated"] == 1
    assert row(measured, arm=COPY, arm_by_domain=COPY, domain=SEEN)["added"] == 0


def test_every_arm_has_its_rows(measured: Path) -> None:
    for arm in (FULL, IMAGE, TEXT, "full, images shuffled", "full, alts shuffled", "level 1", "level 2", "level 3"):
        assert "f1" in row(measured, arm=arm, arm_by_domain=arm, domain=SEEN)
        assert "voice_f1" in row(measured, arm=arm, domain=VOICE)
    assert row(measured, arm=FULL, arm_by_domain=FULL, domain=NATURAL)["captions"] > 0


def test_the_curve_ends_at_the_accuracies_of_true_and_false_alt_texts(measured: Path) -> None:
    for rate, domain in (("0", TRUE), ("1", FALSE)):
        at_end = row(measured, arm=COPY, attribute="skin", noise=rate)["accuracy_at"]
        rows = json.loads((measured / "metrics.json").read_text())
        (whole,) = [r["accuracy"] for r in rows if r.get("read") == f"{COPY}, {domain}" and r["attribute"] == "skin"]
        assert at_end == whole
    assert row(measured, arm=COPY, attribute="skin", noise="0")["accuracy_at"] == 1
    assert row(measured, arm=COPY, attribute="skin", noise="1")["accuracy_at"] == 0


def test_examples_have_a_row_a_concept(measured: Path) -> None:
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(measured / "examples.parquet").to_pylist()
    keys = [(r["arm"], r["domain"], r["concept"]) for r in rows]
    assert len(set(keys)) == len(keys)
    assert all(r["f1"] is not None and r["new_f1"] is not None for r in rows if r["domain"] == SEEN)
    assert all(r["voice_f1"] is not None for r in rows if r["domain"] == VOICE)


def test_the_same_captioner_gives_the_same_bytes(made: dict[str, Any], measured: Path, tmp_path: Path) -> None:
    evaluate(
        **made, config=Evaluation(seed=1, asking=Asking(written=30, new_style=10, composed=8), shown=9), out=tmp_path
    )
    for name in ("metrics.json", "gallery.html", "examples.parquet"):
        assert (tmp_path / name).read_bytes() == (measured / name).read_bytes()


def test_the_gallery_shows_failures_and_escapes_what_captions_say(measured: Path) -> None:
    page = (measured / "gallery.html").read_text()
    assert "Failures" in page
    assert "<script" not in page


def test_the_gallery_picks_by_draw_by_loss_and_by_gain() -> None:
    """A gallery of gains alone would show what is not there."""

    def shown(n: int, gain: float) -> Shown:
        question = Question(SEEN, replace(RECORD, concept=str(n), alt=str(n)))
        return Shown(question, {FULL: ("", 0.5 + gain), "copy + attributes": ("", 0.5)})

    every = [shown(n, (n - 5) / 10) for n in range(10)]
    sections = dict((title, some) for title, _, some in chosen(every, 6, 0))
    assert [s.question.record.concept for s in sections["Failures"]] == ["0", "1"]
    assert [s.question.record.concept for s in sections["Gains"]] == ["9", "8"]
    assert len(sections["As drawn"]) == 2


# ------------------------------------------------------------------ zero-shot


def test_zero_shot_shares_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.4]])
    found = zero_shot(scores, [0, 1, 1])
    assert found == {"zero_shot": pytest.approx(2 / 3), "retrieval": 1.0}
    assert by_name(scores, [0, 1, 1]) == [
        {"zero_shot": 1.0, "retrieval": 1.0, "pictures": 1.0},
        {"zero_shot": 0.5, "retrieval": 1.0, "pictures": 2.0},
    ]


def test_classes_are_names_of_pictures_alone() -> None:
    flag = replace(RECORD, kind="flag", round1="flag: x", img_path="a")
    same = replace(RECORD, kind="picture", img_path="b")
    names, pictures = classes([flag, same, replace(same, img_path="c")])
    assert list(names) == ["person running"]
    assert set(pictures) == {"b", "c"}


def test_zero_shot_looks_at_renderings_that_were_held_out(made: dict[str, Any], tmp_path: Path) -> None:
    inputs = {name: made[name] for name in ("features", "levels", "subwords")}
    classify(**inputs, duals={"0_15": made["dual"]}, config=ZeroShot(seed=1), out=tmp_path)
    rows = json.loads((tmp_path / "metrics.json").read_text())
    assert {r["domain"] for r in rows} == {"new style", "new concepts"}
    assert {r["arm"] for r in rows} == {"p = 0.15"}
    names = pyarrow.parquet.read_table(tmp_path / "examples.parquet").to_pylist()
    for row in rows:
        own = [one for one in names if one["domain"] == row["domain"]]
        pictures = sum(one["pictures"] for one in own)
        assert sum(one["zero_shot"] * one["pictures"] for one in own) / pictures == pytest.approx(row["zero_shot"])
        assert sum(one["retrieval"] for one in own) / len(own) == pytest.approx(row["retrieval"])
    assert load_dual(made["dual"]).sizes.shared == 8
