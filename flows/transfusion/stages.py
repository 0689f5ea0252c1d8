"""Transfusion's experiment, from scanned digits and text to what each arm draws, reads and says."""

from typing import Any

from flows.engine.paper import Profiles, Source, Stage, profiles
from models.config import Optimisation
from models.transfusion.settings import Sampling
from tasks.transfusion.arms import (
    CAUSAL,
    CODES,
    FLOW,
    LATENTS,
    LINEAR,
    NO_CAP,
    SHUFFLED,
    TEXT,
    UNET,
    UNET_CAUSAL,
)
from tasks.transfusion.autoencoders import CODEBOOK, CONTINUOUS, AutoencoderTraining, train_autoencoder
from tasks.transfusion.choosing import Choosing, choose_sampling
from tasks.transfusion.contrasts import Contrasting, contrast
from tasks.transfusion.evaluation import Evaluation, evaluate, evaluate_text, evaluate_twin
from tasks.transfusion.gallery import Gallery, draw_gallery
from tasks.transfusion.generators import Generator, train_generator, train_twin
from tasks.transfusion.images import Digits, prepare_digits
from tasks.transfusion.judging import JudgeTraining, Reconstructing, judge_autoencoders, train_judge
from tasks.transfusion.parity import Parity, compare_twins
from tasks.transfusion.texts import Texts, prepare_texts

# How images are sampled is chosen with the seed 0 on validation images; verdicts rest on seeds from 1.
SEEDS: Profiles[Any] = Profiles(quick=(1,), cpu=range(1, 9), gpu=range(1, 9))
FEW: Profiles[Any] = Profiles(quick=(1,), cpu=range(1, 5), gpu=range(1, 9))

MAIN = (LINEAR, CAUSAL, UNET, UNET_CAUSAL, NO_CAP, "linear, patch 4", "U-Net, patch 4", "linear, patch 8")
"""The arms of the paper's ablations: claims compare them, so they have the same seeds."""
MORE = Profiles(
    quick=(SHUFFLED,),
    cpu=(SHUFFLED,),
    gpu=(SHUFFLED, FLOW, "linear, patch 1", "U-Net, patch 8", "weight 0.5", "weight 1", "weight 20"),
)
"""The control, and arms that are shown and that no claim rests on."""
BUDGETS = Profiles(quick=(0.5, 1.0), cpu=(0.125, 0.25, 0.5, 1.0), gpu=(0.125, 0.25, 0.5, 1.0))
STEPS = Profiles(quick=5, cpu=25, gpu=250)
"""Of sampling."""

# 1. Digits that were scanned, in four splits; text; a judge whose images no generator sees.
digits = Stage(
    prepare_digits,
    inputs={"digits": Source("mnist-5k")},
    config=Profiles(quick=Digits(most=1200), cpu=Digits(), gpu=Digits(side=24)),
)
texts = Stage(
    prepare_texts,
    inputs={"wikipedia": Source("wikipedia-summaries"), "images": digits},
    config=Profiles(quick=Texts(train=600, validation=20, test=40), cpu=Texts(), gpu=Texts(vocabulary=4096)),
)
judge = Stage(
    train_judge,
    inputs={"images": digits},
    config=profiles(
        lambda p: JudgeTraining(
            optimisation=Optimisation(
                steps={"quick": 150, "cpu": 1500, "gpu": 3000}[p], batch=64, learning_rate=2e-3, warmup=20
            )
        )
    ),
)
KNOWN = {"images": digits, "texts": texts}


# 2. The two autoencoders, alike but for the bottleneck.
def autoencoder(kind: str) -> Stage:
    """An autoencoder of a kind."""
    return Stage(
        train_autoencoder,
        inputs={"images": digits},
        config=profiles(
            lambda p: AutoencoderTraining(
                kind=kind,
                optimisation=Optimisation(
                    steps={"quick": 40, "cpu": 900, "gpu": 4000}[p],
                    batch=64,
                    learning_rate=2e-3,
                    warmup=20,
                    weight_decay=0.0,
                ),
            )
        ),
    )


continuous = autoencoder(CONTINUOUS)
codebook = autoencoder(CODEBOOK)
AUTOENCODERS = {CONTINUOUS: continuous, CODEBOOK: codebook}
reconstructed = Stage(
    judge_autoencoders,
    inputs={"images": digits, "judge": judge, "autoencoders": AUTOENCODERS},
    config=Reconstructing(),
)


