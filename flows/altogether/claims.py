"""Claims about what captions state, keep and repair, and the controls that must pass before any is believed."""

from collections.abc import Callable
from typing import Any

from flows.altogether.stages import evaluation, probed, zero_shot
from flows.engine.paper import Claim, Control, Measurement, NotTested, Test, all_of, at_most, greater, less
from tasks.altogether.scored.asked import FALSE, NATURAL, SEEN
from tasks.altogether.scored.evaluation import ATTRIBUTES, COPY, FULL, IMAGE, KEYWORDS, TEXT, VOICE


def score(quantity: str, arm: str, domain: str = SEEN) -> Measurement:
    """A score of an arm's captions."""
    return evaluation[quantity].where(arm=arm, domain=domain)


def reads(arm: str, attribute: str, domain: str = SEEN) -> Measurement:
    """How often an arm states an attribute rightly."""
    return evaluation["accuracy"].where(arm=arm, domain=domain, attribute=attribute)


def crossed(test: Callable[..., Test], left: Measurement, right: Measurement | float, margin: float = 0.0) -> Test:
    """A comparison over training seeds and over concepts, which are as much a sample."""
    return test(left, right, margin=margin, margin_of="ours" if margin else "", items="concept")


def classifies(quantity: str, p: float, domain: str = "new style") -> Measurement:
    """What a dual encoder does that read captions with probability p."""
    return zero_shot[quantity].where(arm=f"p = {p}", domain=domain)


BY_NAME: dict[str, Any] = {"items": "name", "weight": "pictures"}
"""Names, which weigh by their pictures, are a sample as much as seeds are."""

NOT_READ = "a table of captions by arm; its figures are not at hand"

