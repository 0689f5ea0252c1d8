"""The splits and the benchmark's files: what must not be shared, what must add up, and what a reader finds again."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_questions import world
from safetensors.numpy import save_file
from tiny_models import save_bert, save_llama

from tasks.base.errors import UserError
from tasks.concurrentqa.benchmark.asked import asked_before, digest
from tasks.concurrentqa.benchmark.build import Benchmark, build, select, take_unfiltered
from tasks.concurrentqa.benchmark.original import read_original
from tasks.concurrentqa.benchmark.splits import (
    SPLITS,
    Question,
    assign,
    choose,
    parts,
    split_of,
    split_wordings,
    templates,
)
from tasks.concurrentqa.questions.candidates import CHAINS, Candidate, read_candidates, write_candidates
from tasks.encyclopedia.passages import read_passages, write_passages
from tasks.language.tables import read_table

NAMES_OF_INPUTS = ("corpora", "candidates", "v0", "v1", "v2", "bert", "llama")
SMALL = Benchmark(
    seed=0, test=8, dev=3, train=12, most_test=9, most_train=20, closed_book=False, unasked=False, moves=100
)
NAMES = st.sampled_from(["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"])


@st.composite
def candidate(draw: st.DrawFn) -> Candidate:
    """A candidate about a few people and places, so that everything is connected with everything."""
    family = draw(st.sampled_from(("one", "two", "three")))
    number = draw(st.integers(0, 10**6))
    return Candidate(
        question=f"Who is {number}?",
        answer=draw(st.sampled_from(("red", "green", "blue", "yes", "no"))),
        chain=draw(st.sampled_from(CHAINS)),
        type="bridge",
        family=family,
        wording=f"{family}/{draw(st.integers(0, 4))}",
        passages=(f"w{draw(st.integers(0, 9))}", f"w{draw(st.integers(10, 19))}"),
        support=((0,), (0,)),
        bridge=draw(st.sampled_from(("", "Rome", "rome ", "Oslo", "Lima", "Bonn", "Ann"))),
        senders=tuple(draw(st.lists(NAMES, max_size=2))),
    )


@given(candidates=st.lists(candidate(), max_size=40), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_splits_share_no_bridge_no_sender_and_no_wording(candidates: list[Candidate], seed: int) -> None:
    """A bridge in train and test makes a retriever look as if it could find what it was shown."""
    config = replace(SMALL, seed=seed)
    wording_split = split_wordings((each.wording for each in candidates), config.shares(), seed)
    part_split = assign(candidates, wording_split, config.wanted(), config.cap, seed, config.moves)
    questions, fell = select(candidates, part_split, wording_split, None, config)
    for shared in (lambda each: parts(each), lambda each: {each.wording}):
        seen = {split: {part for each in questions if each.split == split for part in shared(each)} for split in SPLITS}
        assert not seen["train"] & seen["test"]
        assert not seen["train"] & seen["dev"]
        assert not seen["dev"] & seen["test"]
    assert all(wording_split[each.wording] == each.split for each in questions)
    assert len({each.question for each in questions}) <= len({each.question for each in candidates})
    for chain in CHAINS:
        rejected = sum(count.rejected for count in fell if count.chain == chain)
        kept = sum(each.chain == chain for each in questions)
        assert rejected + kept == sum(each.chain == chain for each in candidates)


def test_the_same_person_written_otherwise_is_the_same_person() -> None:
    """ "Rome" in train and "rome " in test would be two entities; a sender that is a bridge elsewhere, too."""
    base = world(1)[1][0]
    assert parts(replace(base, bridge="Ann  Smith")) == parts(replace(base, bridge="", senders=("ann smith",)))
    assert parts(replace(base, bridge=" ", senders=())) == set(base.passages)


@pytest.mark.parametrize("chain", CHAINS)
def test_what_has_nothing_in_common_is_not_lost(chain: str) -> None:
    """A search that leaves most candidates between the splits would still be disjoint."""
    candidates = [each for each in world(40)[1] if each.chain == chain]
    config = replace(SMALL, test=40, dev=40, train=40, mixed=1.0, moves=1000)
    wording_split = split_wordings((each.wording for each in candidates), config.shares(), 0)
    part_split = assign(candidates, wording_split, config.wanted(), config.cap, 0, config.moves)
    assert all(split_of(each, part_split, wording_split) == wording_split[each.wording] for each in candidates)
    assert part_split == assign(candidates[::-1], wording_split, config.wanted(), config.cap, 0, config.moves)


@given(sizes=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 12), max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_split_has_wordings_of_its_own(sizes: dict[str, int]) -> None:
    wordings = [f"{family}-x/{number}" for family, size in sizes.items() for number in range(size)]
    found = split_wordings(wordings, SMALL.shares(), 1)
    assert set(found) == set(wordings)
    assert found == split_wordings(wordings[::-1] * 2, SMALL.shares(), 1)
    for family, size in sizes.items():
        splits = {split for wording, split in found.items() if wording.startswith(f"{family}-x/")}
        assert splits == {1: {"train"}, 2: {"train", "test"}}.get(size, set(SPLITS))


@given(candidates=st.lists(candidate(), max_size=40), before=st.sets(NAMES), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_what_was_asked_before_is_asked_in_train_alone(
    candidates: list[Candidate], before: set[str], seed: int
) -> None:
    """A question about what an earlier test asked about would be judged by a claim that its answer had suggested."""
    wordings, asked = sorted({each.wording for each in candidates}), {name.lower() for name in before} | {"rome"}
    known = wordings[::2]
    wording_split = split_wordings(wordings, SMALL.shares(), seed, known)
    part_split = assign(candidates, wording_split, SMALL.wanted(), SMALL.cap, seed, SMALL.moves, asked)
    for each in select(candidates, part_split, wording_split, None, SMALL)[0]:
        if each.split != "train":
            assert not parts(each) & asked
            assert each.wording not in known
    for each in take_unfiltered(candidates, dict.fromkeys(asked, "train") | part_split, wording_split, SMALL):
        assert not parts(each) & asked
        assert each.wording not in known


def test_of_a_familys_wordings_those_never_asked_are_for_test_first() -> None:
    """With too few of them dev goes without, not test; and nothing asked before slips back into either."""
    wordings = [f"one/{number}" for number in range(3)]
    before = split_wordings(wordings, SMALL.shares(), 0)
    known = [wording for wording, split in before.items() if split != "train"]
    after = split_wordings(wordings, SMALL.shares(), 0, known)
    assert sorted(after.values()) == ["test", "train", "train"]
    assert all(after[wording] == "train" for wording in known)


def test_the_unfiltered_sample_has_what_searches_reject_and_nothing_of_train() -> None:
    """Drawn from what the filters left, it would still be a sample that BM25 had chosen."""
    _, candidates = world(60)
    kept = candidates[::2]
    wording_split = split_wordings((each.wording for each in candidates), SMALL.shares(), 0)
    part_split = assign(kept, wording_split, SMALL.wanted(), SMALL.cap, 0, SMALL.moves)
    questions, _ = select(kept, part_split, wording_split, None, SMALL)
    unfiltered = take_unfiltered(candidates, part_split, wording_split, replace(SMALL, unfiltered=30))
    assert {each.question for each in unfiltered} - {each.question for each in kept}
    assert {each.chain for each in unfiltered} == set(CHAINS)
    learned = [each for each in questions if each.split != "test"]
    assert not {part for each in unfiltered for part in parts(each)} & {part for e in learned for part in parts(e)}
    assert not {each.wording for each in unfiltered} & {each.wording for each in learned}


def test_nobody_is_named_in_the_table_of_what_was_asked() -> None:
    """Bridges and senders stand there as digests, and every one of them is read."""
    table = read_table("data/concurrentqa/asked.yaml")
    assert all(re.fullmatch(r"[0-9a-f]{12}", each) for each in table["parts"].split())
    assert all(re.fullmatch(r"[a-z_-]+/[a-z0-9_-]+", each) for each in table["wordings"].split())
    assert digest("ann smith") not in table["parts"].split()
    assert asked_before({"ann smith"}) == set()


@given(
    answers=st.lists(
        st.tuples(st.sampled_from(("big", "small", "odd")), st.sampled_from("abcdefghijklmnopq")), max_size=80
    ),
    most=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_no_answer_is_a_good_guess(answers: list[tuple[str, str]], most: int) -> None:
    """A majority answer: more than a tenth of a template's questions, or twice where a tenth is less than one."""
    base = world(1)[1][0]
    pool = [replace(base, question=f"{place}?", family=f, answer=a) for place, (f, a) in enumerate(answers)]
    template = {family: family for family in ("big", "small", "odd")}
    chosen, kept_out = choose(pool, most, 0.1, template)
    assert len(chosen) <= most
    assert [each for each in pool if each in chosen] == chosen
    for family in template:
        members = [each for each in chosen if each.family == family]
        for count in Counter(each.answer for each in members).values():
            assert count == 1 or count <= 0.1 * len(members)
    assert choose(pool, len(pool) or 1, 0.1, template)[0] == chosen or len(chosen) <= most
    assert kept_out == len(pool) - len(choose(pool, len(pool) or 1, 0.1, template)[0])


