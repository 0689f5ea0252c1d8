"""The stage that makes candidate questions of all four chains out of the two corpora and the links between them."""

import json
from collections import Counter
from pathlib import Path

from models.config import Index, config
from tasks.base import spool
from tasks.concurrentqa.corpora.links import read_links
from tasks.concurrentqa.questions.candidates import write_candidates
from tasks.concurrentqa.questions.descriptions import describe
from tasks.concurrentqa.questions.private_questions import private_candidates
from tasks.concurrentqa.questions.public_questions import public_candidates
from tasks.encyclopedia.facts import read_facts
from tasks.encyclopedia.passages import read_passages


@config
class Generation:
    """`seed` draws which passages, themes and wordings meet in a question."""

    seed: Index


def generate(*, corpora: Path, links: Path, config: Generation, out: Path) -> None:
    """Write candidates.parquet, and counts.json: wordings and pairs of passages of each chain's families."""
    passages = read_passages(corpora / "passages.parquet")
    facts = read_facts(passages)
    descriptions = describe(passages)
    candidates = [
        *public_candidates(passages, facts, descriptions, config.seed),
        *private_candidates(passages, read_links(links / "links.parquet"), facts, descriptions, config.seed),
    ]
    write_candidates(out / "candidates.parquet", candidates)
    worded = Counter((each.chain, each.family) for each in candidates)
    pairs = Counter(
        (chain, family) for chain, family, _ in {(each.chain, each.family, each.passages) for each in candidates}
    )
    rows = [
        {"chain": chain, "family": family, "pairs of passages": pairs[chain, family], "candidates": count}
        for (chain, family), count in sorted(worded.items())
    ]
    (out / "counts.json").write_text(json.dumps(rows, indent=1) + "\n")
    spool.table("candidates", rows)
