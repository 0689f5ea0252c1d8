"""Questions that lead from an article to an e-mail (WE) or from an e-mail to an article (EW)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.concurrentqa.corpora.links import Link
from tasks.concurrentqa.corpora.mail_words import KNOWN_FIRMS
from tasks.concurrentqa.questions import private_wordings as wordings
from tasks.concurrentqa.questions.archive import Archive, is_person, is_robot
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.details import Cue, bag
from tasks.concurrentqa.questions.drafts import EACH, Draws, bridge_holds, commonest, rarest
from tasks.encyclopedia.passages import Passage


@dataclass(frozen=True)
class Hint:
    """`phrase` means one article's subject; sentence `sentence` of article `source` says so."""

    phrase: str
    source: str
    sentence: int


def described_candidates(
    archive: Archive, hints: Mapping[str, Sequence[Hint]], per_title: int, draws: Draws
) -> Iterator[Candidate]:
    """WE: an article by a description of its subject, then a mail that names it; one description a question."""
    made: Counter[str] = Counter()
    for mail, link in draws.shuffled(_pairs(archive), lambda each: f"{each[0].id} {each[1].article}"):
        known = [hint for hint in hints.get(link.article, ()) if link.surface.lower() not in hint.phrase.lower()]
        if not known or made[link.article] >= per_title:
            continue
        for asked in _asked(archive, mail, link, draws):
            hint = known[draws.turn(f"hint {link.article}", len(known))]
            told = f"{hint.phrase} {asked.theme} {asked.what} {mail.mailing_list}"
            if not bridge_holds(told, asked.answer, archive.article[hint.source], mail):
                continue
            made[link.article] += 1
            for number, form in draws.wordings(asked.family, asked.forms, EACH):
                question = wordings.filled(
                    form, entity=hint.phrase, theme=asked.theme, what=asked.what, list=mail.mailing_list
                )
                yield Candidate(
                    question, asked.answer, "WE", "bridge", asked.family, f"{asked.family}/{number}",
                    (hint.source, mail.id), ((hint.sentence,), asked.support), link.title, (mail.sender,),
                )  # fmt: skip


def _pairs(archive: Archive) -> list[tuple[Passage, Link]]:
    """Every mail part fit to be asked about, with each article that it names, at the first mention."""
    found: dict[tuple[str, str], tuple[Passage, Link]] = {}
    for mail in archive.askable:
        if not is_robot(mail.sender):
            for link in archive.links.get(mail.id, ()):
                found.setdefault((mail.id, link.article), (mail, link))
    return list(found.values())


@dataclass(frozen=True)
class _Asked:
    """What a question asks of a mail, and the sentences of the mail that it rests on."""

    family: str
    forms: tuple[str, ...]
    answer: str
    support: tuple[int, ...]
    theme: str = ""
    what: str = ""


def _asked(archive: Archive, mail: Passage, link: Link, draws: Draws) -> Iterator[_Asked]:
    """Its sender, where only one mail of its list names the article; and what only this mail says with that name."""
    there = archive.holding(bag(link.surface))
    if mail.mailing_list and [one for one in there if archive.mail[one].mailing_list == mail.mailing_list] == [mail.id]:
        yield _Asked("described-on-list", wordings.DESCRIBED_ON_LIST, mail.sender, (link.sentence,))
    first, last = link.sentence - 2, link.sentence + 2
    themes = [
        theme
        for theme in {cue.phrase: cue for cue in (*archive.themes(mail, first, last), *archive.cues[mail.id])}.values()
        if first <= theme.sentence <= last
        and not theme.words & (bag(link.surface) | bag(link.title))
        and archive.holding(theme.words | bag(link.surface)) == {mail.id}
    ]
    if not themes:
        return
    theme = commonest(archive, themes)
    near = tuple(sorted({link.sentence, theme.sentence}))
    if is_person(mail.sender):
        yield _Asked("described-writer", wordings.DESCRIBED_WRITER, mail.sender, near, theme.phrase)
    details = [
        detail
        for detail in archive.details[mail.id]
        if not bag(detail.text) & (theme.words | bag(link.title) | bag(link.surface)) and detail.kind != "file"
    ]
    for detail in draws.shuffled(details, lambda each: f"{mail.id} {each.what}")[:1]:
        support = tuple(sorted({*near, detail.sentence}))
        yield _Asked("described-detail", wordings.DESCRIBED_DETAIL, detail.text, support, theme.phrase, detail.what)
    if 2 <= len(mail.title.split()) <= 6 and not bag(mail.title) & (theme.words | bag(link.title)):
        yield _Asked("described-subject", wordings.DESCRIBED_SUBJECT, mail.title, near, theme.phrase)


@dataclass(frozen=True)
class Statement:
    """What an article states in its sentence `sentence`, asked for by each of `forms`."""

    family: str
    forms: tuple[str, ...]
    answer: str
    sentence: int
    what: str = ""


