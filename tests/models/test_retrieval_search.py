"""Indexes and the beam search against brute force."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.retrieval.index import DenseIndex, Hits, Remembering, SparseIndex
from models.retrieval.scopes import Chain, Floats, Integers, Mask, Policy, Query, Scope, Values
from models.retrieval.search import Beam, Compose, Local, Paths, Searcher, beam_search

PUBLIC, PRIVATE = Scope


class Elsewhere(Local):
    """Another party's index: it notes what it is asked, and fails where the policy forbids it."""

    def __init__(self, index: DenseIndex | SparseIndex, policy: Policy) -> None:
        super().__init__(index)
        self.policy = policy
        self.asked: list[bytes] = []

    def permits(self, query: Query) -> Mask:
        return self.policy.permits(query)

    def search(self, query: Query, k: int) -> Hits:
        assert self.policy.permits(query).all()
        assert isinstance(query.values, np.ndarray)
        self.asked.append(query.values.tobytes())
        return super().search(query, k)


class World:
    """Passages with vectors in two scopes; a path's next query is the question plus the passages so far."""

    def __init__(self, seed: int, public: int, private: int, width: int = 4, ties: bool = False) -> None:
        rng = np.random.default_rng(seed)

        def draw(rows: int) -> Floats:
            # Few different whole numbers give equal scores in plenty.
            drawn = rng.integers(-1, 2, (rows, width)) if ties else rng.normal(size=(rows, width))
            return drawn.astype(np.float32)

        names = rng.permutation(public + private)  # so that ids of the two scopes mix in their order
        self.ids = {
            PUBLIC: [f"w{names[at]}" if at % 2 else f"a{names[at]}" for at in range(public)],
            PRIVATE: [f"e{names[public + at]}_p0" for at in range(private)],
        }
        self.vectors = {PUBLIC: draw(public), PRIVATE: draw(private)}
        self.questions = draw(3)

    def compose(self, questions: Integers, chain: Chain, passages: Integers) -> Values:
        values = self.questions[questions]
        for hop, scope in enumerate(chain):
            values = values + self.vectors[scope][passages[:, hop]]
        return values

    def index(self, scope: Scope) -> DenseIndex:
        return DenseIndex(self.ids[scope], self.vectors[scope])

    def search(self, policy: Policy, beam: Beam, domains: Sequence[Chain] | None = None) -> Paths:
        indexes: dict[Scope, Searcher] = {PRIVATE: Local(self.index(PRIVATE))}
        if policy is not Policy.PRIVATE_ONLY:
            indexes[PUBLIC] = Elsewhere(self.index(PUBLIC), policy)
        return beam_search(Query(self.questions, policy), indexes, self.compose, beam, domains)

    def joint(self) -> tuple[dict[Scope, Searcher], Compose]:
        """All passages in one index, and how its paths become queries."""
        ids, vectors = self.ids[PUBLIC] + self.ids[PRIVATE], np.concatenate(list(self.vectors.values()))

        def compose(questions: Integers, chain: Chain, passages: Integers) -> Values:
            values = self.questions[questions]
            for hop in range(len(chain)):
                values = values + vectors[passages[:, hop]]
            return values

        return {PUBLIC: Local(DenseIndex(ids, vectors))}, compose

    def brute(self, question: int, chains: list[Chain], top: int) -> list[tuple[str, ...]]:
        """The best paths of a question through these chains, every sequence of passages tried."""
        passages = [(scope, at) for scope in Scope for at in range(len(self.ids[scope]))]
        found = []
        for path in permutations(passages, len(chains[0])):
            if tuple(scope for scope, _ in path) in chains:
                query, score = self.questions[question], 0.0
                for scope, at in path:
                    # einsum, as in the index: the last bit decides between paths that are equal on paper
                    score += float(np.einsum("d,d->", query, self.vectors[scope][at]))
                    query = query + self.vectors[scope][at]
                found.append((-score, tuple(self.ids[scope][at] for scope, at in path)))
        return [ids for _, ids in sorted(found)[:top]]


