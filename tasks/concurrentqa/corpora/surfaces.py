"""The ways in which mails may write an article's name, and how far each can be trusted."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tasks.concurrentqa.corpora.mail_words import AMBIGUOUS, RISKY, SMALL, STOP, VAGUE
from tasks.encyclopedia.leads import read_lead
from tasks.encyclopedia.names import aliases, base_title
from tasks.encyclopedia.passages import Passage


@dataclass(frozen=True)
class Surface:
    """One way to write an article's name.

    `proper` names are capitalised, concepts are not. `doubtful` ones mean other things too and need words of the
    article near them; `hints_only` ones need one of `hints` right beside them ("New York" is a state only in "New York
    state").
    """

    text: str
    article: str
    title: str
    kind: str
    proper: bool
    doubtful: bool
    place: bool = False
    hints: tuple[str, ...] = ()
    hints_only: bool = False


class Surfaces:
    """The surfaces of all articles, judged by how the two corpora use their words.

    `context` has each article's telling words, `texts` their texts.
    """

    def __init__(self, articles: Sequence[Passage], mails: Sequence[Passage], *, everyday: float, common: int) -> None:
        self._articles = articles
        self._everyday = everyday
        self._common = common
        self.texts = {article.id: article.text for article in articles}
        self._written = _Use(article.text for article in articles)
        self._mailed = _Use(mail.text for mail in mails)
        self._people = {word for mail in mails for word in re.findall(r"[A-Z][a-zé]+", mail.sender)}
        frequency = Counter(word for article in articles for word in _words(article.text))
        most = max(3, len(articles) // 50)
        self.context = {
            article.id: frozenset(
                word for word in _words(article.text) - _words(article.title) - STOP if frequency[word] <= most
            )
            for article in articles
        }

    def __iter__(self) -> Iterator[Surface]:
        names = aliases(list(self._articles))
        bare = Counter(base_title(article.title) for article in self._articles)
        called = Counter(name for article in self._articles for name in names[article.id])
        beginnings = {part for article in self._articles for part in _beginnings(base_title(article.title))}
        for article in self._articles:
            text, lead = base_title(article.title), read_lead(article)
            qualifier = re.search(r"\(([^)]*)\)$", article.title)
            hints = tuple(qualifier[1].split()) if qualifier and qualifier[1].islower() else ()
            contested = bare[text] > 1 or qualifier is not None
            if len(text) < 3 or not re.search(r"[^\W\d_]", text):
                continue

            def surface(
                text: str, *, proper: bool, doubtful: bool, hints_only: bool = False,
                article: Passage = article, kind: str = lead.fine, place: bool = lead.coarse == "place",
                hints: tuple[str, ...] = hints,
            ) -> Surface:  # fmt: skip
                return Surface(text, article.id, article.title, kind, proper, doubtful, place, hints, hints_only)

            if self._is_proper(text):
                yield surface(
                    text,
                    proper=True,
                    doubtful=contested or (" " not in text and self._is_doubtful(text, lead.coarse)),
                    hints_only=(qualifier is not None and text in beginnings) or f"Republic of {text}" in bare,
                )
                rest = text.removeprefix("The ")
                others = {name for name in names[article.id] if _is_telling(name) and called[name] == 1}
                for name in sorted(others | ({rest} if " " in rest else set()) - {text, article.title}):
                    if name not in bare and name not in beginnings:
                        # The acronyms of 2002 have older owners: PNG, EMC and RSA are no countries or museums.
                        yield surface(name, proper=True, doubtful=name.isupper())
            elif not contested and self._is_concept(text):
                lower = text[0].lower() + text[1:]
                for form in (lower, f"{lower}s"):
                    yield surface(form, proper=False, doubtful=" " not in lower)

    def _is_proper(self, text: str) -> bool:
        """Whether a title is a name: all its words are capitalised, or, for a single word, the articles write it so."""
        words = [word for word in re.findall(r"[^\W\d_]+", text) if word not in SMALL]
        if len(words) > 1:
            return all(word[0].isupper() for word in words)
        return any(letter.isupper() for letter in text[1:]) or self._written.lower_share(text) <= 0.1

    def _is_doubtful(self, text: str, coarse: str) -> bool:
        """Whether a single word may well mean something else in a mail."""
        if text in AMBIGUOUS or (text in self._people and self._written.capital[text] < 30):
            return True
        if text.isupper() and len(text) > 2:
            return False
        often_lower = self._mailed.lower_share(text) > self._everyday and self._written.lower_share(text) > 0
        return coarse in RISKY or often_lower

    def _is_concept(self, text: str) -> bool:
        """Whether a lower-case title is rare and long enough to mean the article where its words are near."""
        if " " not in text and (len(text) < 7 or text in VAGUE):
            return False
        return text.isascii() and self._mailed.documents[text.lower()] <= self._common


class _Use:
    """How often texts write a word with a small letter, and with a capital inside a sentence."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.lower: Counter[str] = Counter()
        self.capital: Counter[str] = Counter()
        self.documents: Counter[str] = Counter()
        for text in texts:
            self.lower.update(re.findall(r"(?<![\w'’./@-])[a-z][\w]*", text))
            self.capital.update(re.findall(r"(?<=[a-z,] )[A-Z]\w*", text))
            self.documents.update(set(re.findall(r"[a-z]+", text)))

    def lower_share(self, word: str) -> float:
        """The share of lower-case uses of a word, from 0 to 1; a word that is not used counts as a name."""
        lower, capital = self.lower[word.lower()], self.capital[word]
        return lower / (lower + capital) if lower + capital else 0.0


def _is_telling(name: str) -> bool:
    """Whether an alias says by itself whom it means: an acronym, or capitalised words of which two count."""
    if " " not in name:
        return len(name) > 2 and name.isupper() and name.isalpha()
    words = [word for word in re.findall(r"[^\W\d_]+", name) if word not in SMALL | {"The"}]
    return (
        " and " not in name and len(words) > 1 and all(word[0].isupper() for word in words) and min(map(len, words)) > 1
    )


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text.lower()))


def _beginnings(title: str) -> Iterator[str]:
    """The beginnings of a title that end before one of its later words."""
    words = title.split(" ")
    for length in range(1, len(words)):
        yield " ".join(words[:length]).rstrip(",:")
