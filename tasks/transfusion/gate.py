"""Whether models are trained enough for what is claimed of them, told by the seed 0 on validation images beforehand.

What does not pass is withheld where it is measured, by quantity: distances of generated images, captions, and the
comparisons of the twins; errors of the foretold noise and bits of text need no model that draws. If what the arm with
linear patches draws has next to nothing of the prompts, no control could pass, and nothing more is trained.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import Fraction, config
from models.transfusion.settings import Sampling
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.arms import ARMS, CODES, LATENTS, LINEAR, UNET
from tasks.transfusion.evaluation import DRAWN, Asked, Evaluation, where
from tasks.transfusion.generators import load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.judging import Reference, load_judge
from tasks.transfusion.passed import CAPTIONS, IMAGES, TEXT, Passed, write_passed
from tasks.transfusion.rates import FILE as RATES
from tasks.transfusion.rates import at_chosen_rates

Row = dict[str, Any]


@config
class Gate:
    """What a rehearsed model must reach on validation images, as shares.

    Distances are claimed of a family whose images are as prompted in more than `aligned`, captions where more than
    `captioned` are right. Latents are compared with codes where more than `used` of the codebook is; in the distance of
    images, if those of the autoencoders themselves differ by at most the share `explained` of what the twins differ by.
    Nothing more is trained if images of linear patches are as prompted in less than `least`.
    """

    seed: int = 0
    aligned: Fraction = 0.5
    captioned: Fraction = 0.3
    used: Fraction = 0.25
    explained: Fraction = 0.1
    least: Fraction = 0.2


@measures(**DRAWN)
def judge_rehearsals(
    *,
    images: Path,
    texts: Path,
    judge: Path,
    rehearsed: dict[str, Path],
    rates: Path,
    chosen: Path,
    autoencoders: dict[str, Path],
    reconstructed: Path,
    config: Gate,
    out: Path,
) -> None:
    """Write metrics.json on each family that draws, and passed.json with what later stages may train and claim."""
    known = read_images(images)
    reference = Reference(load_judge(judge), known, "validation")
    sampling = json.loads((chosen / "sampling.json").read_text())["chosen"]
    folders = at_chosen_rates(rehearsed, rates)
    found: dict[str, Row] = {}
    for family in (LINEAR, UNET, LATENTS, CODES):
        model, _ = load_generator(folders[family])
        model.to(where())
        asked = Asked(known, texts, Evaluation(arm=family, split="validation"), autoencoders)
        made = asked.imagined(model, Sampling(**sampling[ARMS[family].reads]))
        captions = asked.captioned(model)
        distance = reference.distance(made)
        found[family] = {
            "fd": distance,
            "log_fd": math.log(distance),
            "alignment": float(reference.right(made, asked.kind).mean()),
            "caption_right": sum(row["caption_right"] for row in captions) / len(captions),
        }
    trained = json.loads((rates / RATES).read_text())["chosen"]
    known_twins = {row["arm"]: row for row in json.loads((reconstructed / "metrics.json").read_text())}
    passed = let_through(found, known_twins, trained, config)
    rows = [{"arm": arm, "shown": f"{arm}, rehearsed, on validation", **row} for arm, row in found.items()]
    write_json(out / "metrics.json", rows)
    write_passed(passed, out)
    spool.table("rehearsed", rows)
    for reason in {passed.stop, *(each for family in passed.withheld.values() for each in family.values())} - {""}:
        spool.note(reason)


def let_through(
    found: Mapping[str, Row], reconstructed: Mapping[str, Row], rates: Mapping[str, float], config: Gate
) -> Passed:
    """What may be trained and claimed, by what the rehearsed models of each family reached."""
    withheld: dict[str, dict[str, str]] = {}
    for family, row in found.items():
        said = {}
        if row["alignment"] <= config.aligned:
            said[IMAGES] = (
                f"The rehearsed model of {family} draws what is asked in {row['alignment']:.0%} of the images, and "
                f"more than {config.aligned:.0%} are needed: it is trained too little for claims on its images."
            )
        if row["caption_right"] <= config.captioned:
            said[CAPTIONS] = (
                f"The rehearsed model of {family} captions {row['caption_right']:.0%} of the images rightly, and more "
                f"than {config.captioned:.0%} are needed: it is trained too little for claims on captions."
            )
        withheld[family] = said
    stop = ""
    if found[LINEAR]["alignment"] < config.least:
        stop = (
            f"The rehearsed model of linear patches draws what is asked in {found[LINEAR]['alignment']:.0%} of the "
            f"images, and {config.least:.0%} are needed for any verdict: nothing more is trained."
        )
    return Passed(dict(rates), withheld, rivals(found, reconstructed, withheld, config), stop)


def rivals(
    found: Mapping[str, Row],
    reconstructed: Mapping[str, Row],
    withheld: Mapping[str, Mapping[str, str]],
    config: Gate,
) -> dict[str, str]:
    """Why latents and codes are not compared, by what would be: in images, captions or text."""
    codebook, continuous = (reconstructed[f"{kind}, reconstructed"] for kind in ("codebook", "continuous"))
    share = codebook["perplexity"] / codebook["codes"]
    if share <= config.used:
        reason = f"Only {share:.0%} of the codebook is used, so that the twin is no rival."
        return {about: reason for about in (IMAGES, CAPTIONS, TEXT)}
    reasons = {
        about: withheld[arm][about]
        for arm in (LATENTS, CODES)
        for about in (IMAGES, CAPTIONS)
        if about in withheld[arm]
    }
    apart = abs(codebook["fd"] - continuous["fd"])
    gap = abs(found[LATENTS]["fd"] - found[CODES]["fd"])
    if IMAGES not in reasons and apart > config.explained * gap:
        reasons[IMAGES] = (
            f"The autoencoders' own Fréchet distances differ by {apart:.2f}, more than {config.explained:.0%} of the "
            f"{gap:.2f} between the rehearsed twins."
        )
    return reasons
