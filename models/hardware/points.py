"""The shape of a public figure that the simulator is fitted to or tested on.

A point is a whole configuration, what was observed, and where it stands. `read_points` checks rows as they come from a
YAML file. A workload, cluster or accelerator may start from a catalogue entry, `preset: llama-2-7b`, with the other
keys replacing its fields; anything unknown, missing or of the wrong type is an error that names the row. An example:

    - id: fms-fsdp-7b-a100
      kind: step
      source: foundation-model-stack/fms-fsdp
      locator: README.md, table 1
      commit: 0123abc
      evidence: SRC
      workload: {preset: llama-2-7b}
      cluster: {preset: a100, nic_gb_s: 25.0, rails: 2}
      strategy: {data: 128, batch: 256, micro_batch: 2, shard: fsdp, replicas: 16, gradient_bytes: 2}
      assumed: [cluster.rails]
      tokens_per_second_per_gpu: 4550.0
      mfu: 0.68
      note: HSDP within a node

    - id: nccl-all-reduce-h100-4-nodes-16-mib
      kind: collective
      source: stas00/ml-engineering
      locator: network/images/nccl-all-reduce-scan.png
      evidence: DIG
      cluster: {preset: h100}
      collective: all_reduce
      nodes: 4
      message_bytes: 16777216
      bus_bandwidth_gb_s: 115.0
      relative_error: 0.06
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from models.config import Count, NotNegative, Positive
from models.hardware.cluster import CLUSTERS, Cluster
from models.hardware.strategy import Strategy
from models.hardware.workload import WORKLOADS, Workload

Evidence = Literal["P", "SRC", "R", "DIG", "WEB", "M✓", "MEM-H"]
"""The paper itself; a source file; a report or README; read off an image; a web page; memory confirmed; memory."""

PRESETS: dict[str, dict[str, Any]] = {"workload": dict(WORKLOADS), "cluster": dict(CLUSTERS)}


class _Figure(BaseModel):
    """What every point says about itself.

    `source` is the unit that is held out together (a repository or a paper); `locator` the file, table or page in it;
    `commit` the revision, where there is one. `assumed` lists dotted fields of the configuration that the source does
    not state and that were filled in with the usual value. `relative_error` is the reading error of the figure
    itself (0 for printed numbers): it widens the point's weight in the fit.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    source: Annotated[str, Field(min_length=1)]
    locator: Annotated[str, Field(min_length=1)]
    commit: str | None = None
    evidence: Evidence
    cluster: Cluster
    assumed: tuple[str, ...] = ()
    relative_error: NotNegative = 0.0
    note: str = ""


class StepPoint(_Figure):
    """A training step: at least one of its seconds, its tokens/s on each GPU, and its MFU by the PaLM formula.

    Where more than one is given the first in this order is fitted and compared, the others are for the record.
    `watts_per_gpu` and the two memory figures are observed on the side, for the checks of power and memory.
    """

    kind: Literal["step"]
    workload: Workload
    strategy: Strategy
    step_seconds: Positive | None = None
    tokens_per_second_per_gpu: Positive | None = None
    mfu: Positive | None = None
    watts_per_gpu: Positive | None = None
    parameter_and_optimizer_gib: Positive | None = None
    activation_gib: Positive | None = None

    @model_validator(mode="after")
    def _something_observed(self) -> "StepPoint":
        if self.step_seconds is None and self.tokens_per_second_per_gpu is None and self.mfu is None:
            raise ValueError("give step_seconds, tokens_per_second_per_gpu or mfu")
        return self


class CollectivePoint(_Figure):
    """One collective by itself over whole nodes, as nccl-tests reports it.

    `message_bytes` is the full (unsharded) buffer; bus bandwidth is 2 (n-1)/n × bytes/seconds of an all-reduce and
    (n-1)/n × bytes/seconds of an all-gather or reduce-scatter over n ranks.
    """

    kind: Literal["collective"]
    collective: Literal["all_reduce", "all_gather", "reduce_scatter"]
    nodes: Count
    message_bytes: Count
    bus_bandwidth_gb_s: Positive


Point = StepPoint | CollectivePoint

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[StepPoint | CollectivePoint, Field(discriminator="kind")])


def read_points(rows: Sequence[dict[str, Any]]) -> list[Point]:
    """Check the rows of a file of figures; raises ValueError naming the first row that is wrong, and how."""
    points: list[Point] = []
    for number, row in enumerate(rows):
        name = row.get("id", f"row {number}")
        try:
            points.append(_ADAPTER.validate_json(json.dumps(_filled_in(row))))
        except (ValidationError, ValueError) as error:
            raise ValueError(f"point {name}: {error}") from error
        if any(point.id == name for point in points[:-1]):
            raise ValueError(f"point {name}: there are two of this id")
    return points


def _filled_in(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its presets replaced by what they stand for."""
    whole = dict(row)
    for part, presets in PRESETS.items():
        given = dict(whole.get(part, {}))
        if (preset := given.pop("preset", None)) is None:
            continue
        if preset not in presets:
            raise ValueError(f"there is no {part} {preset!r}; there are {', '.join(presets)}")
        start = TypeAdapter(type(presets[preset])).dump_python(presets[preset], mode="json")
        if isinstance(given.get("accelerator"), dict):
            given["accelerator"] = start["accelerator"] | given["accelerator"]
        whole[part] = start | given
    return whole
