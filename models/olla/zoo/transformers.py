"""Transformers at their published sizes: the library's own models from its configurations, and torch's own pair."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.olla.zoo import Sample

TOKENS = 128


class EncoderDecoder(nn.Module):
    """torch's encoder and decoder layers at the default size (Vaswani et al. 2017, table 3, base), with a head."""

    def __init__(self, vocabulary: int = 32000, width: int = 512, layers: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        encoder = [nn.TransformerEncoderLayer(width, 8, batch_first=True) for _ in range(layers)]
        decoder = [nn.TransformerDecoderLayer(width, 8, batch_first=True) for _ in range(layers)]
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        length = target.shape[1]
        mask = torch.triu(torch.full((length, length), float("-inf"), device=target.device), diagonal=1)
        memory, made = self.embedding(source), self.embedding(target)
        for layer in self.encoder:
            memory = layer(memory)
        memory = self.norm(memory)
        for layer in self.decoder:
            made = layer(made, memory, tgt_mask=mask, tgt_is_causal=True)
        return self.head(self.decoder_norm(made))  # type: ignore[no-any-return]


def translated(model: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    source, target, labels = batch
    return functional.cross_entropy(model(source, target).flatten(0, 1), labels.flatten())


def modelled(model: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    """The language model's own loss: of the next token, or of every token in place of the masked ones."""
    made: Any = model(input_ids=batch[0], labels=batch[1], return_dict=True)
    loss: Tensor = made.loss
    return loss


def classified(model: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    made: Any = model(pixel_values=batch[0], return_dict=True)
    return functional.cross_entropy(made.logits, batch[1])


def sample(name: str, batch: int, size: int) -> Sample:
    """A network and a batch of sequences of `size` tokens, or of pictures of that many pixels a side."""
    tokens = size or TOKENS
    if name == "transformer":
        source, target, labels = (torch.randint(32000, (batch, tokens)) for _ in range(3))
        return Sample(EncoderDecoder(), (source, target, labels), translated)
    import transformers

    if name == "vit_b_16":
        side = size or 224
        vit = transformers.ViTConfig(num_labels=1000, image_size=side)
        pictures = torch.randn(batch, 3, side, side)
        # Its own initialisation draws again where a draw lies far out, which fake tensors cannot.
        from transformers.initialization import no_init_weights

        with no_init_weights():
            model = transformers.ViTForImageClassification(vit).train()
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(std=0.02)
        return Sample(model, (pictures, torch.randint(1000, (batch,))), classified)
    config, made = {
        "bert": (transformers.BertConfig(), transformers.BertForMaskedLM),
        "roberta": (
            transformers.RobertaConfig(vocab_size=50265, max_position_embeddings=514),
            transformers.RobertaForMaskedLM,
        ),
        "gpt2": (transformers.GPT2Config(use_cache=False), transformers.GPT2LMHeadModel),
        "smollm2": (SMOLLM2(transformers), transformers.LlamaForCausalLM),
    }[name]
    ids = torch.randint(2, 30000, (batch, tokens))
    return Sample(made(config).train(), (ids, torch.randint(2, 30000, (batch, tokens))), modelled)


def SMOLLM2(transformers: Any) -> Any:  # noqa: N802
    """SmolLM2-135M: a deep and narrow Llama, whose embeddings are its head."""
    return transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        use_cache=False,
    )
