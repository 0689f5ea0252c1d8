"""What an alt-text says of a picture's attributes, checked against the picture, and mended where that is sure.

A captioner that is asked for a whole caption writes worse ones than people do. It sees some things well all the same:
of an alt-text with one word changed ("dark skin tone" for "light skin tone") it says which is likelier for the picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.altogether.captioner.captioning import Seen
from tasks.altogether.captioner.stored import Writer
from tasks.altogether.captioner.subwords import as_caption, left_padded
from tasks.altogether.texts.attributes import alternatives, mentions, plain, replaced, stated

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 256
"""Texts that are weighed at once."""


@dataclass(frozen=True)
class Checked:
    """An attribute that an alt-text states once: the value that the picture makes likeliest, `confidence` its
    probability among all that could stand there, and the alt-text with that value."""

    attribute: str
    stated: str
    seen: str
    confidence: float
    text: str


def check(writer: Writer, seen: Seen, rows: Sequence[int], alts: Sequence[str]) -> list[list[Checked]]:
    """What each alt-text states of its picture, of which `rows` has the row in `seen`."""
    import torch

    claims = [_claims(alt) for alt in alts]
    flat = [(row, text) for row, some in zip(rows, claims, strict=True) for _, of in some for text in of.values()]
    if not flat:
        return [[] for _ in alts]
    places, texts = [row for row, _ in flat], [text for _, text in flat]
    # Less what the words alone make likely, so that it is the picture that decides.
    none = [""] * len(texts)
    odds = likelihoods(writer, seen, places, none, texts)
    odds -= likelihoods(writer, seen, places, none, texts, blank=True)
    found: list[list[Checked]] = []
    start = 0
    for some in claims:
        found.append([])
        for attribute, of in some:
            shares = torch.softmax(odds[start : start + len(of)], 0).tolist()
            start += len(of)
            values = list(of)
            best = max(range(len(of)), key=lambda place: shares[place])
            found[-1].append(Checked(attribute, values[0], values[best], shares[best], of[values[best]]))
    return found


def mended(alt: str, checked: Sequence[Checked], least: Mapping[str, float]) -> str:
    """The alt-text with each value that the picture contradicts, where that is surer than `least` asks."""
    for each in checked:
        if is_sure(each, least):
            mention = next(m for m in mentions(plain(alt)) if m.attribute == each.attribute)
            alt = replaced(plain(alt), mention, each.seen)
    return alt


def is_sure(checked: Checked, least: Mapping[str, float]) -> bool:
    """Whether the picture contradicts what is stated, surely enough to change it."""
    return checked.seen != checked.stated and checked.confidence >= least.get(checked.attribute, 2.0)


def _claims(alt: str) -> list[tuple[str, dict[str, str]]]:
    """Each attribute that an alt-text states once, with the text for each value, the stated one first."""
    text = plain(alt)
    known = stated(text)
    found = []
    for mention in mentions(text):
        if mention.attribute in known:
            others = {value: replaced(text, mention, value) for value in alternatives(mention)}
            found.append((mention.attribute, {mention.value: text, **others}))
    return found


def likelihoods(
    writer: Writer,
    seen: Seen,
    rows: Sequence[int],
    alts: Sequence[str],
    texts: Sequence[str],
    blank: bool = False,
    each_token: bool = False,
) -> "Tensor":
    """The log-likelihood of each text as the caption of its picture (or of a blank one) and alt-text, which may be
    empty; with `each_token` its mean over the tokens."""
    import torch

    from models.captioner import PAD

    device = next(writer.model.parameters()).device
    writer.model.eval()
    found = []
    for start in range(0, len(rows), BATCH):
        part = list(rows[start : start + BATCH])
        pictures = seen.pictures(part, torch.full((len(part),), blank))
        before = left_padded([writer.words.encode(alt) for alt in alts[start : start + BATCH]], writer.model.sizes.alt)
        ids = [writer.words.encode(text) for text in texts[start : start + BATCH]]
        read, said = as_caption(ids, writer.model.sizes.caption)
        with torch.inference_mode():
            given = type(pictures)(*(values.to(device) for values in pictures))
            log = writer.model(given, before.to(device), read.to(device)).cpu()
        each = log.gather(2, said[..., None])[..., 0].masked_fill(said == PAD, 0)
        found.append(each.sum(1) / (said != PAD).sum(1) if each_token else each.sum(1))
    return torch.cat(found)
