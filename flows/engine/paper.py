"""What a paper is made of: stages, measurements and claims. All of it inert until it is compiled.

A paper is a module in `flows/`. Its stages are module-level variables, in the order in which the
experiment runs; a stage's name is its variable's name. Stages refer to each other by handle:

    corpus = Stage(text.prepare_domains, inputs={"wikipedia": Source("wikipedia-summaries")}, config=…)
    seed_model = Stage(lm.pretrain, inputs={"corpus": corpus}, config=…, each={"seed": SEEDS})

`each` makes one concrete stage for each combination of its axes; a later stage receives those that
share its own axes (here: its own seed), and a dictionary by label over the axes it does not have.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from tasks.judging.claims import Whose
from tasks.judging.results import Table

T = TypeVar("T")

PROFILES = ("quick", "cpu", "gpu")
"""A minute on two cores; an hour on two cores; an hour on one data-centre GPU."""
TRIAL = "quick"
"""The profile that shows that everything works; its seeds are too few for its figures to be evidence."""


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


@dataclass(frozen=True)
class Needs:
    """What a stage's process takes of a machine: cores, GPUs, and memory in GB. No part of what it computes."""

    cpu: int = 1
    gpu: int = 0
    memory: float = 0.0


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a paper: a function of `tasks`, its inputs, its settings, and what it repeats over.

    `inputs` maps the function's parameter names to stages or sources, or to dictionaries of such by
    label (or to one of these for each profile), `config` is an instance of its settings class (or one
    for each profile), and `each` maps fields of that class to the values they take. `kind` is "compute"
    for what gives the same bytes again and "measure" for what times or runs against a clock: those run
    alone, and their bytes are not compared. A `native` stage may use whatever instructions the processor offers
    (`tasks.base.instructions`), so that its bytes are the same again on processors of the same model alone. `needs`
    says where it can run; another need makes no other stage.
    """

    function: Callable[..., None]
    config: Any
    inputs: Mapping[str, "Handle | Profiles[Handle]"] = field(default_factory=dict)
    each: Mapping[str, Sequence[Any] | Profiles[Any]] = field(default_factory=dict)
    kind: Literal["compute", "fetch", "measure"] = "compute"
    native: bool = False
    needs: Needs | Profiles[Needs] = Needs()

    def __getitem__(self, quantity: str) -> "Measurement":
        return Measurement(self, quantity)

    def config_at(self, profile: str) -> Any:
        """Its settings at a profile."""
        return self.config.at(profile) if isinstance(self.config, Profiles) else self.config

    def needs_at(self, profile: str) -> Needs:
        """What it takes of a machine at a profile."""
        return self.needs.at(profile) if isinstance(self.needs, Profiles) else self.needs


Handle = Stage | Source | Mapping[str, Stage | Source]
"""What an input is."""


@dataclass(frozen=True)
class Measurement:
    """A quantity that an evaluation stage measures, narrowed to the rows with the given labels."""

    stage: Stage
    quantity: str
    labels: Mapping[str, Any] = field(default_factory=dict)

    def where(self, **labels: Any) -> "Measurement":
        return Measurement(self.stage, self.quantity, {**self.labels, **labels})


@dataclass(frozen=True)
class Discrepancy:
    """A simulator's own error, from relative errors on figures that it was not fitted to.

    Their spread within a source (the label `within`) is taken, for what a source's errors share cancels between two
    predictions of one set-up. `times` says how strongly the difference that is judged answers to an error of a
    single prediction, in units of the median of `of` where that is given.
    """

    errors: Measurement
    within: str
    times: float
    of: Measurement | None = None


@dataclass(frozen=True)
class Test:
    """How a claim is judged: the difference `left - right`, pair by pair, against a margin.

    `kind` says where the whole interval must lie for the claim to be supported: "less" below `-margin`,
    "greater" above `margin`, "at most" below `+margin`, "equivalent" between `-margin` and `margin`.
    `margin_of` says whose the margin is, and `size` is how large the paper printed the difference: 0 is the margin of
    a paper's direction, and its size is judged apart.

    Pairs share the label `paired`. With "seed" the interval is Student's t over seeds; with `items` (what else was
    drawn at random, such as "question") it is crossed, over new seeds and new items, out of the stage's
    examples.parquet, where `weight` may name a column. `fixed` says of what it does not generalise: to other "items",
    or to other "seeds". With `cluster` (the label whose values are independent draws) it is a bootstrap of clusters of
    examples, and with "draw" what a simulator's calibration leaves open, with its `discrepancy`. Without `paired`, two
    computed values are compared as they are.
    """

    kind: Literal["less", "greater", "at most", "equivalent"]
    left: Measurement
    right: Measurement | float
    margin: float = 0.0
    paired: str = "seed"
    cluster: str = ""
    items: str = ""
    weight: str = ""
    fixed: Literal["", "items", "seeds"] = ""
    size: float | None = None
    margin_of: Literal["", "paper", "ours"] = ""
    discrepancy: Discrepancy | None = None


@dataclass(frozen=True)
class AtLeast:
    """Several comparisons, of which at least `needed` must hold."""

    needed: int
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class NotTested:
    """A claim that the paper makes and this project does not test, and why."""

    reason: str


def less(left: Measurement, right: Measurement | float, **how: Any) -> Test:
    """`left` is below `right` by more than `margin`; `how` are the other fields of `Test`."""
    return Test("less", left, right, **how)


def greater(left: Measurement, right: Measurement | float, **how: Any) -> Test:
    """`left` is above `right` by more than `margin`."""
    return Test("greater", left, right, **how)


def at_most(left: Measurement, right: Measurement | float, *, margin: float, **how: Any) -> Test:
    """`left` is above `right` by less than `margin`: it is not worse, where lower is better."""
    return Test("at most", left, right, margin, **how)


def equivalent(left: Measurement, right: Measurement | float, *, margin: float, **how: Any) -> Test:
    """`left` and `right` differ by less than `margin` either way; with margin 0 and no pairs, not at all."""
    return Test("equivalent", left, right, margin, **how)


def all_of(tests: Iterable[Test]) -> AtLeast:
    """Every one of these comparisons holds."""
    every = tuple(tests)
    return AtLeast(len(every), every)


def at_least(needed: int, tests: Iterable[Test]) -> AtLeast:
    """At least `needed` of these comparisons hold."""
    return AtLeast(needed, tuple(tests))


Evidence = Literal["P", "SRC", "R", "DIG", "WEB", "M✓", "MEM-H"]
"""Where a figure of the paper was read: P in the paper itself, SRC or R in its code or repository, DIG off a figure,
WEB on a page, the others from memory."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, written down before the first run that could show it.

    `says` is the claim in words, `source` its table or section, `paper_value` what the paper printed,
    `whose` says whose claim it is (and whether it could fail at all), `expected` is our prediction for this scale, and
    `method` says how our own figure comes about. `seen` is what was known when the prediction was written, `enlarged`
    how the sample grew after the claim had been judged once.
    """

    id: str
    says: str
    source: str
    evidence: Evidence
    paper_value: str
    whose: Whose
    test: Test | AtLeast | NotTested
    expected: Literal["holds", "does not hold at this scale", "not tested"]
    method: Literal["measured", "computed", "simulated"] = "measured"
    seen: str = ""
    enlarged: str = ""


@dataclass(frozen=True)
class Control:
    """A check of the measurement itself; when one fails, the paper's verdicts are withheld.

    `planted`: an effect that was put in on purpose is found. `shuffled`: with labels or inputs
    shuffled, what the claims rest on is gone.
    """

    id: str
    kind: Literal["planted", "shuffled"]
    says: str
    test: Test | AtLeast


@dataclass(frozen=True)
class Scale:
    """One line of the ledger: what the paper used, and what a profile uses in its place."""

    quantity: str
    paper: str
    here: str | Profiles[str]


@dataclass(frozen=True)
class Plot:
    """A figure of the report, drawn for one question out of the cells of the paper's tables.

    With a point a row: "agreement" sets what was predicted (`y`) against what was observed (`x`), with the line on
    which both are equal. "frontier" sets what something costs (`x`, less is better) against what it gives (`y`), with
    the rows that no other row beats in both. "bounded" has a line a row: what was reached (`y`) and below what it
    cannot be (`x`), both as shares of `y` in the column `of`. `x` and `y` are quantities of tables with the same rows;
    `column` and `x_column` are theirs where a table has several.

    Of `y` alone: "dots" has a line a row with a dot for each column (or for `column`); "curves" has a curve a row over
    the columns of the label `x`, which must be numbers. Both beside the value `at`, such as 1 for a ratio. "best" has a
    cell for each column of the label `x` and for what rows begin with up to a comma, with the best of their rests.

    `only` are the rows that the question is about (all by default), `without` those to which it does not apply. `log`
    makes the axis of `y` logarithmic.
    """

    question: str
    kind: Literal["agreement", "frontier", "bounded", "dots", "curves", "best"]
    x: str = ""
    y: str = ""
    y_is_better: Literal["lower", "higher", ""] = ""
    column: str = ""
    x_column: str = ""
    of: str = ""
    at: float | None = None
    log: bool = False
    only: Sequence[str] = ()
    without: Sequence[str] = ()

    def has(self, row: str) -> bool:
        """Whether the question is about a row."""
        return row not in self.without and (not self.only or row in self.only)


@dataclass(frozen=True)
class Paper:
    """A paper's citation, its claims and controls, the ledger of its scale against ours, the tables to show.

    `caveats` are what a careful reader of the verdicts must know. `findings` are the ids of the claims with which the
    report begins: what the paper is known for and what it does not tell, chosen whatever came of them.
    """

    title: str
    authors: str
    year: int
    arxiv: str
    claims: Sequence[Claim]
    controls: Sequence[Control]
    scales: Sequence[Scale]
    tables: Sequence[Table]
    caveats: Sequence[str] = ()
    findings: Sequence[str] = ()
    plots: Sequence[Plot] = ()

    def __post_init__(self) -> None:
        if unknown := set(self.findings) - {claim.id for claim in self.claims}:
            raise ValueError(f"findings names {', '.join(sorted(unknown))}, which is no claim of {self.title}")
