"""The stages from end to end on models of a few kilobytes: who reads what, who moves, and what is compared."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from conftest import read_json
from test_tasks import build
from tiny_models import save_bert, save_llama

from models.config import Optimisation
from tasks.base.errors import UserError
from tasks.encyclopedia.articles import article
from tasks.encyclopedia.passages import read_passages
from tasks.language.minilm import MiniLM
from tasks.radit.answering import Answering, _Asks, answer_tuned, answer_untuned, fewer
from tasks.radit.answers import MODELS, NO_SEED, RETRIEVERS, relative
from tasks.radit.building import Tasks
from tasks.radit.elsewhere import Elsewhere, ask_for, search_elsewhere
from tasks.radit.examples import GROUPED, Example, groups, read_examples, searched
from tasks.radit.language_models import Conversion, convert_model, digest, load_model
from tasks.radit.lm_tuning import ARMS, Adapter, ModelTuning, tune_model
from tasks.radit.passages import Embedding, embed_passages, shown
from tasks.radit.prompts import head, prompt
from tasks.radit.retrieval import Retrieval, read_found, read_vectors, retrieve
from tasks.radit.retriever_tuning import Lesson, RetrieverTuning, tune_retriever
from tasks.radit.scoring import Scoring, read_likelihoods, score

STEPS = Optimisation(steps=4, batch=4, learning_rate=0.01, warmup=0, weight_decay=0.0)
LORA = Adapter(rank=2, alpha=4, first_layer=1)
ARMS_ASKED = ("IT", "RA-IT", "IT with own passages")


class World:
    """Every stage's folder, made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tasks = build(root, Tasks(train=12, validation=4, test=8, texts=1, piece=3, planted=2))
        self.minilm, self.gguf = self.folder("minilm"), self.folder("gguf")
        save_bert(self.minilm)
        save_llama(self.gguf)
        self.of = {"corpus": root / "corpus", "tasks": self.tasks}
        for shard in (0, 1):
            out = self.folder(f"vectors-{shard}")
            embed_passages(corpus=root / "corpus", minilm=self.minilm, config=Embedding(shard=shard, shards=2), out=out)
        self.vectors = {str(shard): root / f"vectors-{shard}" for shard in (0, 1)}
        self.retrieved, self.model = self.folder("retrieved"), self.folder("model")
        retrieve(**self.of, vectors=self.vectors, minilm=self.minilm, config=Retrieval(), out=self.retrieved)
        convert_model(smollm2=self.gguf, config=Conversion(precision="float32"), out=self.model)
        self.likelihoods = {"0": self.folder("likelihoods")}
        self.score(self.likelihoods["0"])
        self.tuned = self.tune_retriever(arm="tuned")
        self.adapters = {arm: self.tune_model(arm, self.retrieved) for arm in ARMS_ASKED}
        self.untuned = self.folder("untuned")
        self.answer_untuned(self.likelihoods, self.untuned)
        self.answered = {arm: self.answer_tuned(arm) for arm in ARMS_ASKED}

    def folder(self, name: str) -> Path:
        made = self.root / name
        made.mkdir()
        return made

    def score(self, out: Path) -> None:
        score(**self.of, retrieved=self.retrieved, model=self.model, config=Scoring(k=3, shots=1), out=out)

    def tune_retriever(self, **settings: Any) -> Path:
        out = self.folder(f"retriever {settings}")
        tune_retriever(
            **self.of,
            vectors=self.vectors,
            retrieved=self.retrieved,
            minilm=self.minilm,
            likelihoods=self.likelihoods,
            config=RetrieverTuning(
                **{"seed": 1, "layers": 1, "epochs": 3, "learning_rate": 0.01, "batch": 4} | settings
            ),
            out=out,
        )
        return out

    def tune_model(self, arm: str, retrieved: Path, name: str = "") -> Path:
        out = self.folder(name or arm)
        config = ModelTuning(seed=1, arm=arm, optimisation=STEPS, adapter=LORA)
        tune_model(**self.of, retrieved=retrieved, model=self.model, config=config, out=out)
        return out

    def answer_untuned(self, likelihoods: Mapping[str, Path], out: Path, **settings: Any) -> None:
        answer_untuned(
            **self.of,
            retrieved=self.retrieved,
            retrievers={"1": self.tuned, "2": self.tuned},
            likelihoods=dict(likelihoods),
            model=self.model,
            config=Answering(
                **{"shots": 1, "longest": 2, "model_seeds": (1,), "retriever_seeds": (1, 2), "ensembles": (1, 3)}
                | settings
            ),
            out=out,
        )

    def answer_tuned(self, arm: str, **settings: Any) -> Path:
        out = self.folder(f"answered {arm} {settings}")
        answer_tuned(
            **self.of,
            retrieved=self.retrieved,
            retriever=self.tuned,
            model=self.model,
            adapter=self.adapters[arm],
            untuned=self.untuned,
            config=Answering(seed=1, arm=arm, shots=1, longest=2, **settings),
            out=out,
        )
        return out


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    return World(tmp_path_factory.mktemp("world"))


