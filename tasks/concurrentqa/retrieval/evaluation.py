"""Evaluation: what every retriever finds and what the reader makes of it, by policy and by type of chain."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark.questions import Split, read_questions
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.retrieval.chains import Reading, load_reader, read_chains
from tasks.encyclopedia.passages import read_passages
from tasks.language.encoded import Encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = dict[str, Any]
Pair = tuple[str, str]
"""The ids of a chain's two passages."""

Condition = tuple[str, str]
"""An arm and a policy."""

Found = dict[int, list[Pair]]
"""The chains of each question, best first."""

RESTRICTED = ("document", "query")
PLAIN = ("bm25", "minilm", "mdr-mixed", "mdr-public", "mdr-easy", "mdr-whole", "oracle")
"""Arms that search in the usual way."""

COVERAGES = range(10, 101, 10)
"""Percent."""


@config
class Evaluation:
    """The `read` best chains of each question are read; an answer has at most `longest_answer` tokens.

    `answered` are the arms whose chains are read, with their policies: reading is what takes long.

    `factor` of a chain's score is its rank's, the rest its answer's. `arm` is the retriever that the controls change:
    its gold passages are shuffled among the questions, or its chains joined by the gold one; "" for neither these nor
    the gold chains alone. Single questions are written for the arms in `examples`.
    """

    seed: Index
    split: Split = "test"
    read: Count = 3
    longest_answer: Count = 30
    factor: Fraction = 0.8
    arm: str = "mdr-mixed"
    examples: tuple[str, ...] = ("bm25", "mdr-mixed", "mdr-public", "oracle")
    answered: tuple[tuple[str, str], ...] = (
        ("bm25", "none"),
        ("minilm", "none"),
        ("mdr-mixed", "none"),
        ("mdr-mixed", "document"),
        ("mdr-mixed", "query"),
        ("mdr-mixed-public-first", "document"),
        ("mdr-mixed-slice", "query"),
        ("mdr-public", "none"),
        ("oracle", "none"),
    )


@measures(
    f1="token F1 of answers, 0 to 1",
    em="answers equal to the gold one after normalisation, 0 to 1",
    passage_recall="questions with a gold passage in a retrieved chain (PR)",
    p_em="questions with both gold passages in the retrieved chains (P-EM)",
    first_recall="questions with a gold passage as a first hop (1-Recall)",
    path_recall="questions with a retrieved chain of exactly the gold passages",
    retrieval_share="share of what the answers lack that they do not lack with the gold passages",
    leaks="queries made of private passages that the public index saw, where the policy forbids them",
    public_queries="queries that the public index saw",
    sent_bytes="bytes sent to the public index",
    same_as_single="questions whose chains are the same, in order, as those of one index over both corpora",
    aurc="area under the risk-coverage curve, risk being 1 - F1; lower is better",
    aurc_random="the same, expected of rejecting at random",
    risk="1 - F1 of the share of answers that the reader is most confident of",
    coverage_1="share answered under the policy for at most 0.01 F1 less than without a policy",
    coverage_2="the same for at most 0.02 F1 less",
    coverage_5="the same for at most 0.05 F1 less",
)
def evaluate(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    features: dict[str, Path],
    question_features: Path,
    retrieved: dict[str, Path],
    reader: Path,
    config: Evaluation,
    out: Path,
) -> None:
    """Read and score what each arm of `retrieved` found; write metrics.json and examples.parquet.

    Arms are the labels of `retrieved`, with the mode after them where that is not "overall" (mdr-mixed-quota); oracle,
    which reads the gold chains; and the controls shuffled (another question's gold) and planted (the gold chain among
    those retrieved). Domains: the types of chains, and "all".
    """
    passages = read_passages(corpora / "passages.parquet")
    texts = [passage.rendered for passage in passages]
    place_of = {passage.id: place for place, passage in enumerate(passages)}
    every = read_questions(benchmark, candidates)
    questions = {row: every.questions[row] for row in every.rows(config.split)}
    ids = {row: every.ids[row] for row in questions}

    found = _retrieved(retrieved, questions)
    main = found.get((config.arm, "none"), {})
    if config.arm:
        found[("oracle", "none")] = {row: [question.passages] for row, question in questions.items()}
        found[("planted", "none")] = {row: [questions[row].passages, *chains[:-1]] for row, chains in main.items()}
    chosen = {
        condition: {row: chains[: config.read] for row, chains in found[condition].items()}
        for condition in config.answered
    }

    pairs = sorted({(row, *pair) for by in chosen.values() for row, chains in by.items() for pair in chains})
    rows = _as_places(pairs, place_of)
    read = read_chains(
        load_reader(reader), Encoded.load(question_features), Encoded.load_shards(features), texts, rows,
        config.longest_answer,
    )  # fmt: skip
    readings = dict(zip(pairs, read, strict=True))
    answers = {condition: _answers(by, readings, config.factor) for condition, by in chosen.items()}

    examples = [
        example
        for condition in sorted(found)
        for example in _examples(condition, ids, questions, questions, found[condition], answers.get(condition))
    ]
    if config.arm:
        other = _shuffled(questions, config.seed)
        examples += _examples(("shuffled", "none"), ids, questions, other, main, answers[(config.arm, "none")])
    means = _means(examples)
    metrics = [*means, *_lacking(means), *_selective(examples, ids, answers), *_audits(retrieved), *_identical(found)]
    metrics = [{**row, **_shown(row), "seed": config.seed} for row in metrics]
    _write(metrics, [{**each, "seed": config.seed} for each in examples if each["arm"] in config.examples], out)


