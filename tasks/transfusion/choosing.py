"""How images are sampled beside the discrete twin: each side as is best on validation images (section 4.4)."""

from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from models.config import Index, Positive, config
from models.transfusion.settings import Sampling
from tasks.base import spool
from tasks.base.files import write_json
from tasks.transfusion.arms import CODES, LATENTS
from tasks.transfusion.evaluation import Asked, Evaluation, where
from tasks.transfusion.generators import arm_of, load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.judging import Reference, load_judge

FILE = "sampling.json"


@config
class Choosing:
    """What is tried: guidance on both sides, and temperature and top-k of codes (0: all); `steps` of denoising.

    The generators are those of the seed 0, which no verdict rests on.
    """

    seed: Index = 0
    steps: int = 25
    guidance: tuple[Positive, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    temperature: tuple[Positive, ...] = (0.8, 1.0)
    top_k: tuple[Index, ...] = (0, 32)


def choose_sampling(
    *,
    images: Path,
    texts: Path,
    judge: Path,
    generators: dict[str, Path],
    autoencoders: dict[str, Path],
    config: Choosing,
    out: Path,
) -> None:
    """Write sampling.json: for latents and codes the settings with the least Fréchet distance on validation images."""
    known, critic = read_images(images), load_judge(judge)
    reference = Reference(critic, known, "validation")
    chosen: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []
    for arm, settings in settings_of(config).items():
        (folder,) = (folder for folder in generators.values() if arm_of(folder) == arm)
        model, _ = load_generator(folder)
        model.to(where())
        distances = []
        for sampling in settings:
            evaluation = Evaluation(arm=arm, split="validation")
            made = Asked(known, texts, evaluation, autoencoders).imagined(model, sampling)
            distances.append(reference.distance(made))
            tried.append({"arm": arm, "fd": distances[-1], **asdict(sampling)})
        chosen[arm] = asdict(settings[distances.index(min(distances))])
    write_json(out / FILE, {"chosen": chosen, "tried": tried})
    spool.table("tried on validation", tried)


def settings_of(config: Choosing) -> dict[str, list[Sampling]]:
    """All that is tried, by arm."""
    plain = Sampling(steps=config.steps, bound=0.0)
    codes = product(config.guidance, config.temperature, config.top_k)
    return {
        LATENTS: [replace(plain, guidance=guidance) for guidance in config.guidance],
        CODES: [Sampling(guidance=guidance, temperature=heat, top_k=most) for guidance, heat, most in codes],
    }
