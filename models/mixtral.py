"""Weights of Llama and Mixtral checkpoints, as Hugging Face names them, in our own decoder and mixture of experts.

Mixtral is Jiang et al. 2024 (arXiv 2401.04088); its router is that of Branch-Train-MiX, section 3.2.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from models.config import Count, Mixture, Positive, Transformer, config
from models.moe import State, expert_layers, mix
from models.transformer import Decoder


@config
class Rotary:
    """What a Llama has beside the sizes: heads for keys and values, the base of its rotations, and ε of its norms."""

    key_value_heads: Count
    base: Positive = 10000.0
    epsilon: Positive = 1e-5


def from_llama(weights: State, sizes: Transformer, rotary: Rotary) -> dict[str, Tensor]:
    """The weights of a dense Llama by the names of `Decoder`, in float32.

    Two things differ, and neither changes what is computed. Our heads have each their own keys and values, so those
    that heads share (Ainslie et al. 2023, arXiv 2305.13245) are repeated. And our rotations turn neighbouring channels,
    Hugging Face's turn channel j with channel j + half, so the rows of queries and keys change places.

    Raises:
        KeyError: a weight is missing.
    """
    head = sizes.width // sizes.heads
    paired = torch.arange(head).view(2, -1).T.flatten()

    def in_heads(name: str, heads: int) -> Tensor:
        return weights[name].float().view(heads, head, sizes.width)

    found = {"embedding.weight": weights["model.embed_tokens.weight"].float()}
    for layer in range(sizes.layers):
        at, own = f"model.layers.{layer}.", f"blocks.{layer}."
        query = in_heads(f"{at}self_attn.q_proj.weight", sizes.heads)[:, paired]
        shared = sizes.heads // rotary.key_value_heads
        key = in_heads(f"{at}self_attn.k_proj.weight", rotary.key_value_heads)[:, paired].repeat_interleave(shared, 0)
        value = in_heads(f"{at}self_attn.v_proj.weight", rotary.key_value_heads).repeat_interleave(shared, 0)
        found[f"{own}attention.qkv.weight"] = torch.cat([part.flatten(0, 1) for part in (query, key, value)])
        found[f"{own}attention.out.weight"] = weights[f"{at}self_attn.o_proj.weight"].float()
        found[f"{own}attention_norm.weight"] = weights[f"{at}input_layernorm.weight"].float()
        found[f"{own}feed_forward_norm.weight"] = weights[f"{at}post_attention_layernorm.weight"].float()
        gate, up, down = (weights[f"{at}mlp.{part}_proj.weight"].float() for part in ("gate", "up", "down"))
        found[f"{own}feed_forward.gate_up"] = torch.cat([gate, up])
        found[f"{own}feed_forward.down"] = down
    found["norm.weight"] = weights["model.norm.weight"].float()
    if not sizes.tied_embeddings:
        found["head.weight"] = weights["lm_head.weight"].float()
    return found


def llama(weights: State, sizes: Transformer, rotary: Rotary) -> Decoder:
    """A dense Llama, run by our own decoder in float32."""
    model = Decoder(sizes)
    model.load_state_dict(from_llama(weights, sizes, rotary))
    return turned(model, rotary)


def mixtral(
    experts: Iterable[State], gates: Sequence[Tensor], sizes: Transformer, rotary: Rotary, top_k: int
) -> Decoder:
    """Dense Llamas merged by Branch-Train-MiX (`models.moe.mix`) with the gates of each layer, (experts, width)."""
    dense = [from_llama(weights, sizes, rotary) for weights in experts]
    model = mix(dense, sizes, Mixture(experts=len(dense), top_k=top_k))
    for layer, gate in zip(expert_layers(model), gates, strict=True):
        layer.router.load_state_dict({"weight": gate.float()})
    return turned(model, rotary)


def turned(model: Decoder, rotary: Rotary) -> Decoder:
    """The model with the rotations and the ε of a Llama in place of our own."""
    pairs = model.config.width // model.config.heads // 2
    speed = rotary.base ** (-torch.arange(pairs) / pairs)
    angle = torch.outer(torch.arange(model.config.context), speed)
    model.rotation = torch.polar(torch.ones_like(angle), angle)
    for module in model.modules():
        if isinstance(module, torch.nn.RMSNorm):
            module.eps = rotary.epsilon
    return model