def rows(folder: Path) -> list[dict[str, Any]]:
    found = pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def test_what_is_found_is_what_brute_force_finds(world: World) -> None:
    """Shards in the wrong order would give each passage another's vector; absent passages must stay unfound."""
    passages, examples = read_passages(world.root / "corpus/passages.parquet"), read_examples(world.tasks)
    encoder = MiniLM(world.minilm)
    vectors = encoder.encode([shown(each, 60) for each in passages])
    assert np.allclose(read_vectors(world.vectors), vectors, atol=1e-5)
    found = read_found(world.retrieved)
    there = searched(world.tasks, passages)
    assert len(there) < len(passages)
    for each, query in zip(examples, encoder.encode([e.asked for e in examples]), strict=True):
        scores = {place: 20.0 * float(vectors[place] @ query) for place in there if passages[place].id != each.source}
        best = sorted(scores.values(), reverse=True)[:10]
        assert np.allclose(found["minilm"][each.id].scores, best, atol=1e-3)
        assert set(found["bm25"][each.id].places) <= set(there)


def test_recall_counts_gold_passages(world: World) -> None:
    passages, found = read_passages(world.root / "corpus/passages.parquet"), read_found(world.retrieved)["bm25"]
    examples = [each for each in read_examples(world.tasks, "test") if each.gold]
    for first in (1, 5):
        hits = [any(passages[p].id in e.gold for p in found[e.id].places[:first]) for e in examples]
        (row,) = [
            r
            for r in read_json(world.retrieved / "metrics.json")
            if r["retriever"] == "bm25" and r["among"] == "test" and r.get("first") == str(first)
            if all(r[name] == "all" for name in GROUPED)
        ]
        assert row["recall"] == pytest.approx(sum(hits) / len(hits))


def test_likelihoods_are_those_of_the_whole_prompt(world: World) -> None:
    """Worked examples, passage and question before, the answer alone counted, per token."""
    model, words = load_model(world.model)
    passages = read_passages(world.root / "corpus/passages.parquet")
    found = read_likelihoods([world.likelihoods["0"]])
    example = next(e for e in read_examples(world.tasks, "train") if e.task == "open question")
    places, likelihood = found[example.id]
    for place, value in zip(places, likelihood, strict=True):
        before = words.tokens(head(world.tasks, 1) + prompt(example.asked, shown(passages[place], 60)))
        answer = words.answer(example.answers[0])
        with torch.inference_mode():
            logs = model(input_ids=torch.tensor([[*before, *answer]])).logits[0].log_softmax(-1)
        each = [logs[len(before) - 1 + at, token].item() for at, token in enumerate(answer)]
        assert value == pytest.approx(np.exp(np.mean(each)), rel=1e-3)
    assert not any(e.id in found for e in read_examples(world.tasks, "test"))


