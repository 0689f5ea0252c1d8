"""Entity links from the mails to the articles: longest match over names, kept only where nothing speaks against it."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from models.config import Count, Fraction, config
from tasks.concurrentqa.corpora.mail_words import STARTERS, STATES
from tasks.concurrentqa.corpora.surfaces import Surface, Surfaces
from tasks.encyclopedia.passages import Passage, read_passages


@config
class Links:
    """When a name in a mail is an article's.

    A name that is also an everyday word, a subscriber's name or several things needs `context` different words of the
    article beside it, a lower-case concept of several words half as many. A word is everyday when more than the share
    `everyday` of its uses in the mails is lower-case. Concepts that more than `common` passages use are left out.
    """

    context: Count = 2
    everyday: Fraction = 0.1
    common: Count = 30


@dataclass(frozen=True)
class Link:
    """A mention: characters `start` to `end` of the passage's text, in its sentence number `sentence`, name `article`.

    `kind` is the head noun of the article's description ("city", "corporation"), or empty.
    """

    passage: str
    article: str
    title: str
    surface: str
    start: int
    end: int
    sentence: int
    kind: str


def link(*, corpora: Path, config: Links, out: Path) -> None:
    """Write links.parquet, the mentions of articles in mails, and statistics.json, how many there are."""
    import pyarrow
    import pyarrow.parquet

    passages = read_passages(corpora / "passages.parquet")
    links = list(find_links(passages, config))
    schema = pyarrow.schema(
        [(field.name, pyarrow.int64() if field.type is int else pyarrow.string()) for field in fields(Link)]
    )
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([asdict(each) for each in links], schema=schema), out / "links.parquet"
    )
    titles = Counter(each.title for each in {(each.passage, each.article): each for each in links}.values())
    statistics = {
        "mentions": len(links),
        "pairs": sum(titles.values()),
        "mails": len({each.passage.partition("_")[0] for each in links}),
        "titles": len(titles),
        "frequent": dict(sorted(titles.items(), key=lambda item: (-item[1], item[0]))[:40]),
    }
    (out / "statistics.json").write_text(json.dumps(statistics, indent=1, ensure_ascii=False) + "\n")


def read_links(path: Path) -> list[Link]:
    """Read the links.parquet that `link` wrote."""
    import pyarrow.parquet

    names = [field.name for field in fields(Link)]
    return [Link(**row) for row in pyarrow.parquet.read_table(path, columns=names).to_pylist()]


def find_links(passages: Iterable[Passage], config: Links) -> Iterator[Link]:
    """The mentions of public passages with a "w" id in the private ones, in their order."""
    passages = list(passages)
    articles = [passage for passage in passages if passage.id.startswith("w")]
    mails = [passage for passage in passages if passage.scope == "private"]
    surfaces = Surfaces(articles, mails, everyday=config.everyday, common=config.common)
    by_first: dict[str, list[Surface]] = defaultdict(list)
    for surface in surfaces:
        by_first[_WORD.findall(surface.text)[0]].append(surface)
    for candidates in by_first.values():
        candidates.sort(key=lambda each: (-len(each.text), each.text, each.article))

    for mail in mails:
        text = mail.text.translate(_BLANKS)
        starts = _sentence_starts(mail)
        around = set(re.findall(r"[a-z]{3,}", f"{mail.title} {text}".lower()))
        end = 0
        for word in _WORD.finditer(text):
            if word.start() < end:
                continue
            matches = _longest(text, word.start(), by_first.get(word.group(), ()))
            if not matches:
                continue
            end = word.start() + len(matches[0].text)
            name = _choose(matches, text, word.start(), end, around, config, surfaces)
            if name is not None:
                sentence = sum(start <= word.start() for start in starts) - 1
                yield Link(mail.id, name.article, name.title, name.text, word.start(), end, max(sentence, 0), name.kind)


def _longest(text: str, start: int, candidates: Iterable[Surface]) -> list[Surface]:
    """The names of the longest surface that stands at `start` and ends with a word."""
    found: list[Surface] = []
    for name in candidates:
        if found and name.text != found[0].text:
            break
        if text.startswith(name.text, start) and not text[start + len(name.text) :][:1].isalnum():
            found.append(name)
    return found


def _choose(
    matches: list[Surface], text: str, start: int, end: int, around: set[str], config: Links, surfaces: Surfaces
) -> Surface | None:
    """The one of the articles with this name that the mention means, or None."""
    proper = any(name.proper for name in matches)
    if not _stands_alone(text, start, end) or (proper and in_longer_name(text, start, end)):
        return None
    before, after = text[max(0, start - 40) : start], text[end : end + 40]
    scored = []
    for name in matches:
        if name.place and _elsewhere(after, surfaces.texts[name.article]):
            continue
        shared = len(around & surfaces.context[name.article])
        hinted = any(re.match(rf"\W{{1,2}}{hint}\b", after) or before.endswith(f"{hint} ") for hint in name.hints)
        enough = not name.hints_only and shared >= _needed(name, config)
        if hinted or enough:
            scored.append((hinted, shared, name))
    scored.sort(key=lambda item: (-item[0], -item[1], item[2].article))
    if len(scored) > 1 and scored[0][:2] == scored[1][:2]:
        return None
    return scored[0][2] if scored else None


def _needed(name: Surface, config: Links) -> int:
    """How many of the article's words have to stand near the name."""
    if name.doubtful:
        return config.context
    return 0 if name.proper else config.context // 2


