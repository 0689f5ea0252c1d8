"""Evaluation of retrieval: what every retriever finds, by policy and type of chain, and what the public index saw."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.config import Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark.questions import Split, read_questions
from tasks.concurrentqa.questions.candidates import Candidate

Row = dict[str, Any]
Pair = tuple[str, str]
"""The ids of a chain's two passages."""

Condition = tuple[str, str]
"""An arm and a policy."""

Found = dict[int, list[Pair]]
"""The chains of each question, best first."""

PLAIN = ("bm25", "minilm", "mdr-mixed", "mdr-public", "mdr-whole")
"""Arms that search in the usual way."""

FOUND = {
    "passage_recall": "questions with a gold passage in a retrieved chain (PR)",
    "p_em": "questions with both gold passages in the retrieved chains (P-EM)",
    "first_recall": "questions with a gold passage as a first hop (1-Recall)",
    "path_recall": "questions with a retrieved chain of exactly the gold passages",
}
"""What is measured of all that is found."""

PUBLIC_FIRST: Condition = ("mdr-mixed-public-first", "document")


@config
class Evaluation:
    """`arm` is the retriever that the controls change: its gold passages are shuffled among the questions, or its
    chains joined by the gold one. Single questions are written for the arms in `examples`.
    """

    seed: Index
    arm: str = "mdr-mixed"
    examples: tuple[str, ...] = ("bm25", "mdr-mixed", "mdr-public", "mdr-mixed-public-first", "mdr-mixed-slice")


@config
class Comparison:
    """The questions of `split`; `seed` is the retriever's."""

    seed: Index
    split: Split = "unfiltered"


@measures(
    **FOUND,
    won_back="P-EM that public hops first win back under document privacy, less a third of what that policy costs",
    leaks="queries made of private passages that the public index saw, where the policy forbids them",
    public_queries="queries that the public index saw",
    sent_bytes="bytes sent to the public index",
    same_as_single="questions whose chains are the same, in order, as those of one index over both corpora",
)
def evaluate(*, benchmark: Path, candidates: Path, retrieved: dict[str, Path], config: Evaluation, out: Path) -> None:
    """Score what each arm of `retrieved` found; write metrics.json and examples.parquet.

    Arms are the labels of `retrieved`, with the mode after them where that is not "overall" (mdr-mixed-quota), and the
    controls shuffled (another question's gold) and planted (the gold chain among those retrieved). Domains: the types
    of chains, and "all".
    """
    questions, ids = _asked(benchmark, candidates, "test")
    found = _retrieved(retrieved, questions)
    main = found[(config.arm, "none")]
    found[("planted", "none")] = {row: [questions[row].passages, *chains[:-1]] for row, chains in main.items()}
    examples = [
        example
        for condition in sorted(found)
        for example in _examples(condition, ids, questions, questions, found[condition])
    ]
    examples += _examples(("shuffled", "none"), ids, questions, _shuffled(questions, config.seed), main)
    examples = with_won_back(examples)
    metrics = [*means(examples, (*FOUND, "won_back")), *_audits(retrieved), *_identical(found)]
    metrics = [{**row, **_shown(row), "seed": config.seed} for row in metrics]
    write(metrics, [{**each, "seed": config.seed} for each in examples if each["arm"] in config.examples], out)
    spool.table("retrieval", [row for row in metrics if "p_em" in row])


@measures(**FOUND)
def compare(*, benchmark: Path, candidates: Path, retrieved: dict[str, Path], config: Comparison, out: Path) -> None:
    """Score what each arm of `retrieved` found, as `evaluate` does, without controls and whatever was sent."""
    questions, ids = _asked(benchmark, candidates, config.split)
    found = _retrieved(retrieved, questions)
    examples = [
        example
        for condition in sorted(found)
        for example in _examples(condition, ids, questions, questions, found[condition])
    ]
    metrics = means(examples, tuple(FOUND))
    if config.split == "unfiltered":
        places = [{"unfiltered": f"{row['arm']}, unfiltered"} for row in metrics]
    else:
        places = [_shown(row) for row in metrics]
    metrics = [{**row, **place, "seed": config.seed} for row, place in zip(metrics, places, strict=True)]
    write(metrics, [{**each, "seed": config.seed} for each in examples], out)
    spool.table("retrieval", metrics)


