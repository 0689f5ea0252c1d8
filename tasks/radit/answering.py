"""Answers of a language model, tuned or not, with what retrievers found; and what they are worth."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base.measures import measures
from tasks.encyclopedia.passages import read_passages
from tasks.radit.answers import (
    MODELS,
    NO_SEED,
    QUANTITIES,
    RETRIEVERS,
    Row,
    differences,
    relative,
    robustness,
    scored,
    write_answers,
)
from tasks.radit.examples import Example, Split, read_examples, searched
from tasks.radit.language_models import digest, load_model
from tasks.radit.passages import shown
from tasks.radit.prompts import Words, head, prompt
from tasks.radit.retrieval import Found, read_found

if TYPE_CHECKING:
    from models.radit.decoder import Decoder

ASKED: tuple[Split, ...] = ("test", "outside", "planted")


@config
class Answering:
    """How answers are made: of the first `k` passages, after `shots` worked examples, of at most `longest` tokens.

    At most `test` and `outside` examples of these splits are asked, of each task its share. Each seed of the language
    model is asked every `turns`-th of them, another seed others: at the same cost they tell of more questions.
    `arm` is how the model was tuned, `model_seeds` and `retriever_seeds` are those that an untuned model's rows stand
    for. `ensembles` are the numbers of passages at which the right answer's probability is measured.
    """

    seed: Index = 0
    arm: str = "base"
    k: Count = 3
    shots: Index = 5
    longest: Count = 16
    test: Count = 120
    outside: Count = 30
    turns: Count = 1
    words: Count = 60
    model_seeds: tuple[int, ...] = (1,)
    retriever_seeds: tuple[int, ...] = (1,)
    ensembles: tuple[int, ...] = (1, 2, 3, 5, 10)


@dataclass(frozen=True)
class Condition:
    """One way to answer: `labels` of its rows, and which passages each example is given.

    With `apart` each passage has a prompt of its own and predictions are averaged under the scores' softmax; else all
    stand in one prompt.
    """

    labels: Mapping[str, Any]
    found: Mapping[str, Found]
    shots: int
    apart: bool = True


@measures(
    answer_log_probability="log probability of the right answer, nats; higher is better",
    model_changed="1 where the untuned model's weights are not bit by bit those that taught the retriever",
    **QUANTITIES,
)
def answer_untuned(
    *,
    corpus: Path,
    tasks: Path,
    retrieved: Path,
    retrievers: dict[str, Path],
    likelihoods: dict[str, Path],
    model: Path,
    config: Answering,
    out: Path,
) -> None:
    """The untuned model: closed book, with each retriever, with passages in one prompt, random and contradicting ones.

    Writes metrics.json and examples.parquet. Retrievers: minilm, bm25, and those tuned with each seed.
    """

    asks = _Asks(corpus, tasks, config)
    lm, words = load_model(model)
    found = read_found(retrieved)
    tuned = {int(seed): read_found(folder)["tuned"] for seed, folder in retrievers.items()}
    conditions = [
        *asks.without_retriever(config.shots),
        *asks.with_retriever("minilm", found["minilm"], config.shots),
        *asks.with_retriever("minilm", found["minilm"], 0),
        *asks.with_retriever("bm25", found["bm25"], config.shots),
        asks.together("minilm", found["minilm"], config.shots),
    ]
    # All in one go, for retrievers mostly find the same passages, and each prompt is read once.
    for seed, each in sorted(tuned.items()):
        conditions += asks.with_retriever("tuned", each, config.shots, seed=seed)
    rows = [row for each in asks.answered(lm, words, conditions) for row in asks.for_seeds(each)]
    rows += list(robustness(rows, config.shots))
    likely = _log_probabilities(asks, lm, words, found["minilm"], config)
    taught = {json.loads((folder / "model.json").read_text())["sha256"] for folder in likelihoods.values()}
    changed = {"lm": "base", "seed": config.seed, "model_changed": float(taught != {digest(lm)})}
    write_answers(out, [*rows, *likely], [changed])


@measures(**QUANTITIES)
def answer_tuned(
    *,
    corpus: Path,
    tasks: Path,
    retrieved: Path,
    retriever: Path,
    model: Path,
    adapter: Path,
    untuned: Path,
    config: Answering,
    out: Path,
) -> None:
    """A tuned model (the arm and seed of `adapter`) with the untuned retriever and the one tuned with the same seed.

    IT with its own passages is asked with no tuned retriever. `untuned` holds the answers of the untuned
    model, against which gains are told question by question.
    """
    import pyarrow.parquet

    asks = _Asks(corpus, tasks, config)
    asks.examples = [each for each in asks.examples if asks.turn[each.id] == config.seed % config.turns]
    lm, words = load_model(model, adapter)
    minilm, tuned = read_found(retrieved)["minilm"], read_found(retriever)["tuned"]
    conditions = asks.without_retriever(config.shots)
    conditions += [each for shots in (config.shots, 0) for each in asks.with_retriever("minilm", minilm, shots)]
    if config.arm in ("IT", "RA-IT"):
        conditions += asks.with_retriever("tuned", tuned, config.shots)
    if config.arm == "RA-IT":
        conditions += asks.with_retriever("tuned", tuned, 0)
        conditions.append(asks.together("minilm", minilm, 0))
    rows = [{**row, "seed": config.seed, "paired by": MODELS} for row in asks.answered(lm, words, conditions)]
    before = pyarrow.parquet.read_table(untuned / "examples.parquet").to_pylist()
    before = [row for row in before if row["seed"] == config.seed and row["paired by"] == MODELS]
    gains, shares = list[Row](), list[Row]()
    for shots in dict.fromkeys((0, config.shots)):
        name, after, first = f"gain, {shots} shots", ("tuned", "ensemble", shots), ("minilm", "ensemble", shots)
        gains += differences(name, rows, after, before, first)
        shares += relative(name, rows, after, before, first)
    write_answers(out, [*rows, *robustness(rows, config.shots), *gains], shares)


class _Asks:
    """Everything that a model is asked, whichever it is."""

    def __init__(self, corpus: Path, tasks: Path, config: Answering) -> None:
        self.passages = read_passages(corpus / "passages.parquet")
        most = {"test": config.test, "outside": config.outside}
        self.examples = [e for split in ASKED for e in fewer(read_examples(tasks, split), most.get(split))]
        self.turn = {each.id: place % config.turns for place, each in enumerate(self.examples)}
        self.places = searched(tasks, self.passages)
        self.tasks, self.config = tasks, config
        self.ids = {passage.id: place for place, passage in enumerate(self.passages)}

    def with_retriever(self, name: str, found: Mapping[str, Found], shots: int, **labels: Any) -> list[Condition]:
        """The ensemble over what a retriever found first."""
        # What is made up and what is from outside is asked in the main way alone.
        main = shots and name in ("minilm", "tuned")
        first = {e.id: _first(found[e.id], self.config.k) for e in self.examples if main or e.split == "test"}
        return [Condition({"retriever": name, "way": "ensemble", "shots": shots, **labels}, first, shots)]

    def together(self, name: str, found: Mapping[str, Found], shots: int) -> Condition:
        """The same passages in one prompt."""
        (apart,) = self.with_retriever(name, found, shots)
        test = {each.id: apart.found[each.id] for each in self.examples if each.split == "test"}
        return replace(apart, labels={**apart.labels, "way": "concatenation"}, found=test, apart=False)

    def without_retriever(self, shots: int) -> list[Condition]:
        """No passage, as many as else drawn at random, and the right one with another answer put into it."""
        nothing = {each.id: Found((), ()) for each in self.examples}
        drawn, alike = min(self.config.k, len(self.places)), (0.0,) * self.config.k
        random = {
            each.id: Found(tuple(Random(f"random {each.id}").sample(self.places, drawn)), alike[:drawn])
            for each in self.examples
            if each.split == "test"
        }
        lying = {each.id: Found((self.ids[each.gold[0]],), (0.0,)) for each in self.examples if _can_lie(each)}
        return [
            Condition({"retriever": "none", "way": way, "shots": shots}, found, shots)
            for way, found in (("closed book", nothing), ("random", random), ("contradicting", lying))
        ]

    def answered(self, lm: Any, words: Words, conditions: Sequence[Condition]) -> list[Row]:
        """Each condition's answers with their scores, example by example."""
        rows = []
        # One head at a time: with shots or without, with passages or closed book.
        heads = sorted({(each.shots, each.labels["way"] != "closed book") for each in conditions})
        for shots, background in heads:
            mine = [
                each
                for each in conditions
                if each.shots == shots and (each.labels["way"] != "closed book") == background
            ]
            rows += self._answered(self.decoder(lm, words, shots, background), words, mine)
        return rows

    def for_seeds(self, row: Row) -> Iterator[Row]:
        """An untuned model's row for each seed that it is compared with: all of them, or that of its own retriever.

        Where its retriever is untuned, too, there is a row without a seed beside these.
        """
        if "seed" not in row:
            yield {**row, "paired by": NO_SEED}
        for seed in self.config.retriever_seeds:
            if row.get("seed", seed) == seed:
                yield {**row, "seed": seed, "paired by": RETRIEVERS}
        for seed in self.config.model_seeds:
            if row.get("seed", seed) == seed and self.turn[row["question"]] == seed % self.config.turns:
                yield {**row, "seed": seed, "paired by": MODELS}

    def decoder(self, lm: Any, words: Words, shots: int, background: bool) -> "Decoder":
        """The model with the worked examples before every prompt."""
        from models.radit.decoder import Decoder

        return Decoder(lm, words.tokens(head(self.tasks, shots, background)) if shots else [])

    def _answered(self, decoder: "Decoder", words: Words, conditions: Sequence[Condition]) -> list[Row]:
        from models.radit.generation import Asked, generate

        texts: dict[str, int] = {}
        wanted: list[tuple[Condition, Example, Asked]] = []
        # Example by example, so that those which share prompts are neighbours.
        for example in self.examples:
            for condition in conditions:
                if (found := condition.found.get(example.id)) is not None:
                    prompts = self.prompts(condition, example, found)
                    rows = tuple(texts.setdefault(text, len(texts)) for text in prompts)
                    wanted.append((condition, example, Asked(rows, _weights(found, len(rows)))))
        said = generate(
            decoder, words.prompts(list(texts)), [asked for _, _, asked in wanted], words.end, self.config.longest
        )
        return [
            {
                **_labels(example, self.config.arm, condition.labels),
                **scored(words.text(tokens), example, condition.labels["way"] == "contradicting"),
            }
            for (condition, example, _), tokens in zip(wanted, said, strict=True)
        ]

    def prompts(self, condition: Condition, example: Example, found: Found) -> list[str]:
        """One prompt for each passage, or one for all."""
        seen = [shown(self.passages[place], self.config.words) for place in found.places]
        if condition.labels["way"] == "contradicting":
            seen = [contradicting(text, example) for text in seen]
        if condition.apart and seen:
            return [prompt(example.asked, text) for text in seen]
        return [prompt(example.asked, *seen)]


