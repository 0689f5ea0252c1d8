"""Where `tenfold ask` looks: both scopes have their share, one mail is enough, and names lead on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hashing_encoder import Hashing

from bench.ask import boxes
from models.retrieval.index import DenseIndex, Hits
from models.retrieval.scopes import Mask, Policy, Query, Scope
from tasks.encyclopedia.passages import Passage, write_passages
from tasks.language.encoded import Encoded
from tools.ask.answering import chains_of
from tools.ask.encoded import Known, vectors_in
from tools.ask.finding import SHOWN, Found, _Hit, _led_to, find, interleaved, ways_on


class Texts:
    """An index of a few texts."""

    def __init__(self, scope: str, texts: Sequence[str], policy: Policy) -> None:
        self.ids = [f"{scope}{number}" for number in range(len(texts))]
        self._texts, self._private, self._policy = texts, scope == "private", policy
        self._dense = DenseIndex(self.ids, Hashing().encode(texts))
        self.asked: list[Query] = []

    def permits(self, query: Query) -> Mask:
        return np.ones(len(query), bool) if self._private else self._policy.permits(query)

    def search(self, query: Query, k: int) -> Hits:
        assert not isinstance(query.values, tuple)
        self.asked.append(query)
        return self._dense.search(query.values, min(k, len(self.ids)))

    def texts(self, positions: Sequence[int]) -> list[str]:
        return [self._texts[at] for at in positions]


QUESTION = "What is the capital of the country that Ada wants to visit?"
MAIL = "From: Ada | Subject: Holidays\nI finally want to visit Kenya with Tom."
ARTICLES = [
    "Kenya. Kenya is a country. The capital is Nairobi.",
    *(f"Country {n}. The capital of the country is what Ada wants: Town{n}." for n in range(20)),
]


def found(policy: Policy) -> tuple[list[Found], dict[Scope, Texts]]:
    indexes = {
        Scope.PRIVATE: Texts("private", [MAIL, *(f"From: Bo\nLunch at {n}" for n in range(9))], policy),
        Scope.PUBLIC: Texts("public", ARTICLES, policy),
    }
    passages, alike = find(QUESTION, policy, indexes, Hashing(), 2)
    assert 0 < alike <= 1.1
    return passages, indexes


def test_a_mail_is_not_crowded_out_and_the_name_in_it_leads_on() -> None:
    """Catches README's own question answered from five articles that are no more than worded alike."""
    passages, _ = found(Policy.NONE)
    first = [each.text for each in passages[:SHOWN]]
    assert MAIL in first
    kenya = next(each for each in passages if each.text == ARTICLES[0])
    assert [each.text for each in kenya.by] in ([], [MAIL])
    chains = [[each.text for each in chain] for chain in chains_of(passages)]
    assert any(len(chain) == 1 for chain in chains)
    assert any(len(chain) == 2 for chain in chains)


def test_under_document_privacy_no_mail_leads_to_an_article() -> None:
    """Catches a query made of a mail, by whatever name it was made."""
    passages, indexes = found(Policy.DOCUMENT)
    for each in passages:
        assert each.scope is Scope.PRIVATE or all(way.scope is Scope.PUBLIC for way in each.by)
    assert not any(query.tainted.any() for query in indexes[Scope.PUBLIC].asked)
    assert MAIL in [each.text for each in passages[:SHOWN]]


def test_the_same_mail_in_two_folders_is_one_passage() -> None:
    """Catches copies that crowd out what else is like the question."""
    mails = [MAIL] * 10 + [f"From: Bo\nAda wants to visit {place}" for place in ("Bonn", "Turin")]
    indexes = {
        Scope.PRIVATE: Texts("private", mails, Policy.NONE),
        Scope.PUBLIC: Texts("public", ARTICLES, Policy.NONE),
    }
    passages, _ = find(QUESTION, Policy.NONE, indexes, Hashing(), 2)
    texts = [each.text for each in passages]
    assert len(set(texts)) == len(texts)
    assert set(mails) <= set(texts)


def test_names_of_every_alphabet_are_names() -> None:
    """Catches a two-hop question that ends at a city for the letter with which it begins."""
    ways = ways_on("Wo?", "From: Ada\nWir fahren nach Århus, dann nach Łódź und zu Юрий Гагарин.")
    assert {"Århus", "Łódź", "Юрий Гагарин"} <= set(ways)


def test_names_are_followed_one_by_one() -> None:
    ways = ways_on(
        "Where does Tom live?", "From: Ada | Subject: Tom\nTom moved to Brinmouth. His landlord is Mr Oduya."
    )
    names = ("Brinmouth", "His", "Mr Oduya")
    assert ways[1:] == [way for name in names for way in (f"Where does Tom live? {name}", name)]


