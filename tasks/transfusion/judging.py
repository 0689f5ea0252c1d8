"""The judge: a classifier trained on images that no generator sees, then frozen; and what it says of what is known."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, Optimisation, config
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.learning.train import train
from tasks.transfusion.autoencoders import decoded, encoded, load_autoencoder
from tasks.transfusion.images import Images, Split, read_images

if TYPE_CHECKING:
    from torch import Tensor

    from models.transfusion.judge import Judge

FILE = "judge.safetensors"


@config
class JudgeTraining:
    """The judge's training, on images moved, turned and scaled a little: `moved` is how much of a half side at most."""

    seed: Index = 0
    features: Count = 64
    moved: Fraction = 0.15
    optimisation: Optimisation


@measures(
    alignment="share of images of which the judge says what their caption says, 0 to 1",
    fd="Fréchet distance from the test images, in the judge's features",
    digest="first digits of the judge's SHA-256, as a number",
)
def train_judge(*, images: Path, config: JudgeTraining, out: Path) -> None:
    """Write `judge.safetensors`, and metrics.json about real images of every split and about noise.

    The Fréchet distance of real training images from real test images, equally many, is the floor beside all others.
    """
    import numpy as np
    import torch

    from models.transfusion.judge import Judge, JudgeSizes

    known = read_images(images)
    torch.manual_seed(config.seed)
    model = Judge(
        JudgeSizes(channels=known.pixels.shape[1], side=known.side, kinds=len(known.captions), features=config.features)
    )
    learned = known.of("judge")

    def batch(step: int) -> "tuple[Tensor, Tensor]":
        drawn = np.random.default_rng((config.seed, step))
        chosen = learned[drawn.integers(len(learned), size=config.optimisation.batch)]
        seen = known.scaled(chosen)
        # An affine map of the plane, near to the identity: turned by 0.2 radians or so, scaled and moved.
        map_ = np.eye(2, 3) + drawn.uniform(-config.moved, config.moved, size=(len(chosen), 2, 3))
        grid = torch.nn.functional.affine_grid(torch.from_numpy(map_).float(), list(seen.shape), align_corners=False)
        moved = torch.nn.functional.grid_sample(seen, grid, padding_mode="border", align_corners=False)
        return moved, torch.from_numpy(known.kind[chosen])

    def loss(trained: Any, drawn: "tuple[Tensor, Tensor]") -> "Tensor":
        pixels, kind = drawn
        return torch.nn.functional.cross_entropy(trained(pixels), kind)

    train(
        model,
        batch=batch,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=config.optimisation.batch,
        flops_per_step=0,
    )
    save_judge(model.cpu().eval(), out)
    rows = known_rows(load_judge(out), known)
    rows[0]["digest"] = int(sha256((out / FILE).read_bytes()).hexdigest()[:8], 16)
    write_json(out / "metrics.json", rows)
    spool.table("judge", rows)


def known_rows(judge: "Judge", images: Images) -> list[dict[str, Any]]:
    """What the judge says of real images and of noise, equally many of each as there are to compare with."""
    import torch

    test = images.of("test")
    shown = {
        f"real {split} images": (images.scaled(numbers), images.kind[numbers])
        for split in ("validation", "test", "train")
        for numbers in [images.of(split, len(test))]
    }
    noise = torch.randn(shown["real test images"][0].shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    shown["noise"] = (noise, images.kind[test])
    reference = Reference(judge, images, "test")
    rows = []
    for name, (pixels, kind) in shown.items():
        row: dict[str, Any] = {
            "arm": name,
            "shown": name,
            "alignment": float(reference.right(pixels, torch.from_numpy(kind)).mean()),
        }
        if name not in ("real test images", "real validation images"):
            row["fd"] = reference.distance(pixels)
        rows.append(row)
    return rows


class Reference:
    """Real images of a split in the judge's eyes, to which others are compared."""

    def __init__(self, judge: "Judge", images: Images, split: Any) -> None:
        from models.transfusion.judge import features_of, moments

        self.judge = judge
        self.moments = moments(features_of(judge, images.scaled(images.of(split))))

    def distance(self, pixels: "Tensor") -> float:
        """The Fréchet distance of these images, (n, channels, side, side) between -1 and 1."""
        from models.transfusion.judge import features_of, frechet_distance, moments

        return frechet_distance(moments(features_of(self.judge, pixels)), self.moments)

    def right(self, pixels: "Tensor", kind: "Tensor") -> "Tensor":
        """Whether the judge says the kind of each: 0 or 1."""
        import torch

        with torch.inference_mode():
            said = torch.cat([self.judge(part).argmax(-1) for part in torch.split(pixels, 512)])
        return (said == kind).float()


def save_judge(model: "Judge", out: Path) -> None:
    """Write it with its sizes as metadata."""
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / FILE, metadata={"sizes": json.dumps(asdict(model.sizes), sort_keys=True)})


def load_judge(folder: Path) -> "Judge":
    """The judge that was written to the folder, frozen."""
    from safetensors import safe_open

    from models.transfusion.judge import Judge, JudgeSizes

    with safe_open(folder / FILE, framework="pt") as file:
        model = Judge(JudgeSizes(**json.loads(file.metadata()["sizes"])))
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return model.eval().requires_grad_(False)


@config
class Reconstructing:
    """On which split: one of the reasons not to compare the twins hangs on it, so it is not that of the test."""

    split: Split = "validation"


@measures(
    fd="Fréchet distance from the real images of the split, in the judge's features",
    perplexity="codes that would be used if all were used alike: 2 to the entropy of their use on the split",
    error="mean squared error of a pixel of the split's images, which go from -1 to 1",
)
def judge_autoencoders(
    *, images: Path, judge: Path, autoencoders: dict[str, Path], config: Reconstructing, out: Path
) -> None:
    """What each autoencoder makes of held-out images: how near to them, and how many codes it uses."""
    import torch

    known = read_images(images)
    numbers = known.of(config.split)
    reference = Reference(load_judge(judge), known, config.split)
    rows = []
    for folder in autoencoders.values():
        model = load_autoencoder(folder)
        latents, codes = encoded(model, known, numbers)
        made = decoded(model, latents)
        row: dict[str, Any] = {
            "arm": (name := "codebook, reconstructed" if model.sizes.codes else "continuous, reconstructed"),
            "shown": name,
            "fd": reference.distance(made),
            "error": float(((made - known.scaled(numbers)) ** 2).mean()),
        }
        if model.sizes.codes:
            share = torch.bincount(codes.flatten(), minlength=model.sizes.codes).double() / codes.numel()
            row["codes"] = model.sizes.codes
            row["perplexity"] = float(2 ** -(share * share.clamp(min=1e-12).log2()).sum())
        rows.append(row)
    write_json(out / "metrics.json", rows)
    spool.table("autoencoders", rows)
