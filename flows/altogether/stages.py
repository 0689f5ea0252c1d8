"""Altogether's experiment, from texts and drawings to what each captioner and dual encoder is measured to do."""

from dataclasses import replace
from typing import Any, Literal

from flows.engine.paper import Profiles, Source, Stage, profiles
from models.config import Optimisation
from tasks.altogether.captioner.captioning import (
    Adapting,
    Arm,
    Training,
    Writing,
    adapt,
    caption_training,
    pretrain,
    rehearse,
    tune,
)
from tasks.altogether.captioner.choosing import LIKELIEST, Choosing, choose
from tasks.altogether.captioner.dual import DualTraining, train_dual, train_mixed
from tasks.altogether.captioner.encoder import Conversion, Encoding, convert, encode
from tasks.altogether.captioner.stored import Sizes
from tasks.altogether.captioner.subwords import Subwording, train_subwords
from tasks.altogether.drawn.pictures import Drawn, draw_emoji
from tasks.altogether.drawn.titled import Titled, draw_titled
from tasks.altogether.records import PRETRAINING, TRANSFER
from tasks.altogether.scored.asked import SEEN, Asking
from tasks.altogether.scored.evaluation import NO_IMAGE, OTHER_IMAGES, Evaluation, compare_decoders, evaluate
from tasks.altogether.scored.probe import Probing, probe
from tasks.altogether.scored.zero_shot import ZeroShot, classify
from tasks.altogether.texts.levels import Levels, align
from tasks.altogether.texts.splits import Split
from tasks.altogether.texts.voices import Voices, gather

# Settings were chosen with seed 0 on validation concepts, so the seeds that verdicts rest on begin at 1.
SEEDS = Profiles(quick=(1,), cpu=range(1, 9), gpu=range(1, 9))
FEW = Profiles(quick=(1,), cpu=(1,), gpu=(1, 2))
"""Of the captioner with a pretrained decoder, which takes as long as all the others: judged over new concepts alone."""

SYNTHETIC = (0.0, 0.15, 1.0)

# 1. Texts of several voices, and drawings in two styles for training and one that is held out.
gathered = Stage(
    gather,
    inputs={
        "emojibase": Source("emojibase"),
        "openmoji": Source("openmoji"),
        "emojilib": Source("emojilib"),
        "emoji_names": Source("emoji-names"),
        "em_keyboard": Source("em-keyboard"),
    },
    config=Profiles(quick=Voices(concepts=150), cpu=Voices(), gpu=Voices()),
)
drawn = Stage(
    draw_emoji,
    inputs={
        "gathered": gathered,
        "styles": {"openmoji": Source("openmoji"), "twemoji": Source("twemoji"), "noto": Source("noto-emoji")},
    },
    config=Profiles(quick=Drawn(size=64), cpu=Drawn(), gpu=Drawn()),
)
# Clip art with titles is read in pre-training only, the stamps with their sentences in the test only.
titled = Stage(
    draw_titled,
    inputs={"sets": {PRETRAINING: Source("openclipart"), TRANSFER: Source("stamps")}},
    config=Profiles(quick=Titled(size=64, limit=60), cpu=Titled(), gpu=Titled()),
)

# 2. Alt-texts and three levels of correction (section 3.1), all without one voice, which can then judge what no level
#    was made of. The first turn's test concepts have been seen, and so have captions of them: these are others. Of
#    people and of what somebody has named wrongly there are few, and more are tested.
LEVELS = Levels(split=Split(turn=1, test_people=0.3, test_apart=0.6))
levels = Stage(align, inputs={"gathered": gathered, "pictures": drawn}, config=LEVELS)

# 3. The frozen encoder, and what a probe reads from its features.
encoder = Stage(convert, inputs={"weights": Source("efficientnet-lite0")}, config=Conversion())
features = Stage(
    encode,
    inputs={"pictures": {"emoji": drawn, "titled": titled}, "encoder": encoder},
    config=Profiles(quick=Encoding(grid=4), cpu=Encoding(), gpu=Encoding()),
)
probed = Stage(
    probe,
    inputs={"features": features, "levels": levels},
    config=Profiles(quick=Probing(folds=2, steps=60), cpu=Probing(folds=4), gpu=Probing()),
)

# 4. Subwords, and a dual encoder on pictures with alt-texts, which captioners see by, as by the paper's one MetaCLIP;
#    another on the held-out style only scores.
subwords = Stage(
    train_subwords,
    inputs={"levels": levels, "titled": titled},
    config=Profiles(quick=Subwording(vocabulary=800), cpu=Subwording(), gpu=Subwording()),
)
SEEN_AND_READ = {"features": features, "levels": levels, "subwords": subwords}


def dual_training(split: Literal["train", "style"] = "train", half: int = -1) -> Profiles[DualTraining]:
    """A dual encoder's training."""
    return profiles(
        lambda p: DualTraining(
            seed=0,
            split=split,
            half=half,
            optimisation=Optimisation(
                steps=30 if p == "quick" else 300, batch=128, learning_rate=2e-3, warmup=4 if p == "quick" else 40
            ),
        )
    )


dual = Stage(train_dual, inputs=SEEN_AND_READ, config=dual_training())
scorer = Stage(train_dual, inputs=SEEN_AND_READ, config=dual_training("style"))


