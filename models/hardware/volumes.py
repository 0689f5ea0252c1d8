"""Exactly what one rank hands to its communication library in a step: how many collectives of how many bytes.

Bytes are those of the whole tensor: of an all-reduce its operand, of an all-gather its output, of a reduce-scatter its
input, of a send or receive the message, of an all-to-all what one rank puts in. Collectives of one rank are left out.

Conventions, which are those of PyTorch (DistributedDataParallel, fully_shard on each block and then on the rest,
DTensor's column- and row-wise layers, torch.distributed.pipelining), and of Megatron where PyTorch has nothing:

- Query, key and value are one matrix, gate and up another. Sharded weights are padded to whole rows a rank.
- fully_shard gathers each block before its forward pass and, if resharded, before its backward pass; the rest
  (embedding, last norm, head) once a micro-batch. HSDP also all-reduces each reduced shard over the replicas. ZeRO-2
  reduces the same messages, and gathers them once a step.
- DDP fills buckets in the order in which gradients become ready, the first one to 1 MiB; a bucket closes when it is
  full or over. Gradients are reduced in the last micro-batch only, or with `reduce_each_micro_batch` in each.
- Tensor parallelism shares the vocabulary between ranks, of the embedding and of the head, whose loss takes three
  all-reduces of a float32 a token. With sequence parallelism the replicated norms' gradients are all-reduced one by
  one, once a step; `regather` gathers the inputs of column-wise layers again in the backward pass (Megatron).
- Full recomputation repeats a layer's forward collectives.
- A context ring passes keys and values in one message, c-1 times forward and 2 (c-1) times backward.
- A mixture's tokens are spread evenly; each layer sends them there and back, forward and backward.
- A tied output on another stage than the embedding is sent nothing for: PyTorch's stages do not share weights.
"""

from collections import Counter
from math import prod

from models.hardware.strategy import Strategy, layers_in_chunk, micro_batches, shard_ranks
from models.hardware.workload import Workload, key_value_width

Volumes = Counter[tuple[str, int]]
"""How many collectives of a kind and number of bytes."""

FIRST_BUCKET = 2**20
"""Bytes of DistributedDataParallel's first bucket."""


