"""Closed form of one micro-batch's forward and backward pass over the layers of one rank.

FSDP gathers a layer's weights while the layer before it computes (one ahead): forward max(compute, gather
of the next) a layer, backward max(2 compute, gather + reduce), and the first gather and last reduce exposed. Where
nothing is gathered in the backward pass, gradients are reduced from a queue as they become ready. Messages beside
computation slow it by the calibration's interference. Assumptions of the form: equal layers, one message at a time,
and (for a queue) either the messages or the computation slower all along. All functions take arrays.
"""

from dataclasses import dataclass

import numpy as np

from models.hardware.columns import Numbers
from models.hardware.communication import overlapped


@dataclass(frozen=True)
class Part:
    """The layers of one model chunk on a rank, with the ends of the model that are there; seconds.

    `layers` of `forward` and `backward` each; `embedding` and `head` with their backward passes; `gather` and
    `reduce` a layer's messages, `gather_root` and `reduce_root` one message of the ends under FSDP;
    `reduce_head` and `reduce_embedding` theirs under DDP (zero where the root's are used).
    """

    layers: Numbers
    forward: Numbers
    backward: Numbers
    embedding: Numbers
    embedding_backward: Numbers
    head: Numbers
    head_backward: Numbers
    gather: Numbers
    gather_root: Numbers
    reduce: Numbers
    reduce_root: Numbers
    reduce_head: Numbers
    reduce_embedding: Numbers
    interference: Numbers


@dataclass(frozen=True)
class Backward:
    """A backward pass: seconds until its computation is over, and what its messages still take then."""

    seconds: Numbers
    tail: Numbers


def forward(part: Part, gathering: Numbers) -> Numbers:
    """Seconds of a forward pass, `gathering` the weights layer by layer or not."""
    p = part
    plain = p.embedding + p.layers * p.forward + p.head
    first = p.gather_root + overlapped(p.embedding, p.gather, p.interference)
    middle = (p.layers - 1) * overlapped(p.forward, p.gather, p.interference)
    return np.where(gathering, first + middle + p.forward + p.head, plain)


def backward(part: Part, gathering: Numbers, reducing: Numbers) -> Backward:
    """A backward pass, `gathering` the weights again or not, `reducing` the gradients or not."""
    prefetched = _prefetched(part, reducing)
    queued = _queued(part)
    plain = part.head_backward + part.layers * part.backward + part.embedding_backward
    return Backward(
        seconds=np.where(gathering, prefetched.seconds, np.where(reducing, queued.seconds, plain)),
        tail=np.where(gathering, prefetched.tail, np.where(reducing, queued.tail, 0.0)),
    )


def _prefetched(p: Part, reducing: Numbers) -> Backward:
    gather, reduce = p.gather, p.reduce * reducing
    head = overlapped(p.head_backward, gather, p.interference)
    first = overlapped(p.backward, gather, p.interference)
    middle = overlapped(p.backward, gather + reduce, p.interference)
    last = overlapped(p.backward, reduce, p.interference)
    several = first + (p.layers - 2) * middle + last
    layers = np.where(p.layers > 1, several, p.backward)
    end = overlapped(p.embedding_backward, reduce, p.interference)
    computed = p.embedding_backward + p.interference * np.minimum(reduce, p.embedding_backward)
    computed = np.minimum(computed, end)
    return Backward(head + layers + computed, end - computed + p.reduce_root * reducing)


def _queued(p: Part) -> Backward:
    """Reductions of layer after layer from a queue beside the backward pass of the layers before."""
    early = np.minimum(p.backward, p.reduce_head)
    last = np.minimum(p.reduce, p.embedding_backward)
    beside = p.reduce_head + (p.layers - 1) * p.reduce + last
    rest = (p.layers - 1) * p.backward + p.embedding_backward
    head_beside = np.where(p.reduce_head > 0, p.backward, 0.0)
    work = rest + head_beside
    slowed = np.minimum(work + p.interference * beside, work / (1 - p.interference))
    computed = p.backward - head_beside + slowed
    ready = computed - p.embedding_backward
    messages = np.maximum(p.reduce_head, p.backward + p.interference * early) + p.layers * p.reduce
    over = np.maximum(np.maximum(messages, ready + p.reduce), computed)
    end = over + p.reduce_embedding + p.reduce_root
    return Backward(p.head_backward + computed, end - computed)
