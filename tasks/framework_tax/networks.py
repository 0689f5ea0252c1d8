"""The networks that are timed: the paper's templates, small networks of real families, real ones, and a user's own.

A network is named `KIND-WIDTH-LAYERS` (one of the paper's templates, such as `ffn-64-4`), `KIND-WIDTH-LAYERS-TOKENS`
where its texts have another length, or by a name of FAMILIES.
Weights are drawn from a seed; only those of TRAINED were trained.
"""

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    import numpy
    from torch import Tensor, nn

TOKENS = 16
"""The paper's default length of a text."""
PIXELS = 64
"""A picture's side, a bit more than a quarter of the paper's 224."""
SAMPLES = 4000
"""Of speech, an eighth of the paper's 2 s at 16 kHz."""

FAMILIES = (
    "bert-tiny",
    "bert-mini",
    "distilbert-like",
    "squeezebert-like",
    "gpt2-like",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "wav2vec2-like",
    "efficientnet-lite0",
    "minilm",
    "smollm2",
)
TRAINED = ("efficientnet-lite0", "minilm", "smollm2")
"""Read from a folder, which has to be given."""


WIDTHS = {
    "encoder": (16, 32, 64, 128, 256, 512),
    "attention": (16, 64, 256),
    "ffn": (1, 16, 64, 256, 1024),
    "conv": (1, 16, 64, 256),
    "norm": (1, 16, 64, 256, 1024, 4096),
}
"""The widths of the templates, each of four layers."""

LENGTHS = (4, 64, 256)
"""Tokens of a text, besides the default."""

DEEP, WIDE = "ffn-64-16", "ffn-256-1"
"""Two networks of 16 × 64² = 1 × 256² products."""

GROUPS = {
    "few": "encoder-64-4 conv-32-4",
    "widths": " ".join(f"{kind}-{width}-4" for kind, widths in WIDTHS.items() for width in widths),
    "depths": f"{DEEP} {WIDE}",
    "lengths": " ".join(f"encoder-64-4-{tokens}" for tokens in LENGTHS),
}
GROUPS["templates"] = f"{GROUPS['widths']} {GROUPS['depths']} {GROUPS['lengths']}"
"""Networks that are built or timed together, by the name of a group."""


def names_of(text: str) -> list[str]:
    """Names of networks and groups, apart by spaces, as names of networks."""
    found = (name for one in text.split() for name in GROUPS.get(one, one).split())
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Wanted:
    """Which network, by name, and where its weights or its code are.

    `kind` is "named" (`where` is the folder of a trained one), "function" (`name` is MODULE:FUNCTION, found below the
    folder `where`), "folder" (a Hugging Face model in `where`) or "onnx" (the file `where`).
    """

    name: str
    kind: str = "named"
    where: str = ""


def wanted(name: str, trained: Mapping[str, Path] | None) -> Wanted:
    """A network by name, with the folder of its trained weights, where it has some."""
    return Wanted(name, where=str(trained[name].resolve()) if trained and name in trained else "")


@dataclass(frozen=True)
class Network:
    """A module in evaluation mode that gives a tensor or a tuple of tensors, and what it is given.

    `inputs` draws tensors for a batch, the first dimension of each being the batch; the same ones each time.
    """

    module: "nn.Module"
    inputs: "Callable[[int], tuple[Tensor, ...]]"


def network(asked: Wanted) -> Network:
    """Build it in float32.

    Raises:
        UserError: there is no such network, or what the user gave is none.
    """
    import torch

    torch.manual_seed(0)
    if asked.kind == "function":
        return _of_function(asked)
    if asked.kind == "folder":
        return _of_folder(Path(asked.where))
    if asked.kind != "named":
        raise UserError(f"{asked.name} holds no PyTorch module.")
    if asked.name in FAMILIES:
        return _of_family(asked)
    match = re.fullmatch(r"(\w+)-(\d+)-(\d+)(?:-(\d+))?", asked.name)
    if not match or match[1] not in TEMPLATES:
        known = ", ".join([*FAMILIES, *(f"{kind}-64-4" for kind in TEMPLATES)])
        raise UserError(f"There is no network {asked.name}; there are {known}.")
    module, shape = TEMPLATES[match[1]](int(match[2]), int(match[3]))
    if match[4]:
        if shape[0] != TOKENS or len(shape) != 2:
            raise UserError(f"{asked.name}: a {match[1]} reads no text, so it cannot have {match[4]} tokens.")
        shape = (int(match[4]), shape[1])
    return Network(module.eval(), _normal(shape))


