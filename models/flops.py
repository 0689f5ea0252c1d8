"""Floating-point operations of training, by formula; importable without torch.

A multiply-add counts as two operations and the backward pass as twice the forward, so training costs
three forwards. Only matrix products count (no norms, activations, softmax or look-ups), and attention
is counted over the whole context, without the saving of the causal mask.
"""

from models.config import Mixture, Transformer


def forward_flops(transformer: Transformer, mixture: Mixture | None = None) -> int:
    """Operations of one forward pass for each token of a full context.

    A layer costs 8 d² (the four projections) + 4 c d (scores and values) + k · 6 d f (SwiGLU, in the
    k experts that run) + 2 d N (router); the output costs 2 d v. Here d is the width, c the context,
    f the feed-forward's hidden width, N the experts and v the vocabulary; a dense model has k = 1 and
    no router.
    """
    width, active, router = transformer.width, 1, 0
    if mixture is not None:
        active, router = mixture.top_k, 2 * transformer.width * mixture.experts
    attention = 8 * width**2 + 4 * transformer.context * width
    feed_forward = active * 6 * width * transformer.feed_forward + router
    return transformer.layers * (attention + feed_forward) + 2 * width * transformer.vocabulary


def training_flops(transformer: Transformer, mixture: Mixture | None = None) -> int:
    """Operations of one training step for each token: forward and backward."""
    return 3 * forward_flops(transformer, mixture)
