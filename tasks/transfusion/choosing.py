"""How images are sampled: each side of a comparison as is best for it on validation images (section 4.4)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from models.config import Count, Fraction, Index, Positive, config
from models.transfusion.settings import Sampling
from tasks.base import spool
from tasks.base.files import write_json
from tasks.transfusion.arms import CODES, LATENTS, LINEAR, UNET, Reads
from tasks.transfusion.autoencoders import CONTINUOUS, load_autoencoder
from tasks.transfusion.evaluation import Asked, Evaluation, where
from tasks.transfusion.generators import load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.judging import Reference, load_judge
from tasks.transfusion.rates import at_chosen_rates

FILE = "sampling.json"


@config
class Choosing:
    """What is tried: numbers of denoising `steps`, fresh noise or none, and guidance.

    For codes it is guidance, temperature and top-k (0: all). Of two numbers of steps the larger one is taken if it
    brings the distance down by more than the share `worth`, for every image costs as many steps in every arm. The
    generators are those of the seed 0 at the rates that were chosen, on which no verdict rests.
    """

    seed: Index = 0
    steps: tuple[Count, ...] = (25, 50, 100)
    worth: Fraction = 0.1
    fresh: tuple[Fraction, ...] = (0.0, 1.0)
    guidance: tuple[Positive, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    temperature: tuple[Positive, ...] = (0.6, 0.8, 1.0)
    top_k: tuple[Index, ...] = (0, 32)


SIDES: dict[Reads, tuple[str, ...]] = {"pixels": (LINEAR, UNET), "latents": (LATENTS,), "codes": (CODES,)}
"""The arms that are looked at: all that read pixels are sampled alike, as is best for both adapters together."""


def choose_sampling(
    *,
    images: Path,
    texts: Path,
    judge: Path,
    rehearsed: dict[str, Path],
    rates: Path,
    autoencoders: dict[str, Path],
    config: Choosing,
    out: Path,
) -> None:
    """Write sampling.json: by what an arm reads, the settings with the least Fréchet distance on validation images.

    Of two arms it is the geometric mean of both distances. The other settings are chosen with the fewest steps, and
    then the steps with these settings.
    """
    known = read_images(images)
    reference = Reference(load_judge(judge), known, "validation")
    folders = at_chosen_rates(rehearsed, rates)
    chosen: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []
    for reads, arms in SIDES.items():
        asked = [
            (arm, Asked(known, texts, Evaluation(arm=arm, split="validation"), autoencoders), _model(folders[arm]))
            for arm in arms
        ]

        def distance(settings: Sampling, asked: Sequence[tuple[str, Asked, Any]] = asked) -> float:
            found = {arm: reference.distance(each.imagined(model, settings)) for arm, each, model in asked}
            tried.extend({"arm": arm, "fd": value, **asdict(settings)} for arm, value in found.items())
            return math.exp(sum(map(math.log, found.values())) / len(found))

        reach = float(load_autoencoder(autoencoders[CONTINUOUS]).reach) if reads == "latents" else 1.0
        distances = {each: distance(each) for each in settings_of(config, reads, reach)}
        if reads != "codes":
            best = fewest_steps(distances, config.worth)
            more = [replace(best, steps=steps) for steps in sorted(config.steps)[1:]]
            distances |= {each: distance(each) for each in more}
        chosen[reads] = asdict(fewest_steps(distances, config.worth))
    write_json(out / FILE, {"chosen": chosen, "tried": tried})
    spool.table("tried on validation", tried)


def _model(folder: Path) -> Any:
    return load_generator(folder)[0].to(where())


def fewest_steps(distances: Mapping[Sampling, float], worth: float) -> Sampling:
    """The settings with the least distance, where more steps than another's must be worth their while."""
    best, *others = sorted(distances, key=lambda each: (each.steps, distances[each]))
    for each in others:
        if distances[each] < distances[best] * (1 - (worth if each.steps > best.steps else 0)):
            best = each
    return best


def settings_of(config: Choosing, reads: Reads, reach: float) -> list[Sampling]:
    """All that is tried with the fewest steps; what is drawn is taken to be no larger than `reach`."""
    if reads == "codes":
        tried = product(config.guidance, config.temperature, config.top_k)
        return [Sampling(guidance=guidance, temperature=heat, top_k=most) for guidance, heat, most in tried]
    return [
        Sampling(steps=min(config.steps), guidance=guidance, fresh=fresh, bound=reach)
        for guidance, fresh in product(config.guidance, config.fresh)
    ]
