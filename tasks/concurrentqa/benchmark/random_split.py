"""HotpotQA-PAIR's random split: every public article becomes private with one probability, and chains get a type.

The authors make HotpotQA a problem of two scopes this way. Independent draws say what to expect: of two articles, the
first is private and the second public with probability p(1 - p), which is what document privacy forbids.
"""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.concurrentqa.questions.candidates import CHAINS, read_candidates

FORBIDDEN = "EW"
"""The chain that document privacy cuts: from a private passage to a public one."""


@config
class RandomSplit:
    """`probabilities` of an article to be private, each drawn `draws` times with seeds `seed`, `seed` + 1, …"""

    seed: Index
    probabilities: tuple[Fraction, ...] = (0.25, 0.5, 0.75)
    draws: Count = 200


@measures(
    allowed="share of the questions whose chain document privacy allows",
    predicted="the same as independent draws predict: 1 - p(1 - p)",
    share="share of the questions whose chain is of the type that arm names",
    predicted_share="the same as independent draws predict",
)
def split_randomly(*, benchmark: Path, config: RandomSplit, out: Path) -> None:
    """Make public articles private at random, and write what becomes of the public two-hop questions.

    Every question of two articles is kept, those with one in each scope too. Writes metrics.json, where arm is "split"
    or a chain type and domain is p.
    """
    import pyarrow.parquet

    ids = pyarrow.parquet.read_table(benchmark / "questions.parquet", columns=["id"])["id"].to_pylist()
    asked = [
        (name, question.passages)
        for name, question in zip(ids, read_candidates(benchmark / "questions.parquet"), strict=True)
        if question.chain == "WW"
    ]
    articles = sorted({passage for _, passages in asked for passage in passages})
    rows: list[dict[str, Any]] = []
    for probability in config.probabilities:
        for seed in range(config.seed, config.seed + config.draws):
            private = draw(articles, probability, seed)
            chains = {
                name: "".join("E" if passage in private else "W" for passage in passages) for name, passages in asked
            }
            rows += measured(chains, probability, seed)
    (out / "metrics.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    spool.table("allowed", [row for row in rows if "allowed" in row])


def draw(articles: list[str], probability: float, seed: int) -> set[str]:
    """Which articles are private: each independently with that probability."""
    rng = random.Random(f"{seed} {probability}")
    return {article for article in articles if rng.random() < probability}


def measured(chains: dict[str, str], probability: float, seed: int) -> list[dict[str, Any]]:
    """Rows of metrics.json about one draw: `chains` are the questions' types; none where there are no questions."""
    if not chains:
        return []
    about = {"domain": f"{probability:g}", "seed": seed}
    counts = Counter(chains.values())
    allowed = 1 - counts[FORBIDDEN] / len(chains)
    expected = {"E": probability, "W": 1 - probability}
    return [
        {"arm": "split", **about, "allowed": allowed, "predicted": 1 - probability * (1 - probability)},
        *(
            {
                "arm": chain,
                **about,
                "share": counts[chain] / len(chains),
                "predicted_share": expected[chain[0]] * expected[chain[1]],
            }
            for chain in CHAINS
        ),
    ]