# 5. The captioner: pre-trained on alt-texts, then tuned on the last level (section 3.2). How long, and how it writes,
#    is chosen by the seed 0 on validation concepts, for each arm by itself.
STEPS = Profiles(quick=(8, 16), cpu=(300, 600, 1200), gpu=(800, 1600, 3200))
PRETRAINING_STEPS = Profiles(quick=8, cpu=100, gpu=200)
CAPTIONING = {"features": features, "levels": levels, "dual": dual}


def training(profile: str) -> Training:
    """A captioner's training at a profile."""
    return Training(seed=0, steps=PRETRAINING_STEPS.at(profile), batch=16 if profile == "quick" else 64)


def choosing(profile: str) -> Choosing:
    """At quick nothing has learned to write, and all that follows is to be tried."""
    return Choosing(asked=10, ends=(0.0,), gain=100.0, least=0.0) if profile == "quick" else Choosing()


PRETRAINING_READS = {**CAPTIONING, "titled": titled, "subwords": subwords}
pretrained_first = Stage(pretrain, inputs=PRETRAINING_READS, config=profiles(training))
rehearsed = Stage(
    rehearse,
    inputs={**CAPTIONING, "pretrained": pretrained_first},
    config=profiles(training),
    each={"arm": ("full", "text-only"), "steps": STEPS},
)
chosen = Stage(choose, inputs={**CAPTIONING, "rehearsed": rehearsed}, config=profiles(choosing))
pretrained = Stage(pretrain, inputs=PRETRAINING_READS, config=profiles(training), each={"seed": SEEDS})


def captioner(arm: Arm) -> Stage:
    """A captioner of an arm, for each seed."""
    return Stage(
        tune,
        inputs={**CAPTIONING, "pretrained": pretrained, "chosen": chosen},
        config=profiles(lambda profile: replace(training(profile), arm=arm)),
        each={"seed": SEEDS},
    )


full = captioner("full")
text_only = captioner("text-only")

#    The same mapping in front of a pretrained decoder, of which an adapter (LoRA) learns. It computes in bfloat16, for
#    which processors have instructions beyond those that all have: without them it is several times as slow.
adapter = Stage(
    adapt,
    inputs={**CAPTIONING, "language": Source("smollm2")},
    config=Profiles(
        quick=Adapting(seed=0, steps=1, batch=2, sizes=Sizes(caption=12)),
        cpu=Adapting(seed=0),
        gpu=Adapting(seed=0, steps=3000, batch=64),
    ),
    each={"seed": FEW},
    native=True,
)
adapter_chosen = Stage(
    choose,
    inputs={**CAPTIONING, "rehearsed": {"pretrained-0": adapter}},
    config=profiles(
        lambda profile: replace(
            choosing(profile), asked=min(choosing(profile).asked, 150), sampling=((1.0, LIKELIEST),)
        )
    ),
    each={"seed": FEW},
    native=True,
)

# 6. Every arm and baseline on the same questions about concepts that no training has seen.
TESTED = {
    "gathered": gathered,
    "pictures": drawn,
    "titled": titled,
    **CAPTIONING,
    "subwords": subwords,
    "scorer": scorer,
}
QUICK = Evaluation(seed=0, asking=Asking(written=40, new_style=20, composed=10), shown=12)
new_concepts = Stage(
    evaluate,
    inputs={**TESTED, "captioners": {"full": full, "text-only": text_only}, "chosen": {"own": chosen}},
    config=Profiles(
        quick=QUICK,
        cpu=Evaluation(seed=0),
        gpu=Evaluation(seed=0, asking=Asking(written=3000, new_style=2000, composed=1000)),
    ),
    each={"seed": SEEDS},
)
#    The captioner with a pretrained decoder beside the other of its seed, on fewer questions and as many concepts.
DECODERS_ASKED: dict[str, Any] = {"domains": (SEEN,), "changes": ("", NO_IMAGE, OTHER_IMAGES)}
adapter_new_concepts = Stage(
    compare_decoders,
    inputs={
        **TESTED,
        "captioners": {"full": full, "pretrained": adapter},
        "chosen": {"own": chosen, "adapter": adapter_chosen},
    },
    config=Profiles(
        quick=replace(QUICK, **DECODERS_ASKED, asking=Asking(written=6)),
        cpu=Evaluation(seed=0, **DECODERS_ASKED, asking=Asking(written=400)),
        gpu=Evaluation(seed=0, **DECODERS_ASKED, asking=Asking(written=3000)),
    ),
    each={"seed": FEW},
    native=True,
)

# 7. Captions of one half of the training concepts, by a captioner tuned on the other half, mixed into the training of a
#    dual encoder with probability p (section on CLIP).
half_captioner = Stage(
    tune,
    inputs={**CAPTIONING, "pretrained": pretrained_first, "chosen": chosen},
    config=profiles(lambda profile: replace(training(profile), half=0)),
)
half_captions = Stage(
    caption_training,
    inputs={**CAPTIONING, "captioner": half_captioner, "chosen": chosen},
    config=Writing(seed=0, half=1),
)
mixed = Stage(
    train_mixed,
    inputs={**SEEN_AND_READ, "captions": half_captions},
    config=dual_training(half=1),
    each={"synthetic": SYNTHETIC, "seed": SEEDS},
)
zero_shot = Stage(classify, inputs={**SEEN_AND_READ, "duals": mixed}, config=ZeroShot(seed=0), each={"seed": SEEDS})
