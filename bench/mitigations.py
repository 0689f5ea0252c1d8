"""What each policy and mitigation costs a question in time, one question after the other, beside a search without any.

OMP_NUM_THREADS=1 python -m bench.mitigations data/cpu/concurrentqa [--questions 100] [--seed 1]

The folder is that of a reproduced profile. The public index is the same HTTP service as in the reproduction, on this
machine: what the way to another one takes comes on top of it, once for each request.
"""

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.retrieval.scopes import Integers, Policy, Scope, Values
from models.retrieval.search import Beam, Local, Searcher
from tasks.concurrentqa.retrieval.client import connect
from tasks.concurrentqa.retrieval.retrieve import (
    MITIGATIONS,
    POLICIES,
    Asked,
    Corpus,
    Mode,
    Search,
    beam_of,
    find,
    indexes_for,
)
from tasks.concurrentqa.retrieval.retriever import Frozen, Trained, load_retriever
from tasks.concurrentqa.retrieval.service import serve
from tasks.encyclopedia.passages import read_passages
from tasks.language.encoded import Encoded

EXCEPT = ("oracle", "single", "without-gold")
"""Modes that are no way to answer a question."""


def main() -> None:
    """Print milliseconds a question, and the ratio to a search without a policy: above 1 is slower."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    passages = read_passages(asked.folder / "corpora" / "passages.parquet")
    config = Search()
    questions = Asked.read(asked.folder / "benchmark", asked.folder / "candidates", passages, config)
    features = {str(shard): asked.folder / f"features-{shard}" for shard in (0, 1)}
    public = np.array([place for place, passage in enumerate(passages) if passage.scope == "public"])
    retriever = load_retriever(asked.folder / f"mixed-retriever-{asked.seed}")
    encoded = Encoded.load(asked.folder / "question-features"), Encoded.load_shards(features)
    frozen = Frozen(*encoded, public, retriever.sizes.words)
    corpus = Corpus(passages, Trained(retriever, frozen).index(len(passages)), None)
    chosen = np.random.default_rng(0).permutation(len(questions.rows))[: asked.questions].tolist()
    modes: list[tuple[str, Mode]] = [(policy, "overall") for policy in POLICIES]
    modes += [(policy, mode) for policy, mode in MITIGATIONS if mode not in EXCEPT]
    plain = 0.0
    shared = corpus.only("public")
    for policy, mode in modes:
        # A service of its own for each: it remembers what it found for a query, and the ways ask much the same.
        with TemporaryDirectory() as folder, serve(Path(folder) / "served", shared.ids, shared.vectors) as address:
            client = connect(address, Policy(policy), Path(folder) / "sent")
            start = time.perf_counter()
            here = Local(corpus.only("private").index())
            indexes = indexes_for(mode, questions, corpus, here, client, config)
            ready = time.perf_counter() - start
            before, seconds = replace(client.costs), []
            for at in chosen:
                one = Asked([questions.rows[at]], [questions.texts[at]], [questions.chains[at]], questions.gold[[at]])
                trained = Trained(retriever, frozen)  # which has made no query yet
                start = time.perf_counter()
                search(trained, one, corpus, indexes, client.policy, beam_of(mode, config))
                seconds.append(time.perf_counter() - start)
            middle, worst = (1000 * float(np.percentile(seconds, share)) for share in (50, 99))
            plain = plain or middle
            asked_of = client.costs.queries - before.queries
            sent = (client.costs.sent - before.sent) / len(chosen)
            received = (client.costs.received - before.received) / len(chosen)
            print(
                f"{policy}, {mode}: p50 {middle:.1f} ms, p99 {worst:.1f} ms, ratio {middle / plain:.2f}; a question "
                f"{asked_of / len(chosen):.1f} public queries, {sent / 1000:.1f} kB sent, {received / 1000:.1f} kB "
                f"received; before the first {ready:.1f} s and {before.received / 1e6:.1f} MB"
            )
    print(f"load average {os.getloadavg()[0]:.2f}")


def search(
    trained: Trained,
    one: Asked,
    corpus: Corpus,
    indexes: Mapping[Scope, Searcher],
    policy: Policy,
    beam: Beam,
) -> None:
    """One question's search."""
    row = np.array(one.rows)

    def second(rows: Integers, places: Integers) -> Values:
        return trained.second(row[rows], places)

    find(trained.first(row), second, corpus, indexes, policy, beam, set())


if __name__ == "__main__":
    main()
