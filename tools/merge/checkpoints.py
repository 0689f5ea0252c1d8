"""Checkpoints of the Llama family in Hugging Face's layout, read a few rows at a time and looked at before."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FAMILY = ("llama", "mistral")
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
"""Numbers that weights may be stored in, by their names in a file and in torch."""
AT_ONCE = 32 << 20
"""Bytes of weights that are in memory at once."""

SHARED = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "rms_norm_eps", "rope_parameters", "sliding_window", "tie_word_embeddings",
)  # fmt: skip
"""What makes one architecture: in these settings all checkpoints have to agree."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose weights have the names and shapes that its config.json promises.

    `config` is that of `transformers`, `files` the file of each weight, `dtype` the numbers they are stored in, by
    torch's name.
    """

    folder: Path
    config: Any
    files: dict[str, Path]
    dtype: str

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> "Tensor":
        """Rows of a weight, as they are stored. Nothing of the file stays in memory when they are let go.

        Raises:
            UserError: one of the numbers is none (NaN) or infinite, or the file has become unreadable.
        """
        with opened_file(self.files[name]) as file:
            rows: Tensor = file.get_slice(name)[start:stop]
        if not rows.isfinite().all():
            raise UserError(
                f"{self.folder} has a number in {name} that is none (NaN) or infinite: its training went wrong, "
                "take an earlier checkpoint."
            )
        return rows

    def pieces(self, name: str) -> "Iterator[Tensor]":
        """All rows of a weight, a few at a time."""
        for start, stop in blocks(shapes(self.config)[name]):
            yield self.rows(name, start, stop)


def read_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint whose files are all there, whole, and of the shapes that belong to its config.json.

    Raises:
        UserError: it is not; the sentence says what is wrong.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give one with a checkpoint in Hugging Face's layout.")
    config = read_config(folder)
    files = _files(folder)
    names, stored = {}, dict[str, set[str]]()
    expected = shapes(config)
    for path in dict.fromkeys(files.values()):
        with opened_file(path) as file:
            for name in file.keys():  # noqa: SIM118
                kept = file.get_slice(name)
                names[name] = (path, tuple(kept.get_shape()))
                stored.setdefault(kept.get_dtype(), set()).add(name)
    lost = [name for name, path in files.items() if name and names.get(name, (None,))[0] != path]
    if lost:
        raise UserError(f"{files[lost[0]]} lacks {lost[0]}, which its index promises: copy the checkpoint again.")
    missing = [name for name in expected if name not in names]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise UserError(f"{folder} has no weight {missing[0]}{more}: a checkpoint of this config.json has.")
    strange = [name for name in names if name not in expected and not _passed_over(name, config)]
    if strange:
        raise UserError(f"{folder} has a weight {strange[0]}, and no plain Llama has: its kind cannot be merged here.")
    for name, shape in expected.items():
        if names[name][1] != shape:
            raise UserError(
                f"{folder} has {name} of the shape {_by(names[name][1])}, and by its config.json it is {_by(shape)}: "
                "it is of another architecture than it says."
            )
    kinds = {kind for kind, found in stored.items() if found & set(expected)}
    if len(kinds) > 1 or not kinds <= set(DTYPES):
        raise UserError(
            f"{folder} stores its weights as {' and '.join(sorted(kinds))}: save it in one of {', '.join(DTYPES)}."
        )
    return Checkpoint(folder, config, {name: names[name][0] for name in expected}, DTYPES[kinds.pop()])


def read_config(folder: Path) -> Any:
    """The config.json of a folder, as `transformers` reads it.

    Raises:
        UserError: there is none, it cannot be read, or it is of a model that cannot become an expert.
    """
    from transformers import LlamaConfig, MistralConfig

    path = folder / "config.json"
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no config.json: give a checkpoint in Hugging Face's layout.") from None
    except (OSError, ValueError) as problem:
        raise UserError(f"{path} cannot be read ({' '.join(str(problem).split())}): copy it again.") from problem
    kind = given.get("model_type") if isinstance(given, dict) else None
    if kind not in FAMILY:
        raise UserError(f"{folder} is a model of the type {kind}: only {' and '.join(FAMILY)} can be merged here.")
    for name, plain in (
        ("attention_bias", False),
        ("mlp_bias", False),
        ("hidden_act", "silu"),
        ("quantization_config", None),
    ):
        if given.get(name, plain) != plain:
            raise UserError(f"{folder} has {name}: {given[name]} in its config.json, which a Mixtral cannot have.")
    try:
        return (LlamaConfig if kind == "llama" else MistralConfig)(**given)
    except Exception as problem:  # what it raises differs with the kind of mistake
        raise UserError(f"{path} describes no model ({' '.join(str(problem).split())}): copy it again.") from problem


def shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Every weight of a dense Llama by its name, in the order of the layers, with its shape."""
    width, hidden, words = config.hidden_size, config.intermediate_size, config.vocab_size
    head = config.head_dim or width // config.num_attention_heads
    asked, kept = config.num_attention_heads * head, config.num_key_value_heads * head
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, width)}
    for layer in range(config.num_hidden_layers):
        own = {
            "input_layernorm": (width,),
            "self_attn.q_proj": (asked, width),
            "self_attn.k_proj": (kept, width),
            "self_attn.v_proj": (kept, width),
            "self_attn.o_proj": (width, asked),
            "post_attention_layernorm": (width,),
            "mlp.gate_proj": (hidden, width),
            "mlp.up_proj": (hidden, width),
            "mlp.down_proj": (width, hidden),
        }
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in own.items()}
    found["model.norm.weight"] = (width,)
    return found if config.tie_word_embeddings else found | {"lm_head.weight": (words, width)}


