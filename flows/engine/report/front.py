"""The front page's rows: what was found first, then every claim's effect against its margin."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from flows.engine.evidence import Evidence
from flows.engine.paper import TRIAL, Claim, NotTested
from flows.engine.report.axis import Axis
from flows.engine.report.shown import FOREGONE, OURS, Shown, meanings, shown_claim, tests_of
from tasks.judging.claims import WHOSE

ORDER = (OURS, *(whose for whose in WHOSE if whose not in (OURS, FOREGONE)), FOREGONE)
"""What the papers do not tell comes first; what could not fail comes last."""
FAR = 8
"""What reaches so many times as far as the median is cut off with an arrow, lest all others be dots."""


@dataclass(frozen=True)
class Row:
    """A claim with what came of it in one or two runs, the published one first."""

    paper: str
    claim: Claim
    runs: tuple[Shown, ...]

    @property
    def first(self) -> Shown | None:
        return self.runs[0] if self.runs else None

    @property
    def says(self) -> str:
        """The claim in the words in which it was judged: they may have been mended since."""
        return self.first.says if self.first else self.claim.says

    @property
    def standing(self) -> str:
        """The verdict by which the row is filtered."""
        if self.first:
            return self.first.standing
        return "NOT TESTED" if isinstance(self.claim.test, NotTested) else "NOT RUN"

    @property
    def lines(self) -> list[tuple[str, Shown]]:
        """Each run with whose it is; one that gave the published numbers again is said in a word."""
        said = [(run.whose_run, run) for run in self.runs]
        alike = {
            (run.profile, run.standing, run.leading and (run.leading.effect, run.leading.interval)) for run in self.runs
        }
        if len(said) == 2 and len(alike) == 1:
            return [(f"{self.runs[0].whose_run}, the same here", self.runs[0])]
        return said

    @property
    def drawn(self) -> bool:
        return any(run.leading and run.leading.effect is not None for run in self.runs)

    @property
    def is_evidence(self) -> bool:
        """Whether there is a number, and not one of a trial alone."""
        return self.drawn and any(run.published or run.profile.split("+")[0] != TRIAL for run in self.runs)


@dataclass(frozen=True)
class Group:
    """The claims of one paper about one quantity, on one axis; without an axis those that nothing was measured for."""

    quantity: str
    meaning: str
    axis: Axis | None
    rows: tuple[Row, ...]


def rows_of(evidence: Evidence) -> list[Row]:
    """A paper's claims with the runs that are evidence: the published one, and the reader's own if it is no trial."""
    found = []
    for claim in evidence.experiment.paper.claims:
        runs = shown_claim(claim, evidence)
        telling = [run for run in runs if run.published or run.profile.split("+")[0] != TRIAL]
        found.append(Row(evidence.name, claim, tuple(telling or runs)))
    return sorted(found, key=lambda row: ORDER.index(row.claim.whose))


def groups(evidence: Evidence) -> list[Group]:
    """A paper's rows by what they measure; those that could not fail and those without a number come last."""
    said = meanings(evidence.experiment)
    by_quantity: dict[str, list[Row]] = {}
    silent, foregone = [], []
    for row in rows_of(evidence):
        if not row.drawn:
            silent.append(row)
        elif row.claim.whose == FOREGONE:
            foregone.append(row)
        else:
            by_quantity.setdefault(_quantity(row), []).append(row)
    found = [Group(name, said.get(name, ""), _axis(rows), tuple(rows)) for name, rows in by_quantity.items()]
    found += [
        Group(_quantity(row), f"could not fail; {said.get(_quantity(row), '')}", _axis([row]), (row,))
        for row in foregone
    ]
    return found + ([Group("", "without a number here", None, tuple(silent))] if silent else [])


def _quantity(row: Row) -> str:
    measured = [run.leading.quantity for run in row.runs if run.leading]
    stated = [test.left.quantity for test in tests_of(row.claim)]
    return (measured + stated + [""])[0]


def _axis(rows: Iterable[Row]) -> Axis:
    reach = [run.leading.reach for row in rows for run in row.runs if run.leading]
    far = [max(abs(value) for value in one) for one in reach]
    most = median(far) * FAR if far else 0.0
    kept = [value for one, size in zip(reach, far, strict=True) for value in one if size <= most] or [0.0]
    return Axis.around([0.0, *kept])


def findings(every: Iterable[Evidence]) -> list[tuple[Evidence, Row]]:
    """The claims that the papers' modules lead with and on which there is something to say, those of ours first."""
    found = []
    for evidence in every:
        rows = {row.claim.id: row for row in rows_of(evidence)}
        found += [(evidence, rows[name]) for name in evidence.experiment.paper.findings if rows[name].is_evidence]
    return sorted(found, key=lambda pair: ORDER.index(pair[1].claim.whose))


def choices(every: Iterable[Evidence]) -> dict[str, list[tuple[str, str, int]]]:
    """The filters of the front page: for each the (value, what is said, how many claims)."""
    rows = [row for evidence in every for row in rows_of(evidence)]
    by: dict[str, dict[str, Any]] = {"paper": {}, "verdict": {}, "whose": {}}
    for row in rows:
        for name, value in (("paper", row.paper), ("verdict", row.standing.lower()), ("whose", row.claim.whose)):
            by[name][value] = by[name].get(value, 0) + 1
    order = {whose: place for place, whose in enumerate(ORDER)}
    return {
        name: [
            (slug(value), value, count)
            for value, count in sorted(counts.items(), key=lambda one: (order.get(one[0], 0), one[0]))
        ]
        for name, counts in by.items()
    }


def slug(text: str) -> str:
    """A text as part of an address."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())
