"""The gates of a mixture before any training: random, or made from what the mixture makes of prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tools.merge.checkpoints import in_layer, shapes
from tools.merge.recipe import Recipe
from tools.merge.sources import Sources
from tools.merge.texts import beginning

if TYPE_CHECKING:
    from torch import Tensor

DEVIATION = 0.02
"""Of random gates, as of the routers that the paper's stages draw."""


def random_gates(config: Any, seed: int) -> "Tensor":
    """Random gates (layers, experts, width), for a mixture that is finetuned."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shape = (config.num_hidden_layers, config.num_local_experts, config.hidden_size)
    return DEVIATION * torch.randn(shape, generator=generator)


def hidden_gates(recipe: Recipe, sources: Sources, config: Any) -> "Tensor":
    """Gates (layers, experts, width) that lie where the prompts of each expert do, by the states that a gate reads.

    The gate of an expert is the mean state of its positive prompts, less that of its negative ones, less the mean of
    all experts (what all prompts share would send every token the same way), at length one. The states are the
    mixture's own: each layer is run with the gates that were just made of it, so that only one layer is in memory.
    """
    import torch

    prompts = [(each.positive_prompts, each.negative_prompts) for each in recipe.experts]
    states = _embedded(prompts, sources)
    layer, turned = _empty_layer(config, sources.dtype)
    gates = []
    with torch.inference_mode():
        for number in range(config.num_hidden_layers):
            _fill(layer, number, sources)
            seen = {}
            for which, state in states.items():
                attended, _ = layer.self_attn(layer.input_layernorm(state), turned(state), attention_mask=None)
                states[which] = state + attended
                seen[which] = layer.post_attention_layernorm(states[which])
            made = _towards([[_mean(seen, at, kind) for kind in (0, 1)] for at in range(len(prompts))])
            gates.append(made)
            layer.mlp.gate.weight.copy_(made)
            for which, state in states.items():
                states[which] = state + layer.mlp(seen[which])
    return torch.stack(gates)


Which = tuple[int, int, int]
"""An expert, whether its prompt is a positive (0) or a negative one (1), and which of them."""


def _embedded(prompts: Sequence[tuple[Sequence[str], ...]], sources: Sources) -> "dict[Which, Tensor]":
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sources.first.folder, local_files_only=True)
    begin = beginning(tokenizer)
    found = {}
    for at, kinds in enumerate(prompts):
        for kind, texts in enumerate(kinds):
            for place, text in enumerate(texts):
                ids = [begin, *tokenizer(text, add_special_tokens=False)["input_ids"]]
                rows = [sources.shared_rows("model.embed_tokens.weight", token, token + 1) for token in ids]
                found[at, kind, place] = torch.cat(rows).to(getattr(torch, sources.dtype))[None]
    return found


def _empty_layer(config: Any, dtype: str) -> tuple[Any, Any]:
    """A layer of the mixture without weights, and what turns its queries and keys at each position of a state."""
    import torch
    from transformers.models.mixtral.modeling_mixtral import MixtralDecoderLayer, MixtralRotaryEmbedding

    config = type(config).from_dict({**config.to_dict(), "attn_implementation": "sdpa"})
    config._experts_implementation = "eager"
    with torch.device("meta"):
        layer = MixtralDecoderLayer(config, 0).to(getattr(torch, dtype))
    rotary = MixtralRotaryEmbedding(config)
    return layer.to_empty(device="cpu").eval(), lambda state: rotary(state, torch.arange(state.shape[1])[None])


def _fill(layer: Any, number: int, sources: Sources) -> None:
    """Put the weights of a layer of the mixture into the empty one; its gate is left."""
    own = layer.state_dict()
    hidden = sources.first.config.intermediate_size
    for name, shape in shapes(sources.first.config).items():
        at, matrix = in_layer(name)
        if at != f"model.layers.{number}.":
            continue
        if not matrix.startswith("mlp."):
            _copy(own[f"{matrix}.weight"], sources.shared(name))
            continue
        for place, expert in enumerate(sources.experts):
            if matrix == "mlp.down_proj":
                into = own["mlp.experts.down_proj"][place]
            else:
                begin = 0 if matrix == "mlp.gate_proj" else hidden
                into = own["mlp.experts.gate_up_proj"][place, begin : begin + shape[0]]
            _copy(into, expert.pieces(name))


def _copy(into: "Tensor", pieces: Any) -> None:
    start = 0
    for rows in pieces:
        into[start : start + len(rows)].copy_(rows)
        start += len(rows)


def _mean(seen: "dict[Which, Tensor]", at: int, kind: int) -> "Tensor":
    """The mean state, in float32, of all tokens of an expert's prompts after the one that begins each; 0 of none."""
    import torch

    own = [state[0, 1:].float() for which, state in seen.items() if which[:2] == (at, kind)]
    width = next(iter(seen.values())).shape[-1]
    return torch.cat(own).mean(0) if own else torch.zeros(width)


def _towards(means: "Sequence[Sequence[Tensor]]") -> "Tensor":
    """One row an expert of length one: its positive mean less its negative one, less the mean of all experts."""
    import torch
    from torch import nn

    gates = torch.stack([positive - negative for positive, negative in means])
    return nn.functional.normalize(gates - gates.mean(0), dim=1)