def _asked(benchmark: Path, candidates: Path, split: Split) -> tuple[dict[int, Candidate], dict[int, str]]:
    """The questions of a split, and their ids, by their places among all."""
    every = read_questions(benchmark, candidates)
    rows = every.rows(split)
    return {row: every.questions[row] for row in rows}, {row: every.ids[row] for row in rows}


def means(examples: Sequence[Row], quantities: Sequence[str]) -> list[Row]:
    """Means over the questions of each type of chain, and over all, of an arm under a policy."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for example in examples:
        for domain in (example["domain"], "all"):
            groups.setdefault((example["arm"], example["policy"], domain), []).append(example)
    return [
        {
            **dict(zip(("arm", "policy", "domain"), labels, strict=True)),
            **{name: sum(row[name] for row in rows) / len(rows) for name in quantities if name in rows[0]},
        }
        for labels, rows in groups.items()
    ]


def write(metrics: Sequence[Row], examples: Sequence[Row], out: Path) -> None:
    """Write metrics.json and examples.parquet; what an example lacks is empty there."""
    from pyarrow import Table, parquet

    (out / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    columns = dict.fromkeys(name for example in examples for name in example)
    parquet.write_table(
        Table.from_pylist([{name: example.get(name) for name in columns} for example in examples]),
        out / "examples.parquet",
    )


def _shown(row: Row) -> Row:
    """In which row of the paper's tables a measurement stands: that of an arm under a policy, or of a way to search."""
    arm, policy, places = row["arm"], row["policy"], {}
    if arm in PLAIN:
        places["setting"] = f"{arm}, {policy}"
    if row["domain"] == "all" and arm.startswith("mdr-mixed"):
        places["way"] = policy + arm.removeprefix("mdr-mixed").replace("-", ", ", 1)
    return places


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


def _examples(
    condition: Condition,
    ids: Mapping[int, str],
    questions: Mapping[int, Candidate],
    truths: Mapping[int, Candidate],
    found: Mapping[int, Sequence[Pair]],
) -> list[Row]:
    """One row a question: `truths` says what is right for it, `questions` of which type it is."""
    from models.retrieval.scoring import recall

    rows = []
    for row, truth in truths.items():
        score = recall(found[row], truth.passages)
        rows.append(
            {
                "arm": condition[0],
                "policy": condition[1],
                "domain": questions[row].chain,
                "question": ids[row],
                "passage_recall": score.any,
                "p_em": score.both,
                "first_recall": score.first,
                "path_recall": score.path,
            }
        )
    return rows


def with_won_back(examples: Sequence[Row]) -> list[Row]:
    """What public hops first win back, question by question: claims on a share of a cost need both in one number."""
    p_em = {(each["arm"], each["policy"], each["question"]): each["p_em"] for each in examples}
    return [
        {
            **each,
            "won_back": each["p_em"]
            - p_em["mdr-mixed", "document", each["question"]]
            - (p_em["mdr-mixed", "none", each["question"]] - p_em["mdr-mixed", "document", each["question"]]) / 3,
        }
        if (each["arm"], each["policy"]) == PUBLIC_FIRST
        else each
        for each in examples
    ]


def _shuffled(questions: Mapping[int, Candidate], seed: int) -> dict[int, Candidate]:
    """Each question with another one's gold passages and answer."""
    import numpy as np

    rows = np.random.default_rng(seed).permutation(list(questions)).tolist()
    other = dict(zip(rows, [*rows[1:], rows[0]], strict=True))
    return {row: questions[other[row]] for row in questions}


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
