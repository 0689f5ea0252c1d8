"""What the processes of one distributed run are told."""

import ctypes
import signal
from typing import Literal

from models.config import Count, Index, Positive, Transformer, config

Arm = Literal["single", "ddp", "fsdp", "fsdp-keep", "tensor", "tensor-sequence", "pipeline"]
"""How training is laid out: alone on each process, data parallel, FSDP2 with its layers resharded after
the forward pass or kept, tensor parallel without and with sequence parallelism, and a 1F1B pipeline."""

PARALLEL: tuple[Arm, ...] = ("ddp", "fsdp", "fsdp-keep", "tensor", "tensor-sequence", "pipeline")


@config
class Shape:
    """A training step: the architecture, sequences in the whole batch, and micro-batches of a pipeline."""

    architecture: Transformer
    batch: Count
    micro_batches: Count

    def __post_init__(self) -> None:
        if self.batch % self.micro_batches:
            raise ValueError(f"{self.batch} sequences do not divide into {self.micro_batches} micro-batches")

    def check(self, processes: int) -> None:
        """Refuse a shape that some arm cannot lay out over so many processes.

        Raises:
            ValueError: it says what does not divide, or that the micro-batches are too few for a pipeline.
        """
        sizes = self.architecture
        parts = {"heads": sizes.heads, "layers": sizes.layers, "sequences": self.batch, "positions": sizes.context}
        parts |= {"feed-forward columns": sizes.feed_forward, "tokens of the vocabulary": sizes.vocabulary}
        for name, number in parts.items():
            if number % processes:
                raise ValueError(f"{number} {name} do not divide among {processes} processes")
        if self.micro_batches < processes:
            raise ValueError(f"{self.micro_batches} micro-batches are too few for {processes} pipeline stages")
        if sizes.tied_embeddings:
            raise ValueError("the embedding must not be tied to the head: they lie on different pipeline stages")


@config
class Job:
    """Work for all processes together.

    `volumes`: train `steps` steps under each arm and record losses and collectives. `steps`: time the
    steps of all arms and shapes in turn, `repetitions` times. `collectives`: time each collective at
    each of `sizes` bytes in turn.
    """

    work: Literal["volumes", "steps", "collectives"]
    processes: Count
    shapes: tuple[Shape, ...] = ()
    arms: tuple[Arm, ...] = ()
    steps: Count = 4
    sizes: tuple[Count, ...] = ()
    repetitions: Count = 1
    learning_rate: Positive = 0.1
    seed: Index = 0


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
