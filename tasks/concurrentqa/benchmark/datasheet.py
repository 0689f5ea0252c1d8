"""What the benchmark is made of, and how: as numbers and as a page (Gebru et al. 2021, Datasheets for Datasets)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from tasks.concurrentqa.benchmark.filters import RULES, Fell
from tasks.concurrentqa.benchmark.splits import SPLITS, Question, Split, parts
from tasks.concurrentqa.questions.candidates import CHAINS
from tasks.encyclopedia.passages import Passage

LATER = {
    "disjoint splits": (
        ("bridge", "comparison"),
        "its bridge, its senders and its wording belong to one split; or the candidate is lost.",
    ),
    "closed book": (("bridge",), "dev and test: SmolLM2, asked the question alone, does not say the answer."),
    "majority": (
        ("bridge", "comparison"),
        "no answer has more than the allowed share of a family in a split (yes and no: half each); in train "
        "families too small for a share count together where their names begin alike.",
    ),
    "surplus": (("bridge", "comparison"), "no rejection: more questions than the split was to have of the chain."),
}
"""What leaves candidates out after the filters."""

FLAWS = (
    "Questions are written by recipes with hand-written wordings, not by people: they are more regular than people's.",
    "The mails are from 2002, the articles of today: what a mail says of the world may no longer be so.",
    "Links between mails and articles, and facts read out of articles, are made by rules and are sometimes wrong.",
    "A question is unambiguous as far as these corpora say; the world may have other answers.",
    "Passages of one mail may be gold in different splits; how many are is said below.",
    "The filters use the searches that are evaluated later (BM25, MiniLM): what these find is low by choice. The "
    "unfiltered sample (unfiltered.parquet) is for comparing them with others; one hop finds some of its questions.",
)


def describe(
    questions: Sequence[Question],
    unfiltered: Sequence[Question],
    fell: Sequence[Fell],
    passages: Mapping[str, Passage],
    wanted: Mapping[str, Mapping[Split, int]],
) -> dict[str, Any]:
    """The datasheet's numbers, as JSON can hold them."""
    counts = Counter((each.chain, each.split) for each in questions)
    short = {
        f"{chain} {split}": {"wanted": wanted[chain][split], "found": counts[chain, split]}
        for chain in CHAINS
        for split in SPLITS
        if counts[chain, split] < wanted[chain][split]
    }
    families = Counter((each.chain, each.type, each.family, each.split) for each in questions)
    return {
        "questions": {chain: {split: counts[chain, split] for split in SPLITS} for chain in CHAINS},
        "unfiltered": {chain: sum(each.chain == chain for each in unfiltered) for chain in CHAINS},
        "total": {split: sum(each.split == split for each in questions) for split in SPLITS},
        "types": {
            kind: {split: sum((each.type, each.split) == (kind, split) for each in questions) for split in SPLITS}
            for kind in ("bridge", "comparison")
        },
        "short": short,
        "families": [
            {"chain": chain, "type": kind, "family": family}
            | {split: families[chain, kind, family, split] for split in SPLITS}
            for chain, kind, family in sorted({key[:3] for key in families})
        ],
        "filters": [
            {"filter": name, "applies to": list(kinds), "rule": rule}
            | {each.chain: {"rejected": each.rejected, "kept": each.kept} for each in fell if each.filter == name}
            for name, (kinds, rule) in {**RULES, **LATER}.items()
        ],
        "corpora": {scope: sum(each.scope == scope for each in passages.values()) for scope in ("public", "private")},
        "splits": {
            split: {
                "wordings": len({each.wording for each in questions if each.split == split}),
                "bridges and senders": len({part for each in questions if each.split == split for part in parts(each)}),
            }
            for split in SPLITS
        },
        "shared": {
            "passages that are gold in more than one split": _shared(questions, lambda passage: passage),
            "mails with gold passages in more than one split": _shared(
                questions, lambda passage: passages[passage].message if passages[passage].scope == "private" else None
            ),
            "test questions with a gold passage of train": {
                chain: round(shared_share(questions, chain), 4) for chain in CHAINS
            },
        },
        "majority": {chain: round(majority_accuracy(questions, chain), 4) for chain in CHAINS},
        "flaws": list(FLAWS),
    }


def shared_share(questions: Sequence[Question], chain: str) -> float:
    """The share of a chain's test questions one of whose gold passages is gold in train, too."""
    known = {passage for each in questions if each.split == "train" for passage in each.passages}
    test = [each for each in questions if (each.split, each.chain) == ("test", chain)]
    return sum(not known.isdisjoint(each.passages) for each in test) / max(1, len(test))


def majority_accuracy(questions: Sequence[Question], chain: str) -> float:
    """The share of a chain's test questions that the most frequent training answer of their family is right for."""
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in questions:
        if each.split == "train":
            answers[each.family][each.answer.lower()] += 1
    guess = {family: min(seen, key=lambda answer: (-seen[answer], answer)) for family, seen in answers.items()}
    test = [each for each in questions if (each.split, each.chain) == ("test", chain)]
    return sum(guess.get(each.family) == each.answer.lower() for each in test) / max(1, len(test))


