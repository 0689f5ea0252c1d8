"""How well `tenfold ask` finds and answers, on the 150 questions of tests/tools/mailboxes; and its calibration.

The mails and questions were written for six mailboxes in styles of their own, without looking at the benchmark's.
`--among PASSAGES` puts other people's mails among them; `--read N` lets the reader answer every so many questions.
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
from tools.ask.answering import chains_of, index_encyclopedia, model_digest
from tools.ask.encoded import Known, of_the_stages
from tools.ask.finding import Found, find
from tools.ask.passage_index import Item, PassageIndex
from tools.ask.reading import LanguageModel

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
    return found.id


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Ask every question, and count."""
    sources = asked.sources
    encoder = MiniLM(sources / "minilm")
    public = index_encyclopedia(
        sources / "wikipedia-summaries", asked.encyclopedia, Known(encoder, of_the_stages()),
        model_digest(sources / "minilm"), lambda done, total: None,
    )  # fmt: skip
    titles = {name: text.partition(". ")[0] for name, text in _first_words(public).items()}
    others = []
    if asked.among:
        others = [each for each in read_passages(asked.among) if each.scope == "private"]
    counts: Counter[str] = Counter()
    lacking: list[str] = []
    scores: list[float] = []
    reader = LanguageModel(sources / "smollm2") if asked.read else None
    number = 0
    for box in boxes():
        with TemporaryDirectory() as folder:
            private = PassageIndex(Path(folder), "bench")
            private.update([_item(each) for each in [*box.mails.values(), *others]], encoder)
            for question in box.questions:
                found, _ = find(
                    question.text, Policy.NONE, {Scope.PRIVATE: private, Scope.PUBLIC: public}, encoder, asked.hops
                )
                names = [titles.get(each.id) or names_of(each, box.style) for each in found]
                kind = ("unanswerable", "one", "two")[len(question.sources)]
                within = 5 if kind == "one" else 8
                here = all(source in names[:within] for source in question.sources)
                counts[kind] += 1
                counts[f"{kind}, found"] += here
                if not here:
                    lacking.append(f"{question.text} {list(question.sources)} {names[:8]}")
                number += 1
                if reader is None or number % asked.read:
                    continue
                read = reader.read(question.text, [[each.text for each in chain] for chain in chains_of(found)])
                answer = read.answer if read.confidence >= reader.least else ""
                counts[f"{kind}, read"] += 1
                counts[f"{kind}, refused"] += not answer
                scores += [token_f1(answer, question.answer) if answer else 0.0] if question.answer else []
                counts["right where answered"] += bool(answer) and token_f1(answer, question.answer) >= 0.5
                print(f"{question.text} | {question.answer} | {read.answer} {read.confidence:.2f}", flush=True)
    return {**counts, "mean F1 of the answerable": float(np.mean(scores)) if scores else None, "not found": lacking}


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


def _first_words(index: PassageIndex) -> dict[str, str]:
    return dict(zip(index.ids, index.texts(range(len(index.ids))), strict=True))


def _item(passage: Passage) -> Item:
    made: Callable[[], list[Passage]] = lambda: [passage]  # noqa: E731
    return Item(passage.id, made)


def main() -> None:
    """Print what was counted, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, default=Path("data/sources"))
    parser.add_argument("--encyclopedia", type=Path, default=Path(".tenfold/ask/encyclopedia"))
    parser.add_argument("--among", type=Path, help="passages.parquet whose mails lie among those of the test set")
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--read", type=int, default=0, help="let the reader answer every so many questions")
    parser.add_argument("--calibrate", type=Path, help="data/PROFILE/concurrentqa: print the calibration instead")
    asked = parser.parse_args()
    print(json.dumps(calibrate(asked.calibrate) if asked.calibrate else measure(asked), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
