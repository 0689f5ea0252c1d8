"""A small world of made-up towns, people and mails, and candidates of all four chains about it."""

from dataclasses import replace

from tasks.concurrentqa.questions.candidates import Candidate
from tasks.encyclopedia.passages import Passage

WORDINGS = 6
SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pa", "ru")


def name(number: int, ending: str) -> str:
    """A word that nothing else is called."""
    return "".join(SYLLABLES[int(digit)] for digit in f"{number:03d}").capitalize() + ending


def article(number: int, title: str, *sentences: str) -> Passage:
    return Passage(f"w{number}", "public", title, " ".join(sentences), sentences)


def mail(number: int, sender: str, *sentences: str, part: int = 0) -> Passage:
    return Passage(
        id=f"e{number}_p{part}",
        scope="private",
        title=f"Notes {number}",
        text=" ".join(sentences),
        sentences=sentences,
        message=number,
        part=part,
        sender=sender,
        date="2002-08-01",
        mailing_list="Gardeners",
        thread=number,
    )


def world(size: int) -> tuple[list[Passage], list[Candidate]]:
    """`size` towns with their countries and as many senders of two mails; `size` candidates of each chain."""
    passages: list[Passage] = []
    candidates: list[Candidate] = []
    for number in range(size):
        town, country, capital = name(number, "ton"), name(number, "land"), name(number, "polis")
        sender, pet, dish = f"{name(number, 'a')} Smith", name(number, "cat"), name(number, "soup")
        river = name(number, "water")
        passages += [
            article(2 * number, town, f"{town} is a town in {country}.", f"It lies on the {river}."),
            article(2 * number + 1, country, f"{country} is a realm of hills.", f"Its seat is {capital}."),
            mail(2 * number, sender, f"My cat is called {pet}.", f"Last summer we went to {town}."),
            mail(2 * number + 1, sender, "We had guests again.", f"I cooked a {dish} for them."),
        ]
        base = Candidate(
            question="",
            answer="",
            chain="WW",
            type="bridge",
            family="",
            wording="",
            passages=("", ""),
            support=((0,), (1,)),
            bridge=country,
        )
        made = {
            "seat": replace(
                base,
                question=f"{asked(number)} is the seat of the realm that {town} belongs to?",
                answer=capital,
                passages=(f"w{2 * number}", f"w{2 * number + 1}"),
            ),
            "dish": replace(
                base,
                chain="EE",
                question=f"{asked(number)} did the owner of {pet} cook?",
                answer=dish,
                passages=(f"e{2 * number}_p0", f"e{2 * number + 1}_p0"),
                bridge=sender,
                senders=(sender,),
            ),
            "trip": replace(
                base,
                chain="EW",
                question=f"{asked(number)} has the town that the owner of {pet} went to as a neighbour?",
                answer=river,
                passages=(f"e{2 * number}_p0", f"w{2 * number}"),
                bridge=town,
                senders=(sender,),
            ),
            "visitor": replace(
                base,
                chain="WE",
                question=f"{asked(number)} is the pet of whoever saw a town of {country}?",
                answer=pet,
                passages=(f"w{2 * number}", f"e{2 * number}_p0"),
                support=((0,), (0,)),
                bridge=town,
                senders=(sender,),
            ),
        }
        candidates += [
            replace(candidate, family=family, wording=f"{family}/{number % WORDINGS}")
            for family, candidate in made.items()
        ]
    return passages, candidates


def asked(number: int) -> str:
    """The beginning of a question in one of the wordings."""
    return ("What", "Say what", "Which thing", "I ask what", "Tell me what", "Now what")[number % WORDINGS]
