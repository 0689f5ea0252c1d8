"""What the reader makes of the chains that were found, on a fixed sample of the questions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark.questions import Questions, Split, read_questions
from tasks.concurrentqa.questions.candidates import CHAINS
from tasks.concurrentqa.retrieval.evaluation import means, write
from tasks.concurrentqa.retrieval.reader import Reading, prompt
from tasks.encyclopedia.passages import read_passages
from tasks.language.smollm2 import Precision, SmolLM2

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]
Chain = tuple[str, ...]
"""The ids of a chain's two passages; empty where nothing was found."""

ARM = "mdr-mixed"
RESTRICTED = ("document", "query")
READ = ("none", *RESTRICTED)
"""Policies under which what is found is read."""

COVERAGES = range(10, 101, 10)
"""Percent."""


@config
class Sample:
    """`questions` of each type of chain out of a split, drawn by `seed`."""

    seed: Index = 0
    split: Split = "test"
    questions: Count = 40

    def rows(self, every: Questions) -> list[int]:
        """The sampled questions, by their places among all."""
        import numpy as np

        generator = np.random.default_rng(self.seed)
        return [row for chain in CHAINS for row in self._drawn(every.rows(self.split, chains=[chain]), generator)]

    def _drawn(self, rows: Sequence[int], generator: "np.random.Generator") -> list[int]:
        return sorted(generator.permutation(list(rows))[: self.questions].tolist())


@config
class Answering:
    """The reading of one of `shards` parts of the sample: questions `shard`, `shard` + `shards`, …"""

    shard: Index = 0
    shards: Count = 1
    sample: Sample = Sample()
    reading: Reading = Reading()
    precision: Precision = "bfloat16"


@config
class Scoring:
    """The sample that was read."""

    sample: Sample = Sample()


def read_found(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    model: Path,
    reader: Path,
    searches: dict[str, Path],
    config: Answering,
    out: Path,
) -> None:
    """Read the best chain that each search found for a question, and the gold one, each once; write answers.parquet.

    `searches` are those of one retriever by seed. The file has one row a question and chain: question (its row among
    all), passage1, passage2 (empty where nothing was found), answer and confidence.
    """
    from pyarrow import Table, parquet

    passages = {passage.id: passage for passage in read_passages(corpora / "passages.parquet")}
    every = read_questions(benchmark, candidates)
    asked = config.sample.rows(every)[config.shard :: config.shards]
    found = best_chains(searches, asked)
    wanted = sorted(
        {(row, chain) for by in found.values() for row, chain in by.items()}
        | {(row, every.questions[row].passages) for row in asked}
    )
    prompts = [prompt(every.questions[row], chain, passages, config.reading) for row, chain in wanted]
    lm = SmolLM2(model, precision=config.precision, adapter=reader)
    rows = [
        {
            "question": row,
            **dict(zip(("passage1", "passage2"), chain or ("", ""), strict=True)),
            "answer": said.text,
            "confidence": said.confidence,
        }
        for (row, chain), said in zip(wanted, lm.complete(prompts, config.reading.answer_tokens), strict=True)
    ]
    parquet.write_table(Table.from_pylist(rows), out / "answers.parquet")


@measures(
    f1="token F1 of the reader's answers, 0 to 1",
    em="the reader's answers equal to the gold one after normalisation, 0 to 1",
    retrieval_share="share of what the answers lack that they do not lack with the gold passages",
    aurc="area under the risk-coverage curve, risk being 1 - F1; lower is better",
    aurc_random="the same, expected of rejecting at random",
    risk="1 - F1 of the share of answers that the reader is most confident of",
    coverage_1="share answered under the policy for at most 0.01 F1 less than without a policy",
    coverage_2="the same for at most 0.02 F1 less",
    coverage_5="the same for at most 0.05 F1 less",
)
def score_answers(
    *,
    benchmark: Path,
    candidates: Path,
    reader: Path,
    answers: dict[str, Path],
    searches: dict[str, Path],
    config: Scoring,
    out: Path,
) -> None:
    """Score what the reader says to the best chain of each search; write metrics.json and examples.parquet.

    Arms: mdr-mixed, and oracle, which reads the gold chains. Where the reader cannot read, every row
    says so, and no claim is judged by it.
    """
    from pyarrow import parquet

    every = read_questions(benchmark, candidates)
    asked = config.sample.rows(every)
    reason = json.loads((reader / "reader.json").read_text())["withheld"]
    note = {"unavailable": reason} if reason else {}
    if reason:
        spool.note(f"No claim is judged by answers: {reason}.")
    said = {
        (row["question"], row["passage1"], row["passage2"]): (row["answer"], row["confidence"])
        for folder in answers.values()
        for row in parquet.read_table(folder / "answers.parquet").to_pylist()
    }
    metrics: list[Row] = []
    examples: list[Row] = []
    for seed in sorted(searches, key=int):
        found = best_chains({seed: searches[seed]}, asked)
        by = {(ARM, policy): chains for (policy, _), chains in found.items()}
        by["oracle", "none"] = {row: every.questions[row].passages for row in asked}
        mine = [row for condition, chains in sorted(by.items()) for row in _examples(condition, chains, every, said)]
        scores = means(mine, ("f1", "em"))
        rows = [*scores, *_lacking(scores), *_selective(mine)]
        metrics += [{**row, **_shown(row), **note, "seed": int(seed)} for row in rows]
        examples += [{**row, **note, "seed": int(seed)} for row in mine]
    write(metrics, examples, out)
    spool.table("f1", [row for row in metrics if "f1" in row])