def markdown(sheet: Mapping[str, Any]) -> str:
    """The datasheet as a page."""
    short = [f"- {place}: {each['found']} of {each['wanted']}" for place, each in sheet["short"].items()]
    shared = sheet["shared"]
    lines = [
        "# Two-hop questions over public articles and private mails",
        "",
        "Built by Tenfold after ConcurrentQA (Arora et al. 2023, Reasoning over Public and Private Data in "
        "Retrieval-Based Systems). E is a private e-mail, W a public article; EW leads from a mail to an article.",
        "",
        "## Composition",
        "",
        *_table(
            ("chain", *SPLITS, "all"),
            [
                (name, *(counts[split] for split in SPLITS), sum(counts.values()))
                for name, counts in {**sheet["questions"], "all": sheet["total"]}.items()
            ],
        ),
        "",
        f"The corpora have {sheet['corpora']['public']:,} public and {sheet['corpora']['private']:,} private passages. "
        + "; ".join(
            f"{split}: {sheet['types']['bridge'][split]:,} bridge, {sheet['types']['comparison'][split]:,} comparison"
            for split in SPLITS
        )
        + ".",
        "",
        "Beside these, "
        + ", ".join(f"{count:,} {chain}" for chain, count in sheet["unfiltered"].items())
        + " questions that no search and no language model has filtered, about what test is about or no split is.",
        "",
        *(["Fewer than wanted, because no more candidates were left:", "", *short, ""] if short else []),
        *_table(
            ("chain", "type", "family", *SPLITS),
            [
                (row["chain"], row["type"], row["family"], *(row[split] for split in SPLITS))
                for row in sheet["families"]
            ],
        ),
        "",
        "## Construction",
        "",
        "Mails are parsed, freed of quotations and signatures, masked (addresses, telephone numbers) and cut into "
        "parts; names in them are linked to articles. Recipes join two passages by an entity or a sender and phrase a "
        "question with one of several hand-written wordings. No language model wrote a question.",
        "",
        "## Filters",
        "",
        "In this order; a candidate counts for the first that it falls to. What is asked of two passages is a "
        "candidate once in each of several wordings, of which the benchmark keeps one.",
        "",
        *_table(
            ("filter", "applies to", "passes", *(f"{chain} fell" for chain in CHAINS)),
            [
                (
                    row["filter"],
                    ", ".join(row["applies to"]),
                    row["rule"],
                    *(_fell(row.get(chain)) for chain in CHAINS),
                )
                for row in sheet["filters"]
            ],
        ),
        "",
        "A comparison names both its passages, so that one search may find them: what tests the need of a first hop "
        "does not apply to it.",
        "",
        "## Splits",
        "",
        "No bridge entity, no sender and no wording is in two splits, and none of dev or test was in that of the "
        "benchmark that the project published first: these are for training. "
        + "; ".join(
            f"{split}: {sheet['splits'][split]['wordings']} wordings, "
            f"{sheet['splits'][split]['bridges and senders']} bridges and senders"
            for split in SPLITS
        )
        + ".",
        "",
        "Passages can be shared: "
        f"{shared['passages that are gold in more than one split']:,} passages are gold in more than one split, and "
        f"{shared['mails with gold passages in more than one split']:,} mails have parts that are. Of the test "
        "questions this share has a gold passage of train: "
        + ", ".join(
            f"{chain} {share:.1%}" for chain, share in shared["test questions with a gold passage of train"].items()
        )
        + ".",
        "",
        "The most frequent training answer of a question's family is right for "
        + ", ".join(f"{chain} {share:.1%}" for chain, share in sheet["majority"].items())
        + " of the test questions.",
        "",
        "## Known flaws",
        "",
        *(f"- {flaw}" for flaw in sheet["flaws"]),
        "",
        "## Licences",
        "",
        "The texts keep the licences of their sources, which data/sources.yaml names with their citations: articles of "
        "Wikipedia CC BY-SA 4.0; the SpamAssassin collection PDDL 1.0, while each mail is its sender's. Mails are real "
        "people's words: quote them briefly, and do not publish the private corpus.",
        "",
        "## How to load",
        "",
        "`questions.parquet` has all questions, `train.parquet`, `dev.parquet` and `test.parquet` those of a split: "
        "id, question, answer, chain, type, family, wording, passages (ids of hop 1 and 2), support (indices of their "
        "sentences), bridge, senders. `CQA_*_all.json` and `corpora/*.json` have ConcurrentQA's fields, one JSON "
        "record a line and one object by id; in `domain` 0 is a mail. `read_original` reads both these and the "
        "authors' files.",
        "",
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    body = [
        "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) + " |" for row in rows
    ]
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body]


def _fell(count: Mapping[str, int] | None) -> str:
    return f"{count['rejected']:,} of {count['rejected'] + count['kept']:,}" if count else "–"


def _shared(questions: Sequence[Question], unit: Callable[[str], Hashable | None]) -> int:
    """How many units (what `unit` makes of a passage's id, None for nothing) have gold passages in several splits."""
    seen: defaultdict[Hashable, set[str]] = defaultdict(set)
    for each in questions:
        for passage in each.passages:
            if (name := unit(passage)) is not None:
                seen[name].add(each.split)
    return sum(len(splits) > 1 for splits in seen.values())
