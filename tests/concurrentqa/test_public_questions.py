"""Public questions over a small made world: each needs both hops and names neither the bridge nor the answer."""

import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.concurrentqa.corpora.mentions import Mentions
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.comparison_wordings import COMPARING, SAME
from tasks.concurrentqa.questions.comparisons import quantity
from tasks.concurrentqa.questions.descriptions import Description, describe
from tasks.concurrentqa.questions.public_leading import LEADING
from tasks.concurrentqa.questions.public_questions import ANSWER_SHARE, MOST_ANSWER_WORDS, public_candidates
from tasks.concurrentqa.questions.public_wordings import ASKING
from tasks.encyclopedia.demonyms import COUNTRY
from tasks.encyclopedia.facts import read_facts
from tasks.encyclopedia.passages import Passage


def article(number: int, title: str, *sentences: str) -> Passage:
    return Passage(f"w{number}", "public", title, " ".join(sentences), sentences)


LANDS = sorted({country: adjective for adjective, country in COUNTRY.items() if "(" not in country}.items())[:30]


def world() -> list[Passage]:
    """Thirty countries with a capital, an area, a population and a sea each, and sixty people who came from them."""
    found: list[Passage] = []
    for number, (country, adjective) in enumerate(LANDS):
        city, east = (
            f"Port{chr(97 + number % 26)}{number // 26}ville",
            f"Sea of {'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[number % 26]}or{number}",
        )
        found += [
            article(
                10 * number,
                country,
                f"{country} is a country in Northern Europe.",
                f"Its capital is {city}.",
                f"It covers an area of {1000 + 137 * number}\xa0square kilometres.",
                f"It has a population of {number + 2}.{number % 9 + 1}\xa0million.",
                f"It is bordered by the {east} to the east.",
            ),
            article(10 * number + 1, f"Ada Berg{number}", f"Ada Berg{number} was a {adjective} chemist."),
            article(10 * number + 2, f"Bo Lind{number}", f"Bo Lind{number} was a {adjective} painter."),
            article(10 * number + 3, city, f"{city} is the capital and largest city of {country}."),
        ]
    return found


WORLD = world()
FACTS = read_facts(WORLD)


def made(descriptions: dict[str, Description] | None = None, seed: int = 0) -> list[Candidate]:
    return public_candidates(WORLD, FACTS, descriptions or {}, seed)


CANDIDATES = made()
BRIDGES = [candidate for candidate in CANDIDATES if candidate.type == "bridge"]
COMPARISONS = [candidate for candidate in CANDIDATES if candidate.type == "comparison"]
BY_ID = {passage.id: passage for passage in WORLD}


def test_the_world_gives_both_types() -> None:
    """The tests below would hold of no question at all."""
    assert len(BRIDGES) > 60
    assert len(COMPARISONS) > 60
    assert {"homeland-capital", "homeland-area", "homeland-border-east"} <= {one.family for one in BRIDGES}
    assert {"same-nationality", "compare-country-area"} <= {one.family for one in COMPARISONS}


@pytest.mark.parametrize("candidate", BRIDGES[::7])
def test_a_bridge_question_needs_both_hops(candidate: Candidate) -> None:
    """The answer in the question or the first passage, or the bridge in the question, would make one hop enough."""
    first, second = (BY_ID[one] for one in candidate.passages)
    assert candidate.answer not in candidate.question
    assert candidate.answer not in first.rendered
    assert candidate.answer in second.rendered
    assert candidate.answer in second.sentences[candidate.support[1][0]]
    assert len(candidate.answer.split()) <= MOST_ANSWER_WORDS
    assert candidate.bridge == second.title
    assert second.title.lower() not in candidate.question.lower()
    assert first.title not in second.rendered, "the second passage alone would be found by the first one's name"


def test_nationalities_do_not_give_the_bridge_away() -> None:
    """ "the Swedish chemist" already says that the country is Sweden."""
    adjective = dict(LANDS)
    for candidate in BRIDGES:
        assert not re.search(rf"\b{adjective[candidate.bridge]}\b", candidate.question)


def test_every_slot_of_every_wording_is_filled() -> None:
    """A wording that misses a slot asks about "{kind}"."""
    for candidate in CANDIDATES:
        assert not re.search(r"[{}]|  |\bthing\b", candidate.question), candidate.question
        assert candidate.question.endswith(("?", "."))
        assert candidate.question[0].isupper() or not candidate.question[0].isalpha()


@pytest.mark.parametrize("family", [*ASKING.values(), *SAME.values(), *(one.wordings for one in COMPARING.values())])
def test_a_family_has_enough_wordings(family: tuple[str, ...]) -> None:
    """With fewer than six, train, dev and test cannot have wordings of their own."""
    assert 6 <= len(family) == len(set(family)) <= 10
    for wording in family:
        slots = set(re.findall(r"{(\w+)}", wording))
        assert slots in ({"b"}, {"B"}, {"clause", "that"}, {"clause"}, {"x", "y"}, {"x", "y", "more"})


def test_leading_phrases_use_their_article() -> None:
    """A phrase without its article leads from anywhere."""
    for leading in LEADING.values():
        assert all("{a}" in phrase for phrase in (*leading.phrases, *leading.clauses))


