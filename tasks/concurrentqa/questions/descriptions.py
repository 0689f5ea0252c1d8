"""Definite descriptions: phrases that mean one article's subject, and nothing else in the world, without naming it."""

import re
from collections import Counter
from dataclasses import dataclass

from tasks.encyclopedia.demonyms import COUNTRY
from tasks.encyclopedia.leads import Lead, plain
from tasks.encyclopedia.names import NAME, UPPER, Titles, base_title
from tasks.encyclopedia.nouns import words
from tasks.encyclopedia.passages import Passage

_MOST_WORDS = 26
_FEWEST_WORDS = 5


@dataclass(frozen=True)
class Description:
    """`phrase` ("the Swedish chemist who invented dynamite") means the article's subject alone.

    It is built from sentence `sentence` of the article. `coarse` and `fine` say what kind of thing the subject is.
    """

    phrase: str
    coarse: str
    fine: str
    sentence: int


_SUPERLATIVE = (
    r"(?:first|last|only|oldest|youngest|largest|smallest|longest|highest|tallest|deepest|brightest|hottest|driest|"
    r"busiest|lightest|heaviest|hardest|fastest|widest|biggest|greatest|earliest|most populous|most-populous|"
    r"most populated|most extensive|most massive|most visited|\w+ernmost|innermost|outermost|closest|nearest|"
    r"(?:second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d{1,3}(?:st|nd|rd|th))[- ](?:\w+[- ]){0,2}"
    r"(?:largest|longest|highest|tallest|most populous|most-populous|deepest|smallest|oldest|brightest))"
)
_ORDINAL = r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\w+teenth|last|\d{1,2}(?:st|nd|rd|th))"
_OFFICE = (
    r"(?:president|prime minister|chancellor|emperor|empress|king|queen|sultan|shah|caliph|shogun|"
    r"pharaoh|ruler|monarch|"
    r"tsar|khan|secretary-general|pope|head of state|dictator|premier|governor-general|chairman|leader)"
)
_RULER = (
    r"(?:[Kk]ing|[Qq]ueen|[Ee]mperor|[Ee]mpress|[Ss]ultan|[Pp]rince|[Tt]sar|[Kk]han|[Pp]haraoh|[Ss]hah|"
    r"[Dd]uke|[Pp]resident|[Pp]ope)"
)
_YEAR = r"\b(?:1\d{3}|20[0-2]\d|\d{2,4} (?:BC|AD|BCE|CE))\b"
_DEED = (
    r"(?:invented|discovered|founded|co-founded|wrote|created|co-created|painted|composed|designed|"
    r"developed|formulated|"
    r"introduced|coined|established|built|directed|invention|discovery|discoverer|inventor|founder|co-founder|author|"
    r"authored|creator|formulation|novels?|opera|symphony|book|trilogy|treatise|overthrew|assassinated|unified|"
    r"commanded|architect|sculpted|proved|isolated|synthesi[sz]ed|published)(?: [a-z][\w'-]*,?){0,5} (?:[“\"]|[A-Z])"
)
# What singles its subject out in the world, by the coarse type.
_UNIQUE: dict[str, tuple["re.Pattern[str]", ...]] = {
    "place": (
        re.compile(
            rf"^the (?:[\w,-]+ )*?{_SUPERLATIVE}(?: and {_SUPERLATIVE})? (?:[\w-]+ ){{1,4}}(?:in|of|on|"
            rf"from) (?:the |all )?(?:[\w.-]+ )*?[{UPPER}]"
        ),
        re.compile(
            r"^the (?:national |administrative )?capital(?: city)?(?: and [\w -]+?)? of (?:the )?"
            rf"(?:[\w.-]+ )*?[{UPPER}]"
        ),
        re.compile(rf"^the {_SUPERLATIVE} [\w -]+ (?:in the (?:world|night sky|Solar System)|on Earth)"),
        re.compile(rf"\bconnect(?:s|ing) (?:the )?[{UPPER}].* (?:with|to|and) "),
        re.compile(rf"\bbetween (?:the )?[{UPPER}].* and (?:the )?[{UPPER}]"),
    ),
    "person": (
        re.compile(
            rf"\b{_ORDINAL} (?:and (?:last|current) )?(?:[\w-]+ ){{0,2}}{_OFFICE}\b.* of (?:the )?(?:\w+ )?[{UPPER}]",
            re.I,
        ),
        re.compile(rf"\b{_OFFICE} of (?:the )?(?:\w+ )?{NAME}.* (?:from|in|until) .*{_YEAR}", re.I),
        re.compile(rf"\b(?:who|whose|known|for|as|and|the)\b.*\b{_DEED}"),
        re.compile(
            r"\bthe (?:first|only|last|youngest|oldest) (?:person|woman|man|human|European|American|"
            r"African|author|player|athlete|scientist|ruler|pharaoh)\b"
        ),
        re.compile(
            r"\b(?:son|daughter|wife|husband|mother|father|brother|sister|successor|widow|consort) of "
            rf"(?:the )?(?:[\w-]+ )*{NAME}"
        ),
    ),
    "work": (
        re.compile(rf"\bby (?:the )?(?:[\w-]+,? )*?{NAME}.*{_YEAR}"),
        re.compile(rf"{_YEAR}.*\bby (?:the )?(?:[\w-]+,? )*?{NAME}"),
    ),
    "organisation": (
        re.compile(rf"\b(?:founded|established|formed|created|incorporated)\b.*{_YEAR}.*\bby (?:[\w-]+ )*?{NAME}"),
        re.compile(rf"\b(?:founded|established|formed|created|fronted) by (?:[\w-]+ )*?{NAME}.*{_YEAR}"),
        re.compile(rf"^the (?:[\w-]+ )*?{_SUPERLATIVE} [\w -]+ (?:in|of) (?:the )?[{UPPER}w]"),
    ),
    "event": (
        re.compile(rf"\b(?:in|from|between|on|of)\b.*{_YEAR}"),
        re.compile(rf"\bbetween (?:the )?[{UPPER}].* and (?:the )?[{UPPER}].*{_YEAR}"),
    ),
    "realm": (
        re.compile(rf"\b(?:from|between|in|until)\b.*{_YEAR}"),
        re.compile(rf"\b(?:founded|established|ruled|led) by (?:the )?(?:[\w-]+ )*{NAME}"),
    ),
    "substance": (
        re.compile(r"\bsymbol [A-Z][a-z]?\b.*\batomic number \d+"),
        re.compile(r"\bformula [A-Z][A-Za-z0-9]+"),
    ),
    "deity": (
        re.compile(
            (
                r"\b(?:god|goddess|deity|personification) of (?:the )?[a-z]+.* (?:in|of) "
                r"(?:ancient )?[A-Z]\w+ (?:mythology|religion)"
            ),
            re.I,
        ),
        re.compile(rf"\bcreated by (?!.*(?:Company|Comics|Studios))(?:[\w-]+ )*?{NAME}"),
    ),
    "technology": (
        re.compile(rf"\b(?:developed|created|designed|invented|built|released|introduced|launched)\b.*{_YEAR}"),
        re.compile(rf"\b(?:invented|designed) by (?:[\w-]+ ){{0,4}}{NAME}"),
    ),
    "language": (re.compile(rf"\b(?:official|national) language of (?:the )?[{UPPER}]"),),
    "concept": (
        re.compile(
            r"\b(?:named after|introduced by|proposed by|formulated by|published by|developed by|"
            rf"discovered by) (?:the )?(?:[\w-]+ ){{0,4}}{NAME}"
        ),
    ),
    "organism": (
        re.compile(
            r"^the (?:largest|smallest|fastest|tallest|heaviest|only)\b.*\b(?:species|animal|bird|"
            r"mammal|rodent|plant|tree|primate|reptile|fish|living)\b"
        ),
    ),
    "discipline": (re.compile(rf"\b(?:founded|created|developed|introduced) by (?:the )?(?:[\w-]+ ){{0,4}}{NAME}"),),
}
_VAGUE = re.compile(
    r"\b(?:one of|among the|several|various|some of|often|may|might|a number of|sometimes|its own|"
    r"which|this|these|it|they|"
    r"such as|including|perhaps|believed|considered|regarded|currently|now)\b"
)
_CUT = re.compile(
    r"(?:, (?:and|who|which|where|with|although|while|but|including|such|having|particularly|"
    r"especially|or)\b|;|:| – | — |, [a-z]+ing\b|(?<=[a-z0-9]{2})\.(?: |$))"
)
_SECOND = re.compile(
    r"(?:[Hh]e|[Ss]he) (?P<rest>(?:is|was|has|had|won|wrote|invented|discovered|founded|co-founded|"
    r"created|painted|composed|"
    r"designed|developed|formulated|introduced|directed|served|led|became|received|ruled|published)\b.*)"
)


