"""Answer a question from one's own mails and the public encyclopedia, and say what of it left the machine."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.concurrentqa.corpora.prepare import Corpora, Mail, mail_passages
from tasks.concurrentqa.retrieval.client import PublicClient, connect
from tasks.concurrentqa.retrieval.service import seen, serve
from tasks.encyclopedia.articles import read_articles
from tasks.encyclopedia.passages import Passage
from tasks.mail.mailbox import Raw, Skipped, stream
from tasks.mail.message import parse
from tools.ask.finding import Found, Searched, find
from tools.ask.passage_index import Encoder, Item, PassageIndex, Progress
from tools.ask.reading import Read, Reader

if TYPE_CHECKING:
    from models.retrieval.index import Hits
    from models.retrieval.scopes import Mask, Query

CHAINS = 4
"""Single passages, and as many pairs of a passage and the one that led to it, that are read."""

LEAST_LIKE = 0.3
"""The least similarity (a cosine) of question and first passage at which passages count as being about it."""

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Shown:
    """A passage that was found: its scope, its text as the reader saw it, and its similarity to what was asked."""

    id: str
    scope: str
    text: str
    score: float


@dataclass(frozen=True)
class Request:
    """A request that left the machine for the public index: what it held, what that derives from, bytes each way."""

    call: str
    held: str
    derived_from: str
    sent: int
    received: int


@dataclass(frozen=True)
class Answer:
    """What was found. `answer` is empty where nothing was found that is good enough; `reason` then says why.

    `left` is every request as the client logged it, `service` what the other side says that it saw.
    """

    question: str
    policy: str
    answer: str
    confidence: float
    reason: str
    reader: str
    passages: tuple[Shown, ...]
    left: tuple[Request, ...]
    service: dict[str, int]


@dataclass
class Mailbox:
    """A user's mails as an index, and what was met on the way there; `unread` names what gave no passage, by reason."""

    index: PassageIndex
    progress: Progress
    met: Counter[str] = field(default_factory=Counter)
    unread: Skipped = field(default_factory=Skipped)

    def counts(self) -> dict[str, int]:
        """What to tell the user, by what is counted."""
        done = self.progress
        counts = {
            "mails": done.items - done.repeated,
            "new mails": done.added,
            "mails gone since the last time": done.gone,
            "copies of the same mail": done.repeated,
            "passages": len(self.index.ids),
        }
        counts |= {f"new mails with {what}": count for what, count in sorted(self.met.items())}
        return counts | {f"not read: {reason}": count for reason, count in self.unread.counts().items()}


def index_folder(state: Path, mailbox: Path) -> Path:
    """Where the index of a mailbox lies: a folder named by the digest of the mailbox's path."""
    return state / sha256(os.fsencode(mailbox.resolve())).hexdigest()[:16]


def index_mailbox(mailbox: Path, folder: Path, encoder: Encoder, model: str, watch: Watch = lambda _: None) -> Mailbox:
    """Bring the index in `folder` up to date with a mailbox; only new mails are read and encoded.

    Raises:
        UserError: there is no mail at `mailbox`.
    """
    found = Mailbox(PassageIndex(folder, model), Progress())
    names: dict[str, str] = {}
    found.progress = found.index.update(_mails(mailbox, found, names), encoder, watch)
    for identity in found.index.without_passages():
        # Known from the index alone, so that mails of earlier runs are named as well.
        if identity in names:
            found.unread.add("mails without words of their own", names[identity])
    return found


def mails_in(mailbox: Path) -> int:
    """How many mails there are: a look at each, which takes far less time than to index them."""
    return sum(1 for _ in stream(mailbox))


def _mails(mailbox: Path, found: Mailbox, names: dict[str, str]) -> Iterator[Item]:
    for raw in stream(mailbox, found.unread):
        names[raw.identity] = raw.name
        yield Item(raw.identity, partial(_mail, raw, found))


def _mail(raw: Raw, found: Mailbox) -> list[Passage]:
    """A mail's passages; none of one that cannot be read, which is counted among those without words."""
    try:
        message = parse(raw.data)
        made = mail_passages(
            Mail(int(raw.identity[:15], 16), message, thread=-1, reply_to=-1), Corpora(), unspaced=True
        )
    except Exception as problem:  # whatever a damaged mail provokes: it must not keep the others from being read
        found.met[f"damage ({type(problem).__name__})"] += 1
        return []
    found.met.update(message.done)
    # What is quoted is in the mails that are quoted; the index is searched by a mail's own words.
    return [replace(passage, quoted="") for passage in made]


def index_encyclopedia(
    wikipedia: Path,
    folder: Path,
    encoder: Encoder,
    model: str,
    begin: Callable[[list[str]], Callable[[int, int], None]] = lambda lacking: lambda done, total: None,
) -> PassageIndex:
    """Bring the index of the public articles in `folder` up to date.

    `begin` hears which texts it lacks, and gives whom to tell how many of how many articles are there.
    """
    index = PassageIndex(folder, model)
    stamp, read = folder / "read.json", [(path.name, path.stat().st_mtime_ns) for path in sorted(wikipedia.iterdir())]
    wanted = json.dumps([model, read])
    if stamp.exists() and stamp.read_text() == wanted:
        return index
    articles = read_articles(wikipedia)
    items = [_article(passage) for passage in articles]
    there = index.identities()
    tell = begin([each.rendered for each, item in zip(articles, items, strict=True) if item.identity not in there])
    index.update(items, encoder, lambda done: tell(done.items, len(articles)))
    stamp.write_text(wanted)
    return index