@dataclass(frozen=True)
class _Answer:
    """What a system says to one question, and the score of the chain that it took."""

    answer: str
    confidence: float


def _retrieved(folders: Mapping[str, Path], questions: Mapping[int, Candidate]) -> dict[Condition, Found]:
    """The chains of each question by arm and policy, best first; of a question without any, none."""
    from pyarrow import parquet

    found: dict[Condition, Found] = {}
    for arm, folder in sorted(folders.items()):
        for row in parquet.read_table(folder / "chains.parquet").to_pylist():
            condition = (_arm(arm, row["mode"]), row["policy"])
            if condition not in found:
                found[condition] = {question: [] for question in questions}
            found[condition][row["question"]].append((row["passage1"], row["passage2"]))
    return found


def _arm(arm: str, mode: str) -> str:
    return arm if mode == "overall" else f"{arm}-{mode}"


def _as_places(pairs: Sequence[tuple[int, str, str]], place_of: Mapping[str, int]) -> "NDArray[np.int64]":
    import numpy as np

    return np.array([[row, place_of[first], place_of[second]] for row, first, second in pairs], np.int64)


def _answers(
    chosen: Mapping[int, Sequence[Pair]], readings: Mapping[tuple[int, str, str], Reading], factor: float
) -> dict[int, _Answer]:
    """The answer of the chain with the best mixed score, for each question."""
    import torch

    from models.retrieval.reader import mixed

    answers = {}
    for row, chains in chosen.items():
        read = [readings[(row, *pair)] for pair in chains]
        if not read:
            answers[row] = _Answer("", float("-inf"))
            continue
        scores = mixed(torch.tensor([r.rank for r in read]), torch.tensor([r.span for r in read]), factor)
        best = int(scores.argmax())
        answers[row] = _Answer(read[best].answer, float(scores[best]))
    return answers


def _examples(
    condition: Condition,
    ids: Mapping[int, str],
    questions: Mapping[int, Candidate],
    truths: Mapping[int, Candidate],
    found: Mapping[int, Sequence[Pair]],
    answers: Mapping[int, _Answer] | None,
) -> list[Row]:
    """One row a question: `truths` says what is right for it, `questions` of which type it is."""
    from models.retrieval.scoring import exact_match, recall, token_f1

    rows = []
    for row, truth in truths.items():
        score = recall(found[row], truth.passages)
        example: Row = {
            "arm": condition[0],
            "policy": condition[1],
            "domain": questions[row].chain,
            "question": ids[row],
            "passage_recall": score.any,
            "p_em": score.both,
            "first_recall": score.first,
            "path_recall": score.path,
        }
        if answers is not None:
            example["f1"] = token_f1(answers[row].answer, truth.answer)
            example["em"] = exact_match(answers[row].answer, truth.answer)
        rows.append(example)
    return rows


def _shuffled(questions: Mapping[int, Candidate], seed: int) -> dict[int, Candidate]:
    """Each question with another one's gold passages and answer."""
    import numpy as np

    rows = np.random.default_rng(seed).permutation(list(questions)).tolist()
    other = dict(zip(rows, [*rows[1:], rows[0]], strict=True))
    return {row: questions[other[row]] for row in questions}


