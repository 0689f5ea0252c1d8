"""A graph's name: network, batch and optimizer, and the side of its pictures or its tokens where they are not usual."""

from dataclasses import dataclass
from typing import Any

MIB = 2**20


@dataclass(frozen=True)
class Named:
    """A graph's name taken apart; `size` is 0 for the published one."""

    network: str
    batch: int
    optimizer: str
    size: int = 0

    @property
    def labels(self) -> dict[str, Any]:
        """As rows carry them."""
        name = f"{self.network}-{self.batch}-{self.optimizer}" + (f"-{self.size}" if self.size else "")
        pair = f"{self.network} {self.optimizer}"
        return {
            "graph": name,
            "pair": pair,
            "network": self.network,
            "batch": str(self.batch),
            "optimizer": self.optimizer,
        }


def named(name: str) -> Named:
    """`alexnet-32-sgd`, or with a size `alexnet-32-sgd-64`, taken apart."""
    network, batch, optimizer, *size = name.split("-")
    return Named(network, int(batch), optimizer, int(size[0]) if size else 0)