def _article(passage: Passage) -> Item:
    return Item(sha256(f"{passage.id} {passage.rendered}".encode()).hexdigest(), lambda: [passage])


def model_digest(folder: Path) -> str:
    """What identifies an encoder: the digest of its weights."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(
            f"{folder} has no model.safetensors: point the source at a BERT model in Hugging Face's format."
        )
    with open(weights, "rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Public:
    """The other party's index. The words of all that it finds are fetched, whichever of it is used afterwards."""

    def __init__(self, client: PublicClient) -> None:
        self._client = client
        self._texts: dict[int, str] = {}

    @property
    def ids(self) -> list[str]:
        return self._client.ids

    def permits(self, query: "Query") -> "Mask":
        return self._client.permits(query)

    def search(self, query: "Query", k: int) -> "Hits":
        hits = self._client.search(query, k)
        new = sorted({at for row in hits.positions.tolist() for at in row if at >= 0} - self._texts.keys())
        if new:
            derived = sorted({scope for scopes in query.origins for scope in scopes})
            got = self._client.download([self.ids[at] for at in new], derived=derived)
            texts = dict(zip(got.ids, got.texts or [], strict=True))
            self._texts |= {at: texts[self.ids[at]] for at in new}
        return hits

    def texts(self, positions: Sequence[int]) -> list[str]:
        return [self._texts[at] for at in positions]


def ask(
    question: str,
    policy: str,
    private: PassageIndex,
    public: Callable[[], PassageIndex],
    encoder: Encoder,
    reader: Callable[[], Reader],
    hops: int = 2,
) -> Answer:
    """Find passages over `hops` hops through both indexes under a policy, and read the answer in them.

    The public index is served by a process of its own, which logs what it sees; where the policy lets nothing leave,
    it is not even started, nor `public` called. The reader is loaded meanwhile.
    """
    from models.retrieval.scopes import Policy, Scope

    rule = Policy(policy)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        sent, noticed = Path(scratch) / "sent.jsonl", Path(scratch) / "seen.jsonl"
        indexes: dict[Scope, Searched] = {Scope.PRIVATE: private}
        articles = None if rule.question_is_private else public()
        loaded = stack.enter_context(ThreadPoolExecutor(1)).submit(reader)  # while the public index starts
        if articles is not None:
            address = stack.enter_context(_served(articles, noticed))
            indexes[Scope.PUBLIC] = _Public(connect(address, rule, sent))
        found, alike = find(question, rule, indexes, encoder, hops)
        left, service = _requests(sent), _noticed(noticed)
    answer = _read(question, policy, found, alike, loaded.result)
    return replace(answer, left=tuple(left), service=service)


def _served(public: PassageIndex, audit: Path) -> Any:
    import numpy as np

    vectors = np.concatenate([block for _, block in public.vectors()])
    return serve(audit, public.ids, vectors, public.texts(range(len(public.ids))))


def _read(question: str, policy: str, found: Sequence[Found], alike: float, make: Callable[[], Reader]) -> Answer:
    """The answer in the passages that were found, with them: first those that it was read in."""
    shown = [Shown(each.id, str(each.scope), each.text, each.score) for each in found]
    if alike < LEAST_LIKE:
        reason = f"no passage is about this (the most similar one has {alike:.2f} of 1)"
        return Answer(question, policy, "", 0.0, reason, "", tuple(shown), (), {})
    chains = chains_of(found)
    reader = make()
    read = reader.read(question, [[each.text for each in chain] for chain in chains])
    first = [each.id for each in chains[read.chain]] if read.answer else []
    passages = tuple(sorted(shown, key=lambda each: first.index(each.id) if each.id in first else len(first)))
    if is_sure(alike, read, reader):
        return Answer(question, policy, read.answer, read.confidence, "", reader.name, passages, (), {})
    guess = f"; its best guess is “{read.answer}”" if read.answer else ""
    reason = f"the reader is not sure enough (confidence {read.confidence:.2f} of 1{guess})"
    return Answer(question, policy, "", read.confidence, reason, reader.name, passages, (), {})


def is_sure(alike: float, read: Read, reader: Reader) -> bool:
    """Whether what was read is shown as an answer, by the likeness of the first passage to the question."""
    return bool(read.answer) and alike >= LEAST_LIKE and read.confidence >= reader.least


def chains_of(found: Sequence[Found]) -> list[list[Found]]:
    """What is read: the likeliest passages each by itself, then the likeliest with those that led to them."""
    led = [[*each.by, each] for each in found if each.by]
    return [[each] for each in found[:CHAINS]] + led[:CHAINS]


def _requests(log: Path) -> list[Request]:
    """The client's own log in words."""
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    made = []
    for row in rows:
        if row["refused"]:
            continue
        origins = {"": "the question", "public": "the question and public passages"}
        derived = ", ".join(sorted(origins.get(name, "PRIVATE passages") for name in row["derived_from"]))
        held = {
            "/search": f"{row['queries']} vectors",
            "/slice": f"{row['queries']} names of passages that it had found",
        }
        made.append(
            Request(row["call"], held.get(row["call"], "nothing"), derived or "nothing", row["sent"], row["received"])
        )
    return made


def _noticed(log: Path) -> dict[str, int]:
    saw = seen(log)
    return {"requests": saw.requests, "queries": saw.queries, "bytes": saw.bytes, "texts in words": len(saw.texts)}
