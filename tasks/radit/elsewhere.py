"""The tuned retriever on a corpus that it was not tuned on: a dictionary of computing."""

import json
from hashlib import sha256
from pathlib import Path
from random import Random

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.measures import measures
from tasks.encyclopedia.articles import article
from tasks.encyclopedia.foldoc import read_foldoc
from tasks.encyclopedia.passages import Passage
from tasks.radit.examples import Example
from tasks.radit.passages import TABLE, shown
from tasks.radit.retrieval import QUANTITIES, PassageIndex, Retrieval, recall_rows, write_recall

ASKED = ("What is {s}?", "What does {s} stand for or mean?", "How is {s} defined?")


@config
class Elsewhere:
    """So many entries of the dictionary are searched, and so many of them asked for."""

    seed: Index = 0
    entries: Count = 1000
    questions: Count = 200
    shortest: Count = 15
    retrieval: Retrieval = Retrieval()


@measures(**QUANTITIES)
def search_elsewhere(*, foldoc: Path, minilm: Path, retrievers: dict[str, Path], config: Elsewhere, out: Path) -> None:
    """Write the recall of the untuned retriever and of each tuned one (by seed) on questions about the dictionary.

    Where the dictionary is not available here, metrics.json says so, and nothing is judged.
    """
    from tasks.language.minilm import MiniLM

    seeds = sorted(retrievers, key=int)
    if (foldoc / "unavailable.json").exists():
        reason = json.loads((foldoc / "unavailable.json").read_text())["reason"]
        spool.note(f"The Free On-line Dictionary of Computing is not available ({reason}).")
        asked_for = Example("", "elsewhere", "open question", "", ("",)).labels
        lacks = {**asked_for, "first": "1", "recall": 0.0, "unavailable": reason}
        rows = [{"retriever": name, "seed": int(s), **lacks} for s in seeds for name in ("minilm", "tuned")]
        write_recall(out, rows)
        return
    passages = _entries(foldoc, config)
    examples = ask_for(passages, config)
    untuned = MiniLM(minilm)
    vectors = untuned.encode([shown(each, config.retrieval.words) for each in passages])
    index = PassageIndex(passages, range(len(passages)), vectors)
    asked = [each.asked for each in examples]
    beside = index.nearest(examples, untuned.encode(asked), config.retrieval)
    rows = []
    for seed in seeds:
        queries = MiniLM(retrievers[seed] / "encoder").encode(asked)
        found = {"minilm": beside, "tuned": index.nearest(examples, queries, config.retrieval)}
        rows += recall_rows(passages, examples, found, seed=int(seed))
    write_recall(out, rows)


def ask_for(passages: list[Passage], config: Elsewhere) -> list[Example]:
    """Questions for entries, every other one opened by another entry in the wordings of test."""
    chance = Random(f"{config.seed} elsewhere")
    examples = []
    for number, passage in enumerate(chance.sample(passages, min(config.questions, len(passages)))):
        asked, wording = chance.choice(ASKED).format(s=passage.title), "plain"
        if number % 2:
            other = chance.choice([each for each in passages if each.title != passage.title])
            asked = chance.choice(TABLE["distractors"]["test"]).format(d=other.title, q=asked)
            wording = "distractor"
        examples.append(
            Example(f"elsewhere-{number}", "elsewhere", "open question", asked, ("",), (passage.id,), wording=wording)
        )
    return examples


def _entries(foldoc: Path, config: Elsewhere) -> list[Passage]:
    """Entries with enough words, one a title, by a hash of their titles."""
    entries = {entry.title: entry for entry in read_foldoc(foldoc) if len(entry.text.split()) >= config.shortest}
    titles = sorted(entries, key=lambda title: sha256(title.encode()).hexdigest())[: config.entries]
    return [article(f"f{number}", title, entries[title].text) for number, title in enumerate(titles)]
