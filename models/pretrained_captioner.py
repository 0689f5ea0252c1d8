"""A captioner whose decoder is a pretrained language model, as the paper's is."""

from typing import Any

import torch
from torch import Tensor, nn

from models.captioner import PAD, Cache, CaptionerSizes, Given, Mapping, Pictures


class PretrainedCaptioner(nn.Module):
    """The same mapping network as `Captioner`'s, in front of a decoder of the Llama family that is tuned with it.

    Its vocabulary has PAD, BEGIN and END where ours has. It copies by itself, so it has no pointer, and it reads what
    is given from left to right only, as it was trained to.
    """

    def __init__(self, sizes: CaptionerSizes, decoder: nn.Module) -> None:
        """`decoder` is a `transformers.LlamaModel`; it says a token by the token's own embedding (tied weights)."""
        super().__init__()
        self.sizes = sizes
        self.mapping = Mapping(sizes)
        self.decoder: Any = decoder
        # The prefix begins at the scale of the decoder's embeddings: it would drown them otherwise.
        with torch.no_grad():
            for weight in self.mapping.map.parameters():
                weight.mul_(self._embedding.weight.std())

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder's layers."""
        layers: nn.ModuleList = self.decoder.layers
        return layers

    @property
    def _embedding(self) -> nn.Embedding:
        embedding: nn.Embedding = self.decoder.embed_tokens
        return embedding

    def forward(self, pictures: Pictures, alt: Tensor, caption: Tensor) -> Tensor:
        """Log-probabilities [B, T, vocabulary] of the token after each of `caption` [B, T], which begins with BEGIN."""
        return self.following(self.given(pictures, alt), caption)[0]

    def given(self, pictures: Pictures, alt: Tensor) -> Given:
        """Read the pictures and their alt-texts [B, T], padded on the left; padding is not attended to and takes no
        position."""
        prefix = self.mapping(pictures)
        real = torch.cat([torch.ones_like(prefix[..., 0], dtype=torch.bool), alt != PAD], 1)
        hidden, cache = self._through(torch.cat([prefix, self._embedding(alt)], 1), real, [])
        return Given(cache, real, alt, hidden[:, prefix.shape[1] :])

    def following(self, given: Given, caption: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """As `forward`, and the cache with which to go on: then `caption` has only the tokens after those `past`."""
        cache = given.cache if past is None else past
        read = cache[0][0].shape[2] - given.real.shape[1] + caption.shape[1]
        real = torch.cat([given.real, given.real.new_ones(len(caption), read)], 1)
        hidden, cache = self._through(self._embedding(caption), real, cache)
        return (hidden @ self._embedding.weight.T).log_softmax(-1), cache

    def _through(self, embedded: Tensor, real: Tensor, past: Cache) -> tuple[Tensor, Cache]:
        from transformers import DynamicCache

        # A cache of its own each time: the decoder appends to the one it is handed.
        cache = DynamicCache()
        for number, (key, value) in enumerate(past):
            cache.update(key, value, number)
        positions = (real.cumsum(1) - 1)[:, -embedded.shape[1] :]
        said = self.decoder(
            inputs_embeds=embedded,
            attention_mask=real.long(),
            position_ids=positions,
            cache=cache,
            use_cache=True,
        )
        return said.last_hidden_state, [(layer.keys, layer.values) for layer in cache.layers]