def _normal(shape: Sequence[int]) -> "Callable[[int], tuple[Tensor, ...]]":
    import torch

    def inputs(batch: int) -> "tuple[Tensor, ...]":
        return (torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch)),)

    return inputs


def _tokens(vocabulary: int, length: int = TOKENS) -> "Callable[[int], tuple[Tensor, ...]]":
    import torch

    def inputs(batch: int) -> "tuple[Tensor, ...]":
        return (torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(batch)),)

    return inputs


# The paper's templates: one kind of layer, repeated


def _ffn(width: int, layers: int) -> "tuple[nn.Module, tuple[int, ...]]":
    from torch import nn

    return nn.Sequential(*(one for _ in range(layers) for one in (nn.Linear(width, width), nn.ReLU()))), (width,)


def _conv(width: int, layers: int) -> "tuple[nn.Module, tuple[int, ...]]":
    from torch import nn

    made = (one for _ in range(layers) for one in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU()))
    return nn.Sequential(*made), (width, 8, 8)


def _norm(width: int, layers: int) -> "tuple[nn.Module, tuple[int, ...]]":
    from torch import nn

    return nn.Sequential(*(nn.LayerNorm(width) for _ in range(layers))), (TOKENS, width)


def _attention(width: int, layers: int) -> "tuple[nn.Module, tuple[int, ...]]":
    from torch import nn

    from models.framework_tax.templates import Attention

    return nn.Sequential(*(Attention(width) for _ in range(layers))), (TOKENS, width)


def _encoder(width: int, layers: int) -> "tuple[nn.Module, tuple[int, ...]]":
    from torch import nn

    from models.framework_tax.templates import EncoderLayer

    return nn.Sequential(*(EncoderLayer(width) for _ in range(layers))), (TOKENS, width)


def _lstm(width: int, layers: int) -> "tuple[nn.Module, tuple[int, ...]]":
    from models.framework_tax.templates import Recurrent

    return Recurrent(width, layers), (TOKENS, width)


TEMPLATES: "dict[str, Callable[[int, int], tuple[nn.Module, tuple[int, ...]]]]" = {
    "ffn": _ffn,
    "conv": _conv,
    "norm": _norm,
    "attention": _attention,
    "encoder": _encoder,
    "lstm": _lstm,
}


# Families, by the library's own configurations


def _of_family(wanted: Wanted) -> Network:
    name = wanted.name
    if name in TRAINED and not wanted.where:
        raise UserError(f"{name} has trained weights: name the folder that holds them.")
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    vocabulary = 1000
    bert = {"vocab_size": vocabulary, "attn_implementation": "sdpa"}
    pictures = _normal((3, PIXELS, PIXELS))
    if name == "minilm":
        return _of_folder(Path(wanted.where))
    if name == "efficientnet-lite0":
        return Network(_efficientnet(Path(wanted.where)), pictures)
    if name == "smollm2":
        files = sorted(Path(wanted.where).glob("*.gguf"))
        if len(files) != 1:
            raise UserError(f"{wanted.where} has {len(files)} .gguf files, not one.")
        language = transformers.AutoModel.from_pretrained(files[0].parent, gguf_file=files[0].name, dtype="float32")
        return Network(_first(language), _tokens(language.config.vocab_size))
    made: Any
    match name:
        case "bert-tiny" | "bert-mini":  # Turc et al. 2019: 2 layers of 128, 4 of 256
            width, layers = (128, 2) if name == "bert-tiny" else (256, 4)
            sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64}
            made = transformers.BertModel(transformers.BertConfig(**bert, **sizes, intermediate_size=4 * width))
        case "distilbert-like":
            made = transformers.DistilBertModel(
                transformers.DistilBertConfig(**bert, dim=256, hidden_dim=1024, n_layers=6, n_heads=4)
            )
        case "squeezebert-like":
            made = transformers.SqueezeBertModel(
                transformers.SqueezeBertConfig(
                    vocab_size=vocabulary,
                    hidden_size=256,
                    embedding_size=256,
                    num_hidden_layers=4,
                    num_attention_heads=4,
                    intermediate_size=1024,
                )
            )
        case "gpt2-like":
            made = transformers.GPT2Model(
                transformers.GPT2Config(**bert, n_embd=256, n_layer=4, n_head=4, n_positions=64, use_cache=False)
            )
        case "resnet18" | "resnet50":
            kind, depths = ("basic", [2, 2, 2, 2]) if name == "resnet18" else ("bottleneck", [3, 4, 6, 3])
            widths = [64, 128, 256, 512] if name == "resnet18" else [256, 512, 1024, 2048]
            config = transformers.ResNetConfig(layer_type=kind, depths=depths, hidden_sizes=widths)
            return Network(_first(transformers.ResNetModel(config)), pictures)
        case "mobilenet_v2":
            return Network(_first(transformers.MobileNetV2Model(transformers.MobileNetV2Config())), pictures)
        case _:  # wav2vec2-like: the convolutions of its extractor, narrower, and a small encoder
            speech = transformers.Wav2Vec2Config(
                hidden_size=128,
                num_hidden_layers=3,
                num_attention_heads=4,
                intermediate_size=512,
                conv_dim=[64] * 7,
                num_conv_pos_embeddings=16,
                num_conv_pos_embedding_groups=4,
                attn_implementation="sdpa",
            )
            return Network(_first(transformers.Wav2Vec2Model(speech)), _normal((SAMPLES,)))
    return Network(_first(made), _tokens(vocabulary))


