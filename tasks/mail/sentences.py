"""Sentences of a mail or an article, and parts of about as many words each."""

import re
from collections.abc import Sequence

_ITEM = re.compile(r"^\s*(?:[*•·o+-]\s+\S|\(?\d{1,2}[.)]\s+\S|\(?[a-z][.)]\s+\S|\[\d{1,2}\]\s?\S)")
_END = re.compile(r"(?<=[.!?])([\"'”’)\]]*)\s+(?=[\"'“‘(\[*_]?[A-Z0-9À-Þ])|(?<=[.!?])([\"'”’)\]]+)\s+(?=[A-Z])")
_WIDE_END = re.compile(r"(?<=[。！？])(?=[^。！？」』”’）])")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Letters of scripts without spaces between words (Thai, Lao, Burmese, Khmer, kana, Han): about two are a word."""
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“\[])(?:[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Mt|Ft|Gen|Col|Lt|Capt|Sgt|Rev|Hon|Gov|"
    r"Sen|Rep|Pres|vs|etc|No|Nos|Inc|Ltd|Corp|Co|Bros|cf|al|ca|approx|est|dept|Dept|Univ|Fig|fig|Vol|vol|pp|ed|eds|esp|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Ave|Blvd|Rd|viz|resp|incl|Op|op)\.$"
)
_NUMBER = re.compile(r"\W*(?:\d{1,3}|[IVXivx]{1,5})\.")
_CLOSES_ANYWAY = re.compile(r"(?:^|[\s(])(?:etc|I|a\.m|p\.m)\.$")


def paragraphs(text: str) -> list[str]:
    """A text's paragraphs and list items, each on one line: a mail's line wraps are joined."""
    found: list[str] = []
    lines: list[str] = []

    def close() -> None:
        if lines:
            found.append(" ".join(" ".join(lines).split()))
            lines.clear()

    for line in text.split("\n"):
        if not line.strip():
            close()
            continue
        if _ITEM.match(line) and (not lines or _ITEM.match(lines[0]) or lines[-1].rstrip().endswith(":")):
            close()
        lines.append(line)
    close()
    return found


def sentences(paragraph: str) -> list[str]:
    """Split one line of text after ".", "!" and "?", but not after an abbreviation or inside a number or an address."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(paragraph):
        before = paragraph[start : match.start()]
        if _NUMBER.fullmatch(before):
            continue
        if _ABBREVIATION.search(before) and not _CLOSES_ANYWAY.search(before):
            continue
        end = match.start() + len(match[1] or match[2] or "")
        found.append(paragraph[start:end])
        start = match.end()
    found.append(paragraph[start:])
    return [sentence.strip() for sentence in found if sentence.strip()]


def parts(text: str, words: int, unspaced: bool = False) -> list[list[list[str]]]:
    """Cut a text into parts of about `words` words, each a list of paragraphs, each a list of sentences.

    With `unspaced` two letters of a script without spaces between words are one, too, and "。" ends a sentence; else a
    whole mail in Chinese is a word. (The benchmark that is published was made without.)

    A text that needs n parts is cut into n of about equal length, at the end of a sentence and, where one is near, of a
    paragraph. A sentence longer than `words` (a table, a listing) is cut between words.
    """
    units = [
        [piece for sentence in _sentences(paragraph, unspaced) for piece in _at_most(sentence, words, unspaced)]
        for paragraph in paragraphs(text)
    ]
    total = sum(_words(sentence, unspaced) for paragraph in units for sentence in paragraph)
    if not total:
        return []
    target = total / -(-total // words)
    found: list[list[list[str]]] = [[]]
    size = 0
    done = 0
    for paragraph in units:
        whole = sum(_words(sentence, unspaced) for sentence in paragraph)
        # A paragraph begins a new part when it would end further from the goal than the last one did.
        near_the_end = total - done <= 0.25 * target
        if size >= 0.6 * target and size + whole > 1.2 * target and not near_the_end:
            found.append([])
            size = 0
        found[-1].append([])
        for sentence in paragraph:
            length = _words(sentence, unspaced)
            if size and size + length / 2 > target and total - done > 0.25 * target:
                found.append([[]])
                size = 0
            found[-1][-1].append(sentence)
            size += length
            done += length
    return [[paragraph for paragraph in part if paragraph] for part in found if any(part)]


def join(part: Sequence[Sequence[str]]) -> str:
    """A part as text: one line a paragraph."""
    return "\n".join(" ".join(paragraph) for paragraph in part)


def _sentences(paragraph: str, unspaced: bool) -> list[str]:
    found = sentences(paragraph)
    return [piece for sentence in found for piece in _WIDE_END.split(sentence) if piece] if unspaced else found


def _words(text: str, unspaced: bool) -> int:
    return len(text.split()) + (len(_UNSPACED.findall(text)) // 2 if unspaced else 0)


def _at_most(sentence: str, words: int, unspaced: bool) -> list[str]:
    if unspaced and _UNSPACED.search(sentence) and _words(sentence, unspaced) > words:
        return [sentence[start : start + 2 * words] for start in range(0, len(sentence), 2 * words)]
    pieces = sentence.split(" ")
    return [" ".join(pieces[start : start + words]) for start in range(0, len(pieces), words)]
