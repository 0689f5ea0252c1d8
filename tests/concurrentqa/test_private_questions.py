"""Questions over e-mails: every rule of the recipe, on mails of our own making."""

import re
from collections import Counter

import pytest

from tasks.concurrentqa.corpora.links import Links, find_links
from tasks.concurrentqa.questions import private_wordings as wordings
from tasks.concurrentqa.questions.archive import Archive
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.descriptions import Description
from tasks.concurrentqa.questions.details import cues, details, local_names
from tasks.concurrentqa.questions.drafts import EACH, Draws, bridge_holds
from tasks.concurrentqa.questions.private_questions import PER_SENDER, private_candidates
from tasks.encyclopedia.facts import Fact
from tasks.encyclopedia.passages import Passage

NOUNS = "harbour lantern kettle orchard violin compass ladder saddle bridge-loan anvil barrel meadow quarry steeple"
ARTICLES = (
    (
        "w1",
        "Atlantis",
        "Atlantis is a country in the western ocean. Its capital is Coral. It has a population of 512,000.",
    ),
    ("w2", "Coral", "Coral is the capital of Atlantis. It lies on the Nerine river."),
    ("w3", "Sapphire Institute", "The Sapphire Institute is a university in Coral. It was founded in 1911."),
    ("w4", "Jasper Quorn", "Jasper Quorn was an English painter, known for The Long Shore. He died in 1902."),
)
# Articles whose only use is to make nouns of what follows "the" and "an".
PRIMER = ". ".join(f"See the {noun} of it, the {noun} in it" for noun in NOUNS.split())


def article(name: str, title: str, text: str) -> Passage:
    said = tuple(re.findall(r"[^.]+\.", text))
    return Passage(id=name, scope="public", title=title, text=text, sentences=tuple(each.strip() for each in said))


def mail(
    number: int, sender: str, subject: str, *said: str, date: str = "", thread: int = -1, reply_to: int = -1
) -> Passage:
    return Passage(
        id=f"e{number}_p0", scope="private", title=subject, text=" ".join(said), sentences=said, message=number, part=0,
        sender=sender, date=date or f"2002-08-{5 * number % 28 + 1:02d}", mailing_list="Gardeners",
        thread=number if thread < 0 else thread, reply_to=reply_to,
    )  # fmt: skip


def corpus() -> list[Passage]:
    public = [article(*each) for each in ARTICLES]
    public.append(article("f1", "primer", f"{PRIMER}. {PRIMER}."))
    mails = [
        mail(0, "Ada Byrne", "On the boats", "I met Gus Morrow and her brother near here on that windy day."),
        mail(
            1, "Ada Byrne", "On the apples",
            "The wooden ladder is broken again and we cannot reach much of the fruit.",
            "A new one costs $45 at the shop, they say, and that is far too much.",
        ),
        mail(2, "Ben Carver", "Tools", "The wooden ladder of mine is good, so I will not sell it to anybody now."),
        mail(3, "Ben Carver", "Trip", "We flew to Atlantis and saw the bright lantern in the water all night long."),
        mail(
            4, "Cy Dunn", "Fiddles", "The polished violin is from my aunt and I will never part with it, come what may."
        ),
        mail(
            5, "Eve Frost", "Fiddles",
            "Then you should see Ivy Pell, who mends them in her shop by the station for a song.",
            thread=4, reply_to=4,
        ),
        mail(6, "Gus Hale", "Old", "The Sapphire Institute had an iron anvil in its yard long before I came here."),
        mail(7, "Ivy Jupe", "Numbers", "In the quarry they found 730 bones and a brass compass that still works well."),
    ]  # fmt: skip
    return [*public, *mails]


def facts() -> list[Fact]:
    return [
        Fact("w1", "capital", "Coral", 1, "place", "w2"),
        Fact("w1", "population", "512,000", 2, "number"),
        Fact("w2", "capital_of", "Atlantis", 0, "place", "w1"),
        Fact("w3", "founded_year", "1911", 1, "year"),
        Fact("w4", "death_year", "1902", 1, "year"),
    ]


DESCRIPTIONS = {
    "w3": Description("the university at which the tides were first measured", "organisation", "university", 0)
}


