"""A small world of articles and mails with two-hop questions, and an encoder of words that needs no model.

Person i lives in city i, which lies in land i. Articles say so, and so do mails of made-up people. A text's vector is
the mean of its words' random vectors, so that texts that share words are near each other.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.concurrentqa.benchmark.splits import Question, Sample, Split
from tasks.concurrentqa.questions.candidates import CHAINS, Candidate, Chain, write_candidates
from tasks.encyclopedia.passages import Passage, write_passages
from tasks.language.encoded import Encoded, capitals, sentence_slots, word_checksums

WORLD = 96
WIDTH, FEATURES = 64, 32
SPLIT: dict[int, Split] = {0: "test", 1: "dev"}
"""Of every six people; the others are for training."""

_NAMES = ("anor", "belk", "cemi", "dorp", "elun", "fask", "gino", "hurt", "ivel", "jask", "kelm", "lorn")


def name(kind: str, number: int) -> str:
    """A made-up word for person, city or land `number`."""
    return (kind + _NAMES[number % 12] + "abcdefgh"[number // 12]).capitalize()


def first_hop(number: int, scope: str) -> str:
    return f"{name('per', number)} {'dwells' if scope == 'public' else 'stays'} in {name('cit', number)}."


def second_hop(number: int) -> str:
    return f"{name('cit', number)} lies in {name('lan', number)} by the sea."


def passages() -> list[Passage]:
    """Four passages a person: both hops as articles and as mails."""
    made = []
    for number in range(WORLD):
        person, city = name("per", number), name("cit", number)
        for part, (title, text) in enumerate(((person, first_hop(number, "public")), (city, second_hop(number)))):
            sentences = (text, "It is known.")
            made.append(Passage(f"w{2 * number + part}", "public", title, " ".join(sentences), sentences))
    for number in range(WORLD):
        for part, text in enumerate((first_hop(number, "private"), f"Mail: {second_hop(number)}")):
            sentences = (text, "Regards!")
            made.append(
                Passage(
                    f"e{number}_p{part}", "private", "Places", " ".join(sentences), sentences,
                    message=number, part=part, sender="Ada Made", date="2002-01-01",
                )
            )  # fmt: skip
    return made


def questions() -> dict[Split, list[Candidate]]:
    """One question of each chain type a person; a chain's letters say where the two passages are."""
    made: dict[Split, list[Candidate]] = {"train": [], "dev": [], "test": []}
    for number in range(WORLD):
        for chain in CHAINS:
            made[SPLIT.get(number % 6, "train")].append(question(number, chain))
    return made


def question(number: int, chain: Chain) -> Candidate:
    hops = tuple(f"w{2 * number + hop}" if letter == "W" else f"e{number}_p{hop}" for hop, letter in enumerate(chain))
    asked = {"E": "stays", "W": "dwells"}[chain[0]], {"E": "in the mail", "W": "by the sea"}[chain[1]]
    return Candidate(
        question=f"In which land lies {asked[1]} the place where {name('per', number)} {asked[0]}?",
        answer=name("lan", number),
        chain=chain,
        type="bridge",
        family="land-of-home",
        wording="land-of-home/0",
        passages=(hops[0], hops[1]),
        support=((0,), (0,)),
        bridge=name("cit", number),
    )


def encode(texts: Sequence[str], sentences: Sequence[Sequence[str]]) -> Encoded:
    """Features of the words: each word has random ones, always the same."""
    spans = [np.array([match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]) for text in texts]
    states = [
        np.stack([_word(text[begin:end].lower()) for begin, end in each])
        for text, each in zip(texts, spans, strict=True)
    ]
    vectors = np.stack([each.mean(0) for each in states]).astype(np.float32)
    return Encoded(
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        starts=np.cumsum([0, *map(len, spans)]),
        tokens=np.clip(np.rint(40 * np.concatenate(states)[:, :FEATURES]), -127, 127).astype(np.int8),
        scale=np.full(FEATURES, 1 / 40, np.float32),
        spans=np.concatenate(spans).astype(np.uint16),
        words=np.concatenate([word_checksums(t, s.tolist()) for t, s in zip(texts, spans, strict=True)]),
        capital=np.concatenate([capitals(t, s.tolist()) for t, s in zip(texts, spans, strict=True)]),
        sentence=np.concatenate(
            [sentence_slots(text, some, each) for text, some, each in zip(texts, sentences, spans, strict=True)]
        ),
    )


def write_world(folder: Path) -> None:
    """Write corpora, benchmark, candidates, features-0, features-1 and question_features under `folder`."""
    for part in ("corpora", "benchmark", "candidates", "question_features", "features-0", "features-1"):
        (folder / part).mkdir()
    all_passages, splits = passages(), questions()
    write_passages(folder / "corpora" / "passages.parquet", all_passages)
    for split, some in splits.items():
        write_split(folder / "benchmark", split, some)
    write_split(folder / "benchmark", "unfiltered", splits["test"][:8])
    # Rejected candidates: another wording of the public question about everybody, held-out people included.
    rejected = [
        replace(question(number, "WW"), question=f"Name the land of {name('per', number)}!", wording="land-of-home/1")
        for number in range(WORLD)
    ]
    everything = [each for some in splits.values() for each in some] + rejected
    write_candidates(folder / "candidates" / "candidates.parquet", everything)
    for shard in (0, 1):
        half = all_passages[shard::2]
        encode([p.rendered for p in half], [p.sentences for p in half]).save(folder / f"features-{shard}")
    texts = [each.question for each in read_questions(folder / "benchmark", folder / "candidates").questions]
    encode(texts, [()] * len(texts)).save(folder / "question_features")


def write_split(benchmark: Path, split: Sample, candidates: Sequence[Candidate]) -> None:
    """Write the questions of one split, as the benchmark's stage does."""
    write_candidates(benchmark / f"{split}.parquet", [Question.of(each, split) for each in candidates], Question)


def inputs(folder: Path, *names: str) -> dict[str, Any]:
    """The inputs of a stage, as the engine gives them."""
    shards = {"0": folder / "features-0", "1": folder / "features-1"}
    return {each: shards if each == "features" else folder / each for each in names}


def _word(word: str) -> NDArray[np.float64]:
    return np.random.default_rng(crc32(word.encode())).standard_normal(WIDTH)
