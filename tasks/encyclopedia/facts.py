"""Facts that the articles state: subject, relation and a value that stands in the text as it is."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.encyclopedia.demonyms import COUNTRY
from tasks.encyclopedia.leads import Lead, plain
from tasks.encyclopedia.names import NAME, UPPER, Titles, base_title
from tasks.encyclopedia.nouns import PEOPLE, words
from tasks.encyclopedia.passages import Passage
from tasks.encyclopedia.rules import Rule
from tasks.encyclopedia.rules_of_nature import NATURE_RULES
from tasks.encyclopedia.rules_of_people import PEOPLE_RULES
from tasks.encyclopedia.rules_of_places import PLACE_RULES
from tasks.encyclopedia.rules_of_works import WORK_RULES

_RULES = (*PLACE_RULES, *PEOPLE_RULES, *WORK_RULES, *NATURE_RULES)

SEVERAL = words("wrote invented discovered founded located_in award")
"""Relations of which one subject may have several values; of any other two values drop both."""

_PRONOUN = re.compile(
    r"(?:It|He|She|They|Its|His|Her|Their|This|These|The (?:term|name|\w+)|As|With|In|Born|Also|"
    r"Originally|Located|Founded|Covering|Known)\b"
)
_MUST_LINK = frozenset({"originated_in", "ruled"})
_UNLINKED = frozenset({"person", "taxon", "place", "language"})
_NAMED = words("person place work organisation event language term taxon discipline")


_NO_PERSON = re.compile(
    r"\b(?:University|Navy|Army|Act|Party|Institute|Company|Society|Church|Union|Empire|Republic|"
    r"Kingdom|College|Museum|"
    r"Government|Parliament|Council|Group|School|Dynasty|dynasty|War|Era|Age|January|February|March|"
    r"April|May|June|July|"
    r"August|September|October|November|December|States|City|Mountains|Sea|Ocean|River|Arts?|Records|"
    r"Studios|\w+-speaking|\w+[–-]based|Renaissance|Baroque|Association|Committee|Conference|Comics|"
    r"Middle|of the|\d+)\b"
)
_METROPOLITAN = re.compile(
    r"\b(?:metropolitan|metro|urban area|agglomeration|City Region|Greater [A-Z]\w+|built-up|conurbation)\b[^;.]*$",
    re.I,
)
_TERMS = re.compile(
    r"\b(?:from|between|in) (?:[A-Z]\w+ |c\. ?|\d{1,2} [A-Z]\w+ )?\d{2,4}\b[^.;]{0,12}?(?:to|until|and|–)"
)
_NO_PLACE = re.compile(
    r"\b(?:January|February|March|April|June|July|August|September|October|November|December|War|Era|Party|\d+)\b"
)


@dataclass(frozen=True)
class Fact:
    """`value` is a span of sentence `sentence` of article `subject`; `object` the article that it names, or ""."""

    subject: str
    relation: str
    value: str
    sentence: int
    value_type: str
    object: str = ""


def read_facts(passages: list[Passage]) -> list[Fact]:
    """The facts of every Wikipedia article, in the articles' order; contradictory ones are left out."""
    titles = Titles(passages)
    facts: list[Fact] = []
    for passage in passages:
        if passage.id.startswith("w"):
            facts += _consistent(_read_article(passage, titles))
    return facts


def _read_article(passage: Passage, titles: Titles) -> Iterator[Fact]:
    lead = titles.lead[passage.id]
    yield from _nationality(passage, lead, titles)
    yield from _occupation(passage, lead)
    yield from _location(passage, lead, titles)
    for at, sentence in enumerate(passage.sentences):
        text = plain(sentence)
        led = at == 0 or _goes_on(text, passage, titles)
        for rule in _RULES:
            if (rule.subjects and lead.coarse not in rule.subjects) or (rule.kinds and lead.fine not in rule.kinds):
                continue
            if (rule.where == "first" and at) or (rule.where == "led" and not led):
                continue
            for match in rule.pattern.finditer(text):
                if fact := _fact(passage, at, text, match, rule, titles):
                    yield fact


def _goes_on(text: str, passage: Passage, titles: Titles) -> bool:
    """Whether a later sentence is still about the article's subject, as its first words say."""
    if _PRONOUN.match(text):
        return True
    opening = text[:60].lower()
    names = [base_title(name) for name in titles.names[passage.id]]
    if titles.lead[passage.id].coarse == "person":
        names.append(base_title(passage.title).split(" ")[-1])
    return any(re.search(rf"\b{re.escape(name.lower())}\b", opening) for name in names if len(name) > 2)


