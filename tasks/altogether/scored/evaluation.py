"""The test of captioners and baselines: every arm answers the same questions, and is scored in the same way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import Fraction, Index, config
from models.config import field as config_field
from tasks.altogether.captioner.captioning import Seen, as_chosen, captioned, read_chosen
from tasks.altogether.captioner.dual import load_dual, picture_vectors, text_vectors
from tasks.altogether.captioner.stored import load_writer
from tasks.altogether.captioner.subwords import load_subwords
from tasks.altogether.records import PRETRAINING, Record, read_records
from tasks.altogether.scored.asked import (
    FALSE,
    FIXED,
    NAMED,
    NATURAL,
    NEW,
    OTHER,
    SEEN,
    TRUE,
    Asking,
    Question,
    ask,
    ask_others,
    shuffled,
)
from tasks.altogether.scored.baselines import looks, neighbours, training_pictures, with_attributes, with_keywords
from tasks.altogether.scored.gallery import write_gallery
from tasks.altogether.scored.measured import (
    Captions,
    attribute_rows,
    concept_rows,
    noise_rows,
    over_image_rows,
    reading_rows,
    write_examples,
)
from tasks.altogether.scored.scoring import CORPUS, MEANS, Reference, Row, corpus_scores, means, score, voice_f1
from tasks.altogether.texts.attributes import words
from tasks.altogether.texts.levels import bare_key
from tasks.altogether.texts.voices import read_gathered
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures

FULL, TEXT, PRETRAINED = "image and alt", "alt only", "SmolLM2, image and alt"
CAPTIONERS = {"full": FULL, "text-only": TEXT, "pretrained": PRETRAINED}
"""Arms that are captioners, by their label."""

NO_ALT, NO_IMAGE, OTHER_ALTS, OTHER_IMAGES = "alt left out", "image left out", "alts shuffled", "images shuffled"
"""What is done to what a captioner is given; its arm's name then ends with it."""

COPY, NEIGHBOUR, KEYWORDS, ATTRIBUTES = "copy", "neighbour", "copy + keywords", "copy + attributes"
"""Baselines, the last two with a neighbour's words."""

EVERY = (SEEN, NEW, NAMED, FIXED, NATURAL, TRUE, FALSE, OTHER)

VOICE = "a held-out voice's words"
"""The domain in which captions are judged by what one voice says of new concepts, and by nothing else."""


CHANGES: dict[str, tuple[str, ...]] = {
    "": EVERY,
    NO_ALT: (SEEN, NATURAL, TRUE, FALSE),
    NO_IMAGE: (SEEN,),
    OTHER_ALTS: (SEEN,),
    OTHER_IMAGES: (SEEN,),
}
"""What is done to what captioners are given, and in which domains."""


def changed(arm: str, change: str) -> str:
    """The name of an arm of which something is left out or shuffled."""
    return f"{arm}, {change}" if change else arm


