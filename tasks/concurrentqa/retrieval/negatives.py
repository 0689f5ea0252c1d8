"""Hard negatives: wrong passages that a search by words ranks first."""

from pathlib import Path

from models.config import Count, config
from tasks.concurrentqa.benchmark.questions import read_questions
from tasks.encyclopedia.passages import read_passages


@config
class Mining:
    """`passages` wrong ones that are kept a question."""

    passages: Count = 20


def mine_negatives(*, corpora: Path, benchmark: Path, candidates: Path, config: Mining, out: Path) -> None:
    """Wrong passages that BM25 ranks first, for each question of train and extra, as negatives.safetensors.

    `all` and `public` [questions, passages] are places in passages.parquet, of both corpora and of the public one;
    -1 where there are no more, and for the questions of dev and test.
    """
    import numpy as np
    from safetensors.numpy import save_file

    from models.retrieval.index import SparseIndex

    passages = read_passages(corpora / "passages.parquet")
    questions = read_questions(benchmark, candidates)
    gold = questions.gold({passage.id: row for row, passage in enumerate(passages)})
    rows = questions.rows("train", "extra")
    public = [row for row, passage in enumerate(passages) if passage.scope == "public"]
    found = {}
    for name, places in (("all", list(range(len(passages)))), ("public", public)):
        index = SparseIndex([passages[at].id for at in places], [passages[at].rendered for at in places])
        hits = index.search([questions.questions[row].question for row in rows], config.passages + 2)
        found[name] = np.full((len(gold), config.passages), -1, np.int64)
        for row, positions in zip(rows, hits.positions.tolist(), strict=True):
            wrong = [places[at] for at in positions if at >= 0 and places[at] not in gold[row]]
            found[name][row, : len(wrong)] = wrong[: config.passages]
    save_file(found, out / "negatives.safetensors")
