"""Facts, names and descriptions read out of articles: small articles with the traps that real ones set."""

import pytest

from tasks.concurrentqa.questions.descriptions import describe
from tasks.encyclopedia.facts import Fact, read_facts
from tasks.encyclopedia.leads import noun_heads, read_lead
from tasks.encyclopedia.names import Titles, aliases
from tasks.encyclopedia.nouns import COARSE, singular
from tasks.encyclopedia.passages import Passage


def article(number: int, title: str, *sentences: str) -> Passage:
    return Passage(f"w{number}", "public", title, " ".join(sentences), sentences)


COUNTRY = article(0, "Norland", "Norland is a country in Northern Europe.", "Its capital and largest city is Haven.")
CITY = article(1, "Haven", "Haven is the capital and largest city of Norland.")
PERSON = article(2, "Ada Berg", "Ada Berg was a Swedish chemist who invented the glow lamp.")


def facts_of(*passages: Passage) -> dict[tuple[str, str], str]:
    return {(fact.subject, fact.relation): fact.value for fact in read_facts(list(passages))}


@pytest.mark.parametrize(
    ("complement", "head"),
    [
        ("a type of bridge that spans rivers", "bridge"),
        ("an American theoretical physicist and writer who lived in Paris", "physicist"),
        ("the capital and largest city of Norland", "capital"),
        ("a family of flowering plants", "family"),
        ("a 1960 horror film produced and directed by a friend", "film"),
        ("any of several species of small birds", "species"),
        ("one of the largest rivers of Asia", "river"),
        ("a hard, silvery metal used in alloys", "metal"),
    ],
)
def test_the_type_is_the_head_noun(complement: str, head: str) -> None:
    """A type taken from the first noun would call a bridge "type" and a physicist "theoretical"."""
    assert head in noun_heads(complement)


def test_a_kind_of_person_is_no_person() -> None:
    """ "A judge is an official" would make Judge somebody with a nationality."""
    assert (
        read_lead(article(0, "Judge", "A judge is an official who presides over court proceedings.")).coarse
        == "concept"
    )
    assert read_lead(PERSON).coarse == "person"


def test_years_in_parentheses_are_not_a_life() -> None:
    """ "(1939–1945)" after a war is not when somebody was born and died."""
    war = article(3, "Long War", "The Long War (1939–1945) was a war between Norland and its neighbours.")
    assert not {relation for _, relation in facts_of(COUNTRY, war) if relation in {"birth_year", "death_year"}}


def test_a_partial_name_does_not_link() -> None:
    """The Bank of England is not in England's article, nor is "New Norland Bay" Norland."""
    england = article(3, "England", "England is a country in Europe.")
    bank = article(4, "Bank Street", "Bank Street is a street in Bank of England Square.")
    assert not [fact for fact in read_facts([england, bank]) if fact.subject == "w4" and fact.object == "w3"]
    titles = Titles([england, bank])
    assert titles.find("England") == "w3"
    assert titles.find("Bank of England") == ""


def test_an_ambiguous_name_links_only_where_the_type_decides() -> None:
    """ "Mercury" may be a planet or an element; a relation that wants a place may say which."""
    planet = article(3, "Mercury (planet)", "Mercury is the first planet from the Sun.")
    element = article(4, "Mercury (element)", "Mercury is a chemical element; it has symbol Hg and atomic number 80.")
    titles = Titles([planet, element])
    assert titles.find("Mercury") == ""
    assert titles.find("Mercury", {"place"}) == "w3"


def test_two_birth_places_are_none() -> None:
    """A question about one of two birth places would have two right answers."""
    one = article(3, "Bo Lind", "Bo Lind was a Swedish poet.", "He was born in Haven.")
    two = article(4, "Eva Lind", "Eva Lind was a Swedish poet.", "She was born in Haven.", "Lind was born in Oldport.")
    found = facts_of(COUNTRY, CITY, one, two)
    assert found["w3", "birth_place"] == "Haven"
    assert ("w4", "birth_place") not in found


def test_the_first_of_several_authors_is_no_author() -> None:
    """ "by A and B" has no one author."""
    alone = article(3, "The Sea", "The Sea is a 1931 novel by English author Mary Moor, published in London.")
    pair = article(4, "The Hill", "The Hill is a 1931 novel by Mary Moor and John Dale.")
    found = facts_of(alone, pair)
    assert found["w3", "creator"] == "Mary Moor"
    assert found["w3", "year"] == "1931"
    assert ("w4", "creator") not in found


def test_values_keep_the_spaces_of_the_text() -> None:
    """At a no-break space "1.4 million" must not shrink to 1.4, and the value must still stand in the text."""
    city = article(
        3, "Oldport", "Oldport is a city in Norland with a population of 1.4\xa0million and an area of 30\xa0km2."
    )
    found = facts_of(COUNTRY, city)
    assert found["w3", "population"] == "1.4\xa0million"
    assert found["w3", "area"] == "30\xa0km2"


def test_a_metropolitan_population_is_not_the_citys() -> None:
    """Comparing one city's suburbs with another's centre gives wrong answers."""
    city = article(
        3, "Oldport", "Oldport is a city in Norland.", "The metropolitan area of Oldport has a population of 9 million."
    )
    assert ("w3", "population") not in facts_of(COUNTRY, city)


def test_years_keep_their_first_digit() -> None:
    """ "in 490 BC" was once read as the day 4 of the year 90 BC."""
    club = article(3, "Old League", "The Old League was a league of cities.", "It was founded in 490 BC.")
    assert facts_of(club)["w3", "founded_year"] == "490 BC"


