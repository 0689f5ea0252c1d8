"""Tasks over the encyclopedia, with entities, relations, wordings and whole tasks that training never sees."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.encyclopedia.facts import read_facts
from tasks.encyclopedia.names import base_title
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.radit.examples import UNKNOWN, Example, Split, Task, write_absent, write_examples
from tasks.radit.outside import read_outside
from tasks.radit.passages import TABLE, shown

if TYPE_CHECKING:
    from random import Random

RELATIONS: dict[str, dict[str, object]] = TABLE["relations"]
HELD_OUT = frozenset(TABLE["held_out"])
PERSONAL = frozenset({"nationality", "reign_end", "ruled", "death_year", "award", "birth_place", "era", "award_year"})
"""Relations whose subjects are people, who may go by their last name."""
ONCE = frozenset({"reign_end", "death_year", "founded_year", "end_year", "year"})
"""Relations whose value is a year, which lies in a century."""

TRAINED: Mapping[Task, float] = {
    "open question": 0.6, "fact checking": 0.2, "unanswerable": 0.1, "reasoning": 0.1,
}  # fmt: skip
TESTED: Mapping[Task, float] = {
    "open question": 0.6, "slot filling": 0.15, "fact checking": 0.1, "unanswerable": 0.075, "reasoning": 0.075,
}  # fmt: skip
"""Each task's share. Slot filling is in no training, and neither are the questions from outside."""

SHOTS: tuple[Task, ...] = (
    "open question", "fact checking", "open question", "unanswerable", "open question", "open question",
)  # fmt: skip
"""The tasks of the five worked examples, and of one more: closed book it stands for the unanswerable one, for without
a passage "unknown" would be the answer to everything."""

NO_SURNAME = re.compile(
    r"(?i:\b(?:the|of|emperor|empress|king|queen|prince|princess|pope|saint|st|sultan|caliph|khan|lord|lady|sir)\b)"
    r"|\b[IVXLC]+\b|\d|\b[a-z]"
)
"""Marks a title whose last word is no family name, or not the whole of it: "Louis XV", "Joan of Arc", "Taishō Emperor",
"Johannes van der Waals"."""


@config
class Tasks:
    """How many examples each split has, and the share of open questions in which another entity comes first.

    `surnames` is the share in which a person goes by the last name, `absent` that of articles that no retriever may
    find, so that they cannot be answered. `most` bounds the entities of a relation. `words` of a passage are seen, so
    that an answer stands among them, and fewer, `shot_words`, in worked examples. A piece of text has `piece` words at
    either end: the paper's 50 tokens.
    """

    seed: Index = 0
    train: Count = 300
    validation: Count = 60
    test: Count = 400
    outside: Count = 60
    planted: Count = 12
    texts: Index = 60
    distractors: Fraction = 0.6
    surnames: Fraction = 0.2
    absent: Fraction = 0.1
    most: Count = 60
    words: Count = 60
    shot_words: Count = 25
    piece: Count = 38


@dataclass(frozen=True)
class Told:
    """What an article tells: all values of a relation of its subject, as they stand in what is seen of it."""

    passage: Passage
    relation: str
    values: tuple[str, ...]

    @property
    def subject(self) -> str:
        """The article's title without what is in brackets."""
        return base_title(self.passage.title)


def build_tasks(*, corpus: Path, outside: Path, config: Tasks, out: Path) -> None:
    """Write examples.parquet, absent.json (passages that no retriever may find) and head.json.

    An article belongs to one split by the hash of its title. head.json holds the worked examples for prompts, of
    training articles that have no example of their own, with their passages' text.
    """
    passages = read_passages(corpus / "passages.parquet")
    by_split = _by_split(told(passages, config.words), config)
    absent = {told.passage.id for split in by_split if split.startswith("absent") for told in by_split[split]}
    seen = _Seen(passages, absent, config.words)
    # What another passage tells as well can be answered, whether its own article is found or not.
    for split in [each for each in by_split if each.startswith("absent")]:
        by_split[split] = [each for each in by_split[split] if not seen.telling(each)]
    examples: list[Example] = []
    sizes: dict[Split, int] = {"train": config.train, "validation": config.validation, "test": config.test}
    for split, size in sizes.items():
        makes = _Maker(split, by_split[split], by_split[f"absent {split}"], seen, config)
        examples += makes.examples(TESTED if split == "test" else TRAINED, size)
    short = [t for t in by_split["shots"] if all(v in shown(t.passage, config.shot_words) for v in t.values)]
    shots = _Maker("train", short, by_split["absent shots"], seen, config)
    # A small corpus may have nothing unanswerable to show: an open question takes its place.
    shown_tasks: list[Task] = [task if shots.fitting(task) else "open question" for task in SHOTS]
    head = [shots.one(task, number) for number, task in enumerate(shown_tasks)]
    examples += [
        Example(f"planted-{n}", "planted", "planted", each["question"], (each["answer"],), (f"p{n}",))
        for n, each in enumerate(TABLE["planted"][: config.planted])
    ]
    examples += _from_outside(outside, passages, config)
    examples += _pieces(passages, absent, config)
    write_examples(out / "examples.parquet", examples)
    write_absent(out / "absent.json", absent)
    by_id = {passage.id: passage for passage in passages}
    write_json(
        out / "head.json",
        [
            {
                "passage": shown(by_id[each.gold[0] if each.gold else head[0].gold[0]], config.shot_words),
                "question": each.asked,
                "answer": each.answers[0],
            }
            for each in head
        ],
    )
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for each in examples:
        counts[each.split, each.task, each.wording] += 1
    spool.table("examples", [{"split": s, "task": t, "wording": w, "count": n} for (s, t, w), n in counts.items()])


