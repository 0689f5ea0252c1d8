"""Bits per byte: how well a model foretells held-out documents, exactly as many bytes as they have."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.learning.tokens import Text

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Windows:
    """Pieces of held-out documents: `inputs`, `targets` (windows, context) of ids, padded with END.

    `bytes` counts the bytes of each target, zero for padding; `document` numbers each window's
    document; `starts` is the place of each window in the stream.
    """

    inputs: "Tensor"
    targets: "Tensor"
    bytes: "Tensor"
    document: "Tensor"
    starts: "Tensor"


def cut_windows(text: Text, split: str, context: int, limit: int, *, around: str | None = None) -> Windows:
    """At most `limit` windows, evenly spread over the documents of a split, none crossing a document's end.

    With `around`, one window a document instead, with its middle at the position that stream names.
    """
    import numpy as np
    import torch

    stream, starts = text.streams[split], text.streams[f"{split}.starts"]
    ends = np.append(starts[1:], len(stream))
    if around is None:
        begins = [np.arange(start, end - 1, context) for start, end in zip(starts, ends, strict=True)]
        document = np.repeat(np.arange(len(starts)), [len(begin) for begin in begins])
        begin = np.concatenate(begins)
    else:
        begin, document = np.maximum(starts, text.streams[around] - context // 2), np.arange(len(starts))
    chosen = np.linspace(0, len(begin) - 1, min(limit, len(begin))).round().astype(np.int64)
    begin, document = begin[chosen], document[chosen]
    place = begin[:, None] + np.arange(context + 1)
    inside = place < ends[document][:, None]
    ids = np.where(inside, stream[np.minimum(place, len(stream) - 1)], 0).astype(np.int64)
    lengths = text.token_bytes.astype(np.int64)[ids[:, 1:]] * inside[:, 1:]
    arrays = (ids[:, :-1], ids[:, 1:], lengths, document, begin)
    return Windows(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def log_probabilities(model: "nn.Module", windows: Windows, batch: int = 16) -> "Tensor":
    """The natural log-probability that the model gives each target, (windows, context), float32."""
    import torch

    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        pairs = zip(torch.split(windows.inputs, batch), torch.split(windows.targets, batch), strict=True)
        for inputs, targets in pairs:
            logits = model(inputs.to(device)).float().flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets.to(device).flatten(), reduction="none")
            parts.append(-loss.view(targets.shape).cpu())
    return torch.cat(parts)


def bits_per_byte(logs: "Tensor", windows: Windows, skip: int = 0) -> float:
    """Bits to encode the targets after the first `skip` of each window, over the bytes that they spell."""
    lengths = windows.bytes[:, skip:]
    bits = -(logs[:, skip:].double() * (lengths > 0)).sum().item() / math.log(2)
    return bits / int(lengths.sum())