def of_question(paths: Paths, question: int) -> list[tuple[str, ...]]:
    return [ids for ids, owner in zip(paths.passages(), paths.questions, strict=True) if owner == question]


@given(seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_two_merged_indexes_are_one_index(seed: int, data: st.DataObject) -> None:
    """The same passages, order and bits of the scores, ties included; approximately equal would hide a difference."""
    public, private = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    width = data.draw(st.sampled_from([1, 2, 5, 48, 384]))
    world = World(seed, public, private, width, ties=data.draw(st.booleans()))
    world.vectors[PRIVATE][: private // 2] = world.vectors[PUBLIC][0]  # the same text may be in both corpora
    if data.draw(st.booleans()):  # enough questions for the other way of multiplying
        world.questions = np.tile(world.questions, (20, 1))
    for hops in (1, 2):
        top = data.draw(st.integers(1, 40))
        beam = Beam(hops=hops, beam=top, top=top)
        one, compose = world.joint()
        single = beam_search(Query(world.questions, Policy.NONE), one, compose, beam)
        merged = world.search(Policy.NONE, beam)
        assert merged.passages() == single.passages()
        assert merged.hop_scores.tobytes() == single.hop_scores.tobytes()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("policy", Policy)
def test_a_full_beam_is_brute_force(policy: Policy, ties: bool) -> None:
    for seed in range(3):
        world = World(seed, public=5, private=4, ties=ties)
        paths = world.search(policy, Beam(beam=9, top=30))
        for question in range(3):
            assert of_question(paths, question) == world.brute(question, policy.chains(2), 30)


@pytest.mark.parametrize("policy", Policy)
def test_three_hops(policy: Policy) -> None:
    world = World(3, public=4, private=3)
    paths = world.search(policy, Beam(hops=3, beam=60, top=25))
    for question in range(3):
        assert of_question(paths, question) == world.brute(question, policy.chains(3), 25)
        allowed = set(policy.chains(3))
    assert set(paths.chains()) <= allowed


def test_the_beam_goes_to_the_best_first_hops() -> None:
    """A beam of two extends exactly the two best first passages, whatever their scope."""
    world = World(5, public=8, private=8)
    paths = world.search(Policy.NONE, Beam(beam=2, top=100))
    firsts = world.search(Policy.NONE, Beam(hops=1, beam=2, top=2))
    for question in range(3):
        assert {ids[0] for ids in of_question(paths, question)} == {ids[0] for ids in of_question(firsts, question)}


def test_separate_rank_gives_each_chain_its_best() -> None:
    world = World(6, public=6, private=6)
    paths = world.search(Policy.DOCUMENT, Beam(beam=12, top=4, rank="separate"))
    for question in range(3):
        best = set().union(*(world.brute(question, [chain], 4) for chain in Policy.DOCUMENT.chains(2)))
        assert set(of_question(paths, question)) == best
        assert len(best) == 12
    scores = [paths.scores[paths.questions == question] for question in range(3)]
    assert all((np.diff(each) <= 0).all() for each in scores)


def test_a_quota_keeps_a_scope_that_would_be_crowded_out() -> None:
    world = World(7, public=10, private=10)
    world.questions = np.abs(world.questions)
    world.vectors[PUBLIC] = 100 * np.abs(world.vectors[PUBLIC])  # each of them beats all private ones
    crowded = world.search(Policy.NONE, Beam(hops=2, beam=4, top=1000))
    kept = world.search(Policy.NONE, Beam(hops=2, top=1000, quota={PUBLIC: 2, PRIVATE: 3}))
    assert {chain[0] for chain in crowded.chains()} == {PUBLIC}
    for question in range(3):
        mine = kept.questions == question
        firsts = {
            (int(scope), int(at)) for scope, at in zip(kept.scopes[mine, 0], kept.positions[mine, 0], strict=True)
        }
        assert sorted(scope for scope, _ in firsts) == [0, 0, 1, 1, 1]
        assert mine.sum() == 5 * (2 + 3)


def test_public_first_makes_the_public_hops_first() -> None:
    world = World(8, public=5, private=5)
    paths = world.search(Policy.NONE, Beam(beam=10, top=40, public_first=True))
    allowed = [chain for chain in Policy.NONE.chains(2) if chain != (PRIVATE, PUBLIC)]
    for question in range(3):
        assert of_question(paths, question) == world.brute(question, allowed, 40)


def test_the_oracle_follows_the_gold_chains() -> None:
    world = World(9, public=6, private=6)
    gold: list[Chain] = [(PUBLIC, PRIVATE), (PRIVATE, PRIVATE), (PRIVATE, PUBLIC)]
    paths = world.search(Policy.NONE, Beam(beam=6, top=10), gold)
    for question in range(3):
        assert of_question(paths, question) == world.brute(question, [gold[question]], 10)
    forbidden = world.search(Policy.DOCUMENT, Beam(beam=6, top=10), gold)
    assert set(forbidden.questions.tolist()) == {0, 1}


def traffic(seed: int, beam: Beam, mailbox: int) -> list[bytes]:
    """All that reaches the public index under document privacy, with another private corpus for each `mailbox`."""
    world = World(seed, public=12, private=0)
    world.vectors[PRIVATE] = np.random.default_rng(mailbox).normal(size=(mailbox, 4)).astype(np.float32)
    world.ids[PRIVATE] = [f"e{at}_p{mailbox}" for at in range(mailbox)]
    public = Elsewhere(world.index(PUBLIC), Policy.DOCUMENT)
    indexes: dict[Scope, Searcher] = {PUBLIC: public, PRIVATE: Local(world.index(PRIVATE))}
    beam_search(Query(world.questions, Policy.DOCUMENT), indexes, world.compose, beam)
    return public.asked


@pytest.mark.parametrize(
    "beam",
    [
        Beam(hops=3, quota={PUBLIC: 3, PRIVATE: 3}),
        Beam(hops=3, beam=4, rank="separate"),
        Beam(hops=3, beam=4, public_first=True),
    ],
)
@given(seed=st.integers(0, 1000), mailbox=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_what_is_sent_does_not_depend_on_the_private_corpus(beam: Beam, seed: int, mailbox: int) -> None:
    """Another mailbox must leave the same traffic: not even how much is asked may differ."""
    sent = traffic(seed, beam, mailbox)
    assert len(sent) == 3
    assert sent == traffic(seed, beam, 31)


def test_competing_for_the_beam_shows_in_the_traffic() -> None:
    """What the other modes are for: with one beam for all, how many public paths go on depends on the mails."""
    sizes = {mailbox: [sum(map(len, traffic(seed, Beam(beam=4), mailbox))) for seed in range(5)] for mailbox in (0, 30)}
    assert len(set(sizes[0])) == 1
    assert len(set(sizes[30])) > 1
    assert max(sizes[30]) < sizes[0][0]


def test_a_question_does_not_depend_on_its_batch() -> None:
    world = World(10, public=60, private=40, width=384)
    together = world.search(Policy.DOCUMENT, Beam(beam=5, top=8))
    all_questions = world.questions
    for question in range(3):
        world.questions = all_questions[question : question + 1]
        alone = world.search(Policy.DOCUMENT, Beam(beam=5, top=8))
        assert of_question(alone, 0) == of_question(together, question)
        assert alone.scores.tolist() == together.scores[together.questions == question].tolist()


def test_nothing_to_find_is_an_empty_result() -> None:
    world = World(11, public=2, private=1)
    assert len(world.search(Policy.QUERY, Beam(beam=5, top=5)).questions) == 0  # one mail makes no path of two
    assert len(world.search(Policy.NONE, Beam(beam=50, top=50)).questions) == 3 * 6
    with pytest.raises(ValueError, match="at least 1"):
        world.search(Policy.NONE, Beam(beam=0))
    world.ids[PRIVATE] = world.ids[PUBLIC][:1]
    with pytest.raises(ValueError, match="twice"):
        world.search(Policy.NONE, Beam())


def test_composing_cannot_remove_a_taint() -> None:
    """A `compose` that hands back the bare question still yields a query of private origin: nothing of it is sent."""
    world = World(12, public=5, private=5)
    public = Elsewhere(world.index(PUBLIC), Policy.DOCUMENT)
    indexes: dict[Scope, Searcher] = {PUBLIC: public, PRIVATE: Local(world.index(PRIVATE))}
    paths = beam_search(
        Query(world.questions, Policy.DOCUMENT), indexes, lambda rows, chain, passages: world.questions[rows], Beam()
    )
    assert (PRIVATE, PUBLIC) not in paths.chains()


@given(rows=st.integers(1, 300), k=st.integers(1, 60), seed=st.integers(0, 1000), many=st.booleans())
@settings(max_examples=40, deadline=None)
def test_flat_search_is_exact(rows: int, k: int, seed: int, many: bool) -> None:
    """Against float64 over all passages; near-duplicates stress the order that float32 products leave open."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 16)).astype(np.float32)
    vectors[rows // 2 :] = vectors[0] * (1 + rng.integers(0, 3, (rows - rows // 2, 1)) * np.float32(2**-23))
    queries = rng.normal(size=(40 if many else 3, 16)).astype(np.float32)
    hits = DenseIndex([f"{at:04d}" for at in range(rows)], vectors).search(queries, k)
    own = np.einsum("qd,pd->qpd", queries, vectors)
    exact = own.astype(np.float64).sum(2)
    assert hits.positions.shape == (len(queries), min(k, rows))
    for row, (scores, positions) in enumerate(zip(*hits, strict=True)):
        assert len(set(positions.tolist())) == len(positions)
        assert np.abs(scores - exact[row, positions]).max() < 1e-5
        assert list(zip(-scores, positions, strict=True)) == sorted(zip(-scores, positions, strict=True))
        left = np.delete(exact[row], positions)
        assert left.max(initial=-np.inf) <= scores[-1] + 1e-5


class Counting(DenseIndex):
    """An index that counts the queries it is asked."""

    asked = 0

    def search(self, queries: Floats, k: int) -> Hits:
        self.asked += len(queries)
        return super().search(queries, k)


@given(
    searches=st.lists(st.tuples(st.lists(st.integers(0, 49), max_size=50), st.integers(1, 30)), max_size=6),
    seed=st.integers(0, 1000),
    ties=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_what_is_remembered_is_what_a_search_would_find(
    searches: list[tuple[list[int], int]], seed: int, ties: bool
) -> None:
    """Another query's hits, more or fewer than asked for, or ties in another order; and that nothing is asked twice."""
    world = World(seed, public=20, private=0, ties=ties)
    queries = np.random.default_rng(seed).normal(size=(50, 4)).astype(np.float32)
    counting, plain = Counting(world.ids[PUBLIC], world.vectors[PUBLIC]), world.index(PUBLIC)
    remembering = Remembering(counting)
    known: dict[int, int] = {}
    needed = 0
    for rows, k in searches:
        found, expected = remembering.search(queries[rows], k), plain.search(queries[rows], k)
        assert found.scores.tobytes() == expected.scores.tobytes()
        assert found.positions.tolist() == expected.positions.tolist()
        fresh = {row for row in rows if known.get(row, 0) < min(k, 20)}
        needed += len(fresh)
        known |= dict.fromkeys(fresh, min(k, 20))
    assert counting.asked == needed


def test_texts_are_remembered_too() -> None:
    plain = SparseIndex(["b", "a", "c"], ["red wine", "red wine", "a green tree"])
    remembering = Remembering(plain)
    for texts, k in ((["red", "tree"], 2), (["tree", "tree", "red wine"], 3), (["red", ""], 1)):
        found, expected = remembering.search(texts, k), plain.search(texts, k)
        assert found.scores.tolist() == expected.scores.tolist()
        assert found.positions.tolist() == expected.positions.tolist()


def test_equal_vectors_come_in_the_order_of_their_ids() -> None:
    """More ties than FAISS is first asked for: the search has to look further until the tie is whole."""
    ids = [f"w{at}" for at in np.random.default_rng(0).permutation(500)]
    index = DenseIndex(ids, np.ones((500, 8), np.float32))
    for queries in (1, 40):
        hits = index.search(np.ones((queries, 8), np.float32), 5)
        assert [[ids[at] for at in row] for row in hits.positions] == [sorted(ids)[:5]] * queries


def test_hnsw_finds_what_flat_finds() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 32)).astype(np.float32)
    queries = vectors[:50] + 0.3 * rng.normal(size=(50, 32)).astype(np.float32)
    ids = [f"w{at:04d}" for at in range(3000)]
    exact = DenseIndex(ids, vectors).search(queries, 10)
    built = [DenseIndex(ids, vectors, "hnsw").search(queries, 10) for _ in range(2)]
    common = [len(set(a) & set(b)) for a, b in zip(exact.positions.tolist(), built[0].positions.tolist(), strict=True)]
    assert sum(common) / 500 > 0.95
    assert built[0].positions.tobytes() == built[1].positions.tobytes()
    same = exact.positions == built[0].positions
    assert exact.scores[same].tolist() == built[0].scores[same].tolist()


def test_sparse_search() -> None:
    texts = ["the grey cat", "the grey dog", "a cat and a cat", "grey", "grey"]
    index = SparseIndex(["e", "d", "c", "b", "a"], texts)
    hits = index.search(["CAT!", "a grey thing", "zebra the", ""], 3)
    assert hits.positions[0].tolist() == [2, 0, -1]
    assert hits.positions[1].tolist()[:2] == [4, 3]  # equal texts in the order of ids
    assert (hits.positions[2:] == -1).all()
    assert np.isneginf(hits.scores[2:]).all()
    assert (SparseIndex(["a"], ["the"]).search(["cat"], 3).positions == -1).all()
    assert SparseIndex([], []).search(["cat"], 3).positions.shape == (1, 0)


def test_beam_search_over_texts() -> None:
    """Sparse indexes take the same path: a mail names a town, an article tells of it."""
    public = SparseIndex(["w1", "w2"], ["Bonn lies on the Rhine", "Turin lies on the Po"])
    private = SparseIndex(["e1_p0", "e2_p0"], ["Anna moved to Turin", "Bert stayed at home"])
    texts = {PUBLIC: ["Bonn Rhine", "Turin Po"], PRIVATE: ["Anna Turin", "Bert home"]}

    def compose(questions: Integers, chain: Chain, passages: Integers) -> Values:
        return [texts[chain[0]][at] for at in passages[:, 0]]

    paths = beam_search(Query(["Anna"], Policy.NONE), {PUBLIC: Local(public), PRIVATE: Local(private)}, compose, Beam())
    assert paths.passages() == [("e1_p0", "w2")]
    assert paths.chains() == [(PRIVATE, PUBLIC)]


def test_an_index_wants_one_id_a_passage() -> None:
    with pytest.raises(ValueError, match="2 ids"):
        DenseIndex(["a", "b"], np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="2 ids"):
        SparseIndex(["a", "b"], ["x"])
    with pytest.raises(ValueError, match="twice"):
        DenseIndex(["a", "a"], np.ones((2, 2), np.float32))
