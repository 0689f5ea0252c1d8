"""The benchmark out of its candidates: filtered, split, and written in Tenfold's form and in that of ConcurrentQA."""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.measures import measures
from tasks.concurrentqa.benchmark import asked
from tasks.concurrentqa.benchmark.datasheet import describe, majority_accuracy, markdown, shared_share
from tasks.concurrentqa.benchmark.filters import SEARCHES, Fell, contains, filters, sift
from tasks.concurrentqa.benchmark.original import write_corpus, write_questions
from tasks.concurrentqa.benchmark.splits import (
    SPLITS,
    Question,
    Split,
    assign,
    choose,
    parts,
    split_of,
    split_wordings,
    templates,
)
from tasks.concurrentqa.questions.candidates import CHAINS, Candidate, read_candidates, write_candidates
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.language.encoded import read_vectors
from tasks.language.minilm import MiniLM
from tasks.language.smollm2 import SmolLM2

INSTRUCTION = "Answer the question with a name, a number or a few words."
ANSWER_TOKENS = 16
THREADS = 2
"""Of the two models: all that comes after it waits for the benchmark, so nothing would run beside a single one."""

Knows = Callable[[Sequence[Candidate]], Sequence[bool]]
"""Whether a language model answers each candidate without any passage."""


@config
class Benchmark:
    """`test`, `dev` and `train` count the questions that are wanted of each chain.

    `most_test` and `most_train` bound those that are taken where there are more. Of the chains that mix the
    corpora, EW and WE, only the share `mixed` is wanted in train. `unfiltered` bounds the questions of each chain in
    the sample that no search has filtered.

    `cap` is the largest share that an answer may have of a family in a split. `closed_book` asks SmolLM2 every bridge
    question that would become one of dev or test, and drops those that it knows. With `unasked` nothing that an
    earlier benchmark asked about is in dev or test (see `asked`). The search for splits moves each part `moves` times.
    """

    seed: Index
    test: Count = 300
    dev: Count = 30
    train: Count = 400
    mixed: Fraction = 2 / 3
    most_test: Count = 350
    most_train: Count = 1500
    unfiltered: Count = 200
    cap: Fraction = 0.1
    closed_book: bool = True
    unasked: bool = True
    moves: Count = 3000

    def wanted(self) -> dict[str, dict[Split, int]]:
        """How many questions of each chain each split should have."""
        train = {"EE": self.train, "WW": self.train}
        mixed = max(1, round(self.mixed * self.train))
        return {chain: {"train": train.get(chain, mixed), "dev": self.dev, "test": self.test} for chain in CHAINS}

    def shares(self) -> dict[Split, float]:
        """The share of all wanted questions that each split should have."""
        totals = {split: sum(wanted[split] for wanted in self.wanted().values()) for split in SPLITS}
        return {split: total / sum(totals.values()) for split, total in totals.items()}


