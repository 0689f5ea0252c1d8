"""What a generator does with what it has not seen: images of prompts, captions of images, text, and noise foretold."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.config import Count, Index, config
from models.transfusion.settings import TIMES, Sampling
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.learning.train import keep_freed_memory
from tasks.transfusion.arms import ARMS, Arm
from tasks.transfusion.autoencoders import decoded, load_autoencoder, of_codes
from tasks.transfusion.generators import load_generator
from tasks.transfusion.images import Images, read_images
from tasks.transfusion.judging import Reference, load_judge
from tasks.transfusion.lessons import as_read, autoencoder_of
from tasks.transfusion.passed import CAPTIONS, IMAGES, read_passed
from tasks.transfusion.texts import read_tokenizer, read_tokens

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from models.transfusion.model import Transfusion

Row = dict[str, Any]

MOMENTS = (100, 300, 500, 700, 900)
"""Times at which noise is foretold."""
REGIONS = ("all", "first row", "last row", "last patch")
"""Of an image's patches, as they are read; the first row and the last mirror each other."""
PATCH = 2
"""The side of a patch in the main arms; errors are told by these places in every arm."""
LONGEST = 12
"""Ids of a caption that is written."""


@config
class Evaluation:
    """What is measured, on which split: the most `captioned` images, `denoised` images and `documents`, 0 for all.

    How images are sampled is chosen before any test image is looked at (`choosing.py`).
    """

    seed: Index = 0
    arm: str = "linear"
    budget: float = 1.0
    split: Literal["validation", "test"] = "test"
    captioned: Index = 0
    denoised: Index = 200
    documents: Index = 0
    batch: Count = 250


SETTINGS = {"values": ("steps", "guidance", "fresh", "bound"), "codes": ("guidance", "temperature", "top_k")}
"""What of the sampling means something to them."""
SPENT = {
    "flops": "operations of the training, 6 a parameter and position",
    "bits_per_byte": "bits a byte of held-out text",
}
DRAWN = {
    "fd": "Fréchet distance of generated images from the test images, equally many, in the judge's features",
    "log_fd": "natural logarithm of fd",
    "alignment": "share of generated images of which the judge says what the prompt says, 0 to 1",
    "caption_right": "captions written freely after a clean image that name its digit, 0 to 1",
}
DENOISED = {
    "log_mse": "natural logarithm of an image's mean squared error of the foretold noise, over times",
    "first_over_last": "log_mse of an image's first row of patches less that of its last row",
    "mse": "mean squared error of the foretold noise",
}


@measures(**SPENT, **DRAWN, **DENOISED)
def evaluate(
    *, images: Path, texts: Path, judge: Path, generator: Path, chosen: Path, gate: Path, config: Evaluation, out: Path
) -> None:
    """Write metrics.json (with the sampling's settings in every row of a distance), examples.parquet and images.

    A prompt is asked for each test image, with its digit, so that kinds are as frequent as among them. Rows of what the
    gate withholds say so. `made.safetensors` has the generated images, uint8, and `asked` their kinds.
    """
    _measure(images, texts, judge, generator, {}, chosen, gate, config, out)


@measures(**SPENT, **DRAWN)
def evaluate_twin(
    *,
    images: Path,
    texts: Path,
    judge: Path,
    generator: Path,
    autoencoders: dict[str, Path],
    chosen: Path,
    gate: Path,
    config: Evaluation,
    out: Path,
) -> None:
    """The same for an arm that reads an autoencoder's latents or codes."""
    _measure(images, texts, judge, generator, autoencoders, chosen, gate, config, out)


@measures(**SPENT)
def evaluate_text(*, texts: Path, generator: Path, config: Evaluation, out: Path) -> None:
    """The same for an arm that reads text alone."""
    labels = labels_of(config.arm, config.seed, config.budget)
    model, _ = load_generator(generator)
    examples = [{**labels, **row} for row in read_texts(model.to(where()), texts, config)]
    metrics = [{**labels, "flops": flops_of(generator)}, *means(examples, labels)]
    write_examples(examples, out)
    write_json(out / "metrics.json", metrics)
    spool.table("evaluation", metrics)