def describe(passages: list[Passage]) -> dict[str, Description]:
    """Article id → a definite description, for those articles whose first sentences allow one.

    A description does not contain a word of the article's names that would give it away, and no two articles share one.
    """
    titles = Titles(passages)
    found: dict[str, Description] = {}
    for passage in passages:
        if passage.id.startswith("w") and passage.sentences:
            lead = titles.lead[passage.id]
            for phrase, sentence in _phrases(passage, lead):
                if _fits(phrase, lead, titles.names[passage.id]):
                    found[passage.id] = Description(phrase, lead.coarse, lead.fine, sentence)
                    break
    shared = Counter(_loose(description.phrase) for description in found.values())
    return {one: description for one, description in found.items() if shared[_loose(description.phrase)] == 1}


def _loose(phrase: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", phrase.lower()).strip()


def _phrases(passage: Passage, lead: Lead) -> list[tuple[str, int]]:
    """Definite noun phrases made of the first sentence, and for people of the second, each cut where a clause ends."""
    first = re.sub(r"\s+", " ", plain(passage.sentences[0]))
    if element := re.search(
        r"is a (?:synthetic )?chemical element[;,] (?:it has|with) (?:the )?symbol (\w+) and atomic number (\d+)", first
    ):
        return [(f"the chemical element with symbol {element.group(1)} and atomic number {element.group(2)}", 0)]
    complement = re.sub(r"\s+", " ", plain(lead.complement)).strip()
    opening = re.match(rf"(?:an?|the) |(?={_RULER} of )", complement)
    if opening is None or lead.verb not in {"is", "was", "are", "were"}:
        return []
    head = "the " + complement[opening.end() :]
    phrases = [(phrase, 0) for phrase in _cut(head)]
    if lead.coarse == "person" and len(passage.sentences) > 1:
        second = _SECOND.match(re.sub(r"\s+", " ", plain(passage.sentences[1])))
        noun = re.split(r",? (?:who|whose|known|best|widely|noted|for|during|in)\b|[.;]", head)[0].rstrip(" ,.")
        if second and len(noun.split()) <= 9:
            phrases += [(f"{noun} who {phrase}", 1) for phrase in _cut(second["rest"])]
    return [(phrase, at) for phrase, at in phrases if _FEWEST_WORDS <= len(phrase.split()) <= _MOST_WORDS]


def _cut(text: str) -> list[str]:
    """`text` up to each place where a clause ends, the shortest first."""
    return [text[:at].rstrip(" ,.") for at in [match.start() for match in _CUT.finditer(text)] + [len(text)]]


def _fits(phrase: str, lead: Lead, names: tuple[str, ...]) -> bool:
    rules = _UNIQUE.get(lead.coarse)
    if rules is None or _VAGUE.search(phrase) or re.search(r"\(|\)|\?|\"$", phrase):
        return False
    if not any(rule.search(_without_demonyms(phrase)) for rule in rules):
        return False
    used = set(re.findall(r"[^\W\d_]{3,}", phrase.lower()))
    telling = {
        word
        for name in (names[0], *names[1:])
        for word in re.findall(r"[^\W\d_]{3,}", base_title(name).lower())
        if word not in _EVERYDAY and word not in lead.heads
    }
    stems = {word[:5] for word in telling if len(word) > 4}
    return not (used & telling) and not any(word[:5] in stems for word in used if len(word) > 4)


def _without_demonyms(phrase: str) -> str:
    """Nationalities in lower case: they are capitalised but single nobody out."""
    return re.sub(
        rf"\b(?:{'|'.join(sorted(COUNTRY, key=len, reverse=True))})\b", lambda match: match.group().lower(), phrase
    )


_EVERYDAY = words(
    "the and for with from city state river lake island mountain war battle novel film album song book king queen "
    "saint emperor university company element language people history republic kingdom empire dynasty sea ocean "
    "bay gulf north south east west northern southern eastern western central great new united national "
    "international"
)
