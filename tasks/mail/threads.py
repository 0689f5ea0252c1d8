"""Which mails answer which, and the threads that this makes."""

from collections.abc import Sequence

from tasks.mail.message import Message


def thread_numbers(messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """For each message its thread, numbered by first occurrence, and the place of the one that it replies to, or -1.

    A reply is joined to the nearest mail of its In-Reply-To and References that is there; one ("Re:") whose references
    lead nowhere joins the thread of the same subject on the same list, but replies to none.
    """
    places = {message.id: place for place, message in enumerate(messages) if message.id}
    parents = list(range(len(messages)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    def join(one: int, other: int) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first

    replies = []
    missing: dict[str, int] = {}
    subjects: dict[tuple[str, str], int] = {}
    for place, message in enumerate(messages):
        known = [places[name] for name in message.answers if places.get(name, place) != place]
        replies.append(known[0] if known else -1)
        for other in known:
            join(place, other)
        for name in message.answers:
            # Two answers to the same mail belong together, also where that mail is not here.
            join(place, missing.setdefault(name, place))
        key = (message.mailing_list, message.subject.lower())
        if message.is_reply and not known and key in subjects:
            join(place, subjects[key])
        if message.subject:
            subjects.setdefault(key, place)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(place), len(numbers)) for place in range(len(messages))], replies
