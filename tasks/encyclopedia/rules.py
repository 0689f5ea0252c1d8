"""How sentences state facts: one rule for each way of saying a relation."""

import re
from dataclasses import dataclass
from functools import cached_property

from tasks.encyclopedia.names import NAME
from tasks.encyclopedia.nouns import words

SETTLEMENTS = words("city town village municipality capital settlement seaport port metropolis borough suburb")

STATES = words(
    "country state province region territory republic kingdom empire nation island peninsula prefecture district "
    "community collectivity dependency municipality commonwealth archipelago union federation caliphate sultanate "
    "realm"
)
LONG = words("river canal bridge tunnel wall strait lake range road highway railway peninsula island tributary")
HIGH = words(
    "mountain volcano stratovolcano peak massif hill summit skyscraper tower building waterfall statue monument "
    "dam temple pyramid cathedral structure"
)

YEAR = r"(?P<v>(?:1\d{3}|20[0-2]\d)\b|[1-9]\d{1,3} (?:BC|AD|BCE|CE)\b)(?!s)"
DATE = (
    r"(?:(?:early|late|mid|about|around|approximately|c\.|\d{1,2}(?= [A-Z])) ?)*(?:(?:January|February|"
    r"March|April|May|June|July|August|September|October|November|December),? )?(?:\d{1,2}, )?"
)
NUMBER = r"(?P<v>\d[\d,.]*\d(?: (?:million|billion|thousand))?|\d(?: (?:million|billion|thousand)))"
ABOUT = (
    r"(?:about|around|approximately|roughly|nearly|almost|over|more than|an estimated|estimated|some|"
    r"just over|just under|at least|c\.|up to|only) "
)
THE = r"(?:the |The )?"
V = rf"(?P<v>{NAME})"
# "English author ", "the Swedish chemist and engineer ", "King ": what comes before a person's name.
STOP = r"(?!(?:and|or|of|in|by|to|with|as|who|at|on|from|for|that|which|was|is|were|after|when|but|into|then)\b)"
TITLES = r"(?:(?:King|Queen|Emperor|Empress|Pope|Sir|Saint|President|Prince|Princess|Duke|General|Lord|Lady|Dr\.) )?"
ROLE = (
    r"(?:the |then-|an? |his |her )?"
    rf"(?:[A-Z][a-z]+(?:-[A-Z][a-z]+)? (?={STOP}[a-z]))?(?:{STOP}[a-z][a-z-]+,? (?:and "
    rf"(?={STOP}[a-z]))?){{0,6}}{TITLES}"
)
KM = r"(?:km|kilomet(?:re|er)s?|mi|miles?)\b"
METRES = r"(?:m|met(?:re|er)s|ft|feet)\b(?!\^)"
SQUARE = r"(?:km2|km²|square kilomet(?:re|er)s|square miles|sq mi|hectares)\b"
CONTAINER = (
    r"(?:(?:[a-z]+(?:ern|al|ous|-\w+)? |[A-Z][a-z]+(?:ish|an|ese|ch|ian) |U\.S\. )*(?:state|province|"
    r"region|prefecture|county|republic|territory|department|canton|district|island|emirate|voivodeship|"
    r"autonomous community|country|kingdom|governorate|municipality|oblast|federal subject|federal state|"
    r"constituent country|special administrative region) of )?(?:the )?"
)

WORDS = (
    r"(?:(?!and\b|which\b|that\b|who\b|where\b|his\b|her\b|being\b|having\b)[\w'’–-]+)(?: (?!and\b|"
    r"which\b|that\b|who\b|where\b|being\b|having\b)[\w'’–-]+){1,5}"
)

PERSON = frozenset({"person", "deity"})
PLACE = frozenset({"place", "realm"})
ANY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """A sentence of an article about one of `subjects` that matches `expression` says `relation` of group "v".

    `where` is "first" (the first sentence only), "led" (also sentences that go on about the article's subject) or
    "any". Text just before the match must not match `unless`. `objects` are the coarse types that the value
    may name, `kinds` the fine types that the subject must have, where given.
    In later sentences the match must begin within `reach` characters, where that is not 0.
    """

    relation: str
    value_type: str
    subjects: frozenset[str]
    where: str
    expression: str
    unless: str = ""
    objects: frozenset[str] = ANY
    kinds: frozenset[str] = ANY
    reach: int = 0

    @cached_property
    def pattern(self) -> "re.Pattern[str]":
        """The expression, compiled when it is first needed: every command imports all rules."""
        return re.compile(self.expression)


def rule(
    relation: str,
    value_type: str,
    subjects: str,
    where: str,
    pattern: str,
    unless: str = "",
    objects: str = "",
    kinds: frozenset[str] = ANY,
    reach: int = 0,
) -> Rule:
    """`subjects` and `objects` are coarse types, separated by spaces."""
    return Rule(
        relation,
        value_type,
        frozenset(subjects.split()),
        where,
        pattern,
        unless,
        frozenset(objects.split()),
        kinds,
        reach,
    )


FORMER = (
    r"(?:former|historic|ancient|cultural|economic|financial|de facto|first|old|summer|winter|then|royal|"
    r"imperial|as|one|commercial|industrial|provincial|was|were|became|world|twin|legislative|judicial|"
    r"planned|new|original)[ -]$"
)
