"""A retriever tuned on one's own documents by what makes a language model's answers likely, kept if it is no worse."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.encyclopedia.passages import Passage
from tasks.radit.examples import Example
from tasks.radit.prompts import Words, prompt
from tasks.radit.retriever_tuning import Lesson as Scored
from tasks.radit.retriever_tuning import RetrieverTuning, as_they_are, encode_queries, learn, save_encoder
from tools.rag.lessons import Lesson
from tools.rag.store import Library, Opened

if TYPE_CHECKING:
    pass

SCORED = 6
"""Passages of each lesson that the language model scores."""
CUTS = (1, 5, 10)

Tell = Callable[..., None]


@dataclass(frozen=True)
class Quality:
    """A retriever on held-out lessons: the share with a right passage among the first k, and log p of the answer.

    `recall` is over the lessons that have a right passage (none, where no lesson has); `likelihood` is the mean log
    probability of an answer's token after the first passage, in nats.
    """

    recall: dict[int, float]
    likelihood: float

    def no_worse_than(self, other: "Quality") -> bool:
        """Whether neither the answers are less likely nor right passages are found less often among the first five."""
        return self.likelihood >= other.likelihood and self.recall.get(5, 0.0) >= other.recall.get(5, 0.0)


@dataclass(frozen=True)
class Tuned:
    """What tuning came to: the retriever before and after, on so many lessons, and whether it was kept."""

    before: Quality
    after: Quality
    learned: int
    judged: int
    kept: bool


class Tuner:
    """Tunes the query encoder in `encoder` on a library by the language model."""

    def __init__(self, index: Opened, encoder: Path, lm: Any, words: Words, config: RetrieverTuning) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        from models.radit.decoder import Decoder
        from models.radit.query_encoder import QueryEncoder

        torch.manual_seed(config.seed)
        self.index, self.encoder, self.words, self.config = index, encoder, words, config
        self._tokenizer: Any = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
        untuned = AutoModel.from_pretrained(encoder, local_files_only=True, dtype=torch.float32)
        layers = min(config.layers, len(untuned.encoder.layer))
        self.model = QueryEncoder(untuned, layers, config.retrieval.scale)
        self.decoder: Decoder = Decoder(lm)

    def tune(self, learned: Sequence[Lesson], judged: Sequence[Lesson], library: Library, tell: Tell) -> Tuned:
        """Learn from some lessons, judge by others, and put the tuned encoder into the library if it is no worse."""
        total = len(learned) + len(judged)
        before = self.quality(judged)
        tell(len(judged), total)
        scored = []
        for lesson, places in zip(learned, self._found(learned, SCORED), strict=True):
            likelihood = [float(logs.mean().exp()) for logs in self._logs([(lesson, place) for place in places])]
            example = Example("", "train", "text", lesson.asked, (lesson.answer,))
            scored.append(Scored(example, places, likelihood, set(lesson.right)))
            tell(len(judged) + len(scored), total)
        learn(self.model, self._tokenizer, scored, as_they_are(self.index.dense.vectors), self.config)
        after = self.quality(judged)
        kept = after.no_worse_than(before)
        if kept:
            fresh = library.folder / f".encoder.{os.getpid()}"
            shutil.rmtree(fresh, ignore_errors=True)
            save_encoder(self.model, self.encoder, fresh)
            shutil.rmtree(library.tuned, ignore_errors=True)
            fresh.rename(library.tuned)
        return Tuned(before, after, len(learned), len(judged), kept)

    def quality(self, lessons: Sequence[Lesson]) -> Quality:
        """The query encoder as it is now, on these lessons."""
        found = self._found(lessons, max(CUTS))
        known = [(lesson, places) for lesson, places in zip(lessons, found, strict=True) if lesson.right]
        recall = {
            cut: sum(bool(lesson.right & set(places[:cut])) for lesson, places in known) / len(known)
            for cut in CUTS
            if known
        }
        logs = self._logs([(lesson, places[0]) for lesson, places in zip(lessons, found, strict=True) if places])
        return Quality(recall, sum(float(each.mean()) for each in logs) / max(1, len(logs)))

    def _found(self, lessons: Sequence[Lesson], k: int) -> list[list[int]]:
        """The places of the passages that the encoder finds first, a piece's own passage left out."""
        queries = encode_queries(self.model, self._tokenizer, [lesson.asked for lesson in lessons])
        hits = self.index.dense.search(queries, k + 1).positions.tolist()
        return [[p for p in row if p >= 0 and p != own.own][:k] for row, own in zip(hits, lessons, strict=True)]

    def _logs(self, pairs: Sequence[tuple[Lesson, int]]) -> Any:
        prompts = [self.words.tokens(_prompt(lesson, self.index.passages[place])) for lesson, place in pairs]
        return self.decoder.answers(prompts, [self.words.answer(lesson.answer) for lesson, _ in pairs])


def _prompt(lesson: Lesson, passage: Passage) -> str:
    if lesson.follows:
        return f"Background: {passage.rendered}\n\n{lesson.asked}"
    return prompt(lesson.asked, passage.rendered)
