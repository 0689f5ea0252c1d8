"""How images are sampled: each arm of a comparison as is best for it on validation images (section 4.4)."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from models.config import Fraction, Index, Positive, config
from models.transfusion.settings import Sampling
from tasks.base import spool
from tasks.base.files import write_json
from tasks.transfusion.arms import ARMS, Reads
from tasks.transfusion.autoencoders import load_autoencoder
from tasks.transfusion.evaluation import Asked, Evaluation, where
from tasks.transfusion.generators import arm_of, autoencoder_of, load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.judging import Reference, load_judge

FILE = "sampling.json"


@config
class Choosing:
    """What is tried, with `steps` of denoising: fresh noise or none, and for the twins guidance.

    For codes it is guidance, temperature and top-k (0: all). The guidance of arms that read pixels is `prescribed`: it
    is the paper's of its ablations (section 4.3). The generators are those of the seed 0, which no verdict rests on.
    """

    seed: Index = 0
    steps: int = 25
    prescribed: Positive = 3.0
    fresh: tuple[Fraction, ...] = (0.0, 1.0)
    guidance: tuple[Positive, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    temperature: tuple[Positive, ...] = (0.6, 0.8, 1.0)
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
    """Write sampling.json: by what an arm reads, the settings with the least Fréchet distance on validation images."""
    known, critic = read_images(images), load_judge(judge)
    reference = Reference(critic, known, "validation")
    chosen: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []
    for folder in generators.values():
        arm = arm_of(folder)
        reads = ARMS[arm].reads
        model, _ = load_generator(folder)
        model.to(where())
        asked = Asked(known, texts, Evaluation(arm=arm, split="validation"), autoencoders)
        reach = float(load_autoencoder(autoencoder_of(ARMS[arm], autoencoders)).reach) if reads == "latents" else 1.0
        settings = settings_of(config, reach)[reads]
        distances = [reference.distance(asked.imagined(model, each)) for each in settings]
        tried += [
            {"arm": arm, "fd": distance, **asdict(each)} for each, distance in zip(settings, distances, strict=True)
        ]
        chosen[reads] = asdict(settings[distances.index(min(distances))])
    write_json(out / FILE, {"chosen": chosen, "tried": tried})
    spool.table("tried on validation", tried)


def settings_of(config: Choosing, reach: float) -> Mapping[Reads, list[Sampling]]:
    """All that is tried, by what an arm reads; latents are taken to be no larger than `reach`."""
    codes = product(config.guidance, config.temperature, config.top_k)
    return {
        "pixels": [Sampling(steps=config.steps, guidance=config.prescribed, fresh=fresh) for fresh in config.fresh],
        "latents": [
            Sampling(steps=config.steps, guidance=guidance, fresh=fresh, bound=reach)
            for guidance, fresh in product(config.guidance, config.fresh)
        ],
        "codes": [Sampling(guidance=guidance, temperature=heat, top_k=most) for guidance, heat, most in codes],
    }