def test_the_tuned_encoder_is_a_folder_like_the_one_it_came_from(world: World) -> None:
    """Whatever reads the original reads it, and gives the vectors that were searched with."""
    tuned = MiniLM(world.tuned / "encoder")
    examples = read_examples(world.tasks)
    vectors, places = read_vectors(world.vectors), read_found(world.tuned)["tuned"]
    queries = tuned.encode([each.asked for each in examples])
    for each, query in zip(examples, queries, strict=True):
        best = places[each.id]
        assert np.allclose(best.scores, 20.0 * vectors[list(best.places)] @ query, atol=1e-2)
    assert not np.allclose(queries, MiniLM(world.minilm).encode([each.asked for each in examples]), atol=1e-3)
    (proof,) = [row for row in read_json(world.tuned / "metrics.json") if "moved" in row]
    assert proof["moved"] > 0
    assert proof["passages_moved"] == 0.0


def test_the_arm_of_both_encoders_moves_both_and_searches_with_both(world: World) -> None:
    """With the passages' old vectors it would be the main arm by another name, or a mismatched pair."""
    both = world.tune_retriever(arm="both encoders", both=True)
    (proof,) = [row for row in read_json(both / "metrics.json") if "moved" in row]
    assert proof["moved"] > 0
    assert proof["passages_moved"] == 1.0
    passages, examples = read_passages(world.root / "corpus/passages.parquet"), read_examples(world.tasks)
    vectors = MiniLM(both / "passage_encoder").encode([shown(each, 60) for each in passages])
    queries = MiniLM(both / "encoder").encode([each.asked for each in examples])
    assert not np.allclose(vectors, read_vectors(world.vectors), atol=1e-3)
    there, found = searched(world.tasks, passages), read_found(both)["both encoders"]
    for each, query in zip(examples, queries, strict=True):
        scores = [20.0 * float(vectors[place] @ query) for place in there if passages[place].id != each.source]
        assert np.allclose(found[each.id].scores, sorted(scores, reverse=True)[:10], atol=1e-2)


def test_a_teacher_is_who_the_arm_says(world: World) -> None:
    """An ablation that quietly trains like the main arm would always agree with it."""
    moved = {"tuned": _divergence(world.tuned)}
    for settings in ({"temperature": 1.0}, {"teacher": "shuffled"}, {"direction": "model to retriever"}):
        moved[str(settings)] = _divergence(world.tune_retriever(arm=str(settings), **settings))
    assert len(set(moved.values())) == len(moved)


def test_targets_are_likelihoods_gold_passages_or_shuffled_ones() -> None:
    lesson = Lesson(Example("", "train", "open question", "", ("a",)), (7, 3, 5), (0.1, 0.9, 0.2), {3})
    chance = np.random.default_rng(0)
    assert list(lesson.target("language model", chance)) == [0.1, 0.9, 0.2]
    assert list(lesson.target("gold passages", chance)) == [0.0, 1.0, 0.0]
    drawn = {tuple(lesson.target("shuffled", chance)) for _ in range(50)}
    assert len(drawn) == 6
    assert {tuple(sorted(each)) for each in drawn} == {(0.1, 0.2, 0.9)}


def _divergence(folder: Path) -> float:
    return float(next(row["divergence"] for row in read_json(folder / "metrics.json") if "divergence" in row))


def test_instruction_tuning_without_passages_reads_none(world: World, tmp_path: Path) -> None:
    """Else the baseline would have what it is the baseline for."""
    table = pyarrow.parquet.read_table(world.retrieved / "found.parquet").to_pylist()
    for row in table:
        row["places"] = row["places"][::-1]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), tmp_path / "found.parquet")
    for arm, same in (("IT", True), ("RA-IT", False)):
        again = world.tune_model(arm, tmp_path, f"{arm} again")
        read = [(folder / "adapter_model.safetensors").read_bytes() for folder in (world.adapters[arm], again)]
        assert (read[0] == read[1]) == same


def test_an_adapter_changes_the_model_and_leaves_its_folder_alone(world: World) -> None:
    base, _ = load_model(world.model)
    tuned, _ = load_model(world.model, world.adapters["RA-IT"])
    assert digest(base) != digest(tuned)
    assert digest(base) == read_json(world.likelihoods["0"] / "model.json")["sha256"]
    said = read_json(world.adapters["RA-IT"] / "adapter_config.json")
    assert str(world.root) not in str(said)
    assert said["target_modules"] == sorted(said["target_modules"]), "a set's order is that of the process"
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(world.root)


