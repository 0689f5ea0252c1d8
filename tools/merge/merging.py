"""Checkpoints merged into a mixture in Mixtral's layout: feed-forwards become experts, the rest is shared (BTX)."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.base.files import write_json
from tools.merge.checkpoints import in_layer, shapes
from tools.merge.gates import hidden_gates, random_gates
from tools.merge.recipe import Recipe
from tools.merge.shards import Weight, in_shards, write_index, write_shard
from tools.merge.sources import Sources

if TYPE_CHECKING:
    from torch import Tensor

PARTS = {"mlp.gate_proj": "w1", "mlp.down_proj": "w2", "mlp.up_proj": "w3"}
"""What a Mixtral calls the matrices of an expert."""
BESIDE = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
ABOUT = "merge.json"
SPARE = 16 << 20

Tell = Callable[..., None]


@dataclass(frozen=True)
class Merged:
    """What was written: parameters in all and for each token, bytes of weights, and files of them."""

    parameters: int
    active: int
    size: int
    files: int


def merge(recipe: Recipe, sources: Sources, out: Path, tell: Tell) -> Merged:
    """Write the mixture into the new folder `out`, which is there whole or not at all.

    Raises:
        UserError: `out` is there already, has no room, or a checkpoint has a number that is none.
    """
    if out.exists():
        raise UserError(f"{out} is there already: give another --out, or move it away.")
    partial_folder = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    try:
        partial_folder.mkdir(parents=True)
        done = _write(recipe, sources, partial_folder, tell)
        partial_folder.rename(out)
    except OSError as problem:
        raise UserError(
            f"{out} cannot be written ({problem.strerror or problem}), and nothing is left of it: make room, or give "
            "another --out."
        ) from problem
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return done


def mixture_config(recipe: Recipe, sources: Sources) -> Any:
    """The config.json of the mixture, as `transformers` makes it."""
    from transformers import MixtralConfig

    own = sources.first.config
    same = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim",
        "num_key_value_heads", "hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_parameters",
        "tie_word_embeddings", "attention_dropout", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id",
    )  # fmt: skip
    return MixtralConfig(
        **{name: getattr(own, name) for name in same},
        sliding_window=getattr(own, "sliding_window", None),
        num_local_experts=len(sources.experts),
        num_experts_per_tok=recipe.experts_per_token,
        architectures=["MixtralForCausalLM"],
        dtype=sources.dtype,
    )


def _write(recipe: Recipe, sources: Sources, folder: Path, tell: Tell) -> Merged:
    import torch

    width = getattr(torch, sources.dtype).itemsize
    config = mixture_config(recipe, sources)

    @cache
    def gates() -> "Tensor":
        hidden = recipe.gate_mode == "hidden"
        return hidden_gates(recipe, sources, config) if hidden else random_gates(config, recipe.seed)

    planned = plan(sources, lambda layer: iter([gates()[layer]]))
    shards = in_shards(list(planned), width, recipe.shard_megabytes << 20)
    size = width * sum(prod(weight.shape) for weight in planned)
    free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise UserError(
            f"{folder.parent} has {free >> 20:,} MB left, and the mixture takes {(size + SPARE) >> 20:,}: make room, "
            "or give another --out."
        )
    done = 0

    def pieces(weights: Sequence[Weight]) -> "Iterator[Tensor]":
        nonlocal done
        for weight in weights:
            for rows in planned[weight]():
                cast = rows.to(getattr(torch, sources.dtype))
                if not cast.isfinite().all():
                    raise UserError(f"{weight.name} has numbers too large for {sources.dtype}: take dtype: bfloat16.")
                yield cast
            done += 1
            tell(done, len(planned))

    for name, weights in shards:
        write_shard(folder / name, weights, sources.dtype, width, pieces(weights))
    write_index(folder, shards, width)
    config.save_pretrained(folder)
    for name in BESIDE:
        if (sources.first.folder / name).is_file():
            shutil.copy(sources.first.folder / name, folder / name)
    names = [os.path.basename(each.source_model.rstrip("/")) for each in recipe.experts]
    write_json(folder / ABOUT, {"experts": names, "rest": recipe.rest, "gate_mode": recipe.gate_mode})
    parameters = size // width
    expert = sum(prod(weight.shape) for weight in planned if ".experts.0." in weight.name)
    idle = len(recipe.experts) - recipe.experts_per_token
    return Merged(parameters, parameters - idle * expert, size, len(shards))


Pieces = Callable[[], "Iterator[Tensor]"]
"""What gives a weight, a few rows at a time."""


def plan(sources: Sources, gate: "Callable[[int], Iterator[Tensor]]") -> dict[Weight, Pieces]:
    """Every weight of the mixture, in the order of its files, and where it comes from; `gate` gives that of a layer."""
    planned: dict[Weight, Pieces] = {}
    for name, shape in shapes(sources.first.config).items():
        at, matrix = in_layer(name)
        if matrix not in PARTS:
            planned[Weight(name, shape)] = partial(sources.shared, name)
            continue
        if matrix == next(iter(PARTS)):
            own = Weight(f"{at}block_sparse_moe.gate.weight", (len(sources.experts), shape[1]))
            planned[own] = partial(gate, int(at.split(".")[2]))
        for number, expert in enumerate(sources.experts):
            own = Weight(f"{at}block_sparse_moe.experts.{number}.{PARTS[matrix]}.weight", shape)
            planned[own] = partial(expert.pieces, name)
    return planned