@measures(
    rejected="candidates of a chain that fell to a filter, having passed those before it",
    kept="candidates of a chain that passed a filter and those before it",
    questions="questions of a chain in a split",
    majority="share of a chain's test questions that their family's most frequent training answer is right for",
    shared="share of a chain's test questions with a gold passage that is gold in train, too",
)
def build(
    *,
    corpora: Path,
    candidates: Path,
    vectors: dict[str, Path],
    minilm: Path,
    smollm2: Path,
    config: Benchmark,
    out: Path,
) -> None:
    """Filter and split the candidates, and write the benchmark.

    `vectors` are the shards of the passages' features by number: passage i is in shard i mod (number of shards).
    Writes questions.parquet (the candidates' columns, `id` and `split`) and the same split by split; unfiltered.parquet
    with questions as those of test, none of them rejected for what a search finds or a language model knows; for
    readers of the original CQA_{train,dev,test}_all.json and corpora/{private,public,combined}_corpus.json;
    datasheet.json and datasheet.md; and metrics.json. Where candidates are too few the splits are smaller, and the
    datasheet says so.
    """
    if config.unasked and not asked.WORDINGS:
        raise UserError(
            "data/concurrentqa/asked.yaml is empty: say there what was asked before, or set unasked to false."
        )
    passages = {passage.id: passage for passage in read_passages(corpora / "passages.parquet")}
    made = read_candidates(candidates / "candidates.parquet")
    random.Random(config.seed).shuffle(made)
    wordings = (candidate.wording for candidate in made)
    wording_split = split_wordings(
        wordings, config.shares(), config.seed, asked.WORDINGS if config.unasked else frozenset()
    )
    stored = read_vectors(vectors)
    if len(stored) != len(passages):
        raise UserError(f"There are {len(stored)} vectors of {len(passages)} passages: encode these corpora.")
    checks = filters(passages, stored, MiniLM(minilm, THREADS).encode, wording_split)
    before = [check.name for check in checks].index(SEARCHES[0])
    sound, fell = sift(made, checks[:before])
    kept, fell_of_these = sift(sound, checks[before:])
    about = {part for candidate in sound for part in parts(candidate)}
    before_now = asked.asked_before(about) if config.unasked else set()
    part_split = assign(kept, wording_split, config.wanted(), config.cap, config.seed, config.moves, before_now)
    knows = closed_book(SmolLM2(smollm2, THREADS)) if config.closed_book else None
    questions, fell_later = select(kept, part_split, wording_split, knows, config)
    unasked, _ = sift(sound, [check for check in checks[before:] if check.name not in SEARCHES])
    known: dict[str, Split] = dict.fromkeys(before_now, "train")
    unfiltered = take_unfiltered(unasked, known | part_split, wording_split, config)
    write(questions, unfiltered, [*fell, *fell_of_these, *fell_later], passages, config, out)


def closed_book(model: SmolLM2) -> Knows:
    """Whether what the model says to the question alone has the words of the answer."""

    def knows(candidates: Sequence[Candidate]) -> list[bool]:
        said = model.answer([each.question for each in candidates], ANSWER_TOKENS, instruction=INSTRUCTION)
        return [contains(text, candidate.answer) for text, candidate in zip(said, candidates, strict=True)]

    return knows


