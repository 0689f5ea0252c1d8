"""What reaches the public index: counted by the service itself, whatever the client and the search believe."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from models.retrieval.index import DenseIndex, SparseIndex
from models.retrieval.scopes import Chain, Floats, Integers, Leak, Mask, Policy, Query, Scope, Values
from models.retrieval.search import Beam, Local, Paths, Searcher, beam_search
from tasks.base.errors import UserError
from tasks.concurrentqa.retrieval import client as client_module
from tasks.concurrentqa.retrieval import service as service_module
from tasks.concurrentqa.retrieval.client import PublicClient, PublicPool, Transport, connect, recording
from tasks.concurrentqa.retrieval.service import Seen, application, digests, drawn, seen, serve, write_corpus

PUBLIC, PRIVATE = Scope
CANARY = "zanzibarquokka"
ARTICLES = [
    "Bonn. Bonn is a town on the Rhine.",
    "Turin. Turin is a town on the Po.",
    "Rhine. The Rhine is a river.",
    "Po. The Po is a river.",
    "Ada. Ada is a language for rivers of data.",
]
MAILS = [
    f"From: Anna | Subject: moving {CANARY}1\nI shall move to Turin, a town with a river.",
    f"From: Bert | Subject: lunch {CANARY}2\nShall we meet in Bonn, at the Rhine?",
    f"From: Carl | Subject: code {CANARY}3\nMy river of data is in Ada.",
]
QUESTIONS = ["In which town on a river will Anna live?", "What does Carl use for rivers?"]
PUBLIC_IDS = [f"w{at}" for at in range(len(ARTICLES))]
PRIVATE_IDS = [f"e{at}_p0" for at in range(len(MAILS))]
TEXTS = {PUBLIC: ARTICLES, PRIVATE: MAILS}
FORBIDDEN = {Policy.DOCUMENT, Policy.QUERY, Policy.PRIVATE_ONLY}


def encoded(texts: list[str]) -> Floats:
    """Texts as counts of their words in 64 buckets, of length one."""
    vectors = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().replace(".", " ").replace(",", " ").replace("?", " ").split():
            vectors[row, int(drawn(word, 0) * 64)] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


class World:
    """A search over the service, with texts or with vectors, and both logs."""

    def __init__(self, folder: Path, http: Transport, kind: str) -> None:
        self.http, self.kind, self.folder = http, kind, folder
        self.service_log, self.client_log = folder / "service.jsonl", folder / "client.jsonl"
        self.private: set[str] = set()
        mails = DenseIndex(PRIVATE_IDS, encoded(MAILS)) if kind == "vectors" else SparseIndex(PRIVATE_IDS, MAILS)
        self.mails = Local(mails)

    def values(self, texts: list[str]) -> Values:
        return encoded(texts) if self.kind == "vectors" else texts

    def compose(self, questions: Integers, chain: Chain, passages: Integers) -> Values:
        firsts = [TEXTS[chain[-1]][at] for at in passages[:, -1]]
        return self.values([f"{QUESTIONS[row]} {text}" for row, text in zip(questions, firsts, strict=True)])

    def client(self, policy: Policy) -> PublicClient:
        return PublicClient(self.http, policy, self.client_log)

    def search(self, policy: Policy, public: Searcher) -> Paths:
        question = Query(self.values(QUESTIONS), policy)
        indexes: dict[Scope, Searcher] = {PUBLIC: public, PRIVATE: self.mails}
        return beam_search(question, indexes, recording(self.compose, self.private), Beam(beam=8, top=100))

    @property
    def seen(self) -> Seen:
        return seen(self.service_log)

    def sent(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.client_log.read_text().splitlines()]


@pytest.fixture(params=["vectors", "texts"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    write_corpus(tmp_path, PUBLIC_IDS, encoded(ARTICLES), ARTICLES)
    return World(tmp_path, TestClient(application(tmp_path, tmp_path / "service.jsonl")), request.param)


@pytest.fixture
def vectors(tmp_path: Path) -> World:
    write_corpus(tmp_path, PUBLIC_IDS, encoded(ARTICLES), ARTICLES)
    return World(tmp_path, TestClient(application(tmp_path, tmp_path / "service.jsonl")), "vectors")


@pytest.mark.parametrize("policy", Policy)
def test_nothing_private_reaches_the_service(world: World, policy: Policy) -> None:
    """Canaries of the mails, in words and vectors; under no policy at all they must be seen, or the count is blind."""
    paths = world.search(policy, world.client(policy))
    assert set(paths.chains()) == set(policy.chains(2))
    assert world.private
    if policy is Policy.NONE:
        assert world.seen.among(world.private) == len(world.private)
        assert (CANARY in world.service_log.read_text()) == (world.kind == "texts")
    else:
        assert world.seen.among(world.private) == 0
        assert not world.service_log.exists() or CANARY not in world.service_log.read_text()
    if policy.question_is_private:
        assert world.seen == Seen(0, 0, 0, frozenset(), ())
    else:
        assert world.seen.digests >= set(digests(world.values(QUESTIONS)))


def test_the_two_logs_agree(world: World) -> None:
    client = world.client(Policy.DOCUMENT)
    world.search(Policy.DOCUMENT, client)
    saw, sent = world.seen, world.sent()
    assert saw.requests == client.costs.requests == len(sent)
    assert saw.queries == client.costs.queries == sum(int(str(row["queries"])) for row in sent)
    assert saw.bytes == client.costs.sent > 0
    assert {origin for row in sent for origin in dict(row["derived_from"])} == {"", "public"}  # type: ignore[call-overload]
    assert client.costs.received > 0
    assert client.costs.refused == 0


class SearchThenMask(PublicClient):
    """What the original code does: everything may be asked, and what was not allowed is masked afterwards."""

    @property
    def ids(self) -> list[str]:
        return PUBLIC_IDS

    def permits(self, query: Query) -> Mask:
        return np.ones(len(query), bool)


def masked(paths: Paths, policy: Policy) -> list[tuple[str, ...]]:
    pairs = zip(paths.passages(), paths.chains(), strict=True)
    return [passages for passages, chain in pairs if policy.allows(chain)]


@pytest.mark.parametrize("policy", [Policy.DOCUMENT, Policy.QUERY])
def test_search_then_mask_is_refused_by_the_client(world: World, policy: Policy) -> None:
    leaky = SearchThenMask(world.http, policy, world.client_log)
    with pytest.raises(Leak, match="must not leave"):
        world.search(policy, leaky)
    assert world.seen.among(world.private) == 0
    assert leaky.costs.refused == 1
    assert world.sent()[-1]["refused"]
    if policy is Policy.QUERY:
        assert world.seen.queries == 0


@pytest.mark.parametrize("policy", [Policy.DOCUMENT, Policy.QUERY])
def test_search_then_mask_is_counted_at_the_service(
    world: World, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the client's refusal gone too, the answers are still those of an honest search: only the count tells."""
    honest = world.search(policy, world.client(policy)).passages()
    assert world.seen.among(world.private) == 0
    monkeypatch.setattr(Policy, "permits", lambda self, query: np.ones(len(query), bool))
    leaky = masked(world.search(policy, SearchThenMask(world.http, policy, world.client_log)), policy)
    assert set(leaky) == set(honest)
    assert world.seen.among(world.private) > 0
    if world.kind == "texts":
        assert CANARY in world.service_log.read_text()