def test_the_untuned_model_stands_for_every_seed_it_is_compared_with(world: World) -> None:
    found = rows(world.untuned)
    way = {"retriever": "minilm", "way": "ensemble", "shots": 1, "among": "test"}
    mine = [row for row in found if all(row.get(name) == value for name, value in way.items()) and "em" in row]
    seeds = {(row["paired by"], row.get("seed")) for row in mine}
    assert seeds == {(RETRIEVERS, 1), (RETRIEVERS, 2), (MODELS, 1), (NO_SEED, None)}
    tuned = {(row["paired by"], row["seed"]) for row in found if row.get("retriever") == "tuned"}
    assert tuned == seeds - {(NO_SEED, None)}
    tests = [each for each in read_examples(world.tasks, "test")]
    assert len(mine) == 4 * len(tests)
    assert {row["way"] for row in found if "way" in row} == {
        "closed book",
        "random",
        "contradicting",
        "ensemble",
        "concatenation",
    }


def test_gains_are_differences_of_the_same_question(world: World) -> None:
    before = {
        row["question"]: row["em"]
        for row in rows(world.untuned)
        if "em" in row and (row.get("retriever"), row["way"], row["shots"]) == ("minilm", "ensemble", 1)
    }
    after = rows(world.answered["RA-IT"])
    tuned = {
        row["question"]: row["em"]
        for row in after
        if (row.get("retriever"), row.get("way"), row.get("shots")) == ("tuned", "ensemble", 1)
    }
    gains = {row["question"]: row["em_difference"] for row in after if row.get("contrast") == "gain, 1 shots"}
    assert gains == {question: tuned[question] - before[question] for question in tuned}
    assert not [row for row in rows(world.answered["IT with own passages"]) if row.get("retriever") == "tuned"]


def test_models_are_asked_other_questions_by_turns_and_the_untuned_one_the_same(world: World) -> None:
    """A seed's questions must be those that its baseline answered; together the seeds answer all of them."""
    out = world.folder("untuned by turns")
    world.answer_untuned(world.likelihoods, out, model_seeds=(1, 2), turns=2)
    asked: dict[tuple[str, str], dict[int, set[str]]] = {}
    for row in rows(out):
        if row["paired by"] == MODELS and row.get("retriever") in ("minilm", "tuned") and row["shots"]:
            asked.setdefault((row["retriever"], row["way"]), {}).setdefault(row["seed"], set()).add(row["question"])
    assert asked["minilm", "ensemble"] == asked["tuned", "ensemble"]
    first, second = (asked["minilm", "ensemble"][seed] for seed in (1, 2))
    assert not first & second
    assert first | second == {each.id for each in read_examples(world.tasks, "test", "outside", "planted")}
    tuned = world.answer_tuned("RA-IT", turns=2)
    assert {row["question"] for row in rows(tuned) if row.get("way") == "ensemble" and row["shots"]} == first


def test_fewer_questions_keep_their_tasks_shares() -> None:
    some = [
        Example(f"{task} {n}", "test", task, "", ("",)) for task in ("open question", "reasoning") for n in range(8)
    ]
    kept = fewer(some, 8)
    assert [each.id for each in kept] == [f"{task} {n}" for task in ("open question", "reasoning") for n in range(4)]
    assert fewer(some, None) == fewer(some, 99) == some
    assert [each.id for each in fewer(some, 1)] == ["open question 0", "reasoning 0"]


def test_random_passages_are_as_many_as_those_found(world: World) -> None:
    """With fewer of them, less would be read, and the harm were another one."""
    asks = _Asks(world.root / "corpus", world.tasks, Answering(k=3))
    (random,) = [each for each in asks.without_retriever(0) if each.labels["way"] == "random"]
    for found in random.found.values():
        assert len(set(found.places)) == 3
        assert len(set(found.scores)) == 1