# 3. Generators: all arms with the same steps, batches, schedule and order of data. At cpu a step takes 47 (twins) to
# 58 ms (U-Net) of a core beside other work, an evaluation 3 (codes) to 13 s (linear): 5,600 core seconds in all.
def generating(profile: str) -> Generator:
    """How generators are trained at a profile."""
    sizes: dict[str, Any] = {"width": 512, "layers": 12, "heads": 8, "feed_forward": 1376, "inner": 96}
    return Generator(
        **(sizes if profile == "gpu" else {}),
        texts=8 if profile == "quick" else 16,
        optimisation=Optimisation(
            steps={"quick": 16, "cpu": 750, "gpu": 20_000}[profile],
            batch=16 if profile == "quick" else 32,
            learning_rate=3e-4 if profile == "gpu" else 3e-3,
            warmup={"quick": 4, "cpu": 50, "gpu": 1000}[profile],
            weight_decay=0.0 if profile != "gpu" else 0.1,
        ),
    )


def generator(arms: Any, seeds: Profiles[Any], **budget: Any) -> Stage:
    """Generators of these arms and seeds."""
    return Stage(
        train_twin if budget else train_generator,
        inputs={**KNOWN, "autoencoders": AUTOENCODERS} if budget else KNOWN,
        config=profiles(generating),
        each={"arm": arms, **budget, "seed": seeds},
    )


main = generator(MAIN, SEEDS)
more = generator(MORE, FEW)
main_text = generator((TEXT,), SEEDS)
twins = generator((LATENTS, CODES), SEEDS, budget=BUDGETS)


# … and how they are sampled: as is best on validation images, for pixels, for latents and for codes.
REHEARSING = Profiles((0,), (0,), (0,))
rehearsed = generator((LINEAR,), REHEARSING)
rehearsed_twins = generator((LATENTS, CODES), REHEARSING, budget=(1.0,))


def choosing(generators: Stage) -> Stage:
    """How these generators are sampled best."""
    return Stage(
        choose_sampling,
        inputs={**KNOWN, "judge": judge, "generators": generators, "autoencoders": AUTOENCODERS},
        config=Profiles(
            quick=Choosing(steps=STEPS.quick, guidance=(1.0, 3.0), temperature=(1.0,), top_k=(0,)),
            cpu=Choosing(steps=STEPS.cpu),
            gpu=Choosing(steps=STEPS.gpu),
        ),
    )


chosen = choosing(rehearsed)
chosen_twins = choosing(rehearsed_twins)


# 4. What each of them draws, reads and says.
def evaluating(profile: str) -> Evaluation:
    """How many images generators are measured on at a profile."""
    return Evaluation(captioned=40, denoised=20) if profile == "quick" else Evaluation()


def evaluation(trained: Stage, arms: Any, seeds: Profiles[Any], **budget: Any) -> Stage:
    """The generators of a stage, measured."""
    inputs = {**KNOWN, "judge": judge, "generator": trained}
    return Stage(
        evaluate_twin if budget else evaluate,
        inputs={**inputs, "autoencoders": AUTOENCODERS, "chosen": chosen_twins}
        if budget
        else {**inputs, "chosen": chosen},
        config=profiles(evaluating),
        each={"arm": arms, **budget, "seed": seeds},
    )


evaluated = evaluation(main, MAIN, SEEDS)
evaluated_more = evaluation(more, MORE, FEW)
evaluated_text = Stage(
    evaluate_text,
    inputs={"texts": texts, "generator": main_text},
    config=Evaluation(),
    each={"arm": (TEXT,), "seed": SEEDS},
)
evaluated_twins = evaluation(twins, (LATENTS, CODES), SEEDS, budget=BUDGETS)

# 5. Differences of differences, and the operations that Transfusion and its twin need for the same.
contrasts = Stage(contrast, inputs={"evaluated": evaluated}, config=Contrasting(), each={"seed": SEEDS})
parity = Stage(
    compare_twins,
    inputs={"reconstructed": reconstructed, "evaluated": evaluated_twins},
    config=Parity(),
)

# 6. A page to look at.
gallery = Stage(
    draw_gallery,
    inputs={**KNOWN, "judge": judge, "generators": main},
    config=Profiles(
        quick=Gallery(each=1, shown=4, guidance=(1.0, 3.0), sampling=Sampling(steps=5)),
        cpu=Gallery(sampling=Sampling(steps=25)),
        gpu=Gallery(sampling=Sampling(steps=250)),
    ),
    each={"seed": (1,)},
)
