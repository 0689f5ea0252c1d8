"""Candidates for public questions: two articles, of which the first names the second without the question doing so."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.concurrentqa.corpora.mentions import Mentions
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.comparisons import comparison_candidates
from tasks.concurrentqa.questions.descriptions import Description
from tasks.concurrentqa.questions.public_leading import LEADING
from tasks.concurrentqa.questions.public_wordings import ASKING
from tasks.encyclopedia.demonyms import COUNTRY
from tasks.encyclopedia.facts import Fact
from tasks.encyclopedia.leads import plain
from tasks.encyclopedia.nouns import words
from tasks.encyclopedia.passages import Passage

MOST_ANSWER_WORDS = 6
MOST_PER_BRIDGE = 60
MOST_PER_ARTICLE = 4
MOST_PER_FAMILY = 160
ANSWER_SHARE = 0.1
WORDINGS_EACH = 2
_SMALLEST_FAMILY = 10
_OWN_FAMILY = 24
"""Paths of a pair of relations that make a family of their own; with fewer they share one with others."""

# Second hops that make sense for a bridge reached by a first hop of each group; the rest is read as it comes.
_PERSONAL = words(
    "nationality occupation birth_place death_year reign_start reign_end award award_year office_number known_for "
    "nickname spouse child_of ruled"
)
_PARTS_OF_THE_WORLD = words("region subregion continent ocean sea peninsula archipelago area")
_VERBS = [
    "introduced",
    "proposed",
    "formulated",
    "developed",
    "stated",
    "discovered",
    "invented",
    "devised",
    "described",
    "published",
    "conceived",
    "pioneered",
    "popularized",
    "popularised",
    "formalized",
    "patented",
    "built",
    "designed",
    "created",
    "proved",
    "isolated",
    "identified",
]
_ROLES = {
    "author": "novel novella book treatise story tale essay memoir autobiography poem epic play tragedy comedy "
    "anthology "
    "collection dialogue text satire fable encyclopedia textbook",
    "director": "film documentary drama",
    "painter": "painting fresco mural portrait triptych altarpiece",
    "composer": "opera symphony ballet concerto suite sonata oratorio song requiem cantata waltz composition cycle set",
    "sculptor": "sculpture statue",
}
_ROLE_OF = {noun: role for role, nouns in _ROLES.items() for noun in nouns.split()}


@dataclass(frozen=True)
class _Path:
    """A first fact that leads from article `subject` to `object`, and a second about that."""

    group: str
    first: Fact
    second: Fact
    name: str = ""
    """What to call the first article by, if not by its name, which the second article gives away."""
    support: tuple[int, ...] = ()
    """Sentences of the first article that `name` rests on."""

    @property
    def family(self) -> str:
        """What is asked of what: "birthplace-population"."""
        return f"{self.group}-{self.second.relation.replace('_', '-')}"


def public_candidates(
    passages: list[Passage], facts: list[Fact], descriptions: Mapping[str, Description], seed: int
) -> list[Candidate]:
    """Bridge and comparison questions over the Wikipedia articles among `passages`.

    Every bridge question is asked in `WORDINGS_EACH` wordings of its family. No answer has more than `ANSWER_SHARE` of
    a family's questions. The same arguments give the same candidates in the same order.
    """
    articles = {passage.id: passage for passage in passages if passage.id.startswith("w")}
    mentions = Mentions(passages)
    bridges = _Bridges(articles, mentions, descriptions, seed)
    return [*bridges.candidates(facts), *comparison_candidates(articles, mentions, facts, seed)]


class _Bridges:
    """Bridge questions: all paths, those of them that make good questions, and their wordings."""

    def __init__(
        self,
        articles: Mapping[str, Passage],
        mentions: Mentions,
        descriptions: Mapping[str, Description],
        seed: int,
    ) -> None:
        self.articles = articles
        self.mentions = mentions
        self.descriptions = descriptions
        self.random = random.Random(f"bridges {seed}")

    def candidates(self, facts: Sequence[Fact]) -> list[Candidate]:
        """The chosen paths in their families' order, each in several wordings."""
        found: list[Candidate] = []
        for family, paths in sorted(self._chosen(facts).items()):
            for path in paths:
                found += self._worded(family, path)
        return found

    def _paths(self, facts: Sequence[Fact]) -> Iterator[_Path]:
        by_subject: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            by_subject[fact.subject].append(fact)
        for subject in sorted(by_subject):
            of_relation = Counter(fact.relation for fact in by_subject[subject])
            for first in [*by_subject[subject], *self._mentioned(subject)]:
                if self._leading(first) is None or not first.object or of_relation[first.relation] > 1:
                    continue
                group = LEADING[self._leading(first) or ""].group
                answers = Counter(fact.relation for fact in by_subject[first.object])
                capitals = [fact for fact in by_subject[subject] if fact.relation == "capital"]
                for second in by_subject[first.object]:
                    if second.relation not in ASKING or answers[second.relation] > 1 or second.object == subject:
                        continue
                    if group == "neighbour" and capitals and self.mentions.lead(subject).fine == "country":
                        name = f"the country whose capital is {capitals[0].value}"
                        yield _Path("beyond", first, second, name, (capitals[0].sentence,))
                    else:
                        yield _Path(group, first, second)

    def _mentioned(self, article: str) -> Iterator[Fact]:
        """Persons that an article about something else names, if it names one of that kind only."""
        if self.mentions.lead(article).coarse == "person":
            return
        found: dict[str, list[Fact]] = defaultdict(list)
        for at, sentence in enumerate(self.articles[article].sentences):
            for person in self.mentions.of_kind(sentence, "person"):
                kind = self.mentions.lead(person).fine
                if person not in {fact.object for fact in found[kind]}:
                    found[kind].append(Fact(article, "mentions", self.articles[person].title, at, "person", person))
        for kind in sorted(found):
            if len(found[kind]) == 1:
                yield found[kind][0]

    def _leading(self, fact: Fact) -> str | None:
        """Which of `LEADING` puts the fact into words: that for its subject's type, if there is one."""
        lead = self.mentions.lead(fact.subject)
        if fact.relation == "country" and lead.coarse in {"organisation", "event", "realm"}:
            return "country of organisation" if lead.coarse == "organisation" else "country of event"
        if fact.relation == "located_in" and lead.coarse != "place":
            return None
        if fact.relation == "creator" and lead.coarse not in {"work", "deity", "sport", "technology", "organisation"}:
            return None
        return fact.relation if fact.relation in LEADING else None

    def _chosen(self, facts: Sequence[Fact]) -> dict[str, list[_Path]]:
        """Paths by family, none used too often in any respect."""
        paths = [path for path in self._paths(facts) if self._good(path)]
        self.random.shuffle(paths)
        single = Counter(path.family for path in paths)
        family_of = {
            family: family if count >= _OWN_FAMILY else f"{family.split('-')[0]}-various"
            for family, count in single.items()
        }
        sizes = Counter(family_of[path.family] for path in paths)
        # Rare families choose first: the bridges they need are not yet used up.
        paths.sort(key=lambda path: sizes[family_of[path.family]])
        bridges: Counter[str] = Counter()
        articles: Counter[str] = Counter()
        families: dict[str, list[_Path]] = defaultdict(list)
        answers: Counter[tuple[str, str]] = Counter()
        asked: Counter[tuple[str, str]] = Counter()
        for path in paths:
            family = family_of[path.family]
            answer = (family, plain(path.second.value).lower())
            fact = (path.second.subject, path.second.relation)
            most = max(1, int(ANSWER_SHARE * min(sizes[family], MOST_PER_FAMILY)))
            if (
                bridges[path.second.subject] < MOST_PER_BRIDGE
                and articles[path.first.subject] < MOST_PER_ARTICLE
                and len(families[family]) < MOST_PER_FAMILY
                and answers[answer] < most
                and asked[fact] < most
            ):
                families[family].append(path)
                bridges[path.second.subject] += 1
                articles[path.first.subject] += 1
                answers[answer] += 1
                asked[fact] += 1
        return {family: _capped(paths) for family, paths in families.items() if len(paths) >= _SMALLEST_FAMILY}

    def _good(self, path: _Path) -> bool:
        """Whether the question needs both hops, in this order, and has one short answer that only the second gives."""
        first, second = self.articles[path.first.subject], self.articles[path.second.subject]
        answer = path.second.value
        leading, asking = path.first.relation, path.second.relation
        if len(answer.split()) > MOST_ANSWER_WORDS or answer not in second.rendered:
            return False
        if self.mentions.occurs(answer, first.rendered):
            return False
        if path.name and (self.mentions.occurs(path.name.split(" is ")[1], second.rendered) or path.group != "beyond"):
            return False
        if not path.name and self.mentions.names_occur(first.id, second.rendered):
            return False
        lead = self.mentions.lead(second.id)
        if (asking in _PERSONAL) != (lead.coarse == "person") and asking not in {"nickname", "named_after"}:
            return False
        if path.group == "maker" and lead.coarse != "person":
            return False
        if leading == "mentions" and asking == "occupation":
            return False
        if asking.startswith("border") and lead.fine in {"ocean", "sea", "continent", "river", "lake"}:
            return False
        if asking == "located_in" and self.mentions.lead(path.second.object).fine not in _PARTS_OF_THE_WORLD:
            return False
        if leading == "on_river" and lead.fine != "river":
            return False
        if leading == "named_after" and lead.coarse not in {"person", "place"}:
            return False
        if leading == "proposer" and not self._verb(path.first):
            return False
        if path.second.object and self.mentions.names_occur(path.second.object, first.rendered):
            return False
        return bool(self.mentions.spoken(first.id))

    def _worded(self, family: str, path: _Path) -> Iterator[Candidate]:
        """The question in `WORDINGS_EACH` wordings that do not give it away."""
        wordings = ASKING[path.second.relation]
        described = self.descriptions.get(path.first.subject)
        if described and not path.name and self._hides(described.phrase, path) and self.random.random() < 0.5:
            path = replace(path, name=described.phrase, support=(described.sentence,))
        spoken = path.name or self.mentions.spoken(path.first.subject)
        made = 0
        for number in self.random.sample(range(len(wordings)), len(wordings)):
            question = self._question(wordings[number], path, spoken, number)
            if made < WORDINGS_EACH and self._hides(question, path):
                made += 1
                yield Candidate(
                    question=question,
                    answer=path.second.value,
                    chain="WW",
                    type="bridge",
                    family=family,
                    wording=f"{family}/{path.second.relation.replace('_', '-')}-{number}"
                    if family.endswith("-various")
                    else f"{family}/{number}",
                    passages=(path.first.subject, path.second.subject),
                    support=(tuple(sorted({path.first.sentence, *path.support})), (path.second.sentence,)),
                    bridge=self.articles[path.second.subject].title,
                )

    def _question(self, wording: str, path: _Path, spoken: str, number: int) -> str:
        leading = LEADING[self._leading(path.first) or ""]
        first = self.mentions.lead(path.first.subject)
        slots = {
            "a": spoken,
            "kind": self.mentions.kind(path.second.subject)
            if path.first.relation != "mentions"
            else self.mentions.lead(path.second.subject).fine,
            "role": _ROLE_OF.get(first.fine, "creator"),
            "verb": self._verb(path.first),
        }
        # "the country whose capital is Abuja's neighbour" would be misread.
        phrases = [one for one in leading.phrases if "{a}'s" not in one or " " not in spoken or not path.name]
        phrase = phrases[number % len(phrases)].format(**slots)
        clause = leading.clauses[number % len(leading.clauses)].format(**slots)
        that = leading.that.format(**slots)
        question = wording.format(b=phrase, B=_capital(phrase), clause=_capital(clause), that=that)
        return re.sub(r"s's\b", "s'", question)

    def _verb(self, fact: Fact) -> str:
        """The verb of "… was introduced in 1905 by NAME"."""
        sentence = plain(self.articles[fact.subject].sentences[fact.sentence])
        before = sentence[: sentence.find(plain(fact.value))][-80:]
        verbs = re.findall(rf"\b({'|'.join(_VERBS)})\b", before)
        return verbs[-1] if verbs else ""

    def _hides(self, question: str, path: _Path) -> bool:
        """Whether the words of `question` name neither the bridge nor the answer."""
        if self.mentions.occurs(path.second.value, question) or self.mentions.names_occur(
            path.second.subject, question
        ):
            return False
        if path.second.object and self.mentions.names_occur(path.second.object, question):
            return False
        title = self.articles[path.second.subject].title
        return not any(country == title and self.mentions.occurs(one, question) for one, country in COUNTRY.items())


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


def _capped(paths: list[_Path]) -> list[_Path]:
    """`paths` without those whose answer exceeds its share of what is left."""
    while True:
        counts = Counter(plain(path.second.value).lower() for path in paths)
        most = max(1, int(ANSWER_SHARE * len(paths)))
        answer, count = max(counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        if count <= most:
            return paths
        last = max(at for at, path in enumerate(paths) if plain(path.second.value).lower() == answer)
        paths = paths[:last] + paths[last + 1 :]
