"""What a paper is made of: stages, measurements and claims. All of it inert until it is compiled.

A paper is a module in `flows/`. Its stages are module-level variables, in the order in which the
experiment runs; a stage's name is its variable's name. Stages refer to each other by handle:

    corpus = Stage(text.prepare_domains, inputs={"wikipedia": Source("wikipedia-summaries")}, config=…)
    seed_model = Stage(lm.pretrain, inputs={"corpus": corpus}, config=…, each={"seed": SEEDS})

`each` makes one concrete stage for each combination of its axes; a later stage receives those that
share its own axes (here: its own seed), and a dictionary by label over the axes it does not have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from tasks.report import Table

T = TypeVar("T")

PROFILES = ("quick", "cpu", "gpu")
"""A minute on two cores; an hour on two cores; an hour on one data-centre GPU."""


@dataclass(frozen=True)
class Profiles(Generic[T]):
    """A value that depends on the profile."""

    quick: T
    cpu: T
    gpu: T

    def at(self, profile: str) -> T:
        value: T = getattr(self, profile)
        return value


def profiles(make: Callable[[str], T]) -> Profiles[T]:
    """The value that `make` gives for each profile."""
    return Profiles(quick=make("quick"), cpu=make("cpu"), gpu=make("gpu"))


@dataclass(frozen=True)
class Source:
    """A data set of the catalogue `data/sources.yaml`, by its name there."""

    name: str


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a paper: a function of `tasks`, its inputs, its settings, and what it repeats over.

    `inputs` maps the function's parameter names to stages or sources, or to dictionaries of stages by
    label, `config` is an instance of its
    settings class (or one for each profile), and `each` maps fields of that class to the values
    they take. `kind` is "compute" for what gives the same bytes again and "measure" for what
    times or runs against a clock: those run alone, and their bytes are not compared.
    """

    function: Callable[..., None]
    config: Any
    inputs: Mapping[str, "Stage | Source | Mapping[str, Stage]"] = field(default_factory=dict)
    each: Mapping[str, Sequence[Any] | Profiles[Any]] = field(default_factory=dict)
    kind: Literal["compute", "fetch", "measure"] = "compute"

    def __getitem__(self, quantity: str) -> "Measurement":
        return Measurement(self, quantity)


@dataclass(frozen=True)
class Measurement:
    """A quantity that an evaluation stage measures, narrowed to the rows with the given labels."""

    stage: Stage
    quantity: str
    labels: Mapping[str, Any] = field(default_factory=dict)

    def where(self, **labels: Any) -> "Measurement":
        return Measurement(self.stage, self.quantity, {**self.labels, **labels})


@dataclass(frozen=True)
class Test:
    """How a claim is judged: the difference `left - right`, pair by pair, against a margin.

    `kind` says where the whole interval must lie for the claim to be supported: "less" below
    `-margin`, "greater" above `margin`, "equivalent" between the two.
    """

    kind: Literal["less", "greater", "equivalent"]
    left: Measurement
    right: Measurement
    margin: float
    paired: str


def less(left: Measurement, right: Measurement, *, margin: float = 0.0, paired: str = "seed") -> Test:
    """`left` is below `right` by more than `margin`."""
    return Test("less", left, right, margin, paired)


def greater(left: Measurement, right: Measurement, *, margin: float = 0.0, paired: str = "seed") -> Test:
    """`left` is above `right` by more than `margin`."""
    return Test("greater", left, right, margin, paired)


def equivalent(left: Measurement, right: Measurement, *, margin: float, paired: str = "seed") -> Test:
    """`left` and `right` differ by less than `margin` either way."""
    return Test("equivalent", left, right, margin, paired)


Evidence = Literal["P", "SRC", "R", "DIG", "WEB", "M✓", "MEM-H"]
"""Where a figure of the paper was read; tags as in the papers' fact sheets, the citable ones only."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, written down before the first run that could show it.

    `says` is the claim in words, `source` its table or section, `paper_value` what the paper printed,
    `expected` our prediction for this scale.
    """

    id: str
    says: str
    source: str
    evidence: Evidence
    paper_value: str
    test: Test
    expected: Literal["holds", "does not hold at this scale"]


@dataclass(frozen=True)
class Scale:
    """One line of the ledger: what the paper used, and what a profile uses in its place."""

    quantity: str
    paper: str
    here: str | Profiles[str]


@dataclass(frozen=True)
class Paper:
    """A paper's citation, its claims, the ledger of its scale against ours, and the tables to show."""

    title: str
    authors: str
    year: int
    arxiv: str
    claims: Sequence[Claim]
    scales: Sequence[Scale]
    tables: Sequence[Table]