def test_a_choice_is_even_over_templates_and_small_families_count_together() -> None:
    base = world(1)[1][0]
    pool = [replace(base, question=f"{n}?", family="large", answer=f"a{n}") for n in range(50)]
    pool += [replace(base, question=f"few {n}?", family="few", answer=f"b{n}") for n in range(5)]
    chosen, _ = choose(pool, 20, 0.1, {"large": "large", "few": "few"})
    assert Counter(each.family for each in chosen) == {"large": 15, "few": 5}
    sizes = {"trip-a": 5, "trip-b": 90, "visit": 2}
    made = [replace(base, family=family, answer=f"{n}") for family, size in sizes.items() for n in range(size)]
    found = templates([*made, *made])
    assert found["train"] == {"trip-a": "trip-small", "trip-b": "trip-b", "visit": "visit-small"}
    assert found["dev"] == found["test"] == {family: family for family in sizes}
    yes_no = [replace(base, question=f"{n}?", family="same", answer="yes" if n < 9 else "no") for n in range(12)]
    assert Counter(each.answer for each in choose(yes_no, 12, 0.1, {"same": "same"})[0]) == {"yes": 4, "no": 3}


def test_more_than_is_wanted_is_taken_as_far_as_the_bound() -> None:
    """A bound that is not read, or one that moves what is in which split."""
    _, candidates = world(60)
    wording_split = split_wordings((each.wording for each in candidates), SMALL.shares(), 0)
    part_split = assign(candidates, wording_split, SMALL.wanted(), SMALL.cap, 0, SMALL.moves)
    few, many = (
        select(candidates, part_split, wording_split, None, replace(SMALL, most_test=most))[0] for most in (8, 9)
    )
    for chain in CHAINS:
        sizes = [sum((each.chain, each.split) == (chain, "test") for each in some) for some in (few, many)]
        assert sizes == [8, 9]
    assert [each for each in few if each.split != "test"] == [each for each in many if each.split != "test"]


