"""The same small training run laid out over processes in six ways, each by PyTorch's own machinery.

`models.transformer.Decoder` holds q, k and v in one matrix, and gate and up in another; a slice of its rows
is not a slice of heads. For tensor parallelism their rows are put in another order, so that a contiguous
slice holds whole heads (and matching gates and ups); what is computed stays the same.
"""

from collections.abc import Callable
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from models.transformer import Attention, Block, Decoder, FeedForward, next_token_loss
from tasks.hardware.gloo.job import Shape

Step = Callable[[Tensor], Tensor]
"""Trains on one batch, (sequences, context + 1) token ids, the same on every process. Gives the loss of
this process's share, weighted so that the sum over processes is the loss of the batch."""


def build(arm: str, shape: Shape, learning_rate: float) -> Step:
    """The training step of `arm` on all processes; weights are drawn from torch's generator, alike everywhere."""
    model = Decoder(shape.architecture)
    if arm == "single":
        return single(model, learning_rate, dist.get_world_size())
    if arm == "ddp":
        return data_parallel(DistributedDataParallel(model, broadcast_buffers=False), learning_rate)
    if arm in ("fsdp", "fsdp-keep"):
        return data_parallel(fully_sharded(model, reshard=arm == "fsdp"), learning_rate)
    if arm in ("tensor", "tensor-sequence"):
        return tensor_parallel(model, learning_rate, sequence=arm == "tensor-sequence")
    if arm == "pipeline":
        return pipelined(model, shape, learning_rate)
    raise ValueError(f"there is no arm {arm}")