def labels_of(arm: str, seed: int, budget: float) -> Row:
    """What every row says of the generator."""
    share = f"{budget:g} × the steps"
    return {
        "arm": arm,
        "seed": seed,
        "budget": budget,
        "share": share,
        "shown": arm if budget == 1 else f"{arm}, {share}",
    }


def flops_of(generator: Path) -> float:
    """Operations of its training."""
    return float(json.loads((generator / "training.json").read_text())["flops"])


def _measure(
    images: Path,
    texts: Path,
    judge: Path,
    generator: Path,
    autoencoders: dict[str, Path],
    chosen: Path,
    gate: Path,
    config: Evaluation,
    out: Path,
) -> None:
    known = read_images(images)
    arm = ARMS[config.arm]
    passed = read_passed(gate)
    # What captions of other images teach is a control, and stands however much the arms themselves have learned.
    unsure = {about: {} if arm.shuffled else passed.because(arm.family, about) for about in (IMAGES, CAPTIONS)}
    labels = labels_of(config.arm, config.seed, config.budget)
    model, _ = load_generator(generator)
    model.to(where())
    sampling = Sampling(**json.loads((chosen / "sampling.json").read_text())["chosen"][arm.reads])
    asked = Asked(known, texts, config, autoencoders)
    made = asked.imagined(model, sampling)
    reference = Reference(load_judge(judge), known, config.split)
    distance = reference.distance(made)
    metrics: list[Row] = [
        {**labels, "flops": flops_of(generator)},
        {**labels, "alignment": float(reference.right(made, asked.kind).mean()), "images": len(made)},
        {
            **labels,
            **unsure[IMAGES],
            "fd": distance,
            "log_fd": math.log(distance),
            "images": len(made),
            **{
                name: value
                for name, value in asdict(sampling).items()
                if name in SETTINGS["codes" if arm.reads == "codes" else "values"]
            },
        },
    ]
    _write_made(made, asked.kind, out)
    examples = [{**labels, **row} for row in read_texts(model, texts, config)]
    examples += [{**labels, **unsure[CAPTIONS], **row} for row in asked.captioned(model)]
    if arm.reads == "pixels":
        found, means_of = asked.denoised(model)
        examples += [{**labels, **row} for row in found]
        metrics += [{**labels, **row} for row in means_of]
    metrics += means(examples, labels)
    write_examples(examples, out)
    write_json(out / "metrics.json", metrics)
    spool.table("evaluation", [row for row in metrics if "mse" not in row])


def read_texts(model: "Transfusion", texts: Path, config: Evaluation) -> list[Row]:
    """Bits a byte of each held-out document, with its bytes as the weight."""
    import torch

    tokens = read_tokens(texts)
    lengths = torch.from_numpy(tokens["token_bytes"].astype("int64"))
    stream = tokens[config.split].astype("int64")
    starts = [*tokens[f"{config.split}.starts"].tolist(), len(stream)]
    context = model.sizes.transformer.context
    rows = []
    for number in range(len(starts) - 1)[: config.documents or None]:
        ids = torch.from_numpy(stream[starts[number] : starts[number + 1]])
        size = int(lengths[ids].sum())
        rows.append({"document": number, "bytes": size, "bits_per_byte": _bits(model, ids, context) / size})
    return rows