def _fact(passage: Passage, at: int, text: str, match: "re.Match[str]", rule: Rule, titles: Titles) -> Fact | None:
    group = "v" if match.group("v") is not None else "w"
    start, end = match.span(group)
    if rule.relation == "nickname" and re.match(r"(?:His|Her|Its|Their|This|These|The (?!city))", text):
        return None
    if rule.relation in {"reign_start", "reign_end"} and len(_TERMS.findall(text)) > 1:
        return None
    if rule.relation == "population" and _METROPOLITAN.search(text[:start]):
        return None
    if at and rule.reach and match.start() > rule.reach:
        return None
    if rule.unless and re.search(rule.unless, text[max(0, match.start() - 30) : match.start()]):
        return None
    value = text[start:end]
    value = re.sub(r"(?:'s?|\.|,)$", "", value) if not re.search(r" [A-HJ-UW-Z]\.$", value) else value
    value = value.rstrip(" ,;-–")
    if rule.value_type == "place" and value.startswith("The "):
        return None
    end = start + len(value)
    if not value or _goes_beyond(rule, text, end):
        return None
    found = ""
    if rule.value_type in _NAMED or rule.objects:
        value, found = _linked(value, rule, titles, text[:start], text[end:])
        required = (rule.objects and rule.value_type not in _UNLINKED) or rule.relation in _MUST_LINK
        seat = rule.relation in {"capital", "largest_city"}
        if not value or (required and not found) or (seat and found and titles.lead[found].fine == "country"):
            return None
        if found == passage.id or (not found and not _plausible(value, rule, titles)):
            return None
        end = start + len(value)
    return Fact(passage.id, rule.relation, passage.sentences[at][start:end], at, rule.value_type, found)


_ADJECTIVES = "|".join(sorted(COUNTRY, key=len, reverse=True))
_ENDS_PHRASE = re.compile(
    r"(?:and|or|in|of|at|on|by|with|from|to|which|that|who|where|when|while|as|for|but|during|is|was|"
    r"concerned|dealing|concerning|devoted|focused)\b|$"
)


def _plausible(value: str, rule: Rule, titles: Titles) -> bool:
    """Whether a name without an article of the right type can be what the rule takes it for."""
    if rule.value_type == "person":
        return " " in value and not _NO_PERSON.search(value) and not titles.find(value)
    if rule.value_type == "place":
        return value not in COUNTRY and not titles.find(value) and not _NO_PLACE.search(value)
    return True


def _goes_beyond(rule: Rule, text: str, end: int) -> bool:
    """Whether the value is only the first of several ("by A and B", "in A or B")."""
    after = text[end : end + 40]
    if rule.relation == "founded" and re.match(
        rf" (?!(?:in|at|and|of|from|for|with|on|after|by|as)\b)[a-z]+ [{UPPER}]", after
    ):
        # "co-founder of Hong Kong newspaper Ming Pao"
        return True
    if rule.relation in SEVERAL:
        return False
    if rule.value_type in {"person", "organisation", "taxon", "language", "work"} or rule.relation == "ruled":
        return (
            re.match(rf"(?:,? (?:and|or|&|with) |, |/)(?:(?:the|his|her|a|an|later) )?(?:[a-z]+ )?[{UPPER}]", after)
            is not None
        )
    if rule.value_type == "place":
        if rule.relation == "originated_in" and after.startswith("-"):
            return True
        if rule.relation == "native_to" and re.match(rf", (?:the )?(?:[a-z]+ )?[{UPPER}]", after):
            return True
        return re.match(rf"(?:,? (?:and|or|&) |/)(?:the |of )?(?:[a-z]+ )?[{UPPER}]", after) is not None
    if rule.value_type in {"number", "measure", "year"}:
        beyond = (
            r" ?(?:to|or|–|-|/) ?\d|[^.;]{0,30}\b(?:metropolitan|metro|urban) (?:area|region)|[^.;]{0,20}agglomeration"
        )
        return re.match(beyond, after) is not None
    return False


def _linked(value: str, rule: Rule, titles: Titles, before: str, after: str) -> tuple[str, str]:
    """The longest start of `value` that is an article's name, and that article; else the whole value and ""."""
    words = value.split(" ")
    whole = titles.find(value, rule.objects)
    lower = rule.value_type in {"term", "discipline", "taxon"} or not value[0].isupper()
    for count in range(len(words), 0, -1) if lower and value[0].islower() else [len(words)]:
        part = " ".join(words[:count])
        found = titles.find(part, rule.objects)
        if not found and rule.value_type == "language":
            found = titles.find(f"{part} language", rule.objects)
        following = " ".join(words[count:]) or after.lstrip()
        if value[0].islower() and not (count < len(words) or after[:1] in ".,;:)" or _ENDS_PHRASE.match(following)):
            continue
        if value[0].islower() and count < len(words) and not _ENDS_PHRASE.match(following):
            continue
        if found and not (
            re.search(r"\b(?:state|province) of (?:the )?$", before) and titles.lead[found].fine == "country"
        ):
            return part, found
    return (value, "") if not lower or value[0].isupper() or not rule.objects else ("", whole)