def stated_candidates(
    archive: Archive,
    statements: Mapping[str, Sequence[Statement]],
    kinds: Mapping[str, str],
    per_pair: int,
    per_title: int,
    draws: Draws,
) -> Iterator[Candidate]:
    """EW: a mail by its sender and subject, or by list and theme; the one thing of its kind that it names; a fact."""
    made: Counter[str] = Counter()
    uses: Counter[tuple[str, str]] = Counter()
    for mail, link in draws.shuffled(_pairs(archive), lambda each: f"{each[1].article} {each[0].id}"):
        stated = statements.get(link.article, ())
        if link.article not in kinds or not stated or made[link.article] >= per_title:
            continue
        kind = _called(archive, mail, link, kinds)
        ways = _ways(archive, mail, link, kinds, kind) if kind else []
        second = archive.article[link.article]
        stated = sorted(stated, key=lambda each: (uses[each.family, each.answer], each.family, each.answer))
        asked = 0
        for statement in stated if ways else ():
            if asked == per_pair or made[link.article] >= per_title:
                break
            if not bridge_holds(statement.what, statement.answer, mail, second):
                continue
            asked += 1
            made[link.article] += 1
            uses[statement.family, statement.answer] += 1
            for number, form in draws.wordings(statement.family, statement.forms, EACH):
                phrase, clause, support = ways[draws.turn(f"way {len(ways)}", len(ways))]
                slots = {
                    "b": phrase,
                    "B": phrase,
                    "clause": clause,
                    "that": f"that {kinds[link.article]}",
                    "what": statement.what,
                }
                question = wordings.filled(form, **slots)
                if bridge_holds(question, statement.answer, mail, second):
                    yield Candidate(
                        question, statement.answer, "EW", "bridge", statement.family, f"{statement.family}/{number}",
                        (mail.id, second.id), (support, (statement.sentence,)), link.title, (mail.sender,),
                    )  # fmt: skip


def _called(archive: Archive, mail: Passage, link: Link, kinds: Mapping[str, str]) -> str:
    """How a question calls the one thing of its kind that a mail names, or the first of several; "" if it cannot."""
    kind = kinds[link.article]
    of_kind = [each for each in archive.links[mail.id] if kinds.get(each.article) == kind]
    unknown = {name.kind for name in archive.names[mail.id] if name.text != link.surface}
    if kind == "company" and KNOWN_FIRMS.intersection(re.findall(r"\w+", mail.text)) - {link.surface}:
        return ""
    if kind in unknown or (kind in _LIKE_PERSONS and "person" in unknown):
        return ""
    if {each.article for each in of_kind} == {link.article}:
        return kind
    alone = all(other.message != mail.message or other is mail for other in archive.by_sender[mail.sender])
    return f"first {kind}" if alone and min(of_kind, key=lambda each: each.start).article == link.article else ""


_LIKE_PERSONS = frozenset(
    ["person", "politician", "writer", "author", "physicist", "president", "engineer", "actor", "musician", "singer"]
)


def _ways(
    archive: Archive, mail: Passage, link: Link, kinds: Mapping[str, str], called: str
) -> list[tuple[str, str, tuple[int, ...]]]:
    """How to tell what this mail names from what the sender's others name: (phrase, clause, supporting sentences)."""
    kind = kinds[link.article]
    rivals = [
        other.id
        for other in archive.by_sender[mail.sender]
        if any(kinds.get(each.article) == kind for each in archive.links.get(other.id, ()))
    ]
    slots = {
        "kind": called, "a_kind": f"{'the' if called != kind else 'an' if kind[0] in 'aeio' else 'a'} {called}",
        "sender": mail.sender,
        "subject": mail.title, "list": mail.mailing_list,
    }  # fmt: skip
    ways: list[tuple[str, str, tuple[int, ...]]] = []
    hidden = bag(link.surface) | bag(link.title)
    same = [one for one in rivals if archive.mail[one].title == mail.title]
    if 2 <= len(mail.title.split()) <= 12 and same == [mail.id] and not bag(mail.title) & hidden:
        for phrase, clause in wordings.BY_SUBJECT:
            ways.append(
                (phrase.format(**slots), wordings.filled("{clause}", clause=clause.format(**slots)), (link.sentence,))
            )
    themes = [
        theme
        for theme in archive.named_themes(mail, link.sentence - 2, link.sentence + 2)
        if not theme.words & hidden and archive.holding(theme.words).intersection(rivals) == {mail.id}
    ]
    if themes:
        theme = rarest(archive, themes)
        support = tuple(sorted({link.sentence, theme.sentence}))
        for phrase, clause in wordings.BY_LIST if mail.mailing_list else wordings.BY_THEME:
            told = wordings.filled("{clause}", clause=clause.format(**slots, theme=theme.phrase))
            ways.append((phrase.format(**slots, theme=theme.phrase), told, support))
    return ways


def earlier_years(
    archive: Archive, events: Sequence[tuple[str, str, str, int]], most: int, draws: Draws
) -> Iterator[Candidate]:
    """EW, comparison: a year that a mail mentions and one of `events` (article, what happened, year, sentence)."""
    told: dict[str, tuple[Passage, Cue, str, int]] = {}
    for mail in archive.askable:
        own = {other.id for other in archive.by_sender[mail.sender]}
        for theme, detail in archive.pairs(mail) if not is_robot(mail.sender) else ():
            if detail.kind == "year" and archive.holding(theme.words) & own == {mail.id}:
                told.setdefault(mail.id, (mail, theme, detail.text, detail.sentence))
    drawn = draws.shuffled(events, lambda each: f"{each[0]} {each[1]}")
    for turn, name in enumerate(sorted(told)[:most]):
        mail, theme, year, sentence = told[name]
        close = [event for event in drawn if 0 < abs(int(event[2]) - int(year)) <= 60]
        if not close:
            continue
        article, event, other, said = close[turn % len(close)]
        for number, form in draws.wordings("earlier-year", wordings.EARLIER_YEAR, EACH):
            question = wordings.filled(form, sender=mail.sender, theme=theme.phrase, event=event)
            yield Candidate(
                question, min(year, other, key=int), "EW", "comparison", "earlier-year", f"earlier-year/{number}",
                (mail.id, article), (tuple(sorted({theme.sentence, sentence})), (said,)),
                archive.article[article].title, (mail.sender,),
            )  # fmt: skip
