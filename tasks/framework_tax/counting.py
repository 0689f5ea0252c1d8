"""Floating-point operations of every network, counted, and what torch's own counter misses on a CPU."""

from pathlib import Path
from typing import Any

from models.config import config
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.framework_tax.networks import names_of, network, wanted

Row = dict[str, Any]


@config
class Counting:
    """Networks by name, apart by spaces."""

    networks: str


@measures(
    mflops="millions of floating-point operations of a forward pass with a batch of 1",
    missed="share of them that torch's counter counts as nothing on a CPU",
    apart_by_batch="operations of a batch of 2 over twice those of 1, less 1",
)
def count_operations(*, trained: dict[str, Path] | None = None, config: Counting, out: Path) -> None:
    """Write metrics.json, and flops.json with the operations of a batch of 1 by network.

    Args:
        trained: folders of trained weights, by network.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from models.framework_tax.flops import count

    rows: list[Row] = []
    found: dict[str, int] = {}
    for name in names_of(config.networks):
        made = network(wanted(name, trained))
        found[name] = count(made.module, made.inputs(1))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            made.module(*made.inputs(1))
        missed = 1 - counter.get_total_flops() / found[name] if found[name] else 0.0
        twice = count(made.module, made.inputs(2)) / max(1, 2 * found[name]) - 1
        rows.append({"network": name, "mflops": found[name] / 1e6, "missed": missed, "apart_by_batch": twice})
    write_json(out / "flops.json", found)
    write_json(out / "metrics.json", rows)