def select(
    candidates: Sequence[Candidate],
    part_split: Mapping[str, Split],
    wording_split: Mapping[str, Split],
    knows: Knows | None,
    config: Benchmark,
) -> tuple[list[Question], list[Fell]]:
    """The questions of all splits, by split, chain and id, and how many candidates of each chain they leave out."""
    template = templates(candidates)
    pools: defaultdict[tuple[str, Split | None], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        pools[candidate.chain, split_of(candidate, part_split, wording_split)].append(candidate)
    questions: list[Question] = []
    counts: list[Fell] = []
    for chain in CHAINS:
        left = sum(len(pool) for (of, _), pool in pools.items() if of == chain)
        known = capped = 0
        most: dict[Split, int] = {"test": config.most_test, "dev": config.dev, "train": config.most_train}
        for split in SPLITS:
            pool = pools[chain, split]
            ask = knows if split != "train" else None
            chosen, kept_out, unknown = _chosen(pool, most[split], config.cap, template[split], ask)
            known, capped = known + len(pool) - unknown, capped + kept_out
            questions += [Question.of(candidate, split) for candidate in chosen]
        fallen = {"disjoint splits": len(pools[chain, None]), "closed book": known, "majority": capped}
        fallen["surplus"] = left - sum(fallen.values()) - sum(question.chain == chain for question in questions)
        for name, count in fallen.items():
            left -= count
            counts.append(Fell(name, chain, count, left))
    return sorted(questions, key=lambda each: (SPLITS.index(each.split), each.chain, each.id)), counts


def take_unfiltered(
    candidates: Sequence[Candidate],
    part_split: Mapping[str, Split],
    wording_split: Mapping[str, Split],
    config: Benchmark,
) -> list[Question]:
    """Questions of each chain that no search has filtered, in wordings of test, about nothing that train or dev is.

    What a search finds in one step is among them as often as it is among what the recipes make, so that on them a
    search which the benchmark's filters used can be compared with others.
    """
    template = templates(candidates)["test"]
    taken: list[Question] = []
    for chain in CHAINS:
        pool = [
            candidate
            for candidate in candidates
            if candidate.chain == chain
            and wording_split[candidate.wording] == "test"
            and all(part_split.get(part, "test") == "test" for part in parts(candidate))
        ]
        chosen, _ = choose(pool, config.unfiltered, config.cap, template)
        taken += sorted((Question.of(each, "unfiltered") for each in chosen), key=lambda each: each.id)
    return taken


def _chosen(
    pool: Sequence[Candidate], most: int, cap: float, template: Mapping[str, str], knows: Knows | None
) -> tuple[list[Candidate], int, int]:
    """The chosen ones, how many the cap keeps out, and how many of `pool` are left by the closed-book test.

    Only what would be chosen is asked, until all that is chosen has been: asking is slow. A comparison is exempt, for a
    guess is right for half of them.
    """
    unknown, asked = list(pool), set[str]()
    while True:
        chosen, kept_out = choose(unknown, most, cap, template)
        fresh = [each for each in chosen if each.type == "bridge" and each.question not in asked]
        if knows is None or not fresh:
            return chosen, kept_out, len(unknown)
        asked.update(each.question for each in fresh)
        known = {each.question for each, is_known in zip(fresh, knows(fresh), strict=True) if is_known}
        unknown = [each for each in unknown if each.question not in known]


def write(
    questions: Sequence[Question],
    unfiltered: Sequence[Question],
    fell: Sequence[Fell],
    passages: Mapping[str, Passage],
    config: Benchmark,
    out: Path,
) -> None:
    """Write all files of the benchmark into the folder `out`."""
    write_candidates(out / "questions.parquet", questions, Question)
    write_candidates(out / "unfiltered.parquet", unfiltered, Question)
    for split in SPLITS:
        members = [question for question in questions if question.split == split]
        write_candidates(out / f"{split}.parquet", members, Question)
        write_questions(out / f"CQA_{split}_all.json", [(each.id, each) for each in members], passages)
    (out / "corpora").mkdir()
    for scope in ("private", "public"):
        inside = [passage for passage in passages.values() if passage.scope == scope]
        write_corpus(out / "corpora" / f"{scope}_corpus.json", inside)
    write_corpus(out / "corpora" / "combined_corpus.json", passages.values())
    sheet = describe(questions, unfiltered, fell, passages, config.wanted())
    (out / "datasheet.json").write_text(json.dumps(sheet, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / "datasheet.md").write_text(markdown(sheet), encoding="utf-8")
    rows = metrics(questions, unfiltered, fell, config.seed)
    (out / "metrics.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    spool.table("filters", [row for row in rows if "rejected" in row])
    spool.table("questions", [row for row in rows if "questions" in row])


def metrics(
    questions: Sequence[Question], unfiltered: Sequence[Question], fell: Sequence[Fell], seed: int
) -> list[dict[str, Any]]:
    """Rows of metrics.json: arm is a filter, a split or the unfiltered sample."""
    rows: list[dict[str, Any]] = [
        {
            **{name: each.filter for name in ("arm", "filter")},
            **{"domain": each.chain, "seed": seed, "rejected": each.rejected, "kept": each.kept},
        }
        for each in fell
    ]
    for chain in CHAINS:
        for split in SPLITS:
            count = sum((each.chain, each.split) == (chain, split) for each in questions)
            row: dict[str, Any] = {"arm": split, "split": split, "domain": chain, "seed": seed, "questions": count}
            if split == "test" and count:
                row |= {"majority": majority_accuracy(questions, chain), "shared": shared_share(questions, chain)}
            rows.append(row)
        named = {name: "unfiltered" for name in ("arm", "split")}
        count = sum(each.chain == chain for each in unfiltered)
        rows.append({**named, "domain": chain, "seed": seed, "questions": count})
    return rows
