"""The two corpora: articles of Wikipedia, which anybody may read, and e-mails, which stay on their reader's machine."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.encyclopedia.articles import article, read_articles
from tasks.encyclopedia.foldoc import links_between, read_foldoc
from tasks.encyclopedia.passages import Passage, write_passages
from tasks.mail.body import Body
from tasks.mail.mailbox import Skipped, stream
from tasks.mail.masking import ADDRESS, TELEPHONE, mask
from tasks.mail.message import Message, normalise, parse
from tasks.mail.senders import named_alike, without_closings
from tasks.mail.sentences import join, parts
from tasks.mail.threads import thread_numbers


@config
class Corpora:
    """`part` words make a part of a mail; a mail with fewer than `shortest` own words is left out.

    `mails` and `articles` bound the corpora (0: all of them): whole threads by the hash of what they say, and first the
    articles whose titles occur in those mails. `foldoc` adds the Free On-line Dictionary of Computing.
    """

    part: Count = 120
    shortest: Count = 12
    mails: Index = 0
    articles: Index = 0
    foldoc: bool = False


@dataclass(frozen=True)
class Mail:
    """A mail that is kept: its place in all of them, its thread, and the mail in it that it replies to (or -1)."""

    number: int
    message: Message
    thread: int
    reply_to: int


def prepare(*, wikipedia: Path, mails: Path, chats: Path, foldoc: Path, config: Corpora, out: Path) -> None:
    """Write passages.parquet, first the public ones, and sizes.json with what was read, kept and left out.

    `mails` is a folder of one raw message a file; where it holds unavailable.json the `chats` take their place.
    """
    sizes: dict[str, int] = {}
    if (mails / "unavailable.json").exists():
        reason = json.loads((mails / "unavailable.json").read_text())["reason"]
        spool.note(f"The e-mails are not available ({reason}): chats are the private corpus instead.")
        kept = read_chats(chats, config, sizes)
    else:
        kept = read_mails(mails, config, sizes)
    kept = slice_of(kept, config.mails)
    private = [passage for mail in kept for passage in mail_passages(mail, config)]
    sizes |= count_private(kept, private)
    articles = read_articles(wikipedia)
    sizes["articles read"] = len(articles)
    articles = chosen_articles(articles, private, config.articles)
    sizes["articles"] = len(articles)
    entries = dictionary(foldoc, out, sizes) if config.foldoc else []
    write_passages(out / "passages.parquet", [*articles, *entries, *private])
    (out / "sizes.json").write_text(json.dumps(sizes, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    spool.table("corpora", [{"what": what, "count": count} for what, count in sorted(sizes.items())])


def read_mails(folder: Path, config: Corpora, sizes: dict[str, int]) -> list[Mail]:
    """The mails of a folder in order of date, without copies and those that say too little."""
    skipped = Skipped()
    seen: set[str] = set()
    met: Counter[str] = Counter()
    messages: list[tuple[str, str, Message]] = []
    for raw in stream(folder, skipped):
        message = parse(raw.data)
        met.update(["mails read", *message.done])
        digest = _hash(" ".join(message.body.own.lower().split()))
        if message.body.own and digest in seen:
            met["mails duplicate"] += 1
        else:
            seen.add(digest)
            messages.append((message.date, raw.identity, message))
    ordered = [message for _, _, message in sorted(messages, key=lambda entry: entry[:2])]
    ordered = [
        message
        for message in without_closings(named_alike(ordered))
        if len(message.body.own.split()) >= config.shortest
    ]
    met["mails too short"] = len(messages) - len(ordered)
    sizes |= {reason if reason.startswith("mails") else f"mails with {reason}": met[reason] for reason in met}
    sizes |= {f"skipped {reason}": count for reason, count in skipped.counts().items()}
    threads, replies = thread_numbers(ordered)
    return [Mail(*each) for each in zip(range(len(ordered)), ordered, threads, replies, strict=True)]


def read_chats(folder: Path, config: Corpora, sizes: dict[str, int]) -> list[Mail]:
    """Conversations as if they were mails: one a turn, in a thread a conversation, each answering the turn before."""
    path = folder / "dataset.json"
    if not path.is_file():
        raise UserError(f"The source in {folder} has no dataset.json: see what data/sources.yaml asks of it.")
    chats: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    people: dict[str, str] = {}
    kept: list[Mail] = []
    met: Counter[str] = Counter()
    for thread, (_, chat) in enumerate(sorted(chats.items())):
        before = -1
        for turn in filter(None, chat["messages"]):
            met["turns of chats read"] += 1
            text = normalise("\n\n".join(line["text"] for line in turn))
            if len(text.split()) < config.shortest:
                met["turns of chats too short"] += 1
                continue
            sender = people.setdefault(turn[0]["sender"], f"Person {len(people) + 1}")
            date = str(turn[0].get("timestamp", ""))[:10]
            kept.append(Mail(len(kept), spoken(sender, date, text), thread, before))
            before = kept[-1].number
    sizes |= met
    return kept


def spoken(sender: str, date: str, text: str) -> Message:
    """A turn of a chat in the shape of a mail."""
    body = Body(own=text, quoted="", attribution=(), signature="")
    return Message(
        id="", answers=(), sender=sender, address="", date=date, subject="Chat", is_reply=False, mailing_list="",
        program="", body=body, done=(),
    )  # fmt: skip


def slice_of(mails: Sequence[Mail], limit: int) -> list[Mail]:
    """At most `limit` mails (0: all) as whole threads, in the order of a hash of what the threads say."""
    if not limit:
        return list(mails)
    threads: dict[int, list[Mail]] = {}
    for mail in mails:
        threads.setdefault(mail.thread, []).append(mail)
    chosen: list[Mail] = []
    for thread in sorted(threads.values(), key=lambda thread: min(_hash(mail.message.body.own) for mail in thread)):
        if len(chosen) + len(thread) <= limit:
            chosen += thread
    return sorted(chosen, key=lambda mail: mail.number)


def mail_passages(mail: Mail, config: Corpora, unspaced: bool = False) -> list[Passage]:
    """A mail's own words in parts; each part carries what the mail quotes, and from whom."""
    message = mail.message
    shared = Passage(
        id="",
        scope="private",
        title=mask(message.subject),
        text="",
        sentences=(),
        message=mail.number,
        sender=mask(message.sender),
        date=message.date,
        mailing_list=mask(message.mailing_list),
        thread=mail.thread,
        reply_to=mail.reply_to,
        attribution=", ".join(mask(name) for name in message.body.attribution),
        quoted=mask(message.body.quoted),
        program=mask(message.program),
    )
    return [
        replace(
            shared,
            id=f"e{mail.number}_p{number}",
            part=number,
            text=join(part),
            sentences=tuple(sentence for paragraph in part for sentence in paragraph),
        )
        for number, part in enumerate(parts(mask(message.body.own), config.part, unspaced))
    ]