def test_no_answer_fills_its_family() -> None:
    """A capital that half the questions ask for could be guessed."""
    for candidates in _families(BRIDGES).values():
        pairs = {(one.passages, one.answer) for one in candidates}
        most = Counter(answer for _, answer in pairs).most_common(1)[0][1]
        assert most <= max(1, ANSWER_SHARE * len(pairs))


def test_comparisons_are_balanced() -> None:
    """Whoever always says yes, the first one, or the larger one must be right half of the time."""
    same = [one for one in COMPARISONS if one.family.startswith("same-")]
    assert Counter(one.answer for one in same)["yes"] == len(same) / 2
    for family, candidates in _families([one for one in COMPARISONS if one not in same]).items():
        first = [one for one in candidates if BY_ID[one.passages[0]].title == one.answer]
        assert abs(len(first) / len(candidates) - 0.5) < 0.05, family
        asked = Counter(any(word in one.question for word in ("larger", "later", "higher")) for one in candidates)
        assert min(asked.values()) > 0.25 * len(candidates), family
        for answer, count in Counter(one.answer for one in candidates).items():
            uses = sum(answer in (BY_ID[passage].title for passage in one.passages) for one in candidates)
            assert count <= uses / 2 + 2, f"{answer} is almost always right in {family}"


def test_comparisons_are_right() -> None:
    """The answer has to follow from the two passages' own numbers."""
    area = {fact.subject: quantity(fact.value) for fact in FACTS if fact.relation == "area"}
    for candidate in COMPARISONS:
        if candidate.family == "compare-country-area":
            one, other = candidate.passages
            largest = one if area[one] > area[other] else other
            smallest = other if largest == one else one
            expected = largest if "larger" in candidate.question else smallest
            assert candidate.answer == BY_ID[expected].title
            assert max(area[one], area[other]) >= 1.1 * min(area[one], area[other])


def test_the_same_seed_gives_the_same_candidates() -> None:
    """A benchmark that changes from run to run cannot be compared with itself; the order of passages is no seed."""
    assert made() == CANDIDATES
    assert public_candidates(WORLD[::-1], read_facts(WORLD[::-1]), {}, 0) == CANDIDATES
    assert made(seed=1) != CANDIDATES


def test_two_values_of_the_first_hop_make_no_question() -> None:
    """Somebody who ruled two countries has no one capital to ask for."""
    twice = [
        *FACTS,
        *(fact.__class__("w1", "ruled", "Norland", 0, "place", one) for one in ("w10", "w20") for fact in FACTS[:1]),
    ]
    found = public_candidates(WORLD, twice, {}, 0)
    assert not [one for one in found if one.passages[0] == "w1" and one.passages[1] in {"w10", "w20"}]


def test_descriptions_stand_in_for_names() -> None:
    """A description that names the person is no description, and one that names the country gives it away."""
    names = {passage.id: passage.title for passage in WORLD}
    lamp = {"w1": Description("the chemist who invented the Great Lamp", "person", "chemist", 0)}
    telling = {"w1": Description(f"the {LANDS[0][1]} chemist who invented the Great Lamp", "person", "chemist", 0)}
    asked = [
        one.question
        for seed in range(6)
        for one in made(lamp, seed)
        if one.type == "bridge" and one.passages[0] == "w1"
    ]
    assert any("Great Lamp" in question for question in asked)
    assert not any("Great Lamp" in question and names["w1"] in question for question in asked)
    assert not any("Great Lamp" in one.question for seed in range(6) for one in made(telling, seed))
    assert describe(WORLD) == describe(WORLD)


@pytest.mark.parametrize(
    ("passage", "spoken"),
    [
        (article(1, "Nile", "The Nile is a river in Africa."), "the Nile"),
        (article(1, "Tomato", "The tomato is a plant.", "Every tomato is red."), "the tomato"),
        (article(1, "Pear", "Pears are a genus of trees."), "pears"),
        (article(1, "Helium", "Helium is a chemical element."), "helium"),
        (article(1, "Metropolis (1927 film)", "Metropolis is a 1927 German film."), "the 1927 film Metropolis"),
        (article(1, "Guernica (Picasso)", "Guernica is a 1937 painting."), ""),
        (article(1, "Paris", "Paris is a city in France."), "Paris"),
    ],
)
def test_articles_are_spoken_of_as_english_does(passage: Passage, spoken: str) -> None:
    """ "The length of Nile" and "the family of Pear" are no English, and a qualifier may be the answer."""
    assert Mentions([passage]).spoken("w1") == spoken


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.4\xa0million", 1.4e6),
        ("30\xa0km2", 30),
        ("12 sq mi", 31.08),
        ("202 BC", -202),
        ("98-kilometer", 98000),
        ("29,032 ft", 8848.95),
    ],
)
def test_quantities(text: str, number: float) -> None:
    """Miles must not be compared with kilometres, nor 202 BC come after 100 AD."""
    assert quantity(text) == pytest.approx(number, rel=1e-4)


@given(st.integers(0, 10**9))
def test_thousands_separators_do_not_change_a_number(number: int) -> None:
    """ "1,000" is not 1."""
    assert quantity(f"{number:,}") == quantity(str(number)) == number


def _families(candidates: list[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        found[candidate.family].append(candidate)
    return found