def _bits(model: "Transfusion", ids: "Tensor", context: int) -> float:
    """Bits of a document's ids after its END, in windows of the training's length that overlap by half.

    Marks that cannot stand in text are no competitors: a model that foretells images, too, loses nothing by them.
    """
    import torch

    from models.transfusion.rows import NOTHING, Rows

    window = min(WINDOW, context)
    places = []
    begin = 0
    while begin < len(ids) - 1:
        seen = begin - window // 2 if begin else 0
        end = min(seen + window, len(ids) - 1)
        places.append((seen, begin, end))
        begin = end
    longest = max(end - seen for seen, _, end in places)
    inputs = torch.zeros(len(places), longest, dtype=torch.long)
    for row, (seen, _, end) in enumerate(places):
        inputs[row, : end - seen] = ids[seen:end]
    nowhere = torch.full_like(inputs, NOTHING)
    sizes, device = model.sizes, model.trunk.embedding.weight.device
    none = torch.zeros(0, sizes.channels, sizes.side, sizes.side)
    with torch.inference_mode():
        rows = Rows(*(each.to(device) for each in (inputs, nowhere, nowhere, nowhere[:, 0])))
        read = model(rows, none.to(device), inputs[:0, 0].to(device))
        logs = model.logits(read.hidden)[..., : sizes.text].double().log_softmax(-1).cpu()
    total = 0.0
    for row, (seen, begin, end) in enumerate(places):
        following = ids[begin + 1 : end + 1]
        total -= float(logs[row, torch.arange(begin - seen, end - seen), following].sum())
    return total / math.log(2)


WINDOW = 24
"""Ids that are read at once: as many as in training."""


class Asked:
    """The images of the split and a prompt for each."""

    def __init__(self, images: Images, texts: Path, config: Evaluation, autoencoders: dict[str, Path]) -> None:
        import torch

        self.images, self.config, self.autoencoders = images, config, autoencoders
        self.arm: Arm = ARMS[config.arm]
        self.tokenizer = read_tokenizer(texts)
        self.numbers = images.of(config.split)
        self.kind = torch.from_numpy(images.kind[self.numbers])
        self.shown = as_read(images, self.arm, autoencoders)

    def prompts(self, numbers: "np.ndarray[Any, Any]") -> list[list[int]]:
        """A caption of each of these images: its kind's captions in turn."""
        kinds = self.images.kind[numbers].tolist()
        said = [
            self.images.captions[kind][number % len(self.images.captions[kind])] for number, kind in enumerate(kinds)
        ]
        return [self.tokenizer.encode(caption).ids for caption in said]

    def imagined(self, model: "Transfusion", sampling: Sampling) -> "Tensor":
        """An image for each prompt, between -1 and 1; the noise that they begin with is the same in all arms."""
        import torch

        from models.transfusion.generation import imagine, imagine_codes
        from models.transfusion.noising import noising

        keep_freed_memory()
        prompts = self.prompts(self.numbers)
        generator = torch.Generator().manual_seed(self.config.seed)
        device = model.trunk.embedding.weight.device
        parts = []
        for start in range(0, len(prompts), self.config.batch):
            some = prompts[start : start + self.config.batch]
            if self.shown.count:
                parts.append(imagine_codes(model, some, self.shown.codes.shape[1], sampling, generator))
            else:
                noise = torch.randn(len(some), *self.shown.values.shape[1:], generator=generator)
                parts.append(imagine(model, noising(self.arm.process), some, sampling, noise.to(device), generator))
        made = torch.cat(parts).cpu()
        if self.arm.reads == "pixels":
            return made.clamp(-1, 1)
        autoencoder = load_autoencoder(autoencoder_of(self.arm, self.autoencoders))
        return decoded(autoencoder, of_codes(autoencoder, made) if self.shown.count else made)

    def captioned(self, model: "Transfusion") -> list[Row]:
        """Whether a caption written freely after a clean image is one of its own."""
        import torch

        from models.transfusion.generation import describe, describe_codes

        numbers = self.numbers[: self.config.captioned or None]
        device = model.trunk.embedding.weight.device
        said: list[list[int]] = []
        for start in range(0, len(numbers), self.config.batch):
            some = numbers[start : start + self.config.batch]
            if self.shown.count:
                said += describe_codes(model, self.shown.codes[torch.from_numpy(some)].to(device), LONGEST)
            else:
                said += describe(model, self.shown.values[torch.from_numpy(some)].to(device), LONGEST)
        rows = []
        for number, ids in zip(numbers.tolist(), said, strict=True):
            # A caption that does not end is none; one that begins an image is none either.
            caption = self.tokenizer.decode(ids[:-1]) if ids and ids[-1] == 0 else ""
            right = caption in self.images.captions[int(self.images.kind[number])]
            rows.append({"image": number, "caption_right": float(right)})
        return rows

    def denoised(self, model: "Transfusion") -> tuple[list[Row], list[Row]]:
        """How far foretold noise is off, by image and region, and by time; the noise is the same in all arms."""
        import torch

        from models.transfusion.generation import foretell
        from models.transfusion.noising import noising

        numbers = self.numbers[: self.config.denoised or None]
        values = self.shown.values[torch.from_numpy(numbers)]
        prompts = self.prompts(numbers)
        way = noising(self.arm.process)
        generator = torch.Generator().manual_seed(TIMES)
        device = model.trunk.embedding.weight.device
        errors = []
        for moment in MOMENTS:
            noise = torch.randn(values.shape, generator=generator)
            noised = way.mixed(values, noise, torch.full((len(values),), moment))
            off = (foretell(model, prompts, noised.to(device), moment).cpu() - way.target(values, noise)) ** 2
            if self.arm.process == "flow":
                # The noise is x + (1 − t/T) · velocity, so it is off by that share of what the velocity is off by.
                off = off * (1 - moment / TIMES) ** 2
            errors.append(torch.nn.functional.avg_pool2d(off.mean(1, keepdim=True), PATCH).flatten(1))
        by_time = torch.stack(errors, 1)
        mean = by_time.mean(1)
        places = mean.shape[1]
        row = values.shape[-1] // PATCH
        begins = {"all": 0, "first row": 0, "last row": places - row, "last patch": places - 1}
        rows = []
        for at, number in enumerate(numbers.tolist()):
            logs = {
                name: math.log(float(mean[at, begins[name] : row if name == "first row" else places].mean()))
                for name in REGIONS
            }
            rows += [{"image": number, "region": name, "log_mse": log} for name, log in logs.items()]
            rows.append({"image": number, "first_over_last": logs["first row"] - logs["last row"]})
        means_of = [
            {"moment": f"t = {moment}", "mse": float(by_time[:, at].mean())} for at, moment in enumerate(MOMENTS)
        ]
        means_of += [{"place": f"{place + 1:03d}", "mse": float(mean[:, place].mean())} for place in range(places)]
        return rows, means_of


