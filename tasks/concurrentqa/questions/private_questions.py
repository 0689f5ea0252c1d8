"""Candidate questions with at least one e-mail in their chain: EE, WE and EW."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tasks.concurrentqa.corpora.links import Link
from tasks.concurrentqa.corpora.mentions import Mentions
from tasks.concurrentqa.questions import private_wordings as wordings
from tasks.concurrentqa.questions.archive import Archive
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.descriptions import Description
from tasks.concurrentqa.questions.details import Detail, details
from tasks.concurrentqa.questions.drafts import Draws
from tasks.concurrentqa.questions.mail_chains import mail_candidates
from tasks.concurrentqa.questions.mixed_chains import (
    Hint,
    Statement,
    described_candidates,
    earlier_years,
    stated_candidates,
)
from tasks.concurrentqa.questions.public_wordings import ASKING
from tasks.encyclopedia.facts import Fact
from tasks.encyclopedia.leads import Lead
from tasks.encyclopedia.names import base_title
from tasks.encyclopedia.passages import Passage

PER_SENDER = 20
PER_PAIR = 3
PER_TITLE = 40
COMPARISONS = 500
"""At most so many EE questions over a sender's mails, questions on one mention, mixed ones on a title, comparisons."""


def private_candidates(
    passages: Sequence[Passage],
    links: Sequence[Link],
    facts: Sequence[Fact],
    descriptions: Mapping[str, Description],
    seed: int,
) -> list[Candidate]:
    """The candidates of all private families, each question in several wordings, in a fixed order."""
    archive = Archive(passages, links)
    if not archive.mails:
        return []
    mentions = Mentions(passages)
    leads = {one: mentions.lead(one) for one in sorted({link.article for link in links})}
    hints = _hints(archive, leads, facts, descriptions, mentions)
    statements = _statements(archive, leads, facts, mentions)
    draws = Draws(seed)
    return [
        *mail_candidates(archive, PER_SENDER, COMPARISONS, draws),
        *described_candidates(archive, hints, PER_TITLE, draws),
        *stated_candidates(archive, statements, _kinds(leads), PER_PAIR, PER_TITLE, draws),
        *earlier_years(archive, _events(archive, facts, mentions), COMPARISONS, draws),
    ]


def _kinds(leads: Mapping[str, Lead]) -> dict[str, str]:
    """How a question calls the subject of an article: "city", "company", "physicist"."""
    return {
        one: _CALLED.get(lead.fine, lead.fine)
        for one, lead in leads.items()
        if lead.coarse in _CALLABLE and lead.fine and lead.fine not in _UNCALLED
    }


_CALLED = {
    "capital": "city", "metropolis": "city", "town": "city", "corporation": "company", "conglomerate": "company",
    "kingdom": "country", "republic": "country", "retailer": "company", "nation": "country",
}  # fmt: skip
_CALLABLE = frozenset(
    [
        "place",
        "organisation",
        "person",
        "work",
        "language",
        "technology",
        "event",
        "sport",
        "substance",
        "disease",
        "realm",
    ]
)
_UNCALLED = frozenset(["other", "group", "site", "area", "place", "name", "part", "term", "people", "head", "kind"])


def _hints(
    archive: Archive,
    leads: Mapping[str, Lead],
    facts: Sequence[Fact],
    descriptions: Mapping[str, Description],
    mentions: Mentions,
) -> dict[str, list[Hint]]:
    """Phrases that mean the subject of an article which mails name, without naming it."""
    found: dict[str, list[Hint]] = defaultdict(list)
    kinds = _kinds(leads)
    for one, lead in leads.items():
        if one in descriptions:
            found[one].append(Hint(descriptions[one].phrase, one, descriptions[one].sentence))
        elif (definition := _definition(lead)) is not None:
            found[one].append(Hint(definition, one, 0))
    count = Counter((fact.subject, fact.relation) for fact in facts)
    for fact in facts:
        if count[fact.subject, fact.relation] > 1:
            continue
        if fact.subject in kinds and fact.relation in wordings.INVERSE:
            phrase = wordings.INVERSE[fact.relation].format(kind=kinds[fact.subject], value=fact.value)
            found[fact.subject].append(Hint(phrase, fact.subject, fact.sentence))
        if fact.object in leads and fact.relation in wordings.PATHS and _is_sound(fact, mentions.lead(fact.subject)):
            spoken = mentions.spoken(fact.subject)
            phrase = wordings.PATHS[fact.relation].format(a=spoken, kind=kinds.get(fact.object, "place"))
            if spoken:
                found[fact.object].append(Hint(phrase, fact.subject, fact.sentence))
    return {
        one: [hint for hint in hints if not _gives_away(hint.phrase, archive.article[one].title)]
        for one, hints in found.items()
    }