@pytest.mark.parametrize("chains", [[(PRIVATE,), (PUBLIC,)], [(PUBLIC,), (PRIVATE,)]])
def test_what_public_passages_say_too_is_not_private(chains: list[Chain]) -> None:
    """A mail whose subject is an article's title makes the same query: seeing it must not count as a leak."""
    private: set[str] = set()
    said = {PUBLIC: ["where? Bonn"], PRIVATE: ["where? Bonn", f"where? {CANARY}"]}
    compose = recording(lambda questions, chain, passages: said[chain[-1]], private)
    for chain in chains:
        compose(np.array([0]), chain, np.array([[0]]))
    assert private == set(digests([f"where? {CANARY}"]))


def test_one_tainted_query_stops_its_whole_batch(vectors: World) -> None:
    client = vectors.client(Policy.DOCUMENT)
    query = Query(encoded(QUESTIONS), Policy.DOCUMENT)
    mixed = Query.join([query, query.derive(encoded(MAILS[:1]), np.array([0]), PRIVATE)])
    for ask in (client.search, client.search_and_keep):
        with pytest.raises(Leak, match="1 queries must not leave"):
            ask(mixed, 3)
    assert vectors.seen.requests == 0
    assert client.search(mixed.take(~mixed.tainted), 3).scores.shape == (2, 3)


@pytest.mark.parametrize("policy", sorted(FORBIDDEN))
def test_a_slice_is_chosen_without_anything_private(vectors: World, policy: Policy) -> None:
    """A list of the articles that the mails mention would tell the service what the mails are about."""
    client = vectors.client(policy)
    with pytest.raises(Leak, match="list of passages"):
        client.download(["w1"], derived=[PRIVATE])
    assert vectors.seen.requests == 0
    assert client.download(["w1", "w4", "unknown"]).ids == ["w1", "w4"]