def candidates(passages: list[Passage] | None = None) -> list[Candidate]:
    passages = corpus() if passages is None else passages
    links = list(find_links(passages, Links()))
    known = {passage.id for passage in passages}
    return private_candidates(
        passages, links, [fact for fact in facts() if fact.subject in known], DESCRIPTIONS, seed=0
    )


def of(family: str, passages: list[Passage] | None = None) -> list[Candidate]:
    return [candidate for candidate in candidates(passages) if candidate.family == family]


def test_every_bridge_needs_both_hops() -> None:
    """Lie: the answer waits in hop 2 alone, when the question or hop 1 tells it, or hop 2 does not."""
    passages = {passage.id: passage for passage in corpus()}
    found = candidates()
    assert {candidate.chain for candidate in found} == {"EE", "EW", "WE"}
    for candidate in found:
        first, second = (passages[each] for each in candidate.passages)
        scopes = "".join("E" if each.scope == "private" else "W" for each in (first, second))
        assert scopes == candidate.chain
        assert candidate.question.endswith("?")
        assert candidate.question[0].isupper() or not candidate.question[0].isalpha()
        assert "{" not in candidate.question
        for hop, passage in zip(candidate.support, (first, second), strict=True):
            assert hop
            assert all(0 <= sentence < len(passage.sentences) for sentence in hop)
        if candidate.type == "bridge":
            assert candidate.answer in second.rendered
            assert candidate.answer.lower() not in candidate.question.lower()
            assert candidate.answer.lower() not in first.rendered.lower()
            assert len(candidate.answer.split()) <= 6


def test_a_name_leads_to_its_sender_and_on() -> None:
    """Lie: hop 1 matters, when the question names the sender or the thread of hop 2, or the theme alone finds it."""
    found = [candidate for candidate in of("named-sender") if candidate.passages == ("e0_p0", "e1_p0")]
    assert {candidate.answer for candidate in found} == {"$45"}
    for candidate in found:
        assert "Gus Morrow" in candidate.question
        assert "wooden ladder" in candidate.question
        assert "Ada" not in candidate.question
        assert "apples" not in candidate.question.lower()
        assert candidate.bridge == "Ada Byrne"


def test_the_theme_belongs_to_one_mail_of_the_sender() -> None:
    """Lie: there is one right answer, when the sender wrote about the theme twice."""
    again = mail(
        8, "Ada Byrne", "Fruit", "The wooden ladder costs $80 elsewhere, which is more than anybody should ever pay."
    )
    assert all("wooden ladder" not in candidate.question for candidate in of("named-sender", [*corpus(), again]))


def test_a_name_that_two_mails_have_is_no_key() -> None:
    """Lie: a local name means one mail, when others have it, too."""
    again = mail(
        8, "Ben Carver", "Hello", "Give my love to Gus Morrow when you meet her at the market on Sunday morning."
    )
    assert all("Gus Morrow" not in candidate.question for candidate in candidates([*corpus(), again]))


def test_threads_tell_who_answered_and_what() -> None:
    """Lie: a reply is found without the mail that it answers; or a thread with two answers has one right one."""
    (answer,) = {candidate.answer for candidate in of("who-answered")}
    assert answer == "Eve Frost"
    assert all("Cy Dunn" in each.question and "Eve" not in each.question for each in of("who-answered"))
    assert {candidate.answer for candidate in of("thread-detail")} == {"Ivy Pell"}
    other = mail(
        8, "Kit Lowe", "Fiddles", "No, go and see Ada Reed, who is much better at that sort of work than others are.",
        thread=4, reply_to=4,
    )  # fmt: skip
    assert of("who-answered", [*corpus(), other]) == []
    assert all(candidate.answer != "Ivy Pell" for candidate in of("thread-detail", [*corpus(), other]))


def test_comparisons_go_by_the_dates() -> None:
    """Lie: a comparison needs no comparing, when its answer is always named first; or the dates are not looked at."""
    passages = {passage.id: passage for passage in corpus()}
    found = [candidate for candidate in candidates() if candidate.family in {"earlier-mail", "later-writer"}]
    assert found
    for candidate in found:
        first, second = (passages[each] for each in candidate.passages)
        earlier, later = sorted((first, second), key=lambda each: each.date)
        assert candidate.type == "comparison"
        assert candidate.answer in candidate.question
        assert candidate.answer in (earlier.text if candidate.family == "earlier-mail" else [later.sender])