def where() -> "torch.device":
    """Where a generator is measured: on the accelerator, if there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def means(examples: Sequence[Row], labels: Row) -> list[Row]:
    """The mean of each quantity over its examples, documents by their bytes, log errors by region.

    A mean of examples that are withheld is withheld.
    """
    rows: list[Row] = []
    documents = [row for row in examples if "bits_per_byte" in row]
    total = sum(row["bytes"] for row in documents)
    bits = sum(row["bits_per_byte"] * row["bytes"] for row in documents)
    rows.append({**labels, "bits_per_byte": bits / total})
    for quantity in ("caption_right", "first_over_last"):
        found = [row for row in examples if quantity in row]
        if found:
            unsure = next(({"unavailable": row["unavailable"]} for row in found if "unavailable" in row), {})
            rows.append(
                {**labels, **unsure, quantity: sum(row[quantity] for row in found) / len(found), "of": len(found)}
            )
    for region in REGIONS:
        logs = [row["log_mse"] for row in examples if row.get("region") == region]
        if logs:
            rows.append({**labels, "region": region, "log_mse": sum(logs) / len(logs)})
    return rows


def write_examples(rows: Sequence[Row], out: Path) -> None:
    """examples.parquet."""
    import pyarrow
    import pyarrow.parquet

    names = sorted({name for row in rows for name in row})
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    pyarrow.parquet.write_table(table, out / "examples.parquet")


def _write_made(made: "Tensor", kind: "Tensor", out: Path) -> None:
    """The generated images as bytes, for the gallery."""
    import torch
    from safetensors.torch import save_file

    save_file(
        {"made": ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8), "asked": kind}, out / "made.safetensors"
    )
