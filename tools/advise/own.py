"""A strategy of the user's own, to be set beside the best."""

from dataclasses import fields
from math import prod
from typing import TYPE_CHECKING

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from models.hardware.calibration import Calibration
    from models.hardware.cluster import Cluster
    from models.hardware.search import Option
    from models.hardware.strategy import Strategy
    from models.hardware.workload import Workload

EXAMPLE = "tensor=8,pipeline=4,micro_batch=1,recomputation=selective"


def read_strategy(text: str, gpus: int, batch: int) -> "Strategy":
    """The strategy of `tensor=8,pipeline=4`; what it does not name is as by default, `data` what is left of the GPUs.

    Raises:
        UserError: a word is no setting of a strategy, or its degrees do not multiply to the GPUs.
    """
    from pydantic import TypeAdapter, ValidationError

    from models.hardware.strategy import Strategy, world

    known = [field.name for field in fields(Strategy)]
    given: dict[str, str] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in known:
            raise UserError(f"--strategy: {word} is no setting, such as {EXAMPLE}; there are {', '.join(known)}.")
        given[name] = value.strip()
    others = prod(int(given[name]) for name in ("tensor", "pipeline", "context") if given.get(name, "").isdigit())
    given = {"batch": str(batch), "data": str(max(gpus // max(others, 1), 1)), **given}
    if "tensor" in given and given["tensor"] != "1":
        given.setdefault("sequence_parallel", "true")
    try:
        strategy: Strategy = TypeAdapter(Strategy).validate_python(given, strict=False)
    except ValidationError as problem:
        first = problem.errors()[0]
        raise UserError(f"--strategy: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}.") from problem
    if world(strategy) != gpus:
        raise UserError(
            f"--strategy: data {strategy.data} × tensor {strategy.tensor} × pipeline {strategy.pipeline} × context "
            f"{strategy.context} are {world(strategy)} GPUs, not {gpus}: change a degree, or --gpus."
        )
    return strategy


def judged(workload: "Workload", cluster: "Cluster", calibration: "Calibration", strategy: "Strategy") -> "Option":
    """What a step of a strategy costs, be it ever so slow.

    Raises:
        UserError: it is not possible; the sentence says what it breaks.
    """
    from models.hardware.search import option, problems
    from models.hardware.step import step

    broken = problems(workload, cluster, strategy)
    if broken:
        raise UserError(f"--strategy is not possible: {'; '.join(broken)}.")
    steps = step(workload, cluster, [strategy], calibration)
    if not steps.fits[0]:
        need = float(steps.memory.total[0]) / 2**30
        raise UserError(
            f"--strategy does not fit: it needs {need:.0f} GiB on a GPU of {cluster.accelerator.memory_gib:g} GiB. "
            "Shard more, recompute more, or take a smaller micro_batch."
        )
    return option(steps, [strategy], 0)