def test_what_a_model_knows_by_heart_is_in_neither_dev_nor_test() -> None:
    """Only the first choice is asked and what takes the place of the rejected is not, or train is thinned out, too."""
    _, candidates = world(60)
    candidates = [replace(each, type="comparison") if n % 5 == 0 else each for n, each in enumerate(candidates)]
    wording_split = split_wordings((each.wording for each in candidates), SMALL.shares(), 0)
    asked: list[Candidate] = []

    def knows(batch: list[Candidate]) -> list[bool]:
        asked.extend(batch)
        return [len(each.answer) % 2 == 0 for each in batch]

    part_split = assign(candidates, wording_split, SMALL.wanted(), SMALL.cap, 0, SMALL.moves)
    questions, fell = select(candidates, part_split, wording_split, knows, SMALL)
    heldout = [each for each in questions if each.split != "train"]
    bridges = [each for each in heldout if each.type == "bridge"]
    assert bridges
    assert all(len(each.answer) % 2 for each in bridges)
    assert {each.question for each in bridges} <= {each.question for each in asked}
    assert len(asked) == len({each.question for each in asked})
    assert not {each.type for each in asked} - {"bridge"}
    assert any(len(each.answer) % 2 == 0 for each in questions if each.split == "train")
    assert sum(count.rejected for count in fell if count.filter == "closed book") == sum(
        len(each.answer) % 2 == 0 for each in asked
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the stage reads: a world without one chain, shuffled vectors, tiny models."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in NAMES_OF_INPUTS:
        (folder / name).mkdir()
    passages, candidates = world(40)
    random.Random(3).shuffle(passages)
    write_passages(folder / "corpora" / "passages.parquet", passages)
    write_candidates(folder / "candidates" / "candidates.parquet", [each for each in candidates if each.chain != "WE"])
    vectors = np.random.default_rng(0).normal(size=(len(passages), 16)).astype(np.float16)
    for shard in (0, 1):
        save_file({"vectors": np.ascontiguousarray(vectors[shard::2])}, folder / f"v{shard}" / "encoded.safetensors")
    save_file({"vectors": vectors[:3]}, folder / "v2" / "encoded.safetensors")
    save_bert(folder / "bert")
    save_llama(folder / "llama")
    return {name: folder / name for name in NAMES_OF_INPUTS}


def built(inputs: dict[str, Path], out: Path) -> Path:
    out.mkdir()
    build(
        corpora=inputs["corpora"],
        candidates=inputs["candidates"],
        vectors={"0": inputs["v0"], "1": inputs["v1"]},
        minilm=inputs["bert"],
        smollm2=inputs["llama"],
        config=replace(SMALL, closed_book=True),
        out=out,
    )
    return out


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage writes."""
    return built(inputs, tmp_path_factory.mktemp("made") / "out")


def test_the_stage_writes_the_same_bytes_and_reads_them_again(
    inputs: dict[str, Path], made: Path, tmp_path: Path
) -> None:
    """Ids by position or by hash(), questions in another split's file, gold lost on the way to the authors' format."""
    one, two = made, built(inputs, tmp_path / "two")
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 14
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
    rows = pyarrow.parquet.read_table(one / "questions.parquet").to_pylist()
    questions = read_candidates(one / "questions.parquet")
    assert {row["chain"] for row in rows} == {"EE", "EW", "WW"}
    assert len({row["id"] for row in rows}) == len(rows)
    for split in SPLITS:
        assert read_candidates(one / f"{split}.parquet") == [
            each for each, row in zip(questions, rows, strict=True) if row["split"] == split
        ]
    passages, found = read_original(one)
    assert {passage.id: passage.sentences for passage in passages} == {
        passage.id: passage.sentences for passage in read_passages(inputs["corpora"] / "passages.parquet")
    }
    assert [(each.id, each.split, each.chain, each.passages, each.support, each.answer) for each in found] == [
        (row["id"], row["split"], each.chain, each.passages, each.support, each.answer)
        for each, row in zip(questions, rows, strict=True)
    ]


def test_the_datasheet_and_the_metrics_say_what_is_missing_and_what_fell(inputs: dict[str, Path], made: Path) -> None:
    """A chain without candidates that crashes the stage, or that nobody is told of."""
    sheet = json.loads((made / "datasheet.json").read_text())
    assert sheet["short"]["WE test"] == {"wanted": SMALL.test, "found": 0}
    page = (made / "datasheet.md").read_text()
    assert "- WE test: 0 of 8" in page
    counts = Counter(row["split"] for row in pyarrow.parquet.read_table(made / "questions.parquet").to_pylist())
    assert sheet["total"] == counts
    assert f"| all | {counts['train']} | {counts['dev']} | {counts['test']} | {counts.total()} |" in page
    rows = json.loads((made / "metrics.json").read_text())
    candidates = Counter(each.chain for each in read_candidates(inputs["candidates"] / "candidates.parquet"))
    for chain in ("EE", "EW", "WW"):
        fell = sum(row["rejected"] for row in rows if row["domain"] == chain and "rejected" in row)
        kept = [row for row in rows if row["domain"] == chain and "questions" in row]
        assert fell + sum(row["questions"] for row in kept if row["split"] != "unfiltered") == candidates[chain]
        assert [row["questions"] for row in kept if row["split"] == "unfiltered"] == [sheet["unfiltered"][chain]]
        assert all(row["seed"] == 0 for row in rows)


def test_vectors_of_other_passages_are_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="6 vectors of 160 passages"):
        built({**inputs, "v0": inputs["v2"], "v1": inputs["v2"]}, tmp_path / "out")


def test_an_id_follows_the_question_and_not_its_place() -> None:
    first, second = world(2)[1][:2]
    assert Question.of(first, "train").id == Question.of(first, "test").id
    assert Question.of(first, "train").id != Question.of(replace(first, answer="other"), "train").id
    assert Question.of(second, "dev").id.startswith("EE-")