@pytest.mark.parametrize(("mails", "articles"), [(0, 20), (1, 20), (20, 20), (20, 2)])
def test_each_ranking_has_its_share(mails: int, articles: int) -> None:
    """Catches a scope, or what was found by way of it, that is crowded out because the other is louder."""
    some = [Found(f"w{n}", Scope.PUBLIC, f"article {n}", 0.9 - n / 100) for n in range(articles)]
    others = [Found(f"e{n}", Scope.PRIVATE, f"mail {n}", 0.1 - n / 100) for n in range(mails)]
    led = [Found(f"l{n}", Scope.PUBLIC, f"led to {n}", 0.5 - n / 100, tuple(others[:1])) for n in range(mails)]
    led += [Found(f"w{n}", Scope.PUBLIC, f"article {n}", 0.2, tuple(others[:1])) for n in range(mails and articles)]
    ordered = interleaved([some, others, led])
    assert sorted(each.id for each in ordered) == sorted(each.id for each in [*some, *others, *led[:mails]])
    assert {each.id for each in [*some[:2], *others[:2], *led[:2]]} <= {each.id for each in ordered[:SHOWN]}
    first = [each.score for each in ordered[: sum(map(bool, (mails, articles, led)))]]
    assert first == sorted(first, reverse=True)


def test_what_a_name_means_and_the_question_asks_for_is_likelier_than_either() -> None:
    """Catches an article that is found by a name alone, of which each mail has many."""
    lead = Found("e0", Scope.PRIVATE, MAIL, 0.5)
    ways = [(lead, number) for number in range(5)]
    hits = [_Hit(0, "w0", Scope.PUBLIC, "worded alike", 0.6), _Hit(3, "w1", Scope.PUBLIC, "Tom", 0.5)]
    hits += [_Hit(1, "w2", Scope.PUBLIC, "Kenya", 0.6), _Hit(2, "w2", Scope.PUBLIC, "Kenya", 0.7)]
    hits += [_Hit(4, "w3", Scope.PUBLIC, "August", 0.7), _Hit(4, "e0", Scope.PRIVATE, MAIL, 0.9)]
    led = _led_to(ways, hits)
    assert [each.text for each in led] == ["Kenya", "worded alike", "August", "Tom"]
    assert [each.score for each in led] == pytest.approx([0.575, 0.55, 0.5, 0.45])
    assert all(each.by == (lead,) for each in led)


def test_the_test_set_is_what_it_says() -> None:
    """Catches a question whose answer no source says, and mails that are named and not there."""
    kinds = {0: 0, 1: 0, 2: 0}
    for box in boxes():
        assert 10 <= len(box.mails) <= 12
        for question in box.questions:
            kinds[len(question.sources)] += 1
            assert bool(question.answer) == bool(question.sources)
            mails = [box.mails[name] for name in question.sources if name in box.mails]
            if question.sources and len(mails) == len(question.sources):
                said = " ".join(f"{mail.sender} {mail.date} {mail.title} {mail.text}" for mail in mails).lower()
                assert question.answer.lower() in said
    assert kinds == {0: 18, 1: 108, 2: 24}


def test_what_the_stages_encoded_is_not_encoded_again(tmp_path: Path) -> None:
    """Catches nine minutes of work that had been done."""
    passages = [
        Passage("w0", "public", "Kenya", "A country.", ("A country.",)),
        Passage("e0_p0", "private", "x", "Mine.", ("Mine.",)),
        Passage("w1", "public", "Peru", "Another.", ("Another.",)),
    ]
    write_passages(tmp_path / "passages.parquet", passages)
    vectors = Hashing().encode([passage.rendered for passage in passages])
    empty = np.zeros(0)
    for number in (0, 1):
        part = vectors[number::2]
        (tmp_path / str(number)).mkdir()
        Encoded(
            part, np.zeros(len(part) + 1, np.int64), np.zeros((0, 4), np.int8), np.ones(4, np.float32),
            np.zeros((0, 2), np.uint16), empty.astype(np.uint32), empty.astype(np.uint8), empty.astype(np.uint8),
        ).save(tmp_path / str(number))  # fmt: skip
    encoder = Hashing()
    known = Known(encoder, vectors_in(tmp_path, {str(number): tmp_path / str(number) for number in (0, 1)}))
    texts = ["Kenya. A country.", "Chad. New.", "Peru. Another.", passages[1].rendered]
    assert np.allclose(known.encode(texts), Hashing().encode(texts), atol=1e-3)
    assert encoder.seen == ["Chad. New.", passages[1].rendered]