def _nationality(passage: Passage, lead: Lead, titles: Titles) -> Iterator[Fact]:
    """The country of a person whom the first sentence gives exactly one nationality."""
    if lead.coarse != "person":
        return
    opening = re.match(rf"(?:an?|the) (?:[a-z]+ )*(?P<v>{_ADJECTIVES})\b(?P<after>[^.]{{0,40}})", lead.complement)
    if opening is None or re.search(r"ancient |medieval |-born|Roman", lead.complement[:40]):
        return
    if re.match(
        (
            rf"-|[–/]| and (?:[a-z]+-)?[{UPPER}]| [{UPPER}][a-z]+(?:an|ish|ese)\b| (?:Empire|Revolution|"
            r"Army|Union|Republic|nobleman)|,"
        ),
        opening["after"],
    ):
        return
    text = plain(passage.sentences[0])
    at = text.find(opening["v"], len(lead.subject))
    found = titles.find(COUNTRY[opening["v"]], ("place",))
    if at >= 0 and found:
        yield Fact(passage.id, "nationality", passage.sentences[0][at : at + len(opening["v"])], 0, "demonym", found)


_OCCUPATION = re.compile(
    rf"(?:an?|the) (?:(?:early|prominent|influential|leading|renowned|\w+-born) )*(?:(?:{_ADJECTIVES})\b )?"
    r"(?:(?:retired|former) )?(?P<v>[a-z-]+(?: [a-z-]+){0,3}?)(?= who| whose| known| best| noted|"
    r" widely| and a |[.,]| active| of the | during |$)"
)


def _occupation(passage: Passage, lead: Lead) -> Iterator[Fact]:
    """What a person was, where the first sentence says one thing only."""
    if lead.coarse != "person" or len(lead.heads) != 1 or lead.fine not in PEOPLE:
        return
    match = _OCCUPATION.match(lead.complement)
    if (
        match is None
        or not match["v"].endswith(lead.fine)
        or lead.fine in {"leader", "ruler", "founder", "king", "queen", "emperor", "khan"}
    ):
        return
    at = plain(passage.sentences[0]).find(match["v"], len(lead.subject))
    if at >= 0:
        yield Fact(passage.id, "occupation", passage.sentences[0][at : at + len(match["v"])], 0, "text")


_PREPOSED = (
    r"(?:in|of|on|off) (?:the )?(?:(?:north|south|east|west|central|northern|southern|eastern|western|"
    r"northeastern|northwestern|southeastern|southwestern|north-western|north-eastern|south-eastern|"
    r"south-western|upper|lower|modern|present-day|far|coastal|mainland|inland|northwest|northeast|"
    r"southwest|southeast|center|centre|heart|part|coast|region|of|the|in|and|tip|end|shore|side|province|"
    r"state|city|island|U\.S\.|Indian|Chinese|Brazilian|Mexican|German|Spanish|Canadian|Australian|"
    r"American|French|Italian|Turkish|Russian|county|district|town|country|edge|outskirts|corner|"
    r"autonomous|community|Japanese|Argentine|Swiss|Iranian|Pakistani|Nigerian|borough|historic) )*"
)
_CHAIN = re.compile(
    r"(?:,? (?:located|situated|lying|found|based|that lies|which lies|formed|founded|headquartered|"
    rf"fought|that took place|which took place|that occurred|held))?(?:,)? {_PREPOSED}(?P<v>{NAME}"
    rf"(?:, {NAME})*)"
)


def _location(passage: Passage, lead: Lead, titles: Titles) -> Iterator[Fact]:
    """Where a place, building or organisation lies: "is a city in Alabama, United States"."""
    if lead.coarse not in {"place", "organisation", "event", "realm"} or not passage.sentences:
        return
    text = plain(passage.sentences[0])
    begin = text.find(lead.complement[:30], len(lead.subject)) if lead.complement else -1
    if begin < 0:
        return
    head = re.search(rf"\b{re.escape(lead.fine)}(?: (?:city|town|complex|river))?(?= |,)", text[begin:])
    if head is None:
        return
    chain = _CHAIN.match(text, begin + head.end())
    if chain is None:
        return
    if re.match(rf",? (?:and|or) (?:the )?[{UPPER}]|,? (?:and|or) (?:north|south|east|west)", text[chain.end() :]):
        return
    if re.match(r",? (?:at|in|near|and) .{0,30}(?:modern|present-day|what is now|now)", text[chain.end() :]):
        return
    at = chain.start("v")
    for name in chain["v"].split(", "):
        found = titles.find(name, ("place", "realm"))
        before = text[:at]
        if (
            found
            and found != passage.id
            and not (re.search(r"\b(?:state|province) of (?:the )?$", before) and titles.lead[found].fine == "country")
        ):
            kind = titles.lead[found].fine
            yield Fact(
                passage.id,
                "country" if kind == "country" else "located_in",
                passage.sentences[0][at : at + len(name)],
                0,
                "place",
                found,
            )
        at += len(name) + 2


def _consistent(facts: Iterable[Fact]) -> list[Fact]:
    """One of each fact, none of a relation that gets two different values."""
    values: dict[str, dict[str, Fact]] = defaultdict(dict)
    for fact in facts:
        same = fact.object or plain(fact.value).lower()
        values[fact.relation].setdefault(same, fact)
    kept = [
        fact for relation, ones in values.items() if len(ones) == 1 or relation in SEVERAL for fact in ones.values()
    ]
    return sorted(kept, key=lambda fact: (fact.sentence, fact.relation, fact.value))
