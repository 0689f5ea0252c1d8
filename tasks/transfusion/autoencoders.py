"""The two autoencoders, alike but for the bottleneck: one for Transfusion, one for its discrete twin."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, NotNegative, Optimisation, Positive, config
from tasks.learning.train import train
from tasks.transfusion.images import Images, read_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.transfusion.autoencoder import Autoencoder

FILE = "autoencoder.safetensors"
CONTINUOUS, CODEBOOK = "continuous", "codebook"
AT_ONCE = 256
"""Images that are encoded or decoded together."""
LEAST_USED = 0.2
"""A code is used too little below this share of what it would be used if all were alike."""


@config
class AutoencoderTraining:
    """An autoencoder's training; both kinds are trained alike, and equally long.

    The one of `kind` "continuous" has a KL term that weighs `kl`. The one of `kind` "codebook" has `codes`, which are
    taken from what the encoder makes after the share `before` of the steps (and so have no say until then); every
    `revived` steps those hardly used are taken anew, up to the last third. Generators read latents whose channels have
    this `spread`.
    """

    seed: Index = 0
    kind: str = CONTINUOUS
    codes: Count = 256
    latent: Count = 4
    halvings: Count = 1
    inner: Count = 48
    kl: NotNegative = 1e-3
    spread: Positive = 1.0
    before: Fraction = 0.2
    revived: Count = 50
    optimisation: Optimisation

    def __post_init__(self) -> None:
        if self.kind not in (CONTINUOUS, CODEBOOK):
            raise ValueError(f"{self.kind} is neither {CONTINUOUS} nor {CODEBOOK}")


def train_autoencoder(*, images: Path, config: AutoencoderTraining, out: Path) -> None:
    """Train on the generators' own training images, and write `autoencoder.safetensors`, sizes as metadata."""
    learn(read_images(images), config, out)


def learn(images: Images, config: AutoencoderTraining, out: Path) -> None:
    """Train an autoencoder on the training images of these."""
    import numpy as np
    import torch

    from models.transfusion.autoencoder import Autoencoder, AutoencoderSizes, reconstruction_loss

    torch.manual_seed(config.seed)
    sizes = AutoencoderSizes(
        channels=images.pixels.shape[1],
        side=images.side,
        halvings=config.halvings,
        inner=config.inner,
        latent=config.latent,
        codes=config.codes if config.kind == CODEBOOK else 0,
        kl=config.kl,
    )
    model = Autoencoder(sizes)
    learned = images.of("train")
    steps = config.optimisation.steps
    begins, settled = round(steps * config.before), round(steps * 2 / 3)

    def batch(step: int) -> "tuple[Tensor, Tensor, int]":
        drawn = np.random.default_rng((config.seed, step))
        chosen = learned[drawn.integers(len(learned), size=config.optimisation.batch)]
        shape = (len(chosen), sizes.latent, sizes.latent_side, sizes.latent_side)
        noise = torch.from_numpy(drawn.standard_normal(shape, np.float32))
        return images.scaled(chosen), noise, step

    def loss(trained: Any, drawn: "tuple[Tensor, Tensor, int]") -> "Tensor":
        pixels, noise, step = drawn
        quantise = bool(sizes.codes) and step >= begins
        if quantise and step < settled and (step - begins) % config.revived == 0:
            _revive(
                model, images.scaled(learned[: 64 * config.optimisation.batch : 16]).to(pixels.device), config, step
            )
        coded = trained.encode(pixels, None if sizes.codes else noise, quantise)
        if quantise:
            model.used *= 0.95
            model.used += 0.05 * torch.bincount(coded.codes.flatten(), minlength=sizes.codes).to(model.used)
        made: Tensor = reconstruction_loss(trained.decode(coded.latents), pixels) + coded.loss
        return made

    train(
        model,
        batch=batch,
        loss=loss,
        config=config.optimisation,
        tokens_per_step=config.optimisation.batch * sizes.latent_side**2,
        flops_per_step=0,
    )
    model.cpu().eval()
    with torch.no_grad():
        model.measure(torch.cat([model.encode(some).latents for some in _split(images, learned)]), config.spread)
    save_autoencoder(model, out)


def _revive(model: "Autoencoder", pixels: "Tensor", config: AutoencoderTraining, step: int) -> None:
    """Codes hardly used become what the encoder makes of training images; at first all of them do."""
    import torch

    with torch.no_grad():
        vectors = model.encode(pixels, quantise=False).latents.transpose(0, 1).flatten(1).T
    least = LEAST_USED * float(model.used.sum()) / len(model.used) if float(model.used.sum()) else 1.0
    model.revive(vectors, least, torch.Generator().manual_seed(1_000_003 * config.seed + step))


def save_autoencoder(model: "Autoencoder", out: Path) -> None:
    """Write it with its sizes as metadata."""
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / FILE, metadata={"sizes": json.dumps(asdict(model.sizes), sort_keys=True)})


def load_autoencoder(folder: Path) -> "Autoencoder":
    """The autoencoder that was written to the folder, ready to use."""
    from safetensors import safe_open

    from models.transfusion.autoencoder import Autoencoder, AutoencoderSizes

    with safe_open(folder / FILE, framework="pt") as file:
        model = Autoencoder(AutoencoderSizes(**json.loads(file.metadata()["sizes"])))
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return model.eval().requires_grad_(False)


def encoded(model: "Autoencoder", images: Images, numbers: "NDArray[np.int64]") -> "tuple[Tensor, Tensor]":
    """Latents (n, latent, side, side) as generators read them, and codes (n, places), of these images."""
    import torch

    with torch.no_grad():
        parts = [model.encode(some) for some in _split(images, numbers)]
    return model.standard(torch.cat([part.latents for part in parts])), torch.cat([part.codes for part in parts])


def _split(images: Images, numbers: "NDArray[np.int64]") -> "Iterator[Tensor]":
    """These images, some at a time."""
    import numpy as np

    return (images.scaled(some) for some in np.array_split(numbers, -(-len(numbers) // AT_ONCE)))


def decoded(model: "Autoencoder", latents: "Tensor") -> "Tensor":
    """Images of latents as generators write them, between -1 and 1."""
    import torch

    with torch.inference_mode():
        return torch.cat([model.decode(model.own(part)) for part in torch.split(latents, AT_ONCE)]).clamp(-1, 1)


def of_codes(model: "Autoencoder", codes: "Tensor") -> "Tensor":
    """The latents, as generators read them, that codes (n, places) stand for."""
    import torch

    with torch.inference_mode():
        return model.standard(model.of_codes(codes))