CLAIMS = [
    Claim(
        "alt-text-helps",
        says="Captions from image and alt-text are better than captions from the image alone",
        source="the comparison with captioners that have no alt-text",
        evidence="MEM-H",
        paper_value=NOT_READ,
        whose="paper, direction only",
        test=crossed(greater, score("f1", FULL), score("f1", IMAGE)),
        expected="holds",
    ),
    Claim(
        "beats-either-input-alone",
        says="Captions from image and alt-text are better than copying the alt-text and than what a captioner makes of "
        "the alt-text alone",
        source="the comparison with the alt-texts themselves",
        evidence="WEB",
        paper_value="CLIP score 4 % above the alt-texts, second-hand",
        whose="paper, with a number",
        test=all_of(crossed(greater, score("f1", FULL), score("f1", arm)) for arm in (COPY, TEXT)),
        expected="holds",
    ),
    Claim(
        "beats-copy-and-neighbour",
        says="Captions from image and alt-text are better than the copied alt-text with the attributes, or attributes "
        "and keywords, of the most "
        "similar training picture",
        source="not in the paper: the baseline that costs nothing",
        evidence="MEM-H",
        paper_value="not measured there",
        whose="ours",
        test=all_of(crossed(greater, score("f1", FULL), score("f1", arm)) for arm in (ATTRIBUTES, KEYWORDS)),
        expected="does not hold at this scale",
    ),
    Claim(
        "adds-what-the-alt-lacks",
        says="Counting only words that the alt-text does not have, they are better than the same two baselines",
        source="not in the paper: the part of a caption that cannot be copied",
        evidence="MEM-H",
        paper_value="not measured there",
        whose="ours",
        test=all_of(crossed(greater, score("new_f1", FULL), score("new_f1", arm)) for arm in (ATTRIBUTES, KEYWORDS)),
        expected="holds",
    ),
    Claim(
        "wrong-skin-is-repaired",
        says="Where the alt-text states a wrong skin tone, captions state the right one 0.8 times as often as captions "
        "from the image alone, or more often",
        source="section 3.1: what does not fit the image is removed",
        evidence="MEM-H",
        paper_value="not measured there",
        whose="ours",
        test=greater(evaluation["relative"].where(arm=FULL, domain=FALSE, attribute="skin"), 0.8, fixed="items"),
        expected="holds",
    ),
    Claim(
        "wrong-gender-is-repaired",
        says="Where the alt-text states a wrong gender, captions state the right one 0.8 times as often as captions "
        "from the image alone, or more often",
        source="section 3.1: what does not fit the image is removed",
        evidence="MEM-H",
        paper_value="not measured there",
        whose="ours",
        test=greater(evaluation["relative"].where(arm=FULL, domain=FALSE, attribute="gender"), 0.8, fixed="items"),
        expected="does not hold at this scale",
    ),
    Claim(
        "natural-errors-are-repaired",
        says="Of the errors that people's own alt-texts have, captions repeat half or less",
        source="section 3.1: what does not fit the image is removed",
        evidence="MEM-H",
        paper_value="not measured there",
        whose="ours",
        test=crossed(less, score("repeated", FULL, NATURAL), 0.5),
        expected="does not hold at this scale",
    ),
    Claim(
        "expert-words-survive",
        says="Of the name's words that no training text has and the alt-text does, captions keep 0.8 or more, and "
        "captions from the image alone have 0.05 at most: so the alt-text is used, which a copy does perfectly",
        source="section 1: alt-texts hold what pixels do not show",
        evidence="MEM-H",
        paper_value="not measured there",
        whose="ours",
        test=all_of(
            [
                crossed(greater, score("rare_recall", FULL), 0.8),
                crossed(at_most, score("rare_recall", IMAGE), 0.0, 0.05),
            ]
        ),
        expected="does not hold at this scale",
    ),
    Claim(
        "level-3-teaches-more",
        says="Trained on level 3, captions are nearer to the words of a voice that no level has than trained on level "
        "2 or 1",
        source="the comparison of captioners trained on the second and the third round",
        evidence="MEM-H",
        paper_value=NOT_READ,
        whose="paper, direction only",
        test=all_of(
            crossed(greater, score("voice_f1", "level 3", VOICE), score("voice_f1", f"level {level}", VOICE))
            for level in (1, 2)
        ),
        expected="does not hold at this scale",
    ),
    Claim(
        "few-captions-do-no-harm",
        says="A dual encoder that reads captions with probability 0.15 classifies new renderings at most 0.01 worse "
        "than one that reads alt-texts alone",
        source="the table of CLIP training by the share of captions",
        evidence="MEM-H",
        paper_value="0.15 in the released configuration; abstract: better zero-shot classification; size not seen",
        whose="paper, direction only",
        test=at_most(
            classifies("zero_shot", 0.0), classifies("zero_shot", 0.15), margin=0.01, margin_of="ours", **BY_NAME
        ),
        expected="holds",
    ),
    Claim(
        "captions-alone-harm",
        says="A dual encoder that reads captions alone classifies new renderings worse than one that reads none",
        source="the table of CLIP training by the share of captions",
        evidence="MEM-H",
        paper_value="not recalled; classification falls when all alt-texts are replaced",
        whose="paper, direction only",
        test=less(classifies("zero_shot", 1.0), classifies("zero_shot", 0.0), **BY_NAME),
        expected="holds",
    ),
    Claim(
        "captions-help-retrieval",
        says="A dual encoder that reads captions with probability 0.15 retrieves new renderings better than one that "
        "reads none",
        source="the table of CLIP training, retrieval",
        evidence="MEM-H",
        paper_value="size not seen; a summary names retrieval",
        whose="paper, direction only",
        test=greater(classifies("retrieval", 0.15), classifies("retrieval", 0.0), items="name"),
        expected="does not hold at this scale",
    ),
    Claim(
        "captions-train-better-image-generators",
        says="A text-to-image model trained on captions follows its prompts better than one trained on alt-texts",
        source="the section on text-to-image",
        evidence="WEB",
        paper_value="abstract: improves text-to-image; size not seen",
        whose="paper, direction only",
        test=NotTested("There is no text-to-image model here yet to train on the captions that this pipeline writes."),
        expected="not tested",
    ),
]

CONTROLS = [
    Control(
        "references-are-found-better",
        "planted",
        says="The references themselves, scored as an arm, are better than the captioner by 0.3 F1 or more",
        test=greater(score("f1", "reference"), score("f1", FULL), margin=0.3),
    ),
    Control(
        "features-hold-the-attributes",
        "planted",
        says="A probe reads skin at 0.9 or more and gender at 0.8 or more from the frozen features, in either training "
        "style, on concepts it was not trained on",
        test=all_of(
            greater(probed["accuracy"].where(arm=arm, attribute=attribute, style=style), least, paired="")
            for arm, attribute, least in (("both", "skin", 0.9), ("tokens", "gender", 0.8))
            for style in ("openmoji", "twemoji")
        ),
    ),
    Control(
        "other-images-hurt",
        "shuffled",
        says="With the images of other concepts, captions read the skin tone worse and lose F1",
        test=all_of(
            [
                greater(reads(FULL, "skin"), reads("full, images shuffled", "skin"), margin=0.2),
                greater(score("f1", FULL), score("f1", "full, images shuffled")),
            ]
        ),
    ),
    Control(
        "other-alt-texts-hurt",
        "shuffled",
        says="With the alt-texts of other concepts, captions lose F1 and have at most 0.05 of the name's rare words",
        test=all_of(
            [
                greater(score("f1", FULL), score("f1", "full, alts shuffled")),
                at_most(score("rare_recall", "full, alts shuffled"), 0.0, margin=0.05),
            ]
        ),
    ),
]