def test_a_description_leads_to_a_mail() -> None:
    """Lie: the article matters, when the question names it; or the mail's sender or subject is given away."""
    found = [candidate for candidate in candidates() if candidate.chain == "WE"]
    assert {candidate.bridge for candidate in found} >= {"Atlantis", "Sapphire Institute"}
    for candidate in found:
        assert candidate.bridge not in candidate.question
        assert not any(name in candidate.question for name in ("Ben", "Carver", "Gus", "Hale"))
    writers = {(each.bridge, each.answer) for each in found if each.family in {"described-writer", "described-on-list"}}
    assert writers >= {("Atlantis", "Ben Carver"), ("Sapphire Institute", "Gus Hale")}


def test_a_mail_leads_to_a_fact() -> None:
    """Lie: the mail matters, when the question names what it names; or the fact is another article's."""
    found = [candidate for candidate in candidates() if candidate.chain == "EW" and candidate.type == "bridge"]
    assert {("mailed-capital", "Coral"), ("mailed-population", "512,000")} <= {
        (each.family, each.answer) for each in found
    }
    for candidate in found:
        assert candidate.bridge not in candidate.question
        assert candidate.senders[0] in candidate.question


def test_what_stands_beside_another_of_its_kind_is_not_the_only_one() -> None:
    """Lie: "the country that X mentions" is one, when the mail mentions two."""
    twins = [
        *corpus(),
        article("w5", "Lemuria", "Lemuria is a country in the eastern ocean. Its capital is Ferrol."),
    ]
    text = "We flew from Lemuria to Atlantis and saw the bright lantern in the water all night long."
    twins = [mail(3, "Ben Carver", "Trip", text) if passage.id == "e3_p0" else passage for passage in twins]
    for candidate in candidates(twins):
        if candidate.chain == "EW" and candidate.bridge in {"Atlantis", "Lemuria"} and candidate.passages[0] == "e3_p0":
            assert "first country" in candidate.question
            assert candidate.bridge == "Lemuria"


def test_addresses_and_private_life_are_not_asked_about() -> None:
    """Lie: masking is somebody else's work, when a question repeats an address or a rude mail."""
    first = mail(
        8, "Ada Byrne", "Post", "Write to [address] about the shiny kettle, or to Gus Vane at $99, if you must do so."
    )
    second = mail(
        9, "Ada Byrne", "Post", "My divorce costs $700 and the shiny saddle is gone, said Eve Tarn to all of us."
    )
    found = candidates([*corpus(), first, second])
    assert all("[address]" not in candidate.question + candidate.answer for candidate in found)
    assert all("e9_p0" not in candidate.passages for candidate in found)


def test_no_sender_fills_the_benchmark() -> None:
    """Lie: many senders, when one of them makes most of the questions."""
    many = [
        mail(
            20 + number, "Ada Byrne", f"Note {number}",
            f"I saw Eve {chr(65 + number % 26)}{'aeiou'[number // 26]}stone by the {noun} {other}, "
            f"when it had cost ${number + 100} in all.",
        )
        for number, (noun, other) in enumerate((a, b) for a in NOUNS.split()[:8] for b in NOUNS.split()[8:])
    ]  # fmt: skip
    counts = Counter(
        candidate.bridge
        for candidate in candidates([*corpus(), *many])
        if candidate.family in {"named-sender", "themed-sender"}
    )
    assert max(counts.values()) <= PER_SENDER * EACH


def test_the_same_arguments_give_the_same_questions() -> None:
    """Lie: the build repeats itself, when a set's order or a generator's state got in."""
    assert candidates() == candidates()
    assert len({candidate.question for candidate in candidates()}) > 20


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_slices_make_fewer_questions(kept: int) -> None:
    """Lie: it works on a slice of the corpora."""
    public = [passage for passage in corpus() if passage.scope == "public"]
    private = [passage for passage in corpus() if passage.scope == "private"]
    assert len(candidates([*public, *private[:kept]])) < len(candidates())
    assert [each for each in candidates(private[:kept]) if each.chain != "EE"] == []


