"""The hand-written wordings of comparison questions.

{x} and {y} are the two articles. {more} is the word that decides which of them is the answer: of each pair of words the
first asks for the larger number and the second for the smaller one.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparing:
    """How articles are compared by a relation whose value is a number.

    `kinds` names sets of nouns: things are compared with others of their set. `pair` are the words for more and less.
    """

    relation: str
    kinds: tuple[str, ...]
    pair: tuple[str, str]
    wordings: tuple[str, ...]


KINDS: dict[str, frozenset[str]] = {
    name: frozenset(nouns.split())
    for name, nouns in {
        "country": "country",
        "city": "city capital municipality town metropolis seaport port",
        "state": "state",
        "province": "province prefecture",
        "region": "region republic territory",
        "island": "island archipelago",
        "water": "lake sea",
        "mountain": "mountain volcano stratovolcano peak massif",
        "building": "skyscraper tower building statue",
        "river": "river tributary canal",
        "book": "novel novella book treatise story tale essay poem epic play tragedy comedy collection text",
        "film": "film",
        "picture": "painting fresco mural portrait print drawing composition",
        "music": "opera symphony ballet song album concerto musical singspiel",
        "university": "university college school institution institute museum",
        "company": "company corporation conglomerate manufacturer newspaper magazine brand bank airline retailer",
        "association": "organization organisation agency league union association federation party alliance",
        "band": "band duo",
        "person": "person",
        "element": "element",
        "family": "family",
        "genus": "genus",
        "taxon": "order class phylum clade",
        "war": "war conflict rebellion revolution campaign battle crusade",
        "realm": "dynasty empire kingdom caliphate sultanate khanate state realm",
    }.items()
}
"""Sets of fine types whose members can be compared."""

COMPARING: dict[str, Comparing] = {
    "population": Comparing(
        "population",
        ("country", "city", "state", "province", "region", "island"),
        ("larger", "smaller"),
        (
            "Which has the {more} population, {x} or {y}?",
            "Of {x} and {y}, which is the {more} by population?",
            "Is it {x} or {y} that has the {more} number of inhabitants?",
            "Counting inhabitants, which is {more}: {x} or {y}?",
            "Between {x} and {y}, where is the population {more}?",
            "Compare {x} with {y}: which of them has the {more} population?",
            "{x} or {y}: which one has the {more} population?",
        ),
    ),
    "area": Comparing(
        "area",
        ("country", "city", "state", "province", "region", "island", "water"),
        ("larger", "smaller"),
        (
            "Which covers the {more} area, {x} or {y}?",
            "Of {x} and {y}, which is the {more} by area?",
            "Is it {x} or {y} that has the {more} area?",
            "Measured by area, which is {more}: {x} or {y}?",
            "Between {x} and {y}, which one extends over the {more} area?",
            "Compare {x} with {y}: which of them has the {more} area?",
            "{x} or {y}: which one has the {more} area?",
        ),
    ),
    "height": Comparing(
        "height",
        ("mountain", "building"),
        ("higher", "lower"),
        (
            "Which is {more}, {x} or {y}?",
            "Of {x} and {y}, which has the {more} top?",
            "Is it {x} or {y} that is the {more} one?",
            "Comparing their heights, which is {more}: {x} or {y}?",
            "Between {x} and {y}, which one is {more}?",
            "{x} or {y}: which of them is {more}?",
        ),
    ),
    "length": Comparing(
        "length",
        ("river",),
        ("longer", "shorter"),
        (
            "Which is {more}, {x} or {y}?",
            "Of {x} and {y}, which has the {more} course?",
            "Is it {x} or {y} that is the {more} one?",
            "Comparing their lengths, which is {more}: {x} or {y}?",
            "Between {x} and {y}, which one is {more}?",
            "{x} or {y}: which of them is {more}?",
        ),
    ),
    "year": Comparing(
        "year",
        ("book", "film", "picture", "music"),
        ("later", "earlier"),
        (
            "Which appeared {more}, {x} or {y}?",
            "Of {x} and {y}, which is the {more} work?",
            "Is it {x} or {y} that came {more}?",
            "Comparing their dates, which is the {more} one: {x} or {y}?",
            "Between {x} and {y}, which one came out {more}?",
            "{x} or {y}: which of the two works is of the {more} date?",
        ),
    ),
    "founded_year": Comparing(
        "founded_year",
        ("city", "university", "company", "association", "band"),
        ("later", "earlier"),
        (
            "Which was founded {more}, {x} or {y}?",
            "Of {x} and {y}, which has the {more} founding date?",
            "Is it {x} or {y} that was established {more}?",
            "Comparing their beginnings, which was founded {more}: {x} or {y}?",
            "Between {x} and {y}, which one came into being {more}?",
            "{x} or {y}: which of them was founded {more}?",
        ),
    ),
    "death_year": Comparing(
        "death_year",
        ("person",),
        ("later", "earlier"),
        (
            "Who died {more}, {x} or {y}?",
            "Of {x} and {y}, whose death came {more}?",
            "Is it {x} or {y} who died {more}?",
            "Comparing the years of their deaths, who died {more}: {x} or {y}?",
            "Between {x} and {y}, who was the {more} to die?",
            "{x} or {y}: which of them died {more}?",
        ),
    ),
    "reign_start": Comparing(
        "reign_start",
        ("person",),
        ("later", "earlier"),
        (
            "Who came to power {more}, {x} or {y}?",
            "Of {x} and {y}, whose time in power began {more}?",
            "Is it {x} or {y} who took power {more}?",
            "Comparing the years when they came to power, who was {more}: {x} or {y}?",
            "Between {x} and {y}, who began to rule or govern {more}?",
            "{x} or {y}: which of them came to power {more}?",
        ),
    ),
    "award_year": Comparing(
        "award_year",
        ("person",),
        ("later", "earlier"),
        (
            "Whose Nobel Prize or similar award came {more}, {x}'s or {y}'s?",
            "Of {x} and {y}, who won a Nobel Prize or similar award {more}?",
            "Is it {x} or {y} who was given a Nobel Prize or similar award {more}?",
            "Comparing the years of their Nobel Prize or similar award, who won {more}: {x} or {y}?",
            "Between {x} and {y}, who received a Nobel Prize or similar award {more}?",
            "{x} or {y}: which of them won a Nobel Prize or similar award {more}?",
        ),
    ),
    "atomic_number": Comparing(
        "atomic_number",
        ("element",),
        ("higher", "lower"),
        (
            "Which has the {more} atomic number, {x} or {y}?",
            "Of {x} and {y}, which element has the {more} atomic number?",
            "Is it {x} or {y} whose atomic number is {more}?",
            "In the periodic table, which has the {more} number: {x} or {y}?",
            "Between the elements {x} and {y}, whose atomic number is {more}?",
            "{x} or {y}: which of these elements has the {more} atomic number?",
        ),
    ),
    "species": Comparing(
        "species",
        ("family", "genus", "taxon"),
        ("larger", "smaller"),
        (
            "Which has the {more} number of species, {x} or {y}?",
            "Of {x} and {y}, which is the {more} group by number of species?",
            "Is it {x} or {y} that has the {more} number of species?",
            "Counting species, which is the {more} group: {x} or {y}?",
            "Between {x} and {y}, which one contains the {more} number of species?",
            "{x} or {y}: for which of them is the number of species {more}?",
        ),
    ),
    "end_year": Comparing(
        "end_year",
        ("war", "realm"),
        ("later", "earlier"),
        (
            "Which came to an end {more}, {x} or {y}?",
            "Of {x} and {y}, which ended {more}?",
            "Is it {x} or {y} that came to its end {more}?",
            "Comparing when they ended, which has the {more} date: {x} or {y}?",
            "Between {x} and {y}, which one was over {more}?",
            "{x} or {y}: which of them ended {more}?",
        ),
    ),
}

SAME: dict[str, tuple[str, ...]] = {
    "nationality": (
        "Were {x} and {y} of the same nationality?",
        "Did {x} have the same nationality as {y}?",
        "Was {x} from the same country as {y}?",
        "Did {x} and {y} come from one and the same country?",
        "Are {x} and {y} described by the same nationality?",
        "{x} and {y}: did they have the same nationality?",
    ),
    "country": (
        "Are {x} and {y} in the same country?",
        "Is {x} found in the same country as {y}?",
        "Do {x} and {y} lie in one and the same country?",
        "Could one visit both {x} and {y} without leaving a single country?",
        "Does the country of {x} also include {y}?",
        "{x} and {y}: are they found in the same country?",
    ),
    "family": (
        "Do {x} and {y} belong to the same biological family?",
        "Is {x} in the same biological family as {y}?",
        "Are {x} and {y} members of one and the same family?",
        "Does the biological family of {x} also include {y}?",
        "In biology, are {x} and {y} placed in the same family?",
        "{x} and {y}: do they share a biological family?",
    ),
    "award": (
        "Did {x} and {y} receive the same award?",
        "Was {x} honoured with the same award as {y}?",
        "Did one and the same award go to {x} and to {y}?",
        "Is the award that {x} received also the one that {y} received?",
        "Were {x} and {y} both honoured with the same award?",
        "{x} and {y}: were they given the same award?",
    ),
    "order": (
        "Are {x} and {y} placed in the same biological order?",
        "Is {x} in the same biological order as {y}?",
        "Do {x} and {y} belong to one and the same order?",
        "Does the biological order of {x} also include {y}?",
        "In biology, are {x} and {y} classed in the same order?",
        "{x} and {y}: do they share a biological order?",
    ),
}
"""Yes-or-no questions, by the relation of which two articles may have the same value."""
