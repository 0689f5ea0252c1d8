"""How images are sampled: each side of a comparison as is best for it on validation images (section 4.4)."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from models.config import Count, Fraction, Index, Positive, config
from models.transfusion.settings import Sampling
from tasks.base import spool
from tasks.base.files import write_json
from tasks.transfusion.arms import ARMS, CODES, LATENTS, LINEAR, Reads
from tasks.transfusion.autoencoders import load_autoencoder
from tasks.transfusion.evaluation import Asked, Evaluation, where
from tasks.transfusion.generators import load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.judging import Reference, load_judge
from tasks.transfusion.lessons import autoencoder_of
from tasks.transfusion.rates import at_chosen_rates

FILE = "sampling.json"


@config
class Choosing:
    """What is tried: numbers of denoising `steps`, fresh noise or none, and guidance.

    For codes it is guidance, temperature and top-k (0: all). The guidance of arms that read pixels is `prescribed`: it
    is the paper's of its ablations (section 4.3). Of two numbers of steps the larger one is taken if it brings the
    distance down by more than the share `worth`, for every image costs as many steps in every arm. The generators are
    those of the seed 0 at the rates that were chosen, on which no verdict rests.
    """

    seed: Index = 0
    steps: tuple[Count, ...] = (25, 50, 100)
    worth: Fraction = 0.1
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
    rehearsed: dict[str, Path],
    rates: Path,
    autoencoders: dict[str, Path],
    config: Choosing,
    out: Path,
) -> None:
    """Write sampling.json: by what an arm reads, the settings with the least Fréchet distance on validation images.

    What reads pixels is sampled as is best for linear patches. The other settings are chosen with the fewest steps, and
    then the steps with these settings.
    """
    known, critic = read_images(images), load_judge(judge)
    reference = Reference(critic, known, "validation")
    folders = at_chosen_rates(rehearsed, rates)
    chosen: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []

    for arm in (LINEAR, LATENTS, CODES):
        reads = ARMS[arm].reads
        model, _ = load_generator(folders[arm])
        model.to(where())
        asked = Asked(known, texts, Evaluation(arm=arm, split="validation"), autoencoders)
        reach = float(load_autoencoder(autoencoder_of(ARMS[arm], autoencoders)).reach) if reads == "latents" else 1.0
        found = {each: reference.distance(asked.imagined(model, each)) for each in settings_of(config, reach)[reads]}
        if reads != "codes":
            best = fewest_steps(found, config.worth)
            for steps in sorted(config.steps)[1:]:
                more = replace(best, steps=steps)
                found[more] = reference.distance(asked.imagined(model, more))
        tried += [{"arm": arm, "fd": distance, **asdict(each)} for each, distance in found.items()]
        chosen[reads] = asdict(fewest_steps(found, config.worth))
    write_json(out / FILE, {"chosen": chosen, "tried": tried})
    spool.table("tried on validation", tried)


def fewest_steps(distances: Mapping[Sampling, float], worth: float) -> Sampling:
    """The settings with the least distance, where more steps than another's must be worth their while."""
    best, *others = sorted(distances, key=lambda each: (each.steps, distances[each]))
    for each in others:
        if distances[each] < distances[best] * (1 - (worth if each.steps > best.steps else 0)):
            best = each
    return best


def settings_of(config: Choosing, reach: float) -> Mapping[Reads, list[Sampling]]:
    """All that is tried, by what an arm reads; latents are taken to be no larger than `reach`."""
    steps, codes = min(config.steps), product(config.guidance, config.temperature, config.top_k)
    return {
        "pixels": [Sampling(steps=steps, guidance=config.prescribed, fresh=fresh) for fresh in config.fresh],
        "latents": [
            Sampling(steps=steps, guidance=guidance, fresh=fresh, bound=reach)
            for guidance, fresh in product(config.guidance, config.fresh)
        ],
        "codes": [Sampling(guidance=guidance, temperature=heat, top_k=most) for guidance, heat, most in codes],
    }
