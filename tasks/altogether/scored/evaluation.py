"""The test of captioners and baselines: every arm answers the same questions, and is scored in the same way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.config import Fraction, Index, config
from models.config import field as config_field
from tasks.altogether.captioner.captioning import Seen, Writing, captioned
from tasks.altogether.captioner.dual import load_dual, picture_vectors, text_vectors
from tasks.altogether.captioner.stored import load_writer
from tasks.altogether.captioner.subwords import load_subwords
from tasks.altogether.records import PRETRAINING, Record, read_records
from tasks.altogether.scored.asked import (
    FALSE,
    FIXED,
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
    relative_rows,
    write_examples,
)
from tasks.altogether.scored.scoring import CORPUS, MEANS, Reference, Row, corpus_scores, means, score, voice_f1
from tasks.altogether.texts.attributes import words
from tasks.altogether.texts.levels import bare_key
from tasks.altogether.texts.voices import read_gathered
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures

FULL, IMAGE, TEXT = "image and alt", "image only", "alt only"
COPY, NEIGHBOUR, KEYWORDS, ATTRIBUTES = "copy", "neighbour", "copy + keywords", "copy + attributes"
"""Arms: captioners by what they are trained to read, and baselines, the last two with a neighbour's words."""

EVERY = (SEEN, NEW, FIXED, NATURAL, TRUE, FALSE, OTHER)

VOICE = "a held-out voice's words"
"""The domain in which captions are judged by what one voice says of new concepts, and by nothing else."""


@config
class Evaluation:
    """`noise` are the rates of false alt-texts of the curve; the gallery shows `shown` questions.

    `held_out_voice` is the one that gave no text to the levels of the captioners level-1 to level-3.
    """

    seed: Index
    asking: Asking = config_field(default_factory=Asking)
    held_out_style: str = "noto"
    held_out_voice: str = "openmoji tags"
    noise: tuple[Fraction, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    shown: Index = 60


@measures(
    **MEANS,
    **CORPUS,
    accuracy="share of the pictures with the attribute whose caption states it rightly",
    accuracy_at="the same where a share of the alt-texts, `noise`, states it falsely",
    relative="accuracy with false alt-texts as a share of that of the captioner trained on the image alone",
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
    config: Evaluation,
    out: Path,
) -> None:
    """Write `metrics.json`, `examples.parquet` (a row a concept) and `gallery.html`.

    `captioners` are by label: full, image-only, text-only, and level-1 to level-3.
    """
    seen = Seen.load(features, dual)
    training = read_records(levels / "train.json")
    by_domain: dict[str, list[Question]] = {}
    for question in [*ask(levels, config.held_out_style, config.asking), *ask_others(titled, config.asking)]:
        by_domain.setdefault(question.domain, []).append(question)
    captions = {
        **written(by_domain, seen, captioners, config),
        **baselines(by_domain, seen, training),
        # The planted control: the reference itself must be found to be better than anything that was written.
        ("reference", SEEN): [q.record.round3 for q in by_domain[SEEN]],
    }
    read = [*training, *read_records(titled / f"{PRETRAINING}.json")]
    known = {word for record in read for text in record.levels for word in words(text)}
    reference = Reference.of([q for asked in by_domain.values() for q in asked], known)
    voice = _said(gathered, config.held_out_voice)
    similar = _similarities(captions, by_domain, seen, subwords, scorer)
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
    rows += relative_rows(rows, IMAGE)
    write_json(out / "metrics.json", [{**row, **_shown(row), "seed": config.seed} for row in rows])
    write_examples(out / "examples.parquet", [{**row, "seed": config.seed} for row in examples])
    spool.table("captions", [{n: r[n] for n in ("arm", "domain", "f1", "new_f1")} for r in rows if "f1" in r])
    write_gallery(captions, by_domain, pictures, config.shown, config.asking.seed, out / "gallery.html")
    spool.artifact(out / "gallery.html")


def written(
    by_domain: Mapping[str, Sequence[Question]],
    seen: Seen,
    captioners: Mapping[str, Path],
    config: Evaluation,
) -> Captions:
    """What the captioners write, and what the full one writes with something left out or shuffled."""
    captions: Captions = {}

    def write(arm: str, label: str, domains: Sequence[str], alts: str = "own", images: str = "own") -> None:
        writer = load_writer(captioners[label])
        for domain in domains:
            asked = by_domain.get(domain, [])
            if not asked:
                continue
            texts = ["" if alts == "none" else q.record.alt for q in asked]
            paths = [q.record.img_path for q in asked]
            concepts = [q.record.concept for q in asked]
            # Shuffled between concepts: another picture of the same one would still be a fair answer.
            texts = shuffled(texts, concepts, config.seed) if alts == "shuffled" else texts
            paths = shuffled(paths, concepts, config.seed) if images == "shuffled" else paths
            captions[arm, domain] = captioned(
                writer, seen, seen.rows(paths), texts, Writing(seed=config.seed), blank=images == "none"
            )

    write(FULL, "full", EVERY)
    write(IMAGE, "image-only", EVERY, alts="none")
    write(TEXT, "text-only", EVERY, images="none")
    write("full, alt left out", "full", (SEEN,), alts="none")
    write("full, image left out", "full", (SEEN,), images="none")
    write("full, images shuffled", "full", (SEEN,), images="shuffled")
    write("full, alts shuffled", "full", (SEEN,), alts="shuffled")
    for level in (1, 2, 3):
        write(f"level {level}", f"level-{level}", (SEEN, OTHER))
    return captions


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


def _shown(row: Mapping[str, Any]) -> Row:
    """In which rows of the paper's tables a measurement stands."""
    if "f1" in row:
        shown = {"arm_by_domain": row["arm"]}
        shown |= {"shown": row["arm"]} if row["domain"] == SEEN else {}
        return shown | ({"natural": row["arm"]} if row["domain"] == NATURAL else {})
    return {"read": f"{row['arm']}, {row['domain']}"} if "accuracy" in row else {}
