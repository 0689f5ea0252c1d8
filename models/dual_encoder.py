"""A dual encoder of pictures and texts, as CLIP (Radford et al. 2021), on a frozen encoder's features.

It is what captions are for in the paper (section on CLIP training), and its picture side is one more thing that the
captioner sees.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.captioner import PAD, Scale
from models.config import Count, Fraction, config


@config
class DualSizes:
    """Widths of the shared space and of what is inside, for a vocabulary and a picture's channels and palette."""

    vocabulary: Count
    channels: Count
    palette: Count
    shared: Count = 96
    width: Count = 128
    pooled: Count = 64
    dropout: Fraction = 0.1


class DualEncoder(nn.Module):
    """Pictures and texts as vectors of length 1 in one space, [B, shared]."""

    def __init__(self, sizes: DualSizes, temperature: float = 0.07) -> None:
        super().__init__()
        self.sizes = sizes
        self.token_scale, self.palette_scale = Scale(sizes.channels), Scale(sizes.palette)
        self.project = nn.Linear(sizes.channels, sizes.pooled)
        self.picture = _head(sizes, 2 * sizes.pooled + sizes.palette)
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.width, padding_idx=PAD)
        self.neighbours = nn.Conv1d(sizes.width, sizes.width, 3, padding=1)
        self.text = _head(sizes, sizes.width)
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def pictures(self, tokens: Tensor, palette: Tensor) -> Tensor:
        """`tokens` [B, places, channels] and `palette` [B, bins] → [B, shared]."""
        projected = self.project(self.token_scale(tokens))
        read = torch.cat([projected.logsumexp(1), projected.mean(1), self.palette_scale(palette)], 1)
        return F.normalize(self.picture(read), dim=-1)

    def texts(self, tokens: Tensor) -> Tensor:
        """Token ids [B, T], PAD where there is none → [B, shared]; padding is not read, on whichever side it stands."""
        real = (tokens != PAD)[..., None]
        read = self.embedding(tokens) * real
        read = (read + F.gelu(self.neighbours(read.transpose(1, 2)).transpose(1, 2))) * real
        return F.normalize(self.text(read.sum(1) / real.sum(1).clamp(min=1)), dim=-1)


def contrastive_loss(pictures: Tensor, texts: Tensor, same: Tensor, log_scale: Tensor) -> Tensor:
    """The symmetric cross-entropy of CLIP over the batch, in nats.

    `same` [B, B] is true where a text is right for a picture: drawings of one emoji share texts, and a right text in
    another row is no wrong one. Each picture's likelihood is that of all its right texts together.
    """
    scores = log_scale.exp() * pictures @ texts.T
    losses = []
    for rows, right in ((scores, same), (scores.T, same.T)):
        likely = rows.log_softmax(1).masked_fill(~right, -torch.inf)
        losses.append(-torch.logsumexp(likely, 1).mean())
    return (losses[0] + losses[1]) / 2


def _head(sizes: DualSizes, inputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(inputs),
        nn.Linear(inputs, sizes.width),
        nn.GELU(),
        nn.Dropout(sizes.dropout),
        nn.Linear(sizes.width, sizes.shared),
    )
