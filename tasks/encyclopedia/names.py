"""What an article may be called, and which article a name means."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable

from tasks.encyclopedia.demonyms import COUNTRY
from tasks.encyclopedia.leads import Lead, plain, read_lead
from tasks.encyclopedia.passages import Passage

UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĠĢĤĪĮİĶĹĽŁŃŇŌŐŒŔŘŚŞŠŢŤŪŮŰŹŻŽƏȘȚḌḤḪḲṆṚṢṬẒỞ"
WORD = rf"(?:[{UPPER}](?:\.(?:[{UPPER}]\.)*|[\w'ʻʼ–\-]*)|al-[{UPPER}]\w+|d'[{UPPER}]\w+)"
PARTICLE = (
    r"(?:of the|of|the|de la|de las|de los|de|del|della|des|di|da|dos|do|du|von|van der|van|den|der|la|le|"
    r"el|al|bin|ibn|upon|y|und)"
)
NAME = rf"(?:{WORD}(?: (?:{PARTICLE} )?(?:{WORD}|II|I{{1,3}}|IV|V|\d+\b))*)"
"""A proper name: capitalised words, joined by particles."""

_QUALIFIER = re.compile(r" \([^()]*\)$")
_KNOWN_AS = re.compile(
    r"(?:(?:also|commonly|better|formerly|popularly|officially|widely|simply|often|sometimes|colloquially|formally|"
    r"professionally|historically|traditionally|usually|originally|mononymously|more commonly)(?: \w+)? )?"
    r"(?:known|called|referred to|spelled|written|rendered|titled|named|abbreviated|stylized|styled|nicknamed)"
    r"(?: (?:simply|just|professionally|colloquially|in English|in the Western world|commonly|mononymously|to))*"
    r"(?: (?:as|by))?(?: (?:the|an?))? "
)
_OPENING = re.compile(r"^(?:and|or|simply|also|the|an?|just|in full|as|either|Sir|Dame|Saint|born) ", re.I)
_PARENTHESES = re.compile(r" ?\([^()]*\)| ?\([^()]*$")
_CLAUSE = re.compile(r"\b(?:is|was|in|who|that|which|by|from)\b")
_MAXIMUM_WORDS = 7


def base_title(title: str) -> str:
    """A title without its trailing qualifier: "Java (programming language)" → "Java"."""
    return _QUALIFIER.sub("", title)


def aliases(passages: list[Passage]) -> dict[str, tuple[str, ...]]:
    """Article id → its names: the title, the title without its qualifier, then those that the first sentence gives.

    Those are the sentence's own subject ("Sir John Alexander Macdonald"), "also known as" and the like, and an acronym
    in parentheses that the name's initials spell. Other articles may have the same name: see `Titles`.
    """
    return {
        passage.id: _names_of(passage, read_lead(passage)) for passage in passages if passage.id.startswith(("w", "f"))
    }


def _names_of(passage: Passage, lead: Lead) -> tuple[str, ...]:
    names = [passage.title, base_title(passage.title)]
    sentence = plain(passage.sentences[0]) if passage.sentences else ""
    before = sentence.split(f" {lead.verb} ", 1)[0] if lead.verb else ""
    names += [
        acronym
        for acronym in re.findall(r"\(([A-Z][A-Za-z]{1,7})(?:[,;)])", before)
        if _spells(acronym, before) or _spells(acronym, passage.title)
    ]
    while _PARENTHESES.search(before):
        before = _PARENTHESES.sub("", before)
    before = re.sub(r"^(?:In|For|Within|Under) [^,]{2,60}, ", "", before)
    for part in re.split(r"[,;:]| or ", _KNOWN_AS.sub(",", before)):
        name = _OPENING.sub("", part.strip()).strip(' ."“”')
        common = name.islower() and len(name) > 3 and not _proper(lead)
        short = len(name) > 1 and len(name.split()) <= _MAXIMUM_WORDS and name not in COUNTRY
        if short and not _CLAUSE.search(name) and (name[0].isupper() or common):
            names.append(name)
    return tuple(dict.fromkeys(names))


def _proper(lead: Lead) -> bool:
    return lead.coarse in {"person", "place", "organisation", "work", "realm", "event", "deity"}


def _spells(acronym: str, phrase: str) -> bool:
    """Whether the initials of some run of words of `phrase` spell `acronym`."""
    tokens = re.findall(r"[^\W\d_]+", phrase)
    every = "".join(token[0] for token in tokens).lower()
    content = "".join(token[0] for token in tokens if token not in {"of", "the", "and", "for", "in"}).lower()
    return len(acronym) > 1 and (acronym.lower() in every or acronym.lower() in content)


class Titles:
    """Which article a name means: by its title, by its title without the qualifier, or by an alias."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        articles = [passage for passage in passages if passage.id.startswith("w")]
        self.lead: dict[str, Lead] = {passage.id: read_lead(passage) for passage in articles}
        self.title: dict[str, str] = {passage.id: passage.title for passage in articles}
        self.names: dict[str, tuple[str, ...]] = aliases(articles)
        self._given = {
            title.split(" ")[0]
            for one, title in self.title.items()
            if " " in title and self.lead[one].coarse == "person"
        }
        self._ranks: tuple[dict[str, list[str]], ...] = (defaultdict(list), defaultdict(list), defaultdict(list))
        for one, names in self.names.items():
            for name in names:
                rank = 0 if name == self.title[one] else 1 if name == base_title(self.title[one]) else 2
                self._ranks[rank][_key(name)].append(one)

    def find(self, name: str, coarse: Collection[str] = ()) -> str:
        """The one article that `name` means, of one of the `coarse` types where given; "" if none or several do.

        An article titled exactly so is the name's main meaning; "Georgia" between "Georgia (country)" and "Georgia
        (U.S. state)" means neither.
        """
        for rank in self._ranks:
            found = [one for one in rank.get(_key(name), ()) if not coarse or self.lead[one].coarse in coarse]
            if rank is not self._ranks[0] and (name in self._given or (rank is self._ranks[1] and " " not in name)):
                # One "Joseph" with an article does not make every Joseph him.
                found = [one for one in found if self.lead[one].coarse not in {"person", "deity"}]
            if found:
                return found[0] if len(found) == 1 else ""
        return ""


def _key(name: str) -> str:
    """Names compare without a leading "the", an initial capital or the kind of dash and apostrophe."""
    name = plain(name).replace("–", "-").strip(" .,")
    name = re.sub(r"^[Tt]he ", "", name)
    return name[:1].lower() + name[1:]
