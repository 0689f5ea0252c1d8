"""The mails as a question's author sees them: who wrote which words, what is said only once, and by whom."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tasks.concurrentqa.corpora.links import Link
from tasks.concurrentqa.corpora.mail_words import ROBOTS, UNFIT
from tasks.concurrentqa.questions.details import (
    Cue,
    Detail,
    bag,
    cues,
    details,
    everyday_words,
    first_names_of,
    local_names,
    nouns_in,
)
from tasks.encyclopedia.leads import read_lead
from tasks.encyclopedia.passages import Passage


class Archive:
    """The private passages with their cues, details and links, and where each word stands.

    Passages whose text is unfit to be asked about are left out of `askable`, but still count when something has to be
    said only once.
    """

    def __init__(self, passages: Sequence[Passage], links: Iterable[Link]) -> None:
        articles = [passage for passage in passages if passage.id.startswith("w")]
        self.article = {article.id: article for article in articles}
        self.mails = [passage for passage in passages if passage.scope == "private"]
        self.mail = {mail.id: mail for mail in self.mails}
        self.links: dict[str, list[Link]] = defaultdict(list)
        for link in links:
            self.links[link.passage].append(link)
        people = [article.title for article in articles if read_lead(article).coarse == "person"]
        first_names = first_names_of(self.mails, people)
        everyday = everyday_words(passage.text for passage in passages)
        nouns = nouns_in(passage.text for passage in passages)
        self.bags = {mail.id: bag(f"{mail.title} {mail.text}") for mail in self.mails}
        self.askable = [mail for mail in self.mails if _is_askable(mail)]
        self.fit = {mail.id for mail in self.askable}
        self.names = {mail.id: local_names(mail, first_names, everyday) for mail in self.mails}
        self.details: dict[str, list[Detail]] = {
            mail.id: details(mail, self.links.get(mail.id, ()), self.names[mail.id]) for mail in self.mails
        }
        self.cues: dict[str, list[Cue]] = {mail.id: cues(mail, nouns) for mail in self.askable}
        self._where: dict[str, set[str]] = defaultdict(set)
        for mail in self.mails:
            for word in self.bags[mail.id]:
                self._where[word].add(mail.id)
        self.by_sender: dict[str, list[Passage]] = defaultdict(list)
        self.by_thread: dict[int, list[Passage]] = defaultdict(list)
        for mail in self.mails:
            self.by_sender[mail.sender].append(mail)
            self.by_thread[mail.thread].append(mail)

    def holding(self, words: Iterable[str]) -> set[str]:
        """The ids of the mail parts that have all of these words (as `bag` writes them)."""
        sets = sorted((self._where.get(word, set()) for word in words), key=len)
        return set.intersection(*sets) if sets else set()

    def is_said_once(self, text: str) -> bool:
        """Whether only one place in all mail parts has this text."""
        return sum(self.mail[one].rendered.count(text) for one in self.holding(bag(text))) == 1

    def telling_names(self, mail: Passage) -> list[Detail]:
        """The local names that no other mail part has."""
        return [name for name in self.names[mail.id] if self.is_said_once(name.text)]

    def themes(self, mail: Passage, first: int, last: int) -> list[Cue]:
        """What sentences `first` to `last` are about: a thing of two words, or two things of one word each."""
        here = [cue for cue in self.cues[mail.id] if first <= cue.sentence <= last]
        single = [cue for cue in here if len(cue.words) == 1]
        return [cue for cue in here if len(cue.words) == 2] + [
            Cue(f"{one.phrase} and {other.phrase}", one.words | other.words, one.sentence)
            for at, one in enumerate(single)
            for other in single[at + 1 :]
        ]

    def named_themes(self, mail: Passage, first: int, last: int) -> list[Cue]:
        """`themes`, and the names that the sentences hold."""
        names = [Cue(name.text, bag(name.text), name.sentence) for name in self.names[mail.id]]
        return self.themes(mail, first, last) + [cue for cue in names if first <= cue.sentence <= last]

    def telling_themes(self, mail: Passage) -> list[Cue]:
        """The themes all of whose words no other mail part has."""
        last = len(mail.sentences)
        return [theme for theme in self.themes(mail, 0, last) if self.holding(theme.words) == {mail.id}]

    def pairs(self, mail: Passage, reach: int = 1) -> list[tuple[Cue, Detail]]:
        """Themes and details at most `reach` sentences apart, none of which gives the other away."""
        return [
            (theme, detail)
            for detail in self.details[mail.id]
            for theme in self.themes(mail, detail.sentence - reach, detail.sentence + reach)
            if not theme.words & (bag(detail.text) | bag(detail.what))
        ]


def is_robot(sender: str) -> bool:
    """Whether a sender is a program or an account without a name."""
    return sender in ROBOTS


def is_person(sender: str) -> bool:
    """Whether a sender looks like somebody rather than a newsletter, a weblog or a robot."""
    return not is_robot(sender) and not _PAPERS.search(sender)


_PAPERS = re.compile(
    r"News|Daily|Update|Mail|Digest|Dispatch|Team|Support|Security|Watch|Letter|Magazine|Inc\b|Online|Boards|Alert|Today|"
    r"Tech\b|Tips|Windows|System|Report|Center|Service|Store|Info|Media|Network|CNET|ZDNet|List\b|Investor|Software|"
    r"boingboing|pudge|blo\.gs|iSilo|AnchorDesk|webster|nnt|malcolm|GlobalSCAPE|jobfair|Robot|\.com|Desk"
)


def _is_askable(mail: Passage) -> bool:
    """Whether a mail part is prose fit to be read by others: no rude words, no private matters, not mostly links."""
    words = mail.text.split()
    if not mail.sender or UNFIT.intersection(re.findall(r"[a-z]+", f"{mail.title} {mail.text}".lower())):
        return False
    return len(words) >= 12 and sum("/" in word or word[:1].isdigit() for word in words) <= len(words) / 3