def _means(examples: Sequence[Row]) -> list[Row]:
    """Means over the questions of each type of chain, and over all."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for example in examples:
        for domain in (example["domain"], "all"):
            groups.setdefault((example["arm"], example["policy"], domain), []).append(example)
    quantities = ("f1", "em", "passage_recall", "p_em", "first_recall", "path_recall")
    return [
        {
            **dict(zip(("arm", "policy", "domain"), labels, strict=True)),
            **{name: sum(row[name] for row in rows) / len(rows) for name in quantities if name in rows[0]},
        }
        for labels, rows in groups.items()
    ]


def _lacking(means: Sequence[Row]) -> list[Row]:
    """How much of each arm's missing F1 is retrieval's fault: what the same reader gains from the gold passages."""
    gold = {row["domain"]: row["f1"] for row in means if row["arm"] == "oracle"}
    return [
        {
            **{name: row[name] for name in ("arm", "policy", "domain")},
            "retrieval_share": (gold[row["domain"]] - row["f1"]) / (1 - row["f1"]),
        }
        for row in means
        if row["domain"] in gold and row["arm"] != "oracle" and row.get("f1", 1.0) < 1.0
    ]


def _shown(row: Row) -> Row:
    """In which row of the paper's tables a measurement stands: that of an arm under a policy, or of a way to search."""
    if "coverage" in row or "aurc" in row:
        return {"curve": f"{row['arm']}, {row['policy']}"}
    arm, policy, shown = row["arm"], row["policy"], {}
    if arm in PLAIN:
        shown["setting"] = f"{arm}, {policy}"
    if row["domain"] == "all" and arm.startswith("mdr-mixed"):
        shown["way"] = policy + arm.removeprefix("mdr-mixed").replace("-", ", ", 1)
    return shown


def _selective(
    examples: Sequence[Row], ids: Mapping[int, str], answers: Mapping[Condition, Mapping[int, _Answer]]
) -> list[Row]:
    """How well an arm's confidence under a policy says which of its answers are good.

    Where it is not confident the user would be asked, and the system without a policy would answer.
    """
    import numpy as np

    from models.retrieval.scoring import aurc, coverage_within, risk_coverage

    f1: dict[Condition, dict[str, float]] = {}
    for example in examples:
        if "f1" in example:
            f1.setdefault((example["arm"], example["policy"]), {})[example["question"]] = example["f1"]
    rows: list[Row] = []
    for arm, policy in sorted(f1):
        if policy not in RESTRICTED or (arm, "none") not in f1:
            continue
        here = answers[(arm, policy)]
        confidence = np.array([each.confidence for each in here.values()])
        restricted, free = (np.array([f1[(arm, each)][ids[row]] for row in here]) for each in (policy, "none"))
        labels = {"arm": arm, "policy": policy, "domain": "all"}
        area = {"aurc": aurc(confidence, 1 - restricted), "aurc_random": float((1 - restricted).mean())}
        shares = {
            f"coverage_{points}": coverage_within(confidence, restricted, free, points / 100) for points in (1, 2, 5)
        }
        rows.append({**labels, **area, **shares})
        coverage, risk = risk_coverage(confidence, 1 - restricted)
        rows += [
            {**labels, "coverage": str(share), "risk": float(np.interp(share / 100, coverage, risk))}
            for share in COVERAGES
        ]
    return rows


def _audits(folders: Mapping[str, Path]) -> list[Row]:
    """What each search told the public index."""
    return [
        {
            "arm": _arm(arm, audit["mode"]),
            "policy": audit["policy"],
            "domain": "all",
            "leaks": audit["seen_private"],
            "public_queries": audit["seen_queries"],
            "sent_bytes": audit["seen_bytes"],
        }
        for arm, folder in sorted(folders.items())
        for audit in json.loads((folder / "audit.json").read_text())
    ]


def _identical(found: Mapping[Condition, Mapping[int, Sequence[Pair]]]) -> list[Row]:
    """Whether two indexes, merged by score, give what one index over both corpora gives."""
    rows = []
    for arm, policy in sorted(found):
        if arm.endswith("-single"):
            two = found[(arm.removesuffix("-single"), policy)]
            same = [list(two[row]) == list(chains) for row, chains in found[(arm, policy)].items()]
            share = sum(same) / len(same)
            rows.append({"arm": arm, "policy": policy, "domain": "all", "same_as_single": share})
    return rows


def _write(metrics: Sequence[Row], examples: Sequence[Row], out: Path) -> None:
    from pyarrow import Table, parquet

    (out / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    columns = dict.fromkeys(name for example in examples for name in example)
    parquet.write_table(
        Table.from_pylist([{name: example.get(name) for name in columns} for example in examples]),
        out / "examples.parquet",
    )
    spool.table("f1", [row for row in metrics if "f1" in row])