def told(passages: Sequence[Passage], words: int) -> list[Told]:
    """What the articles tell of the relations in the table, in their order; values out of sight are left out."""
    by_id = {passage.id: passage for passage in passages}
    values: dict[tuple[str, str], list[str]] = defaultdict(list)
    for fact in read_facts(list(passages)):
        if fact.relation in RELATIONS and fact.value in shown(by_id[fact.subject], words):
            values[fact.subject, fact.relation].append(fact.value)
    return [
        Told(by_id[subject], relation, tuple(dict.fromkeys(found)))
        for (subject, relation), found in values.items()
        if not any(value.lower() in by_id[subject].title.lower() for value in found)
    ]


def _by_split(everything: Sequence[Told], config: Tasks) -> dict[str, list[Told]]:
    """Articles by split; some of each are absent from the index, and some training ones are for worked examples."""
    found: dict[str, list[Told]] = defaultdict(list)
    per_relation: dict[tuple[str, str], int] = defaultdict(int)
    for each in sorted(everything, key=lambda each: _draw(config.seed, each.passage.title, each.relation)):
        split = _split(each.passage, config)
        absent = int(_draw(config.seed, "absent", each.passage.title)[:8], 16) / 16**8 < config.absent
        name = f"absent {split}" if absent else split
        if (each.relation in HELD_OUT and split != "test") or per_relation[name, each.relation] >= config.most:
            continue
        per_relation[name, each.relation] += 1
        found[name].append(each)
    return defaultdict(list, {name: _in_turn(some) for name, some in found.items()})


def _split(passage: Passage, config: Tasks) -> str:
    """The split that an article belongs to, whatever it tells."""
    place = int(_draw(config.seed, passage.title)[:8], 16) / 16**8
    return "train" if place < 0.4 else "shots" if place < 0.5 else "validation" if place < 0.6 else "test"


def _in_turn(some: Sequence[Told]) -> list[Told]:
    """The first of each relation, then the second of each …: the many of one relation do not crowd out the others."""
    met: Counter[str] = Counter()
    ranked = []
    for at, each in enumerate(some):
        ranked.append((met[each.relation], at))
        met[each.relation] += 1
    return [some[at] for _, at in sorted(ranked)]


class _Seen:
    """What is seen of the passages that retrievers search, and by which names articles go."""

    def __init__(self, passages: Sequence[Passage], absent: Collection[str], words: int) -> None:
        self.texts = {passage.id: shown(passage, words) for passage in passages if passage.id not in absent}
        self.last_words = Counter(base_title(passage.title).split()[-1] for passage in passages)

    def telling(self, told: Told) -> tuple[str, ...]:
        """The passages in which the subject and a value stand as words of their own, the article's own first."""
        subject = re.compile(rf"\b{re.escape(told.subject)}\b")
        value = re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in told.values))
        own = [told.passage.id] if told.passage.id in self.texts else []
        # Looking for the bare text first spares most of the time.
        near = [each for each, text in self.texts.items() if told.subject in text and each not in own]
        others = [each for each in near if subject.search(self.texts[each]) and value.search(self.texts[each])]
        return (*own, *others)

    def surname(self, subject: str) -> str:
        """The name that a person may go by alone, "" where the last word is none or others end in it, too."""
        last = subject.split()[-1]
        plain = re.fullmatch(r"\w+ [\w. ]*\w+", subject) and not NO_SURNAME.search(subject)
        return last if plain and self.last_words[last] < 2 else ""


