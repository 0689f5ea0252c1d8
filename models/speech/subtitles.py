"""Words with times as subtitles: SubRip, WebVTT and Praat's TextGrid."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LONGEST, PAUSE = 42, 6.0, 0.8
"""Letters and seconds of a line at most, and the seconds of silence that end one."""


@dataclass(frozen=True)
class Timed:
    """A word with its times in seconds."""

    text: str
    begin: float
    end: float


def lines(words: Sequence[Timed]) -> list[Timed]:
    """Words gathered into lines that can be read."""
    made: list[list[Timed]] = []
    for word in words:
        line = made[-1] if made else []
        letters = sum(len(each.text) + 1 for each in line) + len(word.text)
        fits = line and letters <= WIDTH and word.end - line[0].begin <= LONGEST
        if fits and word.begin - line[-1].end < PAUSE:
            line.append(word)
        else:
            made.append([word])
    return [Timed(" ".join(each.text for each in line), line[0].begin, line[-1].end) for line in made]


def srt(words: Sequence[Timed]) -> str:
    """SubRip."""
    blocks = [
        f"{number}\n{_clock(line.begin, ',')} --> {_clock(line.end, ',')}\n{line.text}\n"
        for number, line in enumerate(lines(words), 1)
    ]
    return "\n".join(blocks)


def vtt(words: Sequence[Timed]) -> str:
    """WebVTT; an arrow or an angle bracket in a text would be read as its own."""
    blocks = ["WEBVTT\n"]
    for line in lines(words):
        text = line.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(line.begin, '.')} --> {_clock(line.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def textgrid(words: Sequence[Timed], seconds: float) -> str:
    """Praat's TextGrid with one tier of words; silence has intervals of its own, for they must leave no gap."""
    intervals: list[Timed] = []
    at = 0.0
    for word in words:
        begin, end = max(word.begin, at), min(max(word.end, at), seconds)
        if begin > at:
            intervals.append(Timed("", at, begin))
        if end > begin:
            intervals.append(Timed(word.text, begin, end))
            at = end
    if at < seconds or not intervals:
        intervals.append(Timed("", at, seconds))
    head = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {seconds:.4f}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        '        name = "words"',
        "        xmin = 0",
        f"        xmax = {seconds:.4f}",
        f"        intervals: size = {len(intervals)}",
    ]
    for number, each in enumerate(intervals, 1):
        text = each.text.replace('"', '""')
        head += [
            f"        intervals [{number}]:",
            f"            xmin = {each.begin:.4f}",
            f"            xmax = {each.end:.4f}",
            f'            text = "{text}"',
        ]
    return "\n".join([*head, ""])


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(max(0.0, seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