def _is_sound(fact: Fact, lead: Lead) -> bool:
    """Whether a place is said to lie somewhere, and only what has borders to border on something."""
    if fact.relation.startswith("border_"):
        return lead.fine in {"country", "state", "province", "region"}
    return fact.relation != "located_in" or lead.coarse == "place"


def _definition(lead: Lead) -> str | None:
    """What an article says its subject is, where that is long and peculiar enough to be nothing else."""
    if lead.coarse not in _DEFINABLE or lead.fine == "newspaper" or lead.verb not in {"is", "are"}:
        return None
    said = _AFTER_DEFINITION.split(lead.complement)[0]
    if len(said.split()) > 22:
        said = ",".join(" ".join(said.split()[:22]).split(",")[:-1])
    said = said.strip(" ,.")
    if len(said.split()) < 8 or _UNCLEAR.search(said):
        return None
    return f"what {lead.verb} defined as “{said}”"


_DEFINABLE = frozenset(
    ["organisation", "technology", "concept", "discipline", "language", "disease", "substance", "other", "work"]
)
_AFTER_DEFINITION = re.compile(
    # The full stop of an abbreviation (U.S.) ends nothing.
    r"[;:]| – | — |(?<![A-Z])\. |, (?:including|such as|especially|although|while|but|which|whose)\b"
)
_UNCLEAR = re.compile(r"[()]|\b(?:it|they|one of|this|various|term|defined|sometimes|such as|or more)\b")


def _gives_away(phrase: str, title: str) -> bool:
    """Whether a description contains a word of the title."""
    words = {word[:5] for word in re.findall(r"[^\W\d_]{4,}", base_title(title).lower())}
    return any(word[:5] in words for word in re.findall(r"[^\W\d_]{4,}", phrase.lower()))


def _statements(
    archive: Archive, leads: Mapping[str, Lead], facts: Sequence[Fact], mentions: Mentions
) -> dict[str, list[Statement]]:
    """What the articles that mails name state, and the only person, firm, year or figure that they mention."""
    found: dict[str, list[Statement]] = defaultdict(list)
    count = Counter((fact.subject, fact.relation) for fact in facts)
    for fact in facts:
        if fact.subject in leads and fact.relation in ASKING and count[fact.subject, fact.relation] == 1:
            family = f"mailed-{fact.relation.replace('_', '-')}"
            if fact.relation == "located_in" and leads[fact.subject].coarse != "place":
                continue
            forms = tuple(form for form in ASKING[fact.relation] if form.endswith("?"))
            found[fact.subject].append(Statement(family, forms, fact.value, fact.sentence))
    for one in leads:
        article = archive.article[one]
        asked = {statement.answer for statement in found[one]}
        found[one] += [
            Statement(f"article-{detail.kind}", wordings.ARTICLE_DETAIL, detail.text, detail.sentence, detail.what)
            for detail in details(article, (), _neighbours(archive, article, mentions))
            if detail.text not in asked and detail.kind in _ASKED_OF_ARTICLES
        ]
    return found


_ASKED_OF_ARTICLES = frozenset(["person", "place", "event", "year", "percentage", "amount", "count"])
_NEIGHBOURS = frozenset(
    [
        "country",
        "continent",
        "ocean",
        "sea",
        "river",
        "lake",
        "island",
        "archipelago",
        "peninsula",
        "mountain",
        "range",
        "strait",
        "gulf",
        "bay",
        "desert",
        "war",
        "conflict",
        "revolution",
        "crisis",
        "person",
    ]
)
"""What an article hardly names without there being an article of that title, so that one mention is the only one."""


def _neighbours(archive: Archive, article: Passage, mentions: Mentions) -> list[Detail]:
    """The persons, places and so on that an article names by the titles of their articles."""
    return [
        Detail(coarse, f"which {'person' if coarse == 'person' else fine}", archive.article[other].title, number)
        for number, sentence in enumerate(article.sentences)
        for coarse in ("person", "place", "event")
        for other in mentions.of_kind(sentence, coarse)
        for fine in [_CALLED.get(mentions.lead(other).fine, mentions.lead(other).fine)]
        if other != article.id
        and (coarse == "person" or fine in _NEIGHBOURS)
        and mentions.lead(other).fine != "broadcaster"
        and archive.article[other].title in sentence
    ]


def _events(archive: Archive, facts: Sequence[Fact], mentions: Mentions) -> list[tuple[str, str, str, int]]:
    """(article, what happened, year, sentence) of what is dated since 1850."""
    return [
        (fact.subject, wordings.EVENTS[fact.relation].format(title=spoken), fact.value, fact.sentence)
        for fact in facts
        if fact.relation in wordings.EVENTS and fact.value.isdigit() and 1850 <= int(fact.value) <= 2002
        for spoken in [mentions.spoken(fact.subject)]
        if spoken
    ]
