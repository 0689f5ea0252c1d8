"""How well `tenfold ask` finds and answers, on the 150 questions of tests/tools/mailboxes; and its calibration.

The mails and questions were written for six mailboxes in styles of their own, without looking at the benchmark's.
`--among MAILBOX` puts other people's mails among them; `--read N` lets the reader answer every so many questions.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from models.retrieval.scopes import Policy, Scope
from models.retrieval.scoring import token_f1
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.language.encoded import Encoded
from tasks.language.minilm import MiniLM
from tools.ask.answering import chains_of, index_encyclopedia, index_mailbox, is_sure, model_digest
from tools.ask.encoded import Known, digest_of, of_the_stages
from tools.ask.finding import Found, find
from tools.ask.passage_index import Item, PassageIndex
from tools.ask.reading import LanguageModel
from tools.rag.language_model import unpacked

MAILBOXES = Path(__file__).parents[1] / "tests" / "tools" / "mailboxes"


@dataclass(frozen=True)
class Question:
    """A question, its answer ("" where the mails do not say), and the mails and articles that say it."""

    text: str
    answer: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Box:
    """A mailbox of the test set, a passage a mail."""

    style: str
    mails: dict[str, Passage]
    questions: list[Question]


def boxes(folder: Path = MAILBOXES) -> Iterator[Box]:
    """The mailboxes of the test set."""
    for path in sorted(folder.glob("*.yaml")):
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        mails = {
            name: Passage(f"{path.stem}/{name}", "private", subject, text, (text,), sender=sender, date=str(date))
            for name, (sender, date, subject, text) in told["mails"].items()
        }
        asked = [Question(text, str(answer), tuple(sources)) for text, answer, sources in told["questions"]]
        yield Box(path.stem, mails, asked)


def names_of(found: Found, style: str) -> str:
    """What the test set calls a passage: a mail's name, or an article's title."""
    if found.scope is Scope.PRIVATE:
        return found.id.removeprefix(f"{style}/")
    return found.text.partition(". ")[0]


@dataclass(frozen=True)
class Asked:
    """A question with what was found for it: names of passages in order, the chains to read, likeness of the first."""

    question: Question
    names: list[str]
    chains: list[list[str]]
    alike: float

    @property
    def kind(self) -> str:
        """How many passages its answer needs."""
        return ("unanswerable", "one", "two")[len(self.question.sources)]

    @property
    def found(self) -> bool:
        """Whether all that it needs is among the first: five for one passage, eight for two."""
        first = self.names[: 5 if self.kind == "one" else 8]
        return all(source in first for source in self.question.sources)


def searched(asked: argparse.Namespace) -> Iterator[Asked]:
    """Search for every question, in its own mailbox and, if so asked, other people's mails, and the encyclopedia."""
    sources = asked.sources
    encoder, model = MiniLM(sources / "minilm"), model_digest(sources / "minilm")
    public = index_encyclopedia(
        sources / "wikipedia-summaries", asked.kept / "encyclopedia", Known(encoder, of_the_stages()), model
    )
    among = index_mailbox(asked.among, asked.kept / "among", encoder, model).index if asked.among else None
    others, known = _others(among, asked.most) if among else ([], {})
    for box in boxes():
        if asked.boxes and box.style not in asked.boxes:
            continue
        with TemporaryDirectory() as folder:
            private = PassageIndex(Path(folder), "bench")
            private.update([_item(each) for each in [*box.mails.values(), *others]], Known(encoder, known))
            for question in box.questions:
                indexes = {Scope.PRIVATE: private, Scope.PUBLIC: public}
                found, alike = find(question.text, Policy.NONE, indexes, encoder, asked.hops)
                names = [names_of(each, box.style) for each in found]
                yield Asked(question, names, [[each.text for each in chain] for chain in chains_of(found)], alike)


