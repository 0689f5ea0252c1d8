"""Questions whose two hops are both e-mails: by their sender, by their thread, or by comparison."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tasks.concurrentqa.questions import private_wordings as wordings
from tasks.concurrentqa.questions.archive import Archive, is_robot
from tasks.concurrentqa.questions.candidates import Candidate
from tasks.concurrentqa.questions.details import Cue, Detail, bag
from tasks.concurrentqa.questions.drafts import EACH, Draws, bridge_holds, rarest
from tasks.encyclopedia.passages import Passage


def mail_candidates(archive: Archive, per_sender: int, comparisons: int, draws: Draws) -> Iterator[Candidate]:
    """All EE candidates, in the order of their senders and threads."""
    for sender in sorted(archive.by_sender):
        if sender and not is_robot(sender):
            yield from _by_sender(archive, sender, per_sender, draws)
    made: Counter[str] = Counter()
    for thread in sorted(archive.by_thread):
        yield from _by_thread(archive, archive.by_thread[thread], per_sender, made, draws)
    yield from _comparisons(archive, comparisons, draws)


def _by_sender(archive: Archive, sender: str, most: int, draws: Draws) -> Iterator[Candidate]:
    """A sender's mail 1, told by a name or a theme that no other mail has, and a detail of the same sender's mail 2."""
    mails = [mail for mail in archive.by_sender[sender] if mail.id in archive.fit]
    own = {mail.id for mail in archive.by_sender[sender]}
    keys = [(mail, *key) for mail in mails for key in _keys(archive, mail)]
    asked: list[tuple[Passage, Cue, Detail]] = []
    for mail in mails:
        reach = len(mail.sentences) if _is_whole(archive, mail) else 3
        themes: dict[str, list[tuple[Cue, Detail]]] = defaultdict(list)
        for theme, detail in archive.pairs(mail, reach):
            if archive.holding(theme.words) & own == {mail.id}:
                themes[detail.what].append((theme, detail))
        for what in sorted(themes):
            theme = rarest(archive, [theme for theme, _ in themes[what]])
            asked.append((mail, theme, themes[what][0][1]))
    asked = draws.shuffled(asked, lambda each: f"{each[0].id} {each[2].what}")
    keys = draws.shuffled(keys, lambda each: f"{each[0].id} {each[1]}")
    made = 0
    for turn, (second, theme, detail) in enumerate(asked):
        if made == most:
            return
        for offset in range(len(keys)):
            first, key, sentence, named = keys[(turn + offset) % len(keys)]
            if first.message == second.message or first.thread == second.thread:
                continue
            if bag(key) & (theme.words | bag(detail.text)) or key in second.rendered:
                continue
            family, forms = (
                ("named-sender", wordings.NAMED_SENDER) if named else ("themed-sender", wordings.THEMED_SENDER)
            )
            if not bridge_holds(f"{key} {theme.phrase} {detail.what}", detail.text, first, second):
                continue
            for number, form in draws.wordings(family, forms, EACH):
                yield Candidate(
                    wordings.filled(form, key=key, theme=theme.phrase, what=detail.what), detail.text,
                    "EE", "bridge", family, f"{family}/{number}", (first.id, second.id),
                    ((sentence,), tuple(sorted({theme.sentence, detail.sentence}))), sender, (sender,),
                )  # fmt: skip
            made += 1
            break


def _keys(archive: Archive, mail: Passage) -> Iterator[tuple[str, int, bool]]:
    """What no other mail part says: (words, sentence, whether they are a name)."""
    for name in archive.telling_names(mail)[:3]:
        if name.text not in mail.sender:
            yield name.text, name.sentence, True
    themes = [theme for theme in archive.telling_themes(mail) if " and " not in theme.phrase]
    if themes:
        best = rarest(archive, themes)
        yield best.phrase, best.sentence, False


def _by_thread(
    archive: Archive, thread: list[Passage], most: int, made: Counter[str], draws: Draws
) -> Iterator[Candidate]:
    """A named sender's mail and what somebody else in its thread wrote; threads of one subject alone.

    `made` counts the questions on each named sender's mails, of which there are at most `most`.
    """
    if len({mail.title for mail in thread}) > 1 or not thread[0].title or len({mail.sender for mail in thread}) < 2:
        return
    subject = thread[0].title
    everywhere = [mail for mail in archive.mails if mail.title == subject]
    if len(everywhere) != len(thread):
        return
    for first in thread:
        if first.id not in archive.fit or is_robot(first.sender):
            continue
        own = {mail.id for mail in archive.by_sender[first.sender]}
        themes = [
            theme
            for theme in archive.themes(first, 0, len(first.sentences))
            if archive.holding(theme.words) & own == {first.id}
        ]
        if not themes:
            continue
        theme = rarest(archive, themes)
        others = [mail for mail in thread if mail.sender != first.sender]
        for second, detail in _thread_details(archive, first, theme, others, draws):
            if made[first.sender] == most:
                break
            made[first.sender] += 1
            for number, form in draws.wordings("thread-detail", wordings.THREAD_DETAIL, EACH):
                yield Candidate(
                    wordings.filled(form, what=detail.what, sender=first.sender, theme=theme.phrase), detail.text,
                    "EE", "bridge", "thread-detail", f"thread-detail/{number}", (first.id, second.id),
                    ((theme.sentence,), (detail.sentence,)), first.title, (first.sender, second.sender),
                )  # fmt: skip
        answers = {mail.sender for mail in others}
        repliers = [mail for mail in others if mail.reply_to == first.message]
        if len(answers) == 1 and len(repliers) == 1 and not is_robot(repliers[0].sender):
            second = repliers[0]
            told = f"{first.sender} {theme.phrase}"
            if made[first.sender] == most or not bridge_holds(told, second.sender, first, second):
                continue
            made[first.sender] += 1
            for number, form in draws.wordings("who-answered", wordings.WHO_ANSWERED, EACH):
                yield Candidate(
                    wordings.filled(form, sender=first.sender, theme=theme.phrase), second.sender,
                    "EE", "bridge", "who-answered", f"who-answered/{number}", (first.id, second.id),
                    ((theme.sentence,), (0,)), subject, (first.sender, second.sender),
                )  # fmt: skip


def _thread_details(
    archive: Archive, first: Passage, theme: Cue, others: list[Passage], draws: Draws
) -> Iterator[tuple[Passage, Detail]]:
    """Up to two details that only one of the other mails of the thread has, with that mail."""
    found: dict[str, list[tuple[Passage, Detail]]] = defaultdict(list)
    for mail in others:
        for detail in archive.details[mail.id]:
            found[detail.what].append((mail, detail))
    once = [found[what][0] for what in sorted(found) if len(found[what]) == 1 and found[what][0][0].id in archive.fit]
    for second, detail in draws.shuffled(once, lambda each: f"{first.id} {each[1].what}")[:2]:
        if bridge_holds(f"{first.sender} {theme.phrase} {detail.what}", detail.text, first, second):
            yield second, detail


def _comparisons(archive: Archive, most: int, draws: Draws) -> Iterator[Candidate]:
    """Which of two mails came first, by what they are about, and who wrote the later one."""
    told = [
        (mail, theme)
        for mail in archive.askable
        if mail.date and not is_robot(mail.sender)
        for theme in [_plain_theme(archive, mail)]
        if theme is not None
    ]
    told = draws.shuffled(told, lambda each: each[0].id)
    for (one, this), (other, that) in list(zip(told[::2], told[1::2], strict=False))[:most]:
        if abs(_day(one) - _day(other)) < 2 or one.sender == other.sender:
            continue
        earlier, later = sorted((one, other), key=_day)
        words = {one.id: _bare(this), other.id: _bare(that)}
        if draws.turn("comparison", 2):
            family, forms, answer = "earlier-mail", wordings.EARLIER_MAIL, words[earlier.id]
        else:
            family, forms, answer = "later-writer", wordings.LATER_WRITER, later.sender
        for number, form in draws.wordings(family, forms, EACH):
            question = wordings.filled(form, one=this.phrase, other=that.phrase, sender=one.sender, second=other.sender)
            yield Candidate(
                question, answer, "EE", "comparison", family, f"{family}/{number}", (one.id, other.id),
                ((this.sentence,), (that.sentence,)), "", (one.sender, other.sender),
            )  # fmt: skip


def _plain_theme(archive: Archive, mail: Passage) -> Cue | None:
    """A thing of two adjacent words that stands in no other mail part."""
    themes = [
        theme for theme in archive.telling_themes(mail) if " and " not in theme.phrase and _bare(theme) in mail.text
    ]
    return rarest(archive, themes) if themes else None


def _bare(theme: Cue) -> str:
    return theme.phrase.strip("“”")


def _day(mail: Passage) -> int:
    from datetime import date

    return date.fromisoformat(mail.date).toordinal()


def _is_whole(archive: Archive, mail: Passage) -> bool:
    """Whether a part is all of its mail."""
    return not any(
        other.message == mail.message and other.part != mail.part for other in archive.by_sender[mail.sender]
    )
