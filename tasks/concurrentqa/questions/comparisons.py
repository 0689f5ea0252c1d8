"""Comparison questions between two articles of a kind: which has more of something, or do they share something."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from tasks.concurrentqa.corpora.mentions import Mentions
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.comparison_wordings import COMPARING, KINDS, SAME, Comparing
from tasks.encyclopedia.facts import Fact
from tasks.encyclopedia.leads import plain
from tasks.encyclopedia.names import base_title
from tasks.encyclopedia.passages import Passage

MOST_PAIRS = 60
MOST_USES = 4
WORDINGS_EACH = 2
LEAST_RATIO = 1.1
"""How many times the larger of two quantities has to be the smaller: texts round and date them differently."""
LEAST_YEARS = 2

_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_UNITS = (
    (r"square miles|sq mi", 2.59),
    (r"hectares", 0.01),
    (r"kilomet(?:re|er)s?|km\b(?!2)", 1000.0),
    (r"mi\b|miles?", 1609.0),
    (r"ft\b|feet", 0.3048),
)


def quantity(text: str) -> float:
    """The number that `text` writes, in metres or square kilometres where it has a unit; years BC are negative.

    >>> quantity("1.4 million"), quantity("29,032 ft"), quantity("202 BC")
    (1400000.0, 8848.9536, -202.0)
    """
    text = plain(text)
    number = float(re.sub(r"[^\d.]", "", re.match(r"[\d,.]*\d", text).group().replace(",", "")))  # type: ignore[union-attr]
    for word, scale in _SCALES.items():
        number *= scale if word in text else 1
    for unit, scale in _UNITS:
        if re.search(unit, text):
            number *= scale
            break
    return -number if re.search(r"\bBC", text) else number


def comparison_candidates(
    articles: Mapping[str, Passage], mentions: Mentions, facts: Sequence[Fact], seed: int
) -> list[Candidate]:
    """Comparisons by number, answered by a title, and by sharing, answered by yes or no.

    An article is as often the answer as not, as far as that goes, whichever place it has in the question; as many
    questions are answered by yes as by no.
    """
    chooser = random.Random(f"comparisons {seed}")
    of_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in sorted(facts, key=lambda fact: (fact.subject, fact.relation, fact.value)):
        if mentions.spoken(fact.subject):
            of_relation[fact.relation].append(fact)
    found: list[Candidate] = []
    for relation, comparing in COMPARING.items():
        for kind in comparing.kinds:
            alike = [fact for fact in of_relation[relation] if _kind(mentions, fact.subject) in KINDS[kind]]
            found += _by_number(comparing, kind, alike, articles, mentions, chooser)
    for relation, wordings in SAME.items():
        # Firms have a country, too, but do not lie in it.
        alike = [fact for fact in of_relation[relation] if relation != "country" or _is_place(mentions, fact.subject)]
        found += _by_sharing(relation, wordings, alike, mentions, chooser)
    return found


def _kind(mentions: Mentions, article: str) -> str:
    lead = mentions.lead(article)
    return "person" if lead.coarse == "person" else lead.fine


def _is_place(mentions: Mentions, article: str) -> bool:
    return mentions.lead(article).coarse == "place"


def _by_number(
    comparing: Comparing,
    kind: str,
    facts: Sequence[Fact],
    articles: Mapping[str, Passage],
    mentions: Mentions,
    chooser: random.Random,
) -> Iterator[Candidate]:
    family = f"compare-{kind}-{comparing.relation.replace('_', '-')}"
    facts = list(facts)
    amount = {fact.subject: quantity(fact.value) for fact in facts}
    balance: Counter[str] = Counter()
    places = [0, 0]
    for one, other in _pairs(facts, chooser, lambda a, b: _differ(comparing, amount[a], amount[b])):
        larger, smaller = sorted((one, other), key=lambda fact: -amount[fact.subject])
        # Ask for whichever has been the answer less often, and put the answer where fewer answers were.
        ahead = balance[larger.subject] - balance[smaller.subject]
        more = ahead < 0 if ahead else chooser.random() < 0.5
        answer, rejected = (larger, smaller) if more else (smaller, larger)
        balance[answer.subject] += 1
        balance[rejected.subject] -= 1
        place = int(places[0] > places[1]) if places[0] != places[1] else chooser.randrange(2)
        places[place] += 1
        first, second = (answer, rejected) if place == 0 else (rejected, answer)
        yield from _worded(
            family,
            comparing.wordings,
            (first, second),
            base_title(articles[answer.subject].title),
            mentions,
            comparing.pair[0 if more else 1],
            chooser,
        )


def _differ(comparing: Comparing, one: float, other: float) -> bool:
    if comparing.relation.endswith("year") or comparing.relation == "reign_start":
        return abs(one - other) >= LEAST_YEARS
    if comparing.relation == "atomic_number":
        return one != other
    return max(one, other) >= LEAST_RATIO * min(one, other)


def _pairs(facts: list[Fact], chooser: random.Random, fit: Callable[[str, str], bool]) -> Iterator[tuple[Fact, Fact]]:
    """At most `MOST_PAIRS` chance pairs of articles that `fit`, each article in at most `MOST_USES` of them."""
    made: set[frozenset[str]] = set()
    for _ in range(MOST_USES):
        chooser.shuffle(facts)
        for one, other in zip(facts[::2], facts[1::2], strict=False):
            pair = frozenset({one.subject, other.subject})
            if len(made) < MOST_PAIRS and pair not in made and fit(one.subject, other.subject):
                made.add(pair)
                yield one, other


def _by_sharing(
    relation: str,
    wordings: Sequence[str],
    facts: Sequence[Fact],
    mentions: Mentions,
    chooser: random.Random,
) -> Iterator[Candidate]:
    """Pairs that share the value and, of the same articles, pairs that do not."""
    of_value: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        of_value[fact.object or plain(fact.value).lower()].append(fact)
    yes: list[tuple[Fact, Fact]] = []
    for value in sorted(of_value):
        alike = of_value[value]
        chooser.shuffle(alike)
        # No value may fill the family: at most six pairs of one.
        yes += list(zip(alike[:12:2], alike[1:12:2], strict=False))
    chooser.shuffle(yes)
    yes = yes[:MOST_PAIRS]
    rest = [fact for pair in yes for fact in pair]
    value_of = {fact.subject: fact.object or plain(fact.value).lower() for fact in facts}
    no: list[tuple[Fact, Fact]] = []
    for _ in range(20):
        chooser.shuffle(rest)
        left: list[Fact] = []
        for one, other in zip(rest[::2], rest[1::2], strict=False):
            if value_of[one.subject] != value_of[other.subject]:
                no.append((one, other))
            else:
                left += [one, other]
        rest = left
    count = min(len(yes), len(no))
    pairs = [(pair, "yes") for pair in yes[:count]] + [(pair, "no") for pair in no[:count]]
    family = f"same-{relation}"
    for pair, answer in pairs:
        yield from _worded(family, wordings, pair, answer, mentions, "", chooser)


def _worded(
    family: str,
    wordings: Sequence[str],
    pair: tuple[Fact, Fact],
    answer: str,
    mentions: Mentions,
    more: str,
    chooser: random.Random,
) -> Iterator[Candidate]:
    x, y = (mentions.spoken(fact.subject) for fact in pair)
    for number in sorted(chooser.sample(range(len(wordings)), WORDINGS_EACH)):
        question = wordings[number].format(x=x, y=y, more=more)
        yield Candidate(
            question=question[:1].upper() + question[1:],
            answer=answer,
            chain="WW",
            type="comparison",
            family=family,
            wording=f"{family}/{number}",
            passages=(pair[0].subject, pair[1].subject),
            support=((pair[0].sentence,), (pair[1].sentence,)),
            bridge="",
        )