def block_shapes(workload: Workload, strategy: Strategy) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Weights of one layer on a rank of the tensor group, in the order in which their gradients become ready: those
    outside experts, and those of the experts that the rank holds."""
    w, t = workload, strategy.tensor
    qkv, up = w.width + 2 * key_value_width(w), (1 + w.gated) * w.feed_forward
    norm: list[tuple[int, ...]] = [(w.width,)] * (1 + w.biases)
    feed_forward = _linear(w.width, w.feed_forward // t, w.biases) + _linear(up // t, w.width, w.biases)
    attention = _linear(w.width, w.width // t, w.biases) + _linear(qkv // t, w.width, w.biases)
    if w.experts == 1:
        return feed_forward + norm + attention + norm, []
    here = w.experts // strategy.expert
    return [(w.experts, w.width), *norm, *attention, *norm], [(here, *shape) for shape in feed_forward]


def _linear(rows: int, columns: int, bias: bool) -> list[tuple[int, ...]]:
    return [(rows, columns), (rows,)] if bias else [(rows, columns)]


def end_shapes(workload: Workload, strategy: Strategy) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Weights of the head with the last norm, and of the embedding, on a rank of the tensor group."""
    w = workload
    table = (-(-w.vocabulary // strategy.tensor), w.width)
    norm: list[tuple[int, ...]] = [(w.width,)] * (1 + w.biases)
    return [table, *norm], [table, *([(w.sequence, w.width)] if w.positions else [])]


def padded(shapes: list[tuple[int, ...]], ranks: int) -> int:
    """Elements of one rank's shards: whole rows of each weight, padded to the same number on every rank."""
    return sum(-(-shape[0] // ranks) * prod(shape[1:]) for shape in shapes)


def buckets(sizes: list[int], limit: float) -> list[int]:
    """Bytes of DDP's buckets, of gradients of these bytes in the order in which they become ready."""
    made, filling, full = [], 0, float(FIRST_BUCKET)
    for size in sizes:
        filling += size
        if filling >= min(full, limit):
            made.append(filling)
            filling, full = 0, limit
    return made + [filling] * (filling > 0)


def volumes(workload: Workload, strategy: Strategy, stage: int = 0) -> Volumes:
    """The collectives of one step of a rank of pipeline stage `stage`; chunks must hold equally many layers.

    Raises:
        ValueError: the layers do not divide into the pipeline's chunks.
    """
    w, s = workload, strategy
    chunks = s.pipeline * s.interleave
    if w.layers % chunks:
        raise ValueError(f"{w.layers} layers do not divide into {chunks} pipeline chunks")
    layers = layers_in_chunk(w, s) * s.interleave
    first, last = stage == 0, stage == s.pipeline - 1
    seen: Volumes = Counter()
    _weights(seen, w, s, layers, first, last)
    _activations(seen, w, s, layers, first, last)
    return Counter({key: count for key, count in seen.items() if count and key[1]})


def _weights(seen: Volumes, w: Workload, s: Strategy, layers: int, first: bool, last: bool) -> None:
    """Gradients, and sharded weights."""
    count, ranks = micro_batches(s), shard_ranks(s)
    reductions = count if s.reduce_each_micro_batch else 1
    dense, experts = block_shapes(w, s)
    head, embedding = end_shapes(w, s)
    if first and last and w.tied_embeddings:
        head = head[1:]
    ends = head * last + embedding * first
    if s.shard == "ddp":
        limit = s.bucket_mib * 2**20
        for shapes, of in (
            (head * last + dense * layers + embedding * first, ranks),
            (experts * layers, ranks // s.expert),
        ):
            for size in buckets([prod(shape) * s.gradient_bytes for shape in shapes], limit) if of > 1 else []:
                seen["all-reduce", size] += reductions
        return
    groups = [(dense, layers, ranks, True), (experts, layers, ranks // s.expert, True), (ends, 1, ranks, False)]
    for shapes, number, of, block in groups:
        shard = padded(shapes, of)
        if s.shard == "zero2":
            gathers = 1
        elif s.reshard:
            gathers = 2 * count if block else count
        else:
            gathers = count if s.reduce_each_micro_batch else 1
        if of > 1:
            seen["all-gather", of * shard * s.parameter_bytes] += number * gathers
            seen["reduce-scatter", of * shard * s.gradient_bytes] += number * reductions
        if s.replicas > 1:
            seen["all-reduce", shard * s.gradient_bytes] += number * reductions


def _activations(seen: Volumes, w: Workload, s: Strategy, layers: int, first: bool, last: bool) -> None:
    """Tensor, context, expert and pipeline parallelism."""
    count, t = micro_batches(s), s.tensor
    tokens = s.micro_batch * w.sequence // s.context
    whole = tokens * w.width * s.parameter_bytes
    split = whole // t if s.sequence_parallel else whole
    again = round(layers * s.recomputed_share) if s.recomputation == "full" else 0
    if t > 1 and s.sequence_parallel:
        gathers = 4 * layers + 2 * again + first + last + s.regather * (2 * layers + last)
        seen["all-gather", whole] += count * gathers
        seen["reduce-scatter", whole] += count * (4 * layers + 2 * again + first + last)
        seen["all-reduce", w.width * s.gradient_bytes] += (2 * layers + last) * (1 + w.biases)
    elif t > 1:
        seen["all-reduce", whole] += count * (4 * layers + 2 * again + first + last)
    if t > 1 and last:
        seen["all-reduce", 4 * tokens] += 3 * count
    if s.context > 1:
        block = 2 * tokens * key_value_width(w) // t * s.parameter_bytes
        for kind in ("send", "receive"):
            seen[kind, block] += count * (s.context - 1) * (3 * layers + again)
    if s.expert > 1:
        seen["all-to-all", split * w.top_k] += count * (4 * layers + 2 * again)
    if s.pipeline > 1:
        # Forward to the chunk after, backward to the chunk before: the model's first and last have only one of them.
        seen["send", split] += count * (2 * s.interleave - first - last)
        seen["receive", split] += count * (2 * s.interleave - first - last)
