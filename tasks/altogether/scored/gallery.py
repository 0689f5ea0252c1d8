"""A page with pictures, their alt-texts and what each arm made of them, failures as well as gains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.caption_scores import overlap
from tasks.altogether.arrays import read_pictures
from tasks.altogether.scored.asked import FALSE, NATURAL, SEEN, Question
from tasks.altogether.scored.measured import Captions
from tasks.altogether.texts.attributes import words
from tasks.altogether.texts.diffs import SHOWN_SIZE, inline
from tasks.altogether.texts.edits import edit
from tasks.altogether.texts.splits import draw

ARMS = ("image and alt", "image only", "alt only", "copy + attributes")
"""What is shown for each picture; the first is compared with the last."""


@dataclass(frozen=True)
class Shown:
    """One question with what each arm answers, and the F1 of each answer."""

    question: Question
    answers: dict[str, tuple[str, float]]

    @property
    def gain(self) -> float:
        """By how much the captioner's F1 is above that of the strongest baseline."""
        return self.answers[ARMS[0]][1] - self.answers[ARMS[-1]][1]


def write_gallery(
    captions: Captions, by_domain: Mapping[str, Sequence[Question]], pictures: Path, count: int, seed: int, path: Path
) -> None:
    """Write one HTML file that needs no other: a third drawn, a third with the largest gains, a third with losses."""
    from jinja2 import Environment, FileSystemLoader

    pixels, index = read_pictures(pictures)
    place = {row["img_path"]: number for number, row in enumerate(index)}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    sections = [
        {"title": title, "lead": lead, "shown": [_as_html(each, pixels[place[each.question.record.img_path]])
                                                for each in some]}
        for title, lead, some in chosen(answered(captions, by_domain), count, seed)
    ]  # fmt: skip
    page = environment.get_template("gallery.html.jinja").render(sections=sections, size=SHOWN_SIZE)
    path.write_text(page, encoding="utf-8")


def answered(captions: Captions, by_domain: Mapping[str, Sequence[Question]]) -> list[Shown]:
    """Every question that all shown arms answer, in the domains where an alt-text may be wrong or short."""
    found = []
    for domain in (SEEN, NATURAL, FALSE):
        for number, question in enumerate(by_domain.get(domain, [])):
            wanted = words(question.record.round3)
            said = {arm: captions[arm, domain][number] for arm in ARMS}
            scored = {arm: (caption, overlap(words(caption), wanted).f1) for arm, caption in said.items()}
            found.append(Shown(question, scored))
    return found


def chosen(shown: Sequence[Shown], count: int, seed: int) -> list[tuple[str, str, list[Shown]]]:
    """Sections: questions as the draw gives them, then one a concept with the largest losses, and with gains."""
    share = count // 3
    order = sorted(shown, key=lambda s: draw(seed, "gallery", s.question.domain, s.question.name))
    by_gain = list({s.question.record.concept: s for s in sorted(order, key=lambda s: -s.gain)}.values())
    losses = sorted(by_gain, key=lambda s: s.gain)[:share]
    best = list({s.question.record.concept: s for s in sorted(order, key=lambda s: s.gain)}.values())
    gains = sorted(best, key=lambda s: -s.gain)[:share]
    return [
        ("As drawn", "Test questions in the order of a draw by the seed, good or bad.", order[:share]),
        (
            "Failures",
            "Where the captioner loses most against copying the alt-text with a neighbour’s attributes.",
            losses,
        ),
        ("Gains", "Where it gains most against the same.", gains),
    ]


def _as_html(shown: Shown, pixels: Any) -> dict[str, Any]:
    record = shown.question.record
    alt = words(record.alt)
    answers = [
        {"arm": arm, "caption": caption, "f1": f1, "changes": edit(alt, words(caption)).changes}
        for arm, (caption, f1) in shown.answers.items()
    ]
    return {"record": record, "domain": shown.question.domain, "picture": inline(pixels), "answers": answers}