def single(model: nn.Module, learning_rate: float, processes: int) -> Step:
    """Each of the processes computes the loss of the whole batch."""
    optimizer = sgd(model, learning_rate)

    def step(batch: Tensor) -> Tensor:
        loss = next_token_loss(model(batch[:, :-1]), batch[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        update(model, optimizer)
        return loss.detach() / processes

    return step


def data_parallel(model: nn.Module, learning_rate: float) -> Step:
    """Each process takes its slice of the batch's sequences; the wrapped model averages the gradients."""
    optimizer = sgd(model, learning_rate)
    rank, processes = dist.get_rank(), dist.get_world_size()

    def step(batch: Tensor) -> Tensor:
        mine = batch.chunk(processes)[rank]
        loss = next_token_loss(model(mine[:, :-1]), mine[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        update(model, optimizer)
        return loss.detach() / processes

    return step


def fully_sharded(model: Decoder, *, reshard: bool) -> nn.Module:
    """FSDP2: one group of parameters a layer, and one for embedding, last norm and head together."""
    for block in model.blocks:
        fully_shard(block, reshard_after_forward=reshard)
    fully_shard(model)
    # Gloo cannot average; it adds, and FSDP2 divides.
    cast(FSDPModule, model).set_force_sum_reduction_for_comms(True)
    return model


def sgd(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Plain gradient descent: unlike Adam's, its steps show a gradient that is wrong by a factor."""
    return torch.optim.SGD(model.parameters(), lr=learning_rate, foreach=False)


def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One optimiser step; gradients of replicated weights that are still sums of shares are added up first."""
    for weight in model.parameters():
        gradient = weight.grad
        if isinstance(gradient, DTensor) and any(isinstance(place, Partial) for place in gradient.placements):
            weight.grad = gradient.redistribute(placements=[Replicate()])
    optimizer.step()
    optimizer.zero_grad()


def tensor_parallel(model: Decoder, learning_rate: float, *, sequence: bool) -> Step:
    """Layers split by heads and feed-forward columns, embedding and head by vocabulary (Shoeybi et al. 2019, sec. 3).

    With `sequence`, the norms and the residual stream hold a slice of positions each (Korthikanti et al.
    2022, section 4.2.2), and all-reduces become reduce-scatters and all-gathers.
    """
    processes = dist.get_world_size()
    mesh = DeviceMesh("cpu", list(range(processes)))
    stream = Shard(1) if sequence else Replicate()
    ends: dict[str, ParallelStyle] = {
        "embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=stream),
        "head": ColwiseParallel(input_layouts=stream, use_local_output=False),
    }
    layer: dict[str, ParallelStyle] = {
        "attention.qkv": ColwiseParallel(input_layouts=stream),
        "attention.out": RowwiseParallel(output_layouts=stream),
        "feed_forward.gate_up": ColwiseParallel(input_layouts=stream),
        "feed_forward.down": RowwiseParallel(output_layouts=stream),
    }
    if sequence:
        norm = SequenceParallel(use_local_output=True)
        ends["norm"] = norm
        layer |= {"attention_norm": norm, "feed_forward_norm": norm}
    for block in cast("list[Block]", model.blocks):
        block.attention = cast(Attention, ShardedAttention(block.attention, processes))
        block.feed_forward = ShardedFeedForward(cast(FeedForward, block.feed_forward), processes)
        parallelize_module(block, mesh, layer)
    split = Segment(model, 0, 1)
    parallelize_module(split, mesh, ends)
    optimizer = sgd(split, learning_rate)

    def step(batch: Tensor) -> Tensor:
        with loss_parallel():
            logits = split(batch[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            loss.backward()  # type: ignore[no-untyped-call]
        update(split, optimizer)
        return cast(DTensor, loss).to_local().detach() / processes

    return step


class ShardedAttention(nn.Module):
    """`Attention` with rows in the order process, (q, k, v), head: a slice of rows is attention on fewer heads."""

    def __init__(self, whole: Attention, processes: int) -> None:
        super().__init__()
        self.head_width = whole.out.in_features // whole.heads
        self.qkv, self.out = whole.qkv, whole.out
        rows = whole.qkv.weight.data.view(3, processes, -1, whole.qkv.in_features)
        self.qkv.weight.data = rows.transpose(0, 1).flatten(0, 2).contiguous()

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        """As `Attention.forward`, on however many heads `qkv` gives here."""
        qkv = self.qkv(x)
        qkv = qkv.unflatten(-1, (3, -1, self.head_width))
        pairs = torch.view_as_complex(qkv[:, :, :2].unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * rotation[:, None, None]).flatten(-2)
        query, key = turned.transpose(1, 3).unbind(2)
        value = qkv[:, :, 2].transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return cast(Tensor, self.out(mixed.transpose(1, 2).flatten(2)))


class ShardedFeedForward(nn.Module):
    """`FeedForward` with rows in the order process, (gate, up): a slice of rows is a narrower SwiGLU."""

    def __init__(self, whole: FeedForward, processes: int) -> None:
        super().__init__()
        width, hidden = whole.down.shape
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        rows = whole.gate_up.data.view(2, processes, -1, width)
        self.gate_up.weight.data = rows.transpose(0, 1).flatten(0, 2).contiguous()
        self.down.weight.data = whole.down.data

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return cast(Tensor, self.down(functional.silu(gate) * up))


class Segment(nn.Module):
    """A run of consecutive layers, the first with the embedding, the last with norm and head."""

    def __init__(self, model: Decoder, index: int, count: int) -> None:
        super().__init__()
        layers = len(model.blocks)
        self.blocks = model.blocks[layers * index // count : layers * (index + 1) // count]
        self.embedding = model.embedding if index == 0 else None
        self.norm = model.norm if index == count - 1 else None
        self.head = model.head if index == count - 1 else None
        self.register_buffer("rotation", cast(Tensor, model.rotation), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Token ids or hidden states in, hidden states or logits out; always of a whole context."""
        rotation = cast(Tensor, self.rotation)
        if self.embedding is not None:
            x = self.embedding(x)
        for block in self.blocks:
            x = block(x, rotation)
        if self.norm is not None and self.head is not None:
            x = self.head(self.norm(x))
        return x


def pipelined(model: Decoder, shape: Shape, learning_rate: float) -> Step:
    """One segment a process, one forward and one backward in turn (1F1B; Narayanan et al. 2019)."""
    rank, processes = dist.get_rank(), dist.get_world_size()
    segment = Segment(model, rank, processes)
    stage = PipelineStage(segment, rank, processes, torch.device("cpu"))
    schedule = Schedule1F1B(stage, shape.micro_batches, loss_fn=next_token_loss)
    optimizer = sgd(segment, learning_rate)

    def step(batch: Tensor) -> Tensor:
        losses: list[Tensor] = []
        target = batch[:, 1:] if rank == processes - 1 else None
        inputs = (batch[:, :-1],) if rank == 0 else ()
        schedule.step(*inputs, target=target, losses=losses)
        update(segment, optimizer)
        return torch.stack(losses).mean().detach() if losses else torch.zeros(())

    return step