def best_chains(searches: Mapping[str, Path], asked: Sequence[int]) -> dict[tuple[str, str], dict[int, Chain]]:
    """The best chain of each question by policy and seed; where nothing was found it is empty."""
    found: dict[tuple[str, str], dict[int, Chain]] = {
        (policy, seed): dict.fromkeys(asked, ()) for policy in READ for seed in searches
    }
    for seed, folder in searches.items():
        for policy, row, chain in _first(folder):
            if row in found[policy, seed]:
                found[policy, seed][row] = chain
    return found


def _first(folder: Path) -> Iterator[tuple[str, int, Chain]]:
    """Policy, question and best chain of a search in the usual way."""
    from pyarrow import parquet

    for row in parquet.read_table(folder / "chains.parquet", filters=[("rank", "=", 0)]).to_pylist():
        if row["mode"] == "overall" and row["policy"] in READ:
            yield row["policy"], row["question"], (row["passage1"], row["passage2"])


def _examples(
    condition: tuple[str, str],
    chains: Mapping[int, Chain],
    every: Questions,
    said: Mapping[tuple[int, str, str], tuple[str, float]],
) -> list[Row]:
    from models.retrieval.scoring import exact_match, token_f1

    rows = []
    for row, chain in chains.items():
        question = every.questions[row]
        first, second = chain or ("", "")
        answer, confidence = said[row, first, second]
        rows.append(
            {
                "arm": condition[0],
                "policy": condition[1],
                "domain": question.chain,
                "question": every.ids[row],
                "f1": token_f1(answer, question.answer),
                "em": exact_match(answer, question.answer),
                "confidence": confidence,
            }
        )
    return rows


def _shown(row: Row) -> Row:
    """In which row of the paper's tables a measurement stands."""
    places = {"curve" if "coverage" in row or "aurc" in row else "read": f"{row['arm']}, {row['policy']}"}
    if "f1" in row and (row["arm"], row["domain"]) == (ARM, "all"):
        places["way"] = row["policy"]
    return places


def _lacking(scores: Sequence[Row]) -> list[Row]:
    """How much of each arm's missing F1 is retrieval's fault: what the same reader gains from the gold passages."""
    gold = {row["domain"]: row["f1"] for row in scores if row["arm"] == "oracle"}
    return [
        {
            **{name: row[name] for name in ("arm", "policy", "domain")},
            "retrieval_share": (gold[row["domain"]] - row["f1"]) / (1 - row["f1"]),
        }
        for row in scores
        if row["arm"] != "oracle" and row["f1"] < 1.0
    ]


def _selective(examples: Sequence[Row]) -> list[Row]:
    """How well an arm's confidence under a policy says which of its answers are good.

    Where it is not confident the user would be asked, and the system without a policy would answer.
    """
    import numpy as np

    from models.retrieval.scoring import aurc, coverage_within, risk_coverage

    by: dict[tuple[str, str], list[Row]] = {}
    for example in examples:
        by.setdefault((example["arm"], example["policy"]), []).append(example)
    rows: list[Row] = []
    for (arm, policy), mine in by.items():
        if policy not in RESTRICTED:
            continue
        free = np.array([each["f1"] for each in by[arm, "none"]])
        restricted, confidence = (np.array([each[name] for each in mine]) for name in ("f1", "confidence"))
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