def test_query_privacy_over_a_downloaded_slice(world: World) -> None:
    """Tainted queries may ask what is on this machine; the service sees one download, the same for all questions."""
    client = world.client(Policy.QUERY)
    part = client.download(share=0.7, seed=1)
    assert part.ids == [each for each in PUBLIC_IDS if drawn(each, 1) < 0.7] != []
    assert part.bytes == client.costs.received
    rows = [PUBLIC_IDS.index(each) for each in part.ids]
    assert part.texts == [ARTICLES[row] for row in rows]
    assert part.vectors is not None
    assert part.vectors.tolist() == encoded(ARTICLES)[rows].tolist()
    dense = DenseIndex(part.ids, part.vectors)
    local = Local(dense if world.kind == "vectors" else SparseIndex(part.ids, part.texts))
    paths = world.search(Policy.QUERY, local)
    assert (PRIVATE, PUBLIC) in paths.chains()
    assert world.seen == Seen(1, 0, len(json.dumps({"share": 0.7, "seed": 1})), frozenset(), ())


def test_a_pool_of_public_passages_serves_private_hops(vectors: World) -> None:
    """Fetched with the raw question, chosen from on this machine: private to public without a leak."""
    client = vectors.client(Policy.DOCUMENT)
    paths = vectors.search(Policy.DOCUMENT, PublicPool(client, fetch=4))
    assert (PRIVATE, PUBLIC) in paths.chains()
    assert vectors.seen.among(vectors.private) == 0
    honest = vectors.search(Policy.DOCUMENT, vectors.client(Policy.DOCUMENT))
    assert set(masked(paths, Policy.DOCUMENT)) >= set(honest.passages())
    everything = vectors.search(Policy.DOCUMENT, PublicPool(vectors.client(Policy.DOCUMENT), fetch=len(ARTICLES)))
    unrestricted = vectors.search(Policy.NONE, vectors.client(Policy.NONE))
    assert everything.passages() == unrestricted.passages()


def test_a_pool_under_query_privacy_sends_nothing(vectors: World) -> None:
    pool = PublicPool(vectors.client(Policy.QUERY), fetch=4)
    assert set(vectors.search(Policy.QUERY, pool).chains()) == {(PRIVATE, PRIVATE)}
    assert vectors.seen.requests == 0


def test_the_service_says_what_it_cannot_do(tmp_path: Path) -> None:
    write_corpus(tmp_path, PUBLIC_IDS, texts=ARTICLES)
    client = PublicClient(TestClient(application(tmp_path, tmp_path / "seen")), Policy.NONE, tmp_path / "sent")
    with pytest.raises(UserError, match="holds no vectors of 64 numbers"):
        client.search(Query(encoded(QUESTIONS), Policy.NONE), 2)
    assert client.search(Query([], Policy.NONE), 2).scores.shape == (0, 2)
    assert client.search(Query(["rivers", CANARY], Policy.NONE), 9).positions.shape == (2, 5)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with serve(folder / "service.jsonl", PUBLIC_IDS, encoded(ARTICLES), ARTICLES) as address:
        yield address, folder


def test_over_http_as_in_process(
    address: tuple[str, Path], vectors: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits and the same log from another process; batches of any size."""
    monkeypatch.setattr(client_module, "ROWS", 3)
    away = connect(address[0], Policy.DOCUMENT, tmp_path / "away.jsonl")
    here = vectors.client(Policy.DOCUMENT)
    over_http, in_process = vectors.search(Policy.DOCUMENT, away), vectors.search(Policy.DOCUMENT, here)
    assert over_http.passages() == in_process.passages()
    assert over_http.hop_scores.tobytes() == in_process.hop_scores.tobytes()
    assert away.costs == here.costs
    assert away.costs.requests > 3
    assert (address[1] / "service.jsonl").read_text() == vectors.service_log.read_text()


def test_a_slow_start_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that takes longer than the client waits for one answer; with the block the process ends."""
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    monkeypatch.setattr(service_module, "ANSWER_SECONDS", 0.2)
    with serve(tmp_path / "seen", ["w0"], texts=["a town"]) as address:
        assert connect(address, Policy.NONE, tmp_path / "sent").ids == ["w0"]
        assert httpx.get(f"{address}/health", trust_env=False).json() == {"passages": 1, "width": None}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health", trust_env=False)


def test_a_service_that_dies_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"ended before it answered.*2 ids for 1 texts"),
        serve(tmp_path / "seen", ["w0", "w1"], texts=["a town"]),
    ):
        pass
