"""The reader: a small language model that learned on the training questions to answer from both passages of a chain."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.config import Count, Index, Optimisation, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.concurrentqa.questions.candidates import CHAINS, Candidate, Chain
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.language.lora import Adapter, teach
from tasks.language.smollm2 import Precision, Said, SmolLM2, convert

NEEDED = 0.5
"""Token F1 with the gold passages below which what a reader makes of a search says little about the search."""

ENDS: dict[str, tuple[Chain, ...]] = {"mails": ("EE", "WE"), "articles": ("EW", "WW")}
"""Where the answers are: in the second passages of these chains."""


@config
class Conversion:
    """The conversion has no settings."""


@config
class Reading:
    """What is shown of a passage: its first `words` words, header included; an answer has at most `answer_tokens`."""

    words: Count = 150
    answer_tokens: Count = 20


@config
class ReaderTraining:
    """Training on at most `each` questions of every type of chain out of train, each with its gold passages."""

    seed: Index
    optimisation: Optimisation
    each: Count = 150
    reading: Reading = Reading()
    adapter: Adapter = Adapter()
    precision: Precision = "bfloat16"


def convert_model(*, smollm2: Path, config: Conversion, out: Path) -> None:
    """The language model in a layout that is read in a second."""
    convert(smollm2, out)


@measures(
    gold_f1="token F1 of the reader's answers on dev, given the gold passages, 0 to 1",
    gold_em="its answers there equal to the gold one after normalisation, 0 to 1",
    blind_f1="token F1 of its answers on dev to the question alone, 0 to 1",
    shown="questions of dev whose answer is in what is shown of the gold passages, 0 to 1",
)
def train_reader(
    *, corpora: Path, benchmark: Path, candidates: Path, model: Path, config: ReaderTraining, out: Path
) -> None:
    """Write an adapter of the language model, metrics.json with what it reads on dev, and reader.json.

    Unlike the paper's reader, which HotpotQA trained, it has seen private passages: those of train.
    """
    import numpy as np

    passages = {passage.id: passage for passage in read_passages(corpora / "passages.parquet")}
    every = read_questions(benchmark, candidates)
    generator = np.random.default_rng(config.seed)
    lessons = [
        every.questions[row]
        for chain in CHAINS
        for row in generator.permutation(every.rows("train", chains=[chain]))[: config.each].tolist()
    ]
    pairs = [(prompt(each, each.passages, passages, config.reading), each.answer) for each in lessons]
    teach(SmolLM2(model, precision=config.precision), pairs, config.adapter, config.optimisation, config.seed, out)

    dev = [every.questions[row] for row in every.rows("dev")]
    prompts = [prompt(each, each.passages, passages, config.reading) for each in dev]
    blind = [prompt(each, (), passages, config.reading) for each in dev]
    said = SmolLM2(model, precision=config.precision, adapter=out).complete(
        [*prompts, *blind], config.reading.answer_tokens
    )
    rows = [{**row, "seed": config.seed} for row in read_well(dev, prompts, said[: len(dev)], said[len(dev) :])]
    (out / "metrics.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    (out / "reader.json").write_text(json.dumps({"withheld": withheld(rows)}) + "\n")
    spool.table("reader", rows)


def prompt(question: Candidate, chain: Sequence[str], passages: Mapping[str, Passage], reading: Reading) -> str:
    """The passages of a chain, in their order, and the question; where nothing was found the question alone."""
    shown = [" ".join(passages[each].rendered.split()[: reading.words]) for each in chain]
    background = "".join(f"Passage {number}: {text}\n\n" for number, text in enumerate(shown, 1))
    return f"{background}Question: {question.question}\nAnswer:"


def read_well(
    questions: Sequence[Candidate], prompts: Sequence[str], said: Sequence[Said], blind: Sequence[Said]
) -> list[dict[str, Any]]:
    """What the reader makes of gold passages, and of none, by the type of chain and by where the answers are."""
    from models.retrieval.scoring import exact_match, token_f1

    groups: dict[str, tuple[Chain, ...]] = {**ENDS, **{chain: (chain,) for chain in CHAINS}, "all": CHAINS}
    rows: list[dict[str, Any]] = []
    for domain, chains in groups.items():
        mine = [each for each in zip(questions, prompts, said, blind, strict=True) if each[0].chain in chains]
        if mine:
            means = {
                "gold_f1": [token_f1(answer.text, question.answer) for question, _, answer, _ in mine],
                "gold_em": [exact_match(answer.text, question.answer) for question, _, answer, _ in mine],
                "blind_f1": [token_f1(guess.text, question.answer) for question, _, _, guess in mine],
                "shown": [float(question.answer in text) for question, text, _, _ in mine],
            }
            rows.append({"domain": domain, **{name: sum(values) / len(mine) for name, values in means.items()}})
    return rows


def withheld(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why no claim is judged by this reader's answers; "" where it reads both mails and articles."""
    found = {row["domain"]: row["gold_f1"] for row in rows}
    weak = [f"{found.get(domain, 0.0):.2f} on {domain}" for domain in ENDS if found.get(domain, 0.0) < NEEDED]
    if not weak:
        return ""
    return f"given the gold passages of dev, the reader has an F1 of {' and '.join(weak)}, below {NEEDED}"
