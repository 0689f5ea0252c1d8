"""Captioners as files: the weights with their sizes, and the subwords they write in."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, config
from tasks.altogether.captioner.subwords import FILE as SUBWORDS
from tasks.altogether.captioner.subwords import Subwords, load_subwords
from tasks.base.errors import UserError
from tasks.learning.logged import Loaded, say_model

if TYPE_CHECKING:
    from torch import Tensor

    from models.captioner import Captioner, Pictures
    from models.pretrained_captioner import PretrainedCaptioner

WEIGHTS = "captioner.safetensors"


@config
class Sizes:
    """The sizes of the captioner that are free to choose; the others come from the features and the subwords.

    A pretrained decoder has a width, heads and layers of its own.
    """

    width: Count = 128
    heads: Count = 4
    layers: Count = 2
    prefix: Count = 8
    pooled: Count = 64
    alt: Count = 24
    caption: Count = 40
    dropout: Fraction = 0.2


@dataclass(frozen=True)
class Writer:
    """A captioner with the subwords it writes in."""

    model: "Captioner | PretrainedCaptioner"
    words: Subwords


def new_writer(language: Path, channels: int, palette: int, shared: int, sizes: Sizes) -> Writer:
    """A captioner that is not trained, for pictures of `channels`, a `palette` and `shared` numbers a vector.

    `language` holds subwords, for a decoder from scratch, or a language model in one GGUF file, which is the decoder.

    Raises UserError where it holds neither, or a model that cannot be one.
    """
    from models.captioner import Captioner, CaptionerSizes
    from models.pretrained_captioner import PretrainedCaptioner

    seen = {"channels": channels, "palette": palette, "shared": shared}
    if (language / SUBWORDS).exists():
        words = load_subwords(language)
        return Writer(Captioner(CaptionerSizes(vocabulary=words.size, **seen, **asdict(sizes))), words)
    words, decoder = _language_model(language)
    own = decoder.config
    fitted = replace(sizes, width=own.hidden_size, heads=own.num_attention_heads, layers=own.num_hidden_layers)
    return Writer(
        PretrainedCaptioner(CaptionerSizes(vocabulary=own.vocab_size, **seen, **asdict(fitted)), decoder), words
    )


def _language_model(folder: Path) -> tuple[Subwords, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from models.captioner import BEGIN, END, PAD

    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise UserError(f"{folder} has neither {SUBWORDS} nor exactly one .gguf file: point the source at either.")
    logging.disable_progress_bar()
    name = files[0].name
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
    wanted = {"<|endoftext|>": PAD, "<|im_start|>": BEGIN, "<|im_end|>": END}
    if tokenizer.convert_tokens_to_ids(list(wanted)) != list(wanted.values()):
        raise UserError(f"{files[0]} does not begin with {', '.join(wanted)}: take a model of the SmolLM2 family.")
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, local_files_only=True, dtype=torch.float32, attn_implementation="sdpa"
    )
    if not model.config.tie_word_embeddings:
        raise UserError(f"{files[0]} does not say tokens by their embeddings: take a model of the SmolLM2 family.")
    return Subwords(tokenizer.backend_tokenizer), model.model


def save_writer(writer: Writer, out: Path) -> None:
    """Write `captioner.safetensors`, with the sizes as metadata, and `tokenizer.json`.

    A pretrained decoder is written in half precision: there is a tuned one for every arm and seed.
    """
    from safetensors.torch import save_file

    from models.pretrained_captioner import PretrainedCaptioner

    state = {name: tensor.cpu().contiguous() for name, tensor in writer.model.state_dict().items()}
    metadata = {"sizes": json.dumps(asdict(writer.model.sizes), sort_keys=True)}
    if isinstance(writer.model, PretrainedCaptioner):
        own = writer.model.decoder.config.to_diff_dict()
        own.pop("quantization_config", None)
        metadata["decoder"] = json.dumps(own, sort_keys=True, default=str)
        state = {name: tensor.half() if name.startswith("decoder.") else tensor for name, tensor in state.items()}
    save_file(state, out / WEIGHTS, metadata=metadata)
    writer.words.tokenizer.save(str(out / SUBWORDS))


def say_final(writer: Writer, pictures: "Pictures", alt: "Tensor", caption: "Tensor") -> None:
    """Say that the saved captioner is a final one, with pictures, alt-texts and captions as an example."""
    given = {"tokens": pictures.tokens, "palette": pictures.palette, "vector": pictures.vector}
    say_model(__name__, _following(writer), {**given, "alt": alt, "caption": caption})


def _load_pyfunc(path: str) -> Loaded:
    """The captioner as MLflow loads it: from pictures, alt-texts and captions to what is likely to follow."""
    return Loaded(_following(load_writer(Path(path))))


def _following(writer: Writer) -> "Callable[..., Tensor]":
    """Log-probabilities of the subword after each of a caption; no picture is blanked."""
    import torch

    from models.captioner import Pictures

    model = writer.model.cpu().eval()

    def call(tokens: "Tensor", palette: "Tensor", vector: "Tensor", alt: "Tensor", caption: "Tensor") -> "Tensor":
        pictures = Pictures(tokens, palette, vector, blank=torch.zeros(len(tokens), dtype=torch.bool))
        made: Tensor = model(pictures, alt, caption)
        return made

    return call


def load_writer(folder: Path) -> Writer:
    """The captioner that was written to the folder, ready to write.

    Raises UserError where there is none.
    """
    from safetensors import safe_open

    from models.captioner import Captioner, CaptionerSizes
    from models.pretrained_captioner import PretrainedCaptioner

    if not (folder / WEIGHTS).exists():
        raise UserError(f"There is no {WEIGHTS} in {folder}: train a captioner first.")
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        sizes = CaptionerSizes(**json.loads(metadata["sizes"]))
        model: Captioner | PretrainedCaptioner
        if "decoder" in metadata:
            from transformers import LlamaConfig, LlamaModel

            model = PretrainedCaptioner(sizes, LlamaModel(LlamaConfig(**json.loads(metadata["decoder"]))))
        else:
            model = Captioner(sizes)
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return Writer(model.eval().requires_grad_(False), load_subwords(folder))