@config
class Evaluation:
    """`domains` are those that are asked about, `changes` what is done to what captioners are given. `noise` are the
    rates of false alt-texts of the curve; the gallery shows `shown` questions. `held_out_voice` is the one that gave no
    text to the levels.
    """

    seed: Index
    asking: Asking = config_field(default_factory=Asking)
    domains: tuple[str, ...] = EVERY
    changes: tuple[str, ...] = tuple(CHANGES)
    held_out_style: str = "noto"
    held_out_voice: str = "openmoji tags"
    noise: tuple[Fraction, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    shown: Index = 60


@measures(
    **MEANS,
    **CORPUS,
    accuracy="share of the pictures with the attribute whose caption states it rightly",
    accuracy_at="the same where a share of the alt-texts, `noise`, states it falsely",
    over_image="accuracy with false alt-texts, less 0.8 of that of the captioner of both without any, by concept",
)
def evaluate(
    *,
    gathered: Path,
    pictures: Path,
    levels: Path,
    titled: Path,
    features: Path,
    subwords: Path,
    dual: Path,
    scorer: Path,
    captioners: dict[str, Path],
    chosen: dict[str, Path],
    config: Evaluation,
    out: Path,
) -> None:
    """Write `metrics.json`, `examples.parquet` (a row a concept) and `gallery.html`.

    `captioners` are by label, as in `CAPTIONERS`; `chosen` says of each how it writes, and whether it has learnt to:
    where it has not, its rows are marked as unavailable.
    """
    inputs = Inputs(gathered, pictures, levels, titled, features, subwords, dual, scorer)
    _evaluate(inputs, captioners, chosen, config, out)


DECODERS = {name: MEANS[name] for name in ("f1", "new_f1", "words", "added")}
"""What is measured of captioners with a pretrained decoder."""


@measures(**DECODERS)
def compare_decoders(
    *,
    gathered: Path,
    pictures: Path,
    levels: Path,
    titled: Path,
    features: Path,
    subwords: Path,
    dual: Path,
    scorer: Path,
    captioners: dict[str, Path],
    chosen: dict[str, Path],
    config: Evaluation,
    out: Path,
) -> None:
    """The same for captioners with a pretrained decoder and without, in the domains that an hour holds."""
    inputs = Inputs(gathered, pictures, levels, titled, features, subwords, dual, scorer)
    _evaluate(inputs, captioners, chosen, config, out)
    rows = [row for row in json.loads((out / "metrics.json").read_text()) if DECODERS.keys() <= row.keys()]
    labels = ("arm", "domain", "seed", "shown", "arm_by_domain")
    write_json(out / "metrics.json", [{n: v for n, v in row.items() if n in DECODERS or n in labels} for row in rows])


@dataclass(frozen=True)
class Inputs:
    """The folders that captioners are tested on and with."""

    gathered: Path
    pictures: Path
    levels: Path
    titled: Path
    features: Path
    subwords: Path
    dual: Path
    scorer: Path


def _evaluate(
    inputs: Inputs, captioners: Mapping[str, Path], chosen: Mapping[str, Path], config: Evaluation, out: Path
) -> None:
    seen = Seen.load(inputs.features, inputs.dual)
    training = read_records(inputs.levels / "train.json")
    by_domain: dict[str, list[Question]] = {}
    for question in [
        *ask(inputs.levels, config.held_out_style, config.asking),
        *ask_others(inputs.titled, config.asking),
    ]:
        if question.domain in config.domains:
            by_domain.setdefault(question.domain, []).append(question)
    how = {arm: each for folder in chosen.values() for arm, each in read_chosen(folder).items()}
    captions = {
        **written(by_domain, seen, captioners, how, config),
        **baselines(by_domain, seen, training),
        # What could be reached at most.
        ("reference", SEEN): [q.record.round3 for q in by_domain[SEEN]],
    }
    read = [*training, *read_records(inputs.titled / f"{PRETRAINING}.json")]
    known = {word for record in read for text in record.levels for word in words(text)}
    reference = Reference.of([q for asked in by_domain.values() for q in asked], known)
    voice = _said(inputs.gathered, config.held_out_voice)
    similar = _similarities(captions, by_domain, seen, inputs.subwords, inputs.scorer)
    rows, examples = [], []
    for (arm, domain), said in captions.items():
        asked = by_domain[domain]
        scored = [
            {**score(question, caption, reference), "scorer_similarity": near}
            for question, caption, near in zip(asked, said, similar[arm, domain], strict=True)
        ]
        corpus = corpus_scores(said, [question.record.round3 for question in asked])
        rows.append({"arm": arm, "domain": domain, **means(scored), **corpus, "captions": len(said)})
        rows += attribute_rows(arm, domain, asked, said)
        examples += concept_rows(arm, domain, asked, scored)
        if domain == SEEN:
            heard = [(q, voice_f1(c, voice[_bare(q.record)])) for q, c in zip(asked, said, strict=True)
                     if _bare(q.record) in voice]  # fmt: skip
            told = [{"voice_f1": f1} for _, f1 in heard]
            rows.append({"arm": arm, "domain": VOICE, **means(told), "heard": arm})
            examples += concept_rows(arm, VOICE, [question for question, _ in heard], told)
    rows += noise_rows(captions, by_domain, config.noise, config.asking.seed)
    read_by_concept = reading_rows(captions, by_domain, changed(FULL, NO_ALT))
    rows += over_image_rows(read_by_concept)
    examples += read_by_concept
    if OTHER in config.domains and OTHER not in by_domain:
        missing = {"domain": OTHER, "f1": 0.0, "unavailable": "The stamps cannot be had on this machine."}
        examples += [{"arm": arm, "concept": "", **missing} for arm in (*CAPTIONERS.values(), COPY)]
    withheld = {CAPTIONERS[label]: each["withheld"] for label, each in how.items() if each["withheld"]}
    write_json(out / "metrics.json", [{**row, **_shown(row, captioners), "seed": config.seed} for row in rows])
    write_examples(out / "examples.parquet", [_told({**row, "seed": config.seed}, withheld) for row in examples])
    spool.table("captions", [{n: r[n] for n in ("arm", "domain", "f1", "new_f1")} for r in rows if "f1" in r])
    write_gallery(captions, by_domain, inputs.pictures, config.shown, config.asking.seed, out / "gallery.html")
    spool.artifact(out / "gallery.html")


def written(
    by_domain: Mapping[str, Sequence[Question]],
    seen: Seen,
    captioners: Mapping[str, Path],
    chosen: Mapping[str, Mapping[str, Any]],
    config: Evaluation,
) -> Captions:
    """What the captioners write, and what those that read both write with something left out or shuffled."""
    captions: Captions = {}
    for label, folder in captioners.items():
        writer, writing = load_writer(folder), as_chosen(chosen[label], config.seed)
        for change in config.changes:
            if change and label == "text-only":
                continue
            for domain in CHANGES[change]:
                if asked := by_domain.get(domain):
                    rows, alts = _given(asked, seen, change, config.seed)
                    blank = change == NO_IMAGE or label == "text-only"
                    arm = changed(CAPTIONERS[label], change)
                    captions[arm, domain] = captioned(writer, seen, rows, alts, writing, blank)
    return captions


def _given(asked: Sequence[Question], seen: Seen, change: str, seed: int) -> tuple[list[int], list[str]]:
    """The rows of the pictures and the alt-texts of questions, with one of them left out or shuffled."""
    alts = ["" if change == NO_ALT else question.record.alt for question in asked]
    paths = [question.record.img_path for question in asked]
    # Shuffled between concepts: another picture of the same one would still be a fair answer.
    concepts = [question.record.concept for question in asked]
    alts = shuffled(alts, concepts, seed) if change == OTHER_ALTS else alts
    paths = shuffled(paths, concepts, seed) if change == OTHER_IMAGES else paths
    return seen.rows(paths), alts


def baselines(by_domain: Mapping[str, Sequence[Question]], seen: Seen, training: Sequence[Record]) -> Captions:
    """What needs no captioner, in every domain."""
    known = training_pictures(training)
    vectors = looks(seen.features)
    library = vectors[seen.rows([record.img_path for record in known])]
    captions: Captions = {}
    for domain, asked in by_domain.items():
        found = neighbours(vectors[seen.rows([q.record.img_path for q in asked])], library)
        pairs = [(q.record.alt, known[row]) for q, row in zip(asked, found, strict=True)]
        captions[COPY, domain] = [alt for alt, _ in pairs]
        captions[NEIGHBOUR, domain] = [near.round3 for _, near in pairs]
        captions[KEYWORDS, domain] = [with_keywords(alt, near) for alt, near in pairs]
        captions[ATTRIBUTES, domain] = [with_attributes(alt, near) for alt, near in pairs]
    return captions


def _similarities(
    captions: Captions, by_domain: Mapping[str, Sequence[Question]], seen: Seen, subwords: Path, scorer: Path
) -> dict[tuple[str, str], list[float]]:
    """The cosine of each picture and its caption in a dual encoder that was trained on other drawings."""
    model, words_of = load_dual(scorer), load_subwords(subwords)
    vectors = picture_vectors(model, seen.features)
    found = {}
    for (arm, domain), said in captions.items():
        pictures = vectors[seen.rows([q.record.img_path for q in by_domain[domain]])]
        found[arm, domain] = (pictures * text_vectors(model, words_of, said)).sum(1).tolist()
    return found


def _said(gathered: Path, voice: str) -> dict[str, set[str]]:
    """The words of one voice, by the key of the emoji without tones."""
    _, spoken = read_gathered(gathered)
    return {key: set(words(" ".join(said[voice]))) for key, said in spoken.items() if voice in said}


def _bare(record: Record) -> str:
    """The key of the emoji without tones, from the name of its picture."""
    return bare_key(Path(record.img_path).stem)


def _shown(row: Mapping[str, Any], captioners: Mapping[str, Path]) -> Row:
    """In which rows of the paper's tables a measurement stands.

    What the test of the pretrained captioner asks of the others, too, stands in those of their own test.
    """
    if "pretrained" in captioners and not row["arm"].startswith(PRETRAINED):
        return {}
    if "f1" in row:
        shown = {"arm_by_domain": row["arm"]}
        shown |= {"shown": row["arm"]} if row["domain"] == SEEN else {}
        return shown | ({"natural": row["arm"]} if row["domain"] == NATURAL else {})
    return {"read": f"{row['arm']}, {row['domain']}"} if "accuracy" in row else {}


def _told(row: Row, withheld: Mapping[str, str]) -> Row:
    """A record of examples, on which claims rest, with why it is withheld; controls rest on the means of all captions,
    so that a captioner which has not learnt withholds what is claimed of it and nothing else."""
    reasons = [why for arm, why in withheld.items() if row["arm"] in [changed(arm, change) for change in CHANGES]]
    return {**row, **({"unavailable": reasons[0]} if reasons else {})}