def in_layer(name: str) -> tuple[str, str]:
    """The layer of a weight, as `model.layers.3.`, and what it is there, as `mlp.up_proj`."""
    layer, dot, matrix = name.removesuffix(".weight").partition(".layers.")[2].partition(".")
    return (f"model.layers.{layer}.", matrix) if dot else ("", name)


def blocks(shape: tuple[int, ...], checkpoints: int = 1) -> Iterator[tuple[int, int]]:
    """Ranges of rows that take at most AT_ONCE bytes in float32, of all checkpoints together."""
    rows = max(1, AT_ONCE // (4 * checkpoints * prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield start, min(start + rows, shape[0])


def agree(checkpoints: Sequence[Checkpoint]) -> None:
    """See that checkpoints are of one architecture and read text alike.

    Raises:
        UserError: two differ; the sentence says in what.
    """
    first = checkpoints[0]
    for other in checkpoints[1:]:
        for name in SHARED:
            one, another = (getattr(each.config, name, None) for each in (first, other))
            if one != another:
                raise UserError(
                    f"{first.folder} has {name} {one} and {other.folder} has {another}: only checkpoints of one "
                    "architecture can be merged."
                )
        difference = _difference(_tokenizer(first.folder), _tokenizer(other.folder))
        if difference:
            raise UserError(
                f"{first.folder} and {other.folder} have different tokenizers ({difference}): only checkpoints that "
                "read text alike can be merged."
            )


def opened_file(path: Path) -> Any:
    """A safetensors file, opened by the library, as a context.

    Raises:
        UserError: it is no such file, or not whole.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as problem:
        said = " ".join(str(problem).split())
        raise UserError(
            f"{path} cannot be read, as if it were cut off or damaged ({said}): copy it again."
        ) from problem


def _files(folder: Path) -> dict[str, Path]:
    """The file of each weight by the index, or of all of them, called \"\", by the one file."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            files = {str(name): folder / file for name, file in json.loads(index.read_text())["weight_map"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as problem:
            raise UserError(f"{index} cannot be read: copy the checkpoint again.") from problem
    else:
        files = {"": folder / "model.safetensors"}
    missing = [path.name for path in files.values() if not path.is_file()]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if missing and pickled:
        raise UserError(
            f"{folder} has its weights pickled ({pickled[0]}), which is not read, because that may run anyone's code: "
            "save it with save_pretrained, which writes safetensors."
        )
    if missing or not files:
        raise UserError(f"{folder} has no {missing[0] if missing else 'weights'}: copy the checkpoint again.")
    return files


def _passed_over(name: str, config: Any) -> bool:
    """What older checkpoints have besides weights: tables of rotations, and a tied matrix once more."""
    return name.endswith("rotary_emb.inv_freq") or (name == "lm_head.weight" and config.tie_word_embeddings)


def _tokenizer(folder: Path) -> Any:
    """What decides how text is read: tokenizer.json without how batches are padded, or tokenizer.model."""
    path = folder / "tokenizer.json"
    try:
        if path.is_file():
            given = json.loads(path.read_text(encoding="utf-8"))
            return {name: value for name, value in given.items() if name not in ("padding", "truncation")}
        return (folder / "tokenizer.model").read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no tokenizer.json or tokenizer.model: copy the model's tokenizer there."
        ) from None
    except (OSError, ValueError, AttributeError) as problem:
        raise UserError(f"{path} cannot be read: copy it again.") from problem


def _difference(one: Any, other: Any) -> str:
    """In what two tokenizers differ, in words; nothing where they do not."""
    if one == other:
        return ""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return "their files differ"
    parts = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    if parts == ["model"]:
        words = [each["model"].get("vocab") for each in (one, other)]
        if all(isinstance(each, dict) for each in words):
            differing = [word for word in words[0] if words[0][word] != words[1].get(word)]
            if differing or len(words[0]) != len(words[1]):
                what = f", the first is {differing[0]!r}" if differing else ""
                return f"{len(words[0]):,} and {len(words[1]):,} words{what}"
    return f"in {', '.join(parts)}"


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
