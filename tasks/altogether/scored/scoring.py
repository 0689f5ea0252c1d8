"""Scores of captions: words, phrases, attributes, and what of the alt-text is kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.caption_scores import Cider, overlap, phrases, rouge_l
from tasks.altogether.scored.asked import Question
from tasks.altogether.texts.attributes import mentions, plain, stated, words

Row = dict[str, Any]

MEANS = {
    "f1": "F1 of the caption's words and the reference's (annotation level 3), as sets",
    "precision": "share of the caption's words that the reference has",
    "recall": "share of the reference's words that the caption has",
    "new_f1": "the same F1 without the words of the alt-text in either",
    "name_recall": "share of the words of the concept's name (level 1) that the caption has",
    "rare_recall": "share of the name's words that no training text has and the alt-text does that the caption has",
    "phrase_f1": "F1 of phrases, which stand between commas, semicolons and colons, as sets",
    "phrase_precision": "share of the caption's phrases that the reference has",
    "phrase_recall": "share of the reference's phrases that the caption has",
    "rouge_l": "ROUGE-L, F with recall weighed 1.2 times, 0 to 1",
    "cider_d": "CIDEr-D against one reference, document frequencies from the references, 0 to 10",
    "kept": "share of the alt-text's words that the caption keeps",
    "added": "words of the caption that the alt-text does not have",
    "repeated": "share of the alt-text's false statements of an attribute that the caption repeats",
    "words": "words of a caption",
    "scorer_similarity": "cosine of picture and caption in a dual encoder that was trained on another drawing style",
    "voice_f1": "F1 of the caption's words and those of a voice that the levels were made without",
}
"""Quantities that are means over captions."""

CORPUS = {
    "bleu_4": "BLEU-4 of all captions together, by sacrebleu, 0 to 100",
    "chrf": "chrF2 of all captions together, by sacrebleu, 0 to 100",
    "distinct": "different captions by the number of captions",
    "captions": "captions that were scored",
}


@dataclass(frozen=True)
class Reference:
    """What is the same for all arms: inverse document frequencies and the words that training had."""

    cider: Cider
    known: Collection[str]

    @classmethod
    def of(cls, questions: Sequence[Question], known: Collection[str]) -> "Reference":
        """From the references of the test, each once, and the words of the training texts."""
        texts = sorted({q.record.round3 for q in questions})
        return cls(Cider([words(text) for text in texts]), known)


def score(question: Question, caption: str, reference: Reference) -> Row:
    """Every score of one caption; those that do not apply are left out."""
    record = question.record
    said, wanted, alt = words(caption), words(record.round3), words(record.alt)
    all_words, new = overlap(said, wanted), overlap(said, wanted, left_out=alt)
    parts = overlap(phrases(caption), phrases(record.round3))
    name = set(words(record.round1))
    row: Row = {
        "f1": all_words.f1,
        "precision": all_words.precision,
        "recall": all_words.recall,
        "new_f1": new.f1,
        "phrase_f1": parts.f1,
        "phrase_precision": parts.precision,
        "phrase_recall": parts.recall,
        "rouge_l": rouge_l(said, wanted),
        "cider_d": reference.cider.score(said, wanted),
        "added": len(set(said) - set(alt)),
        "words": len(said),
    }
    if name:
        row["name_recall"] = len(name & set(said)) / len(name)
    if rare := {word for word in name if word in alt and word not in reference.known}:
        row["rare_recall"] = len(rare & set(said)) / len(rare)
    if alt:
        row["kept"] = len(set(alt) & set(said)) / len(set(alt))
    if record.wrong:
        given = {(m.attribute, m.value) for m in mentions(plain(caption))}
        row["repeated"] = sum(each in given for each in record.wrong.items()) / len(record.wrong)
    return row


def voice_f1(caption: str, told: Collection[str]) -> float:
    """F1 of a caption's words and another voice's, which is no reference that any captioner was trained towards."""
    return overlap(words(caption), told).f1


def reads(question: Question, caption: str) -> dict[str, bool]:
    """Whether the caption states each attribute of the picture, and rightly.

    A caption that states two values of an attribute states none.
    """
    given = stated(plain(caption))
    return {name: given.get(name) == value for name, value in question.record.attributes.items()}


def corpus_scores(captions: Sequence[str], references: Sequence[str]) -> Row:
    """Scores of all captions together."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    one = [[plain(text) for text in references]]
    said = [plain(text) for text in captions]
    return {
        "bleu_4": BLEU(lowercase=True).corpus_score(said, one).score,
        "chrf": CHRF().corpus_score(said, one).score,
        "distinct": len(set(said)) / len(said),
    }


def means(rows: Sequence[Mapping[str, Any]]) -> Row:
    """The mean of each quantity over the captions that have it."""
    found: Row = {}
    for name in MEANS:
        values = [row[name] for row in rows if name in row]
        if values:
            found[name] = sum(values) / len(values)
    return found