def _others(index: PassageIndex, most: int) -> tuple[list[Passage], dict[bytes, Any]]:
    """The first mails of an index, and the vectors of what they say."""
    passages = list(index.passages(range(min(most, len(index.ids)))).values())
    vectors = np.concatenate([block for _, block in index.vectors()])
    return passages, {digest_of(each.rendered): vector for each, vector in zip(passages, vectors, strict=False)}


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Ask every question, and count."""
    counts: Counter[str] = Counter()
    lacking: list[str] = []
    scores: dict[str, list[float]] = {"one": [], "two": []}
    reader = LanguageModel(unpacked(asked.sources / "smollm2")) if asked.read else None
    for number, each in enumerate(searched(asked), 1):
        counts[each.kind] += 1
        counts[f"{each.kind}, found"] += bool(each.question.sources) and each.found
        if not each.found:
            lacking.append(f"{each.question.text} {list(each.question.sources)} {each.names[:8]}")
        if reader is None or number % asked.read:
            continue
        read = reader.read(each.question.text, each.chains)
        answer = read.answer if is_sure(each.alike, read, reader) else ""
        score = token_f1(answer, each.question.answer) if answer and each.question.answer else 0.0
        counts[f"{each.kind}, read"] += 1
        counts[f"{each.kind}, refused"] += not answer
        counts[f"{each.kind}, right where answered"] += score >= 0.5
        if each.question.answer:
            scores[each.kind].append(score)
        print(f"{each.question.text} | {each.question.answer} | {read.answer} {read.confidence:.2f}", flush=True)
    f1 = {f"{kind}, F1": round(float(np.mean(some)), 3) for kind, some in scores.items() if some}
    return {**counts, **f1, "not found": lacking}


def calibrate(folder: Path) -> dict[str, Any]:
    """How much less alike a right mail is to its question than a right article, on the training questions."""
    import pyarrow.parquet
    from scipy.optimize import minimize

    from tasks.concurrentqa.benchmark.questions import read_questions

    passages = read_passages(folder / "corpora" / "passages.parquet")
    vectors = Encoded.load_shards({name: folder / f"features-{name}" for name in ("0", "1")}).vectors
    questions = read_questions(folder / "benchmark", folder / "candidates").questions
    asked = Encoded.load(folder / "question-features").vectors
    training = set(pyarrow.parquet.read_table(folder / "benchmark" / "train.parquet")["question"].to_pylist())
    private = np.array([each.scope == "private" for each in passages])
    rows, right = [], []
    for question, vector in zip(questions, asked, strict=True):
        if question.question not in training:
            continue
        alike = vectors @ vector
        for scope in (False, True):
            for place in [at for at in np.argsort(-alike) if private[at] == scope][:20]:
                rows.append((alike[place], float(scope), 1.0))
                right.append(passages[place].id in question.passages)
    x, y = np.array(rows), np.array(right, float)

    def loss(weights: Any) -> float:
        return float(np.logaddexp(0, x @ weights).sum() - (y * (x @ weights)).sum() + 0.01 * (weights**2).sum())

    cosine, mail, _ = minimize(loss, np.zeros(3)).x
    return {"bonus": mail / cosine, "questions": len(training), "right mails": int(y[x[:, 1] == 1].sum())}


def _item(passage: Passage) -> Item:
    made: Callable[[], list[Passage]] = lambda: [passage]  # noqa: E731
    return Item(passage.id, made)


def main() -> None:
    """Print what was counted, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, default=Path("data/sources"))
    parser.add_argument("--kept", type=Path, default=Path(".tenfold/ask"), help="where indexes lie, for the next time")
    parser.add_argument("--boxes", nargs="*", help="mailboxes of the test set by their names; all by default")
    parser.add_argument("--among", type=Path, help="a mailbox whose mails lie among those of the test set")
    parser.add_argument("--most", type=int, default=10**6, help="how many passages of it")
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--read", type=int, default=0, help="let the reader answer every so many questions")
    parser.add_argument("--calibrate", type=Path, help="data/PROFILE/concurrentqa: print the calibration instead")
    asked = parser.parse_args()
    print(json.dumps(calibrate(asked.calibrate) if asked.calibrate else measure(asked), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
