"""The filters: each case is a question that does not need two hops, or no question at all, and must fall."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_questions import article, mail, world

from tasks.concurrentqa.benchmark import filters as module
from tasks.concurrentqa.benchmark.filters import Filter, filters, hop_2_cue, near_duplicates, ranks, sift
from tasks.concurrentqa.questions.candidates import CHAINS, Candidate
from tasks.encyclopedia.passages import Passage

HOP_1 = article(1, "Lumbo", "Lumbo is a town of potters in Gudland.", "Old Hanna lives there.")
HOP_2 = article(2, "Gudland", "Gudland is a realm.", "Its seat is Great Pakepolis.")
OTHERS = [article(10 + number, f"Place {number}", f"Place {number} is a quiet spot.") for number in range(20)]
MAIL = mail(1, "Nora Smith", "I was in Lumbo.")
WORLD = {passage.id: passage for passage in [HOP_1, HOP_2, MAIL, *OTHERS]}
GOOD = Candidate(
    question="What is the main city of the country that the potters of Lumbo live in?",
    answer="Great Pakepolis",
    chain="WW",
    type="bridge",
    family="seat",
    wording="seat/1",
    passages=("w1", "w2"),
    support=((0,), (1,)),
    bridge="Gudland",
)
ORTHOGONAL = np.eye(len(WORLD), 40, dtype=np.float32)


def fallen(candidates: list[Candidate], query: np.ndarray | None = None) -> list[str]:
    """The filter that each candidate falls to, or "" for none; `query` is what the encoder makes of a question."""
    vector = np.eye(40, dtype=np.float32)[39] if query is None else query
    made = filters(WORLD, ORTHOGONAL, lambda texts: np.stack([vector] * len(texts)), {"seat/1": "train"})
    names = []
    for candidate in candidates:
        left = [candidate]
        for each in made:
            left, _ = sift(left, [each])
            if not left:
                names.append(each.name)
                break
        else:
            names.append("")
    return names


def test_a_good_question_passes_everything() -> None:
    """Filters that reject what they should let through prove nothing by rejecting."""
    assert fallen([GOOD], query=ORTHOGONAL[5] + ORTHOGONAL[6] + ORTHOGONAL[7]) == [""]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"passages": ("w1", "w99")}, "malformed"),
        ({"passages": ("w1", "w1")}, "malformed"),
        ({"chain": "EW"}, "malformed"),
        ({"support": ((0,), (2,))}, "malformed"),
        ({"support": ((0,), ())}, "malformed"),
        ({"question": "Name the seat of the realm."}, "malformed"),
        ({"answer": "!"}, "malformed"),
        ({"question": "Is great Pakepolis the seat of where the potters of Lumbo live?"}, "answer"),
        ({"answer": "Gudland"}, "answer"),
        ({"answer": "Small Pakepolis"}, "answer"),
        ({"answer": "great pakepolis"}, "answer"),
        ({"question": "What is the seat of Gudland?"}, "one-hop BM25"),
    ],
)
def test_each_flaw_falls_to_its_filter(change: dict[str, object], name: str) -> None:
    assert fallen([replace(GOOD, **change)]) == [name]


def test_a_comparison_is_exempt_from_what_it_cannot_meet_and_from_nothing_else() -> None:
    """Comparisons all rejected, since they name both passages; or let through with an answer from nowhere."""
    both = replace(GOOD, type="comparison", question="Which is larger, Lumbo or Gudland?", answer="Gudland")
    assert fallen([both, replace(both, answer="yes"), replace(both, answer="Neverland")]) == ["", "", "answer"]


def test_half_an_answer_in_hop_1_is_not_enough_and_more_is() -> None:
    first = replace(HOP_1, text=HOP_1.text + " Pakepolis is far.")
    assert not module.is_in_hop_1(GOOD, {**WORLD, "w1": first})
    first = replace(first, text=first.text + " It is great.")
    assert module.is_in_hop_1(GOOD, {**WORLD, "w1": first})


def test_a_question_with_two_answers_falls_and_so_does_its_twin() -> None:
    """Keeping the first of two answers makes the benchmark wrong half the time."""
    twins = [GOOD, replace(GOOD, answer="Pakepolis", passages=("w1", "w10"))]
    assert module.ambiguous(twins) == [True, True]
    assert module.ambiguous([GOOD, replace(GOOD, passages=("w1", "w10"))]) == [False, False]


def test_what_minilm_finds_at_once_falls() -> None:
    assert fallen([GOOD], query=ORTHOGONAL[1]) == ["one-hop MiniLM"]


def test_hop_2_alone_is_found_without_the_words_of_hop_1() -> None:
    """A question whose first hop is decoration: many words of hop 1 hide that the rest of it names hop 2."""
    potters = [article(50 + number, f"Potters {number}", "potters potters Hanna Hanna old town") for number in range(5)]
    gold = replace(HOP_2, text="Gudland is a realm of basalt. Its seat is Great Pakepolis.")
    passages: dict[str, Passage] = {**WORLD, "w2": gold, **{each.id: each for each in potters}}
    question = "Potters potters potters, old Hanna, old Hanna, town of potters: which seat has the basalt?"
    candidate = replace(GOOD, question=question)
    vectors = np.eye(len(passages), 40, dtype=np.float32)
    made = filters(passages, vectors, lambda texts: np.stack([vectors[5] * 9 + vectors[6] * 9 + vectors[7] * 9]), {})
    by_name = {each.name: each for each in made}
    assert list(by_name["one-hop BM25"].rejects([candidate])) == [False]
    assert list(by_name["hop-2-only"].rejects([candidate])) == [True]
    assert hop_2_cue(candidate, passages) == "of which seat has the basalt"


def test_near_duplicates_keep_the_first_of_a_split() -> None:
    """Twice the same pair in one split; or families of like wording thinned out though they ask different things."""
    split = {"seat/1": "train", "seat/2": "train", "seat/3": "test"}
    again = replace(GOOD, question="The potters' country: what is its seat?", wording="seat/2")
    swapped = replace(again, passages=("w2", "w1"))
    heldout = replace(again, wording="seat/3")
    near = replace(GOOD, question="And what is" + GOOD.question.removeprefix("What is"), passages=("w1", "w10"))
    elsewhere = replace(GOOD, passages=("w11", "w12"))
    other_way = replace(again, chain="WE")
    judged = near_duplicates([GOOD, again, swapped, heldout, near, elsewhere, other_way], split)
    assert judged == [False, True, True, False, True, False, False]


def test_the_world_of_the_tests_mostly_passes() -> None:
    passages, candidates = world(30)
    by_id = {passage.id: passage for passage in passages}
    rng = np.random.default_rng(0)
    made = filters(
        by_id,
        rng.normal(size=(len(passages), 16)).astype(np.float32),
        lambda texts: rng.normal(size=(len(texts), 16)).astype(np.float32),
        {candidate.wording: "train" for candidate in candidates},
    )
    kept, _ = sift(candidates, made)
    for chain in CHAINS:
        assert sum(candidate.chain == chain for candidate in kept) > 10, chain


@given(
    seed=st.integers(0, 99),
    flags=st.lists(st.tuples(st.sampled_from(CHAINS), st.sampled_from(("bridge", "comparison"))), max_size=40),
)
@settings(max_examples=40, deadline=None)
def test_counts_add_up(seed: int, flags: list[tuple[str, str]]) -> None:
    """Rejections counted twice, forgotten, or charged to a type that the filter does not apply to."""
    rng = np.random.default_rng(seed)
    candidates = [replace(GOOD, chain=chain, type=kind) for chain, kind in flags]
    made = [
        Filter(str(number), "", types, lambda concerned: (rng.random(len(concerned)) < 0.3).tolist())
        for number, types in enumerate([("bridge",), ("bridge", "comparison"), ("comparison",)])
    ]
    kept, counts = sift(candidates, made)
    for chain in {chain for chain, _ in flags}:
        left = sum(candidate.chain == chain for candidate in candidates)
        for count in [count for count in counts if count.chain == chain]:
            assert count.rejected + count.kept == left
            left = count.kept
        assert left == sum(candidate.chain == chain for candidate in kept)


@given(seed=st.integers(0, 999), passages=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_ranks_are_those_of_sorting(seed: int, passages: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(passages, 4)).astype(np.float32)
    queries = rng.normal(size=(5, 4)).astype(np.float32)
    gold = rng.integers(0, passages, 5)
    order = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")
    expected = [row.tolist().index(one) for row, one in zip(order, gold, strict=True)]
    assert ranks(queries, vectors, gold).tolist() == expected
