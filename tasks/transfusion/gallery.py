"""A page of generated images by arm, prompt and guidance, failures included, and how one comes out of noise."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from models.transfusion.settings import Sampling
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.transfusion.arms import ARMS
from tasks.transfusion.generators import arm_of, load_generator
from tasks.transfusion.images import read_images
from tasks.transfusion.judging import load_judge
from tasks.transfusion.texts import read_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.transfusion.model import Transfusion
    from models.transfusion.noising import Noising

STRIP = 8
"""States of a film strip."""
TIMES_LARGER = 5
"""How much larger than its pixels an image is shown."""


@config
class Gallery:
    """So many images a prompt and arm are shown, for each guidance; `shown` prompts, the first kinds' captions."""

    seed: Index = 0
    each: Count = 3
    shown: Count = 10
    guidance: tuple[float, ...] = (1.0, 3.0, 5.0)
    sampling: Sampling = Sampling()


@measures(shown_right="share of a page's images of which the judge says what their prompt says, 0 to 1")
def draw_gallery(
    *, images: Path, texts: Path, judge: Path, generators: dict[str, Path], config: Gallery, out: Path
) -> None:
    """Write gallery.html: the first images of each arm that reads pixels, not the best; strip.png and metrics.json."""
    from jinja2 import Environment, FileSystemLoader

    from models.transfusion.noising import noising

    known, tokenizer, critic = read_images(images), read_tokenizer(texts), load_judge(judge)
    asked = [captions[0] for captions in known.captions[: config.shown]]
    prompts = [tokenizer.encode(caption).ids for caption in asked]
    sections: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    strip = None
    for folder in generators.values():
        name = arm_of(folder)
        if ARMS[name].reads != "pixels":
            continue
        model, process = load_generator(folder)
        way = noising(process)
        for guidance in config.guidance:
            made = _made(model, way, prompts, guidance, config)
            said = critic(made.flatten(0, 1)).argmax(-1).unflatten(0, made.shape[:2])
            cells: list[dict[str, Any]] = [
                {
                    "prompt": caption,
                    "images": [
                        {"png": inline(pixels(image)), "right": int(found) == kind}
                        for image, found in zip(made[kind], said[kind].tolist(), strict=True)
                    ],
                }
                for kind, caption in enumerate(asked)
            ]
            wrong = sum(not each["right"] for cell in cells for each in cell["images"])
            sections.append({"arm": name, "guidance": guidance, "cells": cells, "wrong": wrong})
            right = 1 - wrong / said.numel()
            rows.append({"arm": name, "seed": config.seed, "at": f"guidance {guidance:g}", "shown_right": right})
        if strip is None:
            strip = film(model, way, prompts[3 % len(prompts)], config.sampling, config.seed)
    if strip is None:
        raise UserError("No generator here reads pixels, so there is nothing to show.")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("gallery.html.jinja").render(
        sections=sections, strip=inline(strip), prompt=asked[3 % len(asked)], each=config.each
    )
    (out / "gallery.html").write_text(page, encoding="utf-8")
    (out / "strip.png").write_bytes(png(strip))
    write_json(out / "metrics.json", rows)
    spool.artifact(out / "gallery.html")
    spool.artifact(out / "strip.png")


def _made(model: "Transfusion", way: "Noising", prompts: list[list[int]], guidance: float, config: Gallery) -> "Tensor":
    """(prompts, each, channels, side, side); every guidance begins with the same noise."""
    import torch

    from models.transfusion.generation import imagine

    sizes = model.sizes
    generator = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(len(prompts) * config.each, sizes.channels, sizes.side, sizes.side, generator=generator)
    settings = {name: getattr(config.sampling, name) for name in ("steps", "fresh", "bound")}
    asked = [prompt for prompt in prompts for _ in range(config.each)]
    made = imagine(model, way, asked, Sampling(guidance=guidance, **settings), noise, generator)
    return made.view(len(prompts), config.each, *made.shape[1:])


def film(model: "Transfusion", way: "Noising", prompt: list[int], sampling: Sampling, seed: int) -> "NDArray[np.uint8]":
    """One image from noise to its end, in some states side by side: (height, width, 1 or 3)."""
    import numpy as np
    import torch

    from models.transfusion.generation import imagine

    states: list[Any] = []
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, model.sizes.channels, model.sizes.side, model.sizes.side, generator=generator)
    imagine(model, way, [prompt], sampling, noise, generator, lambda _, x, __: states.append(pixels(x[0])))
    chosen = np.linspace(0, len(states) - 1, min(STRIP, len(states))).round().astype(int)
    gap = np.full((states[0].shape[0], 1, states[0].shape[2]), 255, np.uint8)
    parts = [part for place in chosen for part in (states[place], gap)]
    return np.concatenate(parts[:-1], 1)


def pixels(image: "Tensor") -> "NDArray[np.uint8]":
    """(channels, side, side) between -1 and 1 to (side, side, channels), uint8."""
    import numpy as np

    values = ((image.clamp(-1, 1) + 1) * 127.5).round().numpy()
    made: NDArray[np.uint8] = values.astype(np.uint8).transpose(1, 2, 0)
    return made


def png(image: "NDArray[np.uint8]", larger: int = TIMES_LARGER) -> bytes:
    """(height, width, 1 or 3) as a PNG, each pixel so many times as large."""
    from PIL import Image

    shown = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    file = io.BytesIO()
    shown.resize((shown.width * larger, shown.height * larger), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def inline(image: "NDArray[np.uint8]") -> str:
    """A picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


def contact_sheet(images: "Tensor", columns: int) -> "NDArray[np.uint8]":
    """Images (n, channels, side, side) side by side, with a white line between: (height, width, channels)."""
    import numpy as np

    shown = [pixels(image) for image in images]
    side, channels = shown[0].shape[0], shown[0].shape[2]
    rows = -(-len(shown) // columns)
    sheet = np.full((rows * (side + 1) - 1, min(columns, len(shown)) * (side + 1) - 1, channels), 255, np.uint8)
    for number, image in enumerate(shown):
        top, left = number // columns * (side + 1), number % columns * (side + 1)
        sheet[top : top + side, left : left + side] = image
    return sheet