def _efficientnet(folder: Path) -> "nn.Module":
    """It gives the maps of all stages."""
    import torch

    from models.efficientnet import EfficientNetLite0, folded

    files = sorted(folder.rglob("*.pth"))
    if len(files) != 1:
        raise UserError(f"{folder} has {len(files)} .pth files, not one.")
    made = EfficientNetLite0()
    made.load_state_dict(folded(torch.load(files[0], weights_only=True)))
    return made.eval()


def _first(module: "nn.Module") -> "nn.Module":
    from models.framework_tax.templates import FirstOutput

    return FirstOutput(module).eval()


# A user's own


def _of_folder(folder: Path) -> Network:
    """A Hugging Face model that reads tokens.

    Raises:
        UserError: it cannot be read, or reads something else.
    """
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        made = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="float32"
        )
    except Exception as problem:
        said = " ".join(str(problem).split())[:200]
        raise UserError(f"{folder} cannot be read as a Hugging Face model: {said}") from problem
    vocabulary = getattr(made.config, "vocab_size", None)
    if not vocabulary:
        raise UserError(f"{folder} reads no tokens: give a function that builds the model with its inputs.")
    if hasattr(made.config, "use_cache"):
        made.config.use_cache = False
    return Network(_first(made), _tokens(vocabulary))


def onnx_inputs(path: Path, batch: int) -> "list[numpy.ndarray]":
    """Arrays for an ONNX file: the first dimension is the batch, any other one without a number is TOKENS.

    Raises:
        UserError: the file is none, fixes another batch, or takes what is neither floats nor integers.
    """
    import numpy as np
    import onnx

    draw = np.random.default_rng(batch)
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as problem:  # of protobuf, which has several
        raise UserError(f"{path.name} cannot be read as an ONNX file.") from problem
    weights = {one.name for one in graph.initializer}
    arrays = []
    for place in graph.input:
        if place.name in weights:
            continue
        tensor = place.type.tensor_type
        shape = [one.dim_value if one.HasField("dim_value") else TOKENS for one in tensor.shape.dim]
        if not shape or (tensor.shape.dim[0].HasField("dim_value") and shape[0] != batch):
            raise UserError(f"{path.name} fixes {place.name} at {shape}: export it with a batch of any size.")
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        shape[0] = batch
        if kind.kind == "f":
            arrays.append(draw.standard_normal(shape).astype(kind))
        elif kind.kind in "iu":
            arrays.append(np.ones(shape, kind))  # an index that every vocabulary has, and no padding where it is a mask
        else:
            raise UserError(f"{path.name} takes {kind} as {place.name}: floats and integers can be drawn.")
    return arrays


def _of_function(wanted: Wanted) -> Network:
    """What MODULE:FUNCTION returns: (module, inputs), the inputs a tensor or several, of any batch.

    Raises:
        UserError: it returns something else.
    """
    import torch
    from torch import nn

    module, _, function = wanted.name.partition(":")
    if wanted.where not in sys.path:
        sys.path.insert(0, wanted.where)
    built = getattr(importlib.import_module(module), function)()
    if not isinstance(built, tuple) or len(built) != 2 or not isinstance(built[0], nn.Module):
        raise UserError(f"{wanted.name} is to return (module, inputs), and returned {type(built).__name__}.")
    given = built[1] if isinstance(built[1], tuple | list) else (built[1],)
    for one in given:
        if not isinstance(one, torch.Tensor) or one.dim() == 0:
            raise UserError(
                f"{wanted.name} gives {type(one).__name__} as an input: each is to be a tensor with a batch."
            )
    examples = tuple(one.detach() for one in given)

    def inputs(batch: int) -> "tuple[Tensor, ...]":
        # Examples are repeated up to the batch: how long they take does not depend on what they hold.
        return tuple(one[torch.arange(batch) % len(one)].contiguous() for one in examples)

    return Network(built[0].eval(), inputs)