def fewer(examples: Sequence[Example], most: int | None) -> list[Example]:
    """At most so many of the examples, the first of each task by its share; all where `most` is None."""
    if most is None or len(examples) <= most:
        return list(examples)
    of_task, taken = Counter(each.task for each in examples), Counter[str]()
    kept = []
    for each in examples:
        taken[each.task] += 1
        if taken[each.task] <= max(1, of_task[each.task] * most // len(examples)):
            kept.append(each)
    return kept


def contradicting(text: str, example: Example) -> str:
    """A passage with the right answers replaced by the wrong one."""
    for right in example.answers:
        text = text.replace(right, example.wrong)
    return text


def _can_lie(example: Example) -> bool:
    return example.split == "test" and example.task == "open question" and bool(example.gold and example.wrong)


def _first(found: Found, k: int) -> Found:
    return Found(found.places[:k], found.scores[:k])


def _weights(found: Found, prompts: int) -> tuple[float, ...]:
    """p_R of the passages that are used; one prompt has the weight 1."""
    import torch

    from models.radit.ensemble import passage_weights

    if prompts == 1:
        return (1.0,)
    weights: tuple[float, ...] = tuple(passage_weights(torch.tensor(found.scores)).tolist())
    return weights


def _labels(example: Example, arm: str, labels: Mapping[str, Any]) -> Row:
    return {"lm": arm, **labels, **example.labels}


def _log_probabilities(
    asks: _Asks, lm: Any, words: Words, found: Mapping[str, Found], config: Answering
) -> Iterator[Row]:
    """Of the right answers to test questions: closed book, and under ensembles of ever more passages."""
    import torch

    from models.radit.ensemble import answer_log_probability, passage_weights

    examples = [each for each in asks.examples if each.split == "test"]
    answers = {each.id: words.answer(each.answers[0]) for each in examples}
    closed = asks.decoder(lm, words, config.shots, background=False)
    alone = closed.answers(words.prompts([prompt(e.asked) for e in examples]), [answers[e.id] for e in examples])
    most = max(config.ensembles)
    pairs = [(each, place) for each in examples for place in found[each.id].places[:most]]
    prompts = [prompt(each.asked, shown(asks.passages[place], config.words)) for each, place in pairs]
    opened = asks.decoder(lm, words, config.shots, background=True)
    logs = iter(opened.answers(words.prompts(prompts), [answers[each.id] for each, _ in pairs]))
    for example, log in zip(examples, alone, strict=True):
        said = {"shots": config.shots, "paired by": NO_SEED}
        labels = _labels(example, config.arm, {"retriever": "none", "way": "closed book", "passages": "0", **said})
        yield {**labels, "answer_log_probability": float(log.sum())}
        places, scores = found[example.id].places[:most], torch.tensor(found[example.id].scores[:most])
        mine = torch.stack([next(logs) for _ in places])
        for k in config.ensembles:
            labels = _labels(
                example, config.arm, {"retriever": "minilm", "way": "ensemble", "passages": str(k), **said}
            )
            value = answer_log_probability(mine[:k], passage_weights(scores[:k]))
            yield {**labels, "answer_log_probability": float(value)}