def test_the_divergence_is_one_quantity_in_every_arm(world: World) -> None:
    """Without a step that changes anything, it does not depend on what would have been learned from."""
    found = {
        _divergence(world.tune_retriever(arm=f"still {n}", learning_rate=1e-12, **settings))
        for n, settings in enumerate(
            [{}, {"temperature": 1.0}, {"teacher": "shuffled"}, {"direction": "model to retriever"}]
        )
    }
    assert max(found) == pytest.approx(min(found), rel=1e-4)


def test_groups_are_told_apart_one_label_at_a_time() -> None:
    """A mean over plain questions that left out others for a second reason would be of something else."""
    labels = Example("1", "test", "reasoning", "", ("",), wording="plain").labels
    made = {group: {name: each[name] for name in GROUPED} for group, each in groups(labels)}
    assert set(made[""].values()) == {"all"}
    assert made["plain"] == {"task": "all", "wording": "plain", "relation": "all", "answerable": "all"}
    assert len(made) == 5


def test_a_relative_gain_is_no_difference_in_points() -> None:
    """From .2 to .3 are ten points and fifty per cent."""
    rows = [
        {
            "retriever": finds,
            "way": "ensemble",
            "shots": 5,
            "among": "test",
            "lm": "x",
            "seed": 1,
            "paired by": "",
            "em": em,
        }
        for finds, right in (("minilm", 2), ("tuned", 3))
        for em in [1.0] * right + [0.0] * (10 - right)
    ]
    (row,) = relative("gain", rows, ("tuned", "ensemble", 5), rows, ("minilm", "ensemble", 5))
    assert row["relative_gain"] == pytest.approx(0.5)


def test_another_language_model_as_teacher_is_noticed(world: World, tmp_path: Path) -> None:
    """The likelihoods must be the untuned model's, not the tuned one's."""
    changed = [row for row in read_json(world.untuned / "metrics.json") if "model_changed" in row]
    assert [row["model_changed"] for row in changed] == [0.0]
    (tmp_path / "model.json").write_text(json.dumps({"sha256": "of another"}))
    out = world.folder("untuned again")
    world.answer_untuned({"0": tmp_path}, out)
    assert [row["model_changed"] for row in read_json(out / "metrics.json") if "model_changed" in row] == [1.0]


def test_another_corpus_is_asked_for_its_own_entries(world: World, tmp_path: Path) -> None:
    """Another entry comes first in every other question, and the untuned retriever stands beside every seed."""
    entries = [article(f"f{n}", f"term {n}", f"Term {n} is a thing of computing.") for n in range(9)]
    asked = ask_for(entries, Elsewhere(questions=9))
    assert [each.wording for each in asked] == ["plain", "distractor"] * 4 + ["plain"]
    for each in asked:
        gold = entries[int(each.gold[0][1:])].title
        assert gold in each.asked
        if each.wording == "plain":
            assert [entry.title for entry in entries if entry.title in each.asked] == [gold]
            continue
        others = [entry.title for entry in entries if entry.title in each.asked and entry.title != gold]
        assert each.asked.find(others[0]) < each.asked.rfind(gold)
    (tmp_path / "unavailable.json").write_text('{"reason": "no apt"}')
    out = world.folder("elsewhere")
    search_elsewhere(foldoc=tmp_path, minilm=world.minilm, retrievers={"1": world.tuned}, config=Elsewhere(), out=out)
    assert {row["unavailable"] for row in read_json(out / "metrics.json")} == {"no apt"}


def test_every_arm_of_the_language_model_learns_from_other_prompts(world: World) -> None:
    """An arm that reads what another one reads would be the other one by another name."""
    weights = {
        arm: (world.tune_model(arm, world.retrieved, f"{arm}, arms") / "adapter_model.safetensors").read_bytes()
        for arm in ARMS
    }
    assert len(set(weights.values())) == len(ARMS)
    with pytest.raises(ValueError, match="none of"):
        ModelTuning(arm="another", optimisation=STEPS)