def test_capitals_in_both_directions() -> None:
    """The country has its capital, the city its country, each with the article that it names."""
    found = {(fact.subject, fact.relation): fact for fact in read_facts([COUNTRY, CITY])}
    assert found["w0", "capital"].object == "w1"
    assert found["w0", "capital"].sentence == 1
    assert found["w1", "capital_of"].object == "w0"


def test_a_former_capital_is_none() -> None:
    """ "the former capital of Norland" does not govern it."""
    assert ("w3", "capital_of") not in facts_of(
        COUNTRY, article(3, "Oldport", "Oldport is the former capital of Norland.")
    )


@pytest.mark.parametrize(
    "words", ["a Swedish-Norwegian chemist", "a Swedish and naturalised-French chemist", "an ancient Greek poet"]
)
def test_a_double_nationality_is_none(words: str) -> None:
    """Which of two countries somebody is from is no fact."""
    countries = [
        article(n, name, f"{name} is a country in Europe.")
        for n, name in enumerate(("Sweden", "Norway", "France", "Greece"), 5)
    ]
    assert not [
        fact
        for fact in read_facts([*countries, article(1, "X Y", f"X Y was {words}.")])
        if fact.relation == "nationality"
    ]


def test_every_value_stands_in_its_sentence() -> None:
    """A value that was tidied up could not be found in the passage by whoever answers."""
    sweden = article(4, "Sweden", "Sweden is a country in Northern Europe.")
    falk = article(3, "Jo Falk", "Jo Falk was a\xa0Swedish poet.", "He was born in Haven, Norland.")
    passages = [COUNTRY, CITY, PERSON, falk, sweden]
    by_id = {passage.id: passage for passage in passages}
    found = read_facts(passages)
    assert {fact.relation for fact in found} >= {"capital", "largest_city", "capital_of", "nationality", "birth_place"}
    for fact in found:
        assert fact.value
        assert fact.value in by_id[fact.subject].sentences[fact.sentence]


def test_the_computing_dictionary_gives_no_facts() -> None:
    """Its entries have ids of their own, and other readers."""
    entry = Passage("f1", "public", "Haven", CITY.text, CITY.sentences)
    assert read_facts([COUNTRY, entry]) == read_facts([COUNTRY])


def test_facts_do_not_depend_on_order() -> None:
    """The same articles in another order must not link otherwise."""
    passages = [COUNTRY, CITY, PERSON]
    assert sorted(map(repr, read_facts(passages))) == sorted(map(repr, read_facts(passages[::-1])))
    assert isinstance(read_facts(passages)[0], Fact)


def test_aliases() -> None:
    """Full names, other names and acronyms that the name spells; no acronym of something else, no nationality."""
    names = aliases(
        [
            article(
                1,
                "World Trade Club",
                "The World Trade Club (WTC), also known as the Trade Ring, is an organization (XYZ).",
            ),
            article(2, "John Dale", "Sir John Edward Dale, also known as Jack Dale, was an English poet."),
            article(3, "Gala (river)", "The Gala (Danish: Gala (flod), French: Gale) is a river in Norland."),
        ]
    )
    assert {"WTC", "Trade Ring"} <= set(names["w1"])
    assert "XYZ" not in names["w1"]
    assert {"John Edward Dale", "Jack Dale"} <= set(names["w2"])
    assert names["w3"] == ("Gala (river)", "Gala")


def test_descriptions_are_unique_and_name_nobody() -> None:
    """A country in Northern Europe is one of several; the inventor of the glow lamp is one person."""
    found = describe(
        [
            COUNTRY,
            CITY,
            article(2, "Ada Berg", "Ada Berg was a Swedish chemist who invented the Nordic Lamp in 1902."),
            article(3, "Bo Lind", "Bo Lind was a Swedish chemist."),
            article(4, "Norland War", "The Norland War was the last war of Norland from 1801 to 1809."),
        ]
    )
    assert "w0" not in found
    assert "w3" not in found
    assert "w4" not in found, "its description would contain its name"
    assert found["w2"].phrase == "the Swedish chemist who invented the Nordic Lamp in 1902"
    assert (found["w2"].coarse, found["w2"].fine) == ("person", "chemist")
    assert found["w1"].phrase == "the capital and largest city of Norland"


def test_shared_descriptions_are_dropped() -> None:
    """Two articles with the same description: it means neither."""
    twins = [
        article(n, name, f"{name} is the largest island of Norland.") for n, name in enumerate(("Bara", "Voss"), 3)
    ]
    assert describe([COUNTRY, *twins]) == {}
    assert set(describe([COUNTRY, twins[0]])) == {"w3"}


@pytest.mark.parametrize(
    ("plural", "noun"),
    [("cities", "city"), ("species", "species"), ("women", "woman"), ("branches", "branch"), ("genera", "genus")],
)
def test_singulars(plural: str, noun: str) -> None:
    """The lexicon of types has singular nouns only."""
    assert singular(plural) == noun


def test_the_singular_of_a_plural_is_in_the_lexicon() -> None:
    """A type written in the plural ("are rivers of") must not be lost."""
    irregular = ("s", "x", "z", "h", "y", "f", "fe", "man", "us", "um", "on", "a", "people")
    for noun in COARSE:
        assert singular(noun) == noun
        if not noun.endswith(irregular):
            assert singular(noun + "s") == noun