_WORD = re.compile(r"[^\W_]+")
_BLANKS = {ord(blank): " " for blank in "\n\t\r\u00a0"}
_OPENING = " \"'([{*_“‘—–"
_CLOSING = " \"')]}*_”’—–,;:.!?"
_TITLES = {"President", "Mr", "Mr.", "Dr", "Dr.", "Sir", "Senator", "Prof", "Prof.", "Professor", "Author", "Architect"}


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether the mention is a whole word of a sentence, not a piece of an address, a file name or a compound."""
    if start and text[start - 1] not in _OPENING:
        return False
    if re.search(r"\w_$", text[:start]) or re.match(r"_\w", text[end:]):
        return False
    after = text[end : end + 3]
    if not after:
        return True
    if after[0] in "'’" and after[1:2] == "s":
        return not after[2:3].isalnum()
    return after[0] in _CLOSING and (after[0] in " —–*_" or not after[1:2].isalnum())


def in_longer_name(text: str, start: int, end: int) -> bool:
    """Whether the capitalised words around the mention make it a part of another name, as in "Bank of England"."""
    words = text[max(0, start - 60) : start].split() if text[:start].endswith(" ") else []
    if words and (words[-1] == "&" or _is_name_part(words[-1])):
        return True
    if len(words) > 1 and words[-1] == "the" and words[-2] in _JOINERS:
        words.pop()
    if len(words) > 1 and words[-1] in _JOINERS and words[-2][:1].isupper() and words[-2] not in STARTERS:
        return words[-2][-1].isalnum()
    following = re.match(r" (?P<word>&|[^\W\d_][\w'’&.+-]*)(?: (?:the )?(?P<next>\S))?", text[end:])
    if following is None:
        return False
    word, after = following["word"], following["next"] or ""
    if word[:1].isupper():
        return word.split("'")[0].split("’")[0] != "I" and word not in STARTERS
    return word == "&" or (word == "of" and after.isupper())


_JOINERS = frozenset({"of", "for", "de", "del", "von", "van"})


def _is_name_part(word: str) -> bool:
    """Whether a word before a name belongs to it; the first word of a sentence and a title do not."""
    if not word[:1].isupper() or word in _TITLES or word in STARTERS or word == "I":
        return False
    # "St. Helena" and "J. Paris" are names; "… in Rome. Paris …" is the end of a sentence.
    return word[-1].isalnum() or (word.endswith(".") and len(word) <= 3)


def _elsewhere(after: str, article: str) -> bool:
    """Whether a place is said to lie where the article does not put it: "Paris, Texas", "Cambridge, MA"."""
    where = re.match(r", ([A-Z][a-z]+(?: [A-Z][a-z]+)*|[A-Z]{2})\b(?!\.\w)", after)
    if where is None:
        return False
    if len(where[1]) == 2 and where[1].isupper():
        return "United States" not in article and "U.S." not in article and "American" not in article
    return where[1] not in article and where[1] in STATES


def _sentence_starts(passage: Passage) -> list[int]:
    """Where each sentence of a passage begins in its text."""
    starts, at = [], 0
    for sentence in passage.sentences:
        found = passage.text.find(sentence, at)
        at = found if found >= 0 else at
        starts.append(at)
        at += len(sentence) if found >= 0 else 0
    return starts