class _Maker:
    """Examples of one split out of its articles, of which each gives one before any gives a second."""

    def __init__(
        self, split: Split, present: Sequence[Told], absent: Sequence[Told], seen: _Seen, config: Tasks
    ) -> None:
        self.split, self.present, self.absent, self.seen, self.config = split, present, absent, seen, config
        self.wordings = "test" if split == "test" else "train"
        self.used: Counter[str] = Counter()

    def examples(self, shares: Mapping[Task, float], size: int) -> list[Example]:
        """As many examples of each task as its share says; what a small corpus has nothing for is left out, and told.

        Raises:
            UserError: not even an open question can be made.
        """
        made: list[Example] = []
        for task, share in shares.items():
            if self.fitting(task):
                made += [self.one(task, number) for number in range(round(share * size))]
            else:
                spool.note(f"No article is left for {task} in {self.split}.")
        if not any(each.task == "open question" for each in made):
            raise UserError(f"No article is left for {self.split}: take more articles.")
        return made

    def fitting(self, task: Task) -> list[Told]:
        """The articles that an example of the task can be made from."""
        return [t for t in (self.absent if task == "unanswerable" else self.present) if _fits(task, t)]

    def one(self, task: Task, number: int) -> Example:
        """The example of a task with this number."""
        from random import Random

        chance = Random(f"{self.config.seed} {self.split} {task} {number}")
        fits = self.fitting(task)
        found = min(fits, key=lambda told: self.used[told.passage.id])
        self.used[found.passage.id] += 1
        asked, wording = self._question(found, chance)
        answers, wrong = found.values, self._wrong(found, chance)
        if task == "slot filling":
            asked, wording = f"{found.subject} [SEP] {RELATIONS[found.relation]['slot']}", "plain"
        elif task == "fact checking":
            true = number % 2 == 0 or not wrong
            asked, wording = self._statement(found, found.values[0] if true else wrong, chance), "plain"
            answers, wrong = ("true" if true else "false",), ("false" if true else "true")
        elif task == "reasoning":
            asked = chance.choice(TABLE["reason"][self.wordings]).format(q=asked)
            answers = tuple(f"{year}, {century(year)}" for year in found.values)
        elif task == "unanswerable":
            answers, wrong = (UNKNOWN,), ""
        gold = () if task == "unanswerable" else self.seen.telling(found)
        return Example(
            f"{self.split}-{task.replace(' ', '-')}-{number}", self.split, task, asked, answers, gold, found.relation,
            wording, found.relation in HELD_OUT, wrong=wrong,
        )  # fmt: skip

    def _question(self, found: Told, chance: "Random") -> tuple[str, str]:
        """A question about it and its wording; what else is named states the same relation of something else."""
        wordings = RELATIONS[found.relation]
        drawn = chance.random()
        subject = found.subject
        question = chance.choice(list(wordings.get(self.wordings) or wordings["test"]))  # type: ignore[call-overload]
        others = [t for t in self.present if t.relation == found.relation and not set(t.values) & set(found.values)]
        if drawn < self.config.distractors and others:
            opening = chance.choice(TABLE["distractors"][self.wordings])
            return opening.format(d=chance.choice(others).subject, q=question.format(s=subject)), "distractor"
        surname = self.seen.surname(subject) if found.relation in PERSONAL else ""
        if drawn > 1 - self.config.surnames and surname:
            return question.format(s=surname), "surname"
        return question.format(s=subject), "plain"

    def _statement(self, found: Told, value: str, chance: "Random") -> str:
        states = RELATIONS[found.relation]["states"]
        wording: str = states[0 if self.split != "test" else 1]  # type: ignore[index]
        check: str = chance.choice(TABLE["check"][self.wordings])
        return check.format(statement=wording.format(s=found.subject, v=value))

    def _wrong(self, found: Told, chance: "Random") -> str:
        """A value that another article gives for the relation."""
        others = {v for t in self.present if t.relation == found.relation for v in t.values} - set(found.values)
        return chance.choice(sorted(others)) if others else ""


def century(year: str) -> str:
    """The century of a year: 1900 is in the 19th century."""
    number = (int(year) + 99) // 100
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} century"


def _fits(task: Task, told: Told) -> bool:
    return task != "reasoning" or (told.relation in ONCE and all(value.isdigit() for value in told.values))


def _from_outside(folder: Path, passages: Sequence[Passage], config: Tasks) -> list[Example]:
    """Questions from outside that an article of the corpus answers, as far as it is seen, by a hash of their words."""
    by_title = {passage.title: passage for passage in passages}
    found: list[Example] = []
    for each in sorted(read_outside(folder), key=lambda each: _draw(config.seed, each.question)):
        gold = [by_title[title] for title in each.titles if title in by_title]
        gold = [p for p in gold if any(answer.lower() in shown(p, config.words).lower() for answer in each.answers)]
        if each.answers and (gold or not each.titles):
            ids = tuple(passage.id for passage in gold)
            found.append(Example(f"outside-{len(found)}", "outside", "outside", each.question, each.answers, ids))
    return found[: config.outside]


def _pieces(passages: Sequence[Passage], absent: set[str], config: Tasks) -> Iterator[Example]:
    """Beginnings and ends of training articles, for the retriever to learn from text alone (section 2.4)."""
    train = [p for p in passages if _split(p, config) == "train" and p.id not in absent]
    long = [p for p in train if len(p.text.split()) >= 2 * config.piece]
    for each in sorted(long, key=lambda each: _draw(config.seed, "text", each.title))[: config.texts]:
        words = each.text.split()
        begins, ends = " ".join(words[: config.piece]), " ".join(words[-config.piece :])
        yield Example(f"text-{each.id}", "text", "text", begins, (ends,), source=each.id)


def _draw(seed: int, *names: str) -> str:
    """A place in an order that depends on the seed and the names alone."""
    return sha256("\0".join([str(seed), *names]).encode()).hexdigest()