def test_families_have_enough_wordings() -> None:
    """Lie: wordings differ between splits, when a family has one or two; or a slot is never filled."""
    groups = {name: value for name, value in vars(wordings).items() if name.isupper() and isinstance(value, tuple)}
    for name, forms in groups.items():
        if name.startswith("BY_"):
            continue
        assert 6 <= len(forms) <= 10, name
        assert len(set(forms)) == len(forms)
        assert all(form.endswith("?") for form in forms), name
    for candidate in candidates():
        family, _, number = candidate.wording.rpartition("/")
        assert family == candidate.family
        assert number.isdigit()


@pytest.mark.parametrize("each", [1, 3, 5, 8, EACH])
def test_wordings_come_equally_often(each: int) -> None:
    """Lie: ten wordings are in use, when the first makes most questions; or one question has a wording twice."""
    draws = Draws(3)
    forms = tuple("abcdefgh")
    share = min(each, len(forms))
    used = Counter(number for _ in range(80) for number, _ in draws.wordings("family", forms, each))
    assert max(used.values()) == min(used.values()) == 80 * share // len(forms)
    for _ in range(8):
        drawn = draws.wordings("family", forms, each)
        assert len({number for number, _ in drawn}) == len(drawn) == share


def test_figures_are_asked_for_where_they_are_alone() -> None:
    """Lie: "which year", when the mail has two; a date or a price taken for a version."""

    def asked(*said: str) -> set[tuple[str, str]]:
        passage = mail(0, "Ada Byrne", "x", *said)
        names = local_names(passage, frozenset({"Gus"}), frozenset({"street"}))
        return {(each.what, each.text) for each in details(passage, (), names)}

    assert ("which year", "1987") in asked("It has been so since 1987, they say.")
    assert not any(what == "which year" for what, _ in asked("It was so in 1987 and until 1999."))
    assert ("what sum of money", "$45") in asked("It costs $45 now.")
    assert not any(what == "what sum of money" for what, _ in asked("It costs $45 now, not $60."))
    assert ("what number of bones", "730") in asked("They found 730 bones there.")
    assert ("which version of exmh", "2.5") in asked("I run exmh 2.5 here.")
    assert not any(what.startswith("which version") for what, _ in asked("Mach 1.5 is what Vendor Inc 4.20 means."))
    assert ("which person", "Gus Morrow") in asked("I met Gus Morrow there.")
    assert not any(what == "which person" for what, _ in asked("I live in Gus Street now."))
    assert asked("Received: from host 4.2.2.1 by $45") == set()


def test_cues_are_noun_phrases() -> None:
    """Lie: any two words in a row are a theme."""
    nouns = frozenset(["ladder", "lantern", "majority", "kettle"])

    def phrases(said: str) -> set[str]:
        return {cue.phrase for cue in cues(mail(0, "Ada Byrne", "x", said), nouns)}

    assert phrases("The wooden ladder is here.") == {"“wooden ladder”"}
    assert phrases("I have a wooden ladder and an old kettle.") == {"“wooden ladder”"}
    assert phrases("The vast majority of us agrees.") == set()
    assert phrases("He gave the quickly ladder.") == set()


def test_a_bridge_keeps_to_its_rules() -> None:
    """Lie: `bridge_holds` lets everything through."""
    first, second = mail(0, "Ada Byrne", "x", "One ladder."), mail(1, "Ben Carver", "y", "Two lanterns, and a kettle.")
    assert bridge_holds("What is it?", "kettle", first, second)
    assert not bridge_holds("Is it a Kettle?", "kettle", first, second)
    assert not bridge_holds("What is it?", "ladder", first, second)
    assert not bridge_holds("What is it?", "anvil", first, second)
    assert not bridge_holds("What is it, [address]?", "kettle", first, second)
    assert not bridge_holds("What is it?", "Two lanterns, and a kettle. " * 2, first, second)


def test_said_once_means_once() -> None:
    """Lie: a name is counted by mails, so that twice in one mail is once."""
    passages = [
        *corpus(),
        mail(8, "Kit Lowe", "z", "Eve Tarn met Eve Tarn, said the mirror in the hall to everybody there."),
    ]
    archive = Archive(passages, [])
    assert archive.is_said_once("Gus Morrow")
    assert not archive.is_said_once("Eve Tarn")
