"""A generative reader: SmolLM2 answers from the passages that were retrieved, on a fixed sample of the questions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark.questions import Split, read_questions
from tasks.concurrentqa.questions.candidates import CHAINS, Candidate
from tasks.encyclopedia.passages import read_passages

if TYPE_CHECKING:
    import numpy as np

POLICIES = ("none", "document", "query")
ARM = "smollm2"

PROMPT = """Read the passages and answer the question in a few words, copied from them.

{passages}

Question: {question}
Answer in a few words:"""


@config
class Generative:
    """`questions` of a split, as many of each type of chain, drawn by `seed`; `words` of a passage are shown."""

    seed: Index = 0
    split: Split = "test"
    questions: Count = 200
    words: Count = 60
    answer_tokens: Count = 16


@measures(
    f1="token F1 of the generated answers, 0 to 1",
    em="generated answers equal to the gold one after normalisation, 0 to 1",
)
def read_generatively(
    *,
    corpora: Path,
    benchmark: Path,
    candidates: Path,
    retrieved: Path,
    smollm2: Path,
    config: Generative,
    out: Path,
) -> None:
    """Answer from the best chain under each policy, and from the gold one; write metrics.json and examples.parquet.

    Arms: smollm2 with what was retrieved, and smollm2-oracle. A question without a chain is answered without passages.
    """
    import numpy as np
    from pyarrow import Table, parquet

    from tasks.language.smollm2 import SmolLM2

    texts = {passage.id: passage.rendered for passage in read_passages(corpora / "passages.parquet")}
    every = read_questions(benchmark, candidates)
    generator = np.random.default_rng(config.seed)
    drawn = {
        row: every.questions[row]
        for chain in CHAINS
        for row in _sample(every.rows(config.split, chains=[chain]), config.questions // len(CHAINS), generator)
    }
    best: dict[tuple[str, int], Sequence[str]] = {}
    for row in parquet.read_table(retrieved / "chains.parquet").to_pylist():
        if row["mode"] == "overall" and row["rank"] == 0 and row["question"] in drawn:
            best[row["policy"], row["question"]] = (row["passage1"], row["passage2"])
    prompts = {
        (f"{ARM}-oracle", "none", row): _prompt(question, question.passages, texts, config.words)
        for row, question in drawn.items()
    }
    for policy in POLICIES:
        for row, question in drawn.items():
            chain = best.get((policy, row), ())
            prompts[ARM, policy, row] = _prompt(question, chain, texts, config.words)
    # Policies often find the same chain, which is read once.
    distinct = sorted(set(prompts.values()))
    said = dict(zip(distinct, SmolLM2(smollm2).answer(distinct, config.answer_tokens), strict=True))
    examples = [_scored(*key[:2], every.ids[key[2]], drawn[key[2]], said[prompt]) for key, prompt in prompts.items()]
    metrics = [{**row, "setting": f"{row['arm']}, {row['policy']}", "seed": config.seed} for row in _means(examples)]
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    parquet.write_table(Table.from_pylist([{**row, "seed": config.seed} for row in examples]), out / "examples.parquet")
    spool.table("f1", metrics)


def _sample(rows: Sequence[int], count: int, generator: "np.random.Generator") -> list[int]:
    return sorted(generator.permutation(list(rows))[:count].tolist())


def _prompt(question: Candidate, chain: Sequence[str], texts: Mapping[str, str], words: int) -> str:
    shown = [" ".join(texts[each].split()[:words]) for each in chain]
    numbered = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(shown, 1))
    return PROMPT.format(passages=numbered, question=question.question)


def _scored(arm: str, policy: str, name: str, question: Candidate, said: str) -> dict[str, Any]:
    from models.retrieval.scoring import exact_match, token_f1

    answer = said.strip().split("\n")[0].strip(" .\"'")
    return {
        "arm": arm,
        "policy": policy,
        "domain": question.chain,
        "question": name,
        "f1": token_f1(answer, question.answer),
        "em": exact_match(answer, question.answer),
    }


def _means(examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the questions of each type of chain, and over all."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for example in examples:
        for domain in (example["domain"], "all"):
            groups.setdefault((example["arm"], example["policy"], domain), []).append(example)
    return [
        {
            **dict(zip(("arm", "policy", "domain"), labels, strict=True)),
            **{name: sum(row[name] for row in rows) / len(rows) for name in ("f1", "em")},
        }
        for labels, rows in groups.items()
    ]