def count_private(mails: Sequence[Mail], passages: Sequence[Passage]) -> dict[str, int]:
    """What the private corpus holds."""
    return {
        "mails": len(mails),
        "mail parts": len(passages),
        "senders": len({mail.message.sender for mail in mails}),
        "threads": len({mail.thread for mail in mails}),
        "mailing lists": len({mail.message.mailing_list for mail in mails} - {""}),
        "mails that are replies": sum(mail.message.is_reply for mail in mails),
        "replies resolved": sum(mail.reply_to >= 0 for mail in mails),
        "mails that quote": sum(bool(mail.message.body.quoted) for mail in mails),
        "mails with an attribution": sum(bool(mail.message.body.attribution) for mail in mails),
        "mails with a signature": sum(bool(mail.message.body.signature) for mail in mails),
        "addresses masked": sum(passage.text.count(ADDRESS) for passage in passages),
        "telephone numbers masked": sum(passage.text.count(TELEPHONE) for passage in passages),
    }


def dictionary(folder: Path, out: Path, sizes: dict[str, int]) -> list[Passage]:
    """The computing dictionary's entries as public passages; its links go to foldoc_links.parquet."""
    import pyarrow
    import pyarrow.parquet

    if (folder / "unavailable.json").exists():
        reason = json.loads((folder / "unavailable.json").read_text())["reason"]
        spool.note(f"The Free On-line Dictionary of Computing is not available ({reason}): Wikipedia alone is public.")
        return []
    entries = read_foldoc(folder)
    links = list(links_between(entries))
    table = pyarrow.table({"title": [title for title, _ in links], "linked": [linked for _, linked in links]})
    pyarrow.parquet.write_table(table, out / "foldoc_links.parquet")
    sizes |= {"dictionary entries": len(entries), "dictionary links": len(links)}
    return [article(f"f{number}", entry.title, entry.text) for number, entry in enumerate(entries)]


def chosen_articles(articles: Sequence[Passage], private: Iterable[Passage], limit: int) -> list[Passage]:
    """At most `limit` articles (0: all): those named in the mails, then those that these name, then by hash."""
    if not limit:
        return list(articles)
    by_title = {article.title: article for article in articles}
    named = _titles(by_title, (passage.text for passage in private))
    near = _titles(by_title, (by_title[title].text for title in named)) - named
    order = sorted(articles, key=lambda each: (each.title not in named, each.title not in near, _hash(each.title)))
    return sorted(order[:limit], key=lambda each: int(each.id[1:]))


def _titles(titles: Iterable[str], texts: Iterable[str]) -> set[str]:
    """Those of `titles` that occur in `texts`, word for word."""
    known = set(titles)
    longest = max((len(title.split()) for title in known), default=0)
    found: set[str] = set()
    for text in texts:
        words = re.findall(r"[\w'’.&-]*\w|\S", text)
        for start in range(len(words)):
            for end in range(start + 1, min(start + longest, len(words)) + 1):
                if (candidate := " ".join(words[start:end])) in known:
                    found.add(candidate)
    return found


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
