"""The frozen encoder: EfficientNet-lite0's feature maps as a grid of tokens, and the palette of the drawing.

Flat drawings are not photographs: their skin tone is one exact colour on a small part of the picture, and the mean of a
deep feature map does not tell it. So a picture becomes tokens of several layers at each place, which keep small things
where they are, and a histogram of its colours for each part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, config
from tasks.altogether.arrays import read_pictures
from tasks.base import spool
from tasks.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from models.efficientnet import EfficientNetLite0

LEVELS = 5
"""Steps of each colour channel in the palette, which has the cube of it as bins."""


@config
class Conversion:
    """Nothing to choose: the released weights, folded."""


@config
class Encoding:
    """Which feature maps become tokens (0 to 7, from the picture on), at how many places, with which palette.

    There are `grid` × `grid` tokens, and a palette for each of `parts` × `parts` parts of the picture.
    """

    maps: tuple[int, ...] = (2, 3, 4)
    grid: Count = 8
    parts: Count = 2
    batch: Count = 32

    def __post_init__(self) -> None:
        if not self.maps or not set(self.maps) <= set(range(8)):
            raise ValueError(f"maps {self.maps} must name some of the feature maps 0 to 7")


@dataclass(frozen=True)
class Features:
    """What the encoder sees of n pictures: tokens (n, grid², channels), palette (n, parts² · LEVELS³), float16."""

    tokens: "Tensor"
    palette: "Tensor"


def convert(*, weights: Path, config: Conversion, out: Path) -> None:
    """Write `encoder.safetensors`: the released weights with each normalisation folded into its convolution.

    The release is a pickle, which is opened for tensors alone. Raises UserError where it is not EfficientNet-lite0.
    """
    import torch
    from safetensors.torch import save_file

    from models.efficientnet import EfficientNetLite0, folded

    found = sorted(weights.glob("*.pth"))
    if len(found) != 1:
        raise UserError(f"There are {len(found)} files *.pth in {weights.name} instead of one: fetch the source again.")
    try:
        released = torch.load(found[0], map_location="cpu", weights_only=True)
        state = {name: tensor.contiguous() for name, tensor in folded(released).items()}
        EfficientNetLite0().load_state_dict(state)
    except Exception as error:  # whatever a damaged or foreign file makes torch say
        raise UserError(f"{found[0].name} does not hold the weights of EfficientNet-lite0 ({error}).") from None
    save_file(state, out / "encoder.safetensors")


def encode(*, pictures: dict[str, Path], encoder: Path, config: Encoding, out: Path) -> None:
    """Write `features.safetensors` (tokens and palette), and `index.parquet` with the img_path of each row."""
    import pyarrow
    import pyarrow.parquet
    from safetensors.torch import save_file

    model = load_encoder(encoder)
    parts: list[Features] = []
    index: list[dict[str, Any]] = []
    for _, folder in sorted(pictures.items()):
        pixels, rows = read_pictures(folder)
        if rows:
            parts.append(encoded(pixels, model, config))
            index += [{"img_path": row["img_path"], "style": row["style"]} for row in rows]
    tokens, colours = _joined(parts)
    save_file({"tokens": tokens, "palette": colours}, out / "features.safetensors")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(index), out / "index.parquet")
    shape = "×".join(map(str, tokens.shape[1:]))
    spool.note(f"Encoded {len(index)} pictures, each as {shape} tokens and {colours.shape[1]} colour bins.")


def _joined(parts: Sequence[Features]) -> tuple["Tensor", "Tensor"]:
    import torch

    return torch.cat([part.tokens for part in parts]), torch.cat([part.palette for part in parts])


def load_encoder(folder: Path) -> "EfficientNetLite0":
    """The encoder from `encoder.safetensors`, frozen."""
    from safetensors.torch import load_file

    from models.efficientnet import EfficientNetLite0

    model = EfficientNetLite0()
    model.load_state_dict(load_file(folder / "encoder.safetensors"))
    return model.eval().requires_grad_(False)


def encoded(pixels: Any, model: "EfficientNetLite0", config: Encoding) -> Features:
    """The features of uint8 pictures (n, size, size, 3), an array or tensor, on the model's device."""
    import torch

    device = next(model.parameters()).device
    tokens, palettes = [], []
    with torch.inference_mode():
        for start in range(0, len(pixels), config.batch):
            batch = torch.as_tensor(pixels[start : start + config.batch]).to(device).permute(0, 3, 1, 2)
            tokens.append(grid_tokens(batch, model(batch), config).half().cpu())
            palettes.append(palette(batch, config.parts).half().cpu())
    return Features(torch.cat(tokens), torch.cat(palettes))


def grid_tokens(pictures: "Tensor", maps: "Sequence[Tensor]", config: Encoding) -> "Tensor":
    """Tokens (n, grid², channels): the chosen maps and the mean colour at each place.

    A finer map is pooled to its maximum and its mean at the place, so that a small thing is not averaged away.
    """
    import torch
    from torch.nn import functional

    parts = [functional.adaptive_avg_pool2d(pictures.float() / 255, config.grid)]
    for number in config.maps:
        found = maps[number]
        if found.shape[-1] > config.grid:
            parts.append(functional.adaptive_max_pool2d(found, config.grid))
        if found.shape[-1] >= config.grid:
            parts.append(functional.adaptive_avg_pool2d(found, config.grid))
        else:
            parts.append(functional.interpolate(found, size=(config.grid, config.grid)))
    return torch.cat(parts, 1).flatten(2).transpose(1, 2)


def palette(pictures: "Tensor", parts: int) -> "Tensor":
    """Root of the share of each colour bin in each part of the picture, (n, parts² · LEVELS³).

    A colour between two steps counts for both by its distance, so that a small change of tone is a small change here.
    """
    import torch
    from torch.nn import functional

    steps = torch.arange(LEVELS, device=pictures.device)[None, :, None, None]
    scaled = pictures.float() * ((LEVELS - 1) / 255)
    weights = [(1 - (scaled[:, channel : channel + 1] - steps).abs()).clamp(min=0) for channel in range(3)]
    bins = torch.einsum("nahw,nbhw,nchw->nabchw", *weights).flatten(1, 3)
    return functional.adaptive_avg_pool2d(bins, parts).sqrt().flatten(1)


def read_features(folder: Path) -> tuple[Features, list[dict[str, Any]]]:
    """The features that `encode` wrote, and the rows of their index."""
    import pyarrow.parquet
    from safetensors.torch import load_file

    stored = load_file(folder / "features.safetensors")
    rows = pyarrow.parquet.read_table(folder / "index.parquet").to_pylist()
    return Features(stored["tokens"], stored["palette"]), rows
