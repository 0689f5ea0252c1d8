"""A claim as the report shows it, in one shape for what was judged here and for what is published."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.engine.discover import Experiment
from flows.engine.evidence import Evidence, measured_by
from flows.engine.paper import AtLeast, Claim, Measurement, Test
from flows.engine.publication import Publication
from tasks.judging.intervals import decide, edges, region

OURS = "ours"
FOREGONE = "foregone"

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Compared:
    """One comparison: the difference left minus right, its intervals, and the edges of what is claimed.

    `interval` decides, at `level`; `plain` is that of 95 %. `kind` is empty where a publication kept no comparisons.
    """

    name: str
    quantity: str
    kind: str
    margin: float
    margin_of: str
    size: float | None
    effect: float | None
    interval: Interval
    plain: Interval
    level: float | None
    p: float | None
    verdict: str
    items: str
    cluster: str
    paired: str
    fixed: str
    pairs: tuple[tuple[Any, float, float], ...]

    @property
    def edges(self) -> list[float]:
        """The finite edges of what is claimed."""
        return [edge for edge in edges(self.kind, self.margin) if math.isfinite(edge)] if self.kind else []  # type: ignore[arg-type]

    @property
    def region(self) -> str:
        """Where the difference must lie, in words, and whose margin that is."""
        if not self.kind:
            return ""
        return region(self.kind, self.margin) + (f", margin {self.margin_of}" if self.margin_of else "")

    @property
    def sides(self) -> str:
        """The means of the two sides, as in "1.95 against 1.93"; "" where pairs have weights, whose means differ."""
        if not self.pairs or self.effect is None:
            return ""
        left, right = (sum(pair[side] for pair in self.pairs) / len(self.pairs) for side in (1, 2))
        return f"{left:.3g} against {right:.3g}" if math.isclose(left - right, self.effect, abs_tol=1e-9) else ""

    @property
    def claimed(self) -> tuple[float, float] | None:
        """Where the whole interval must lie for the comparison to hold."""
        return edges(self.kind, self.margin) if self.kind else None  # type: ignore[arg-type]

    @property
    def open_by_its_level(self) -> bool:
        """Whether the 95 % interval alone would decide, which people see first, and the one of its level does not."""
        if not self.kind or self.plain is None or self.verdict != "INCONCLUSIVE":
            return False
        return decide(self.kind, self.margin, self.plain) != "INCONCLUSIVE"  # type: ignore[arg-type]

    @property
    def reach(self) -> list[float]:
        """The values that an axis must hold."""
        ends = [*(self.interval or ()), *(self.plain or ())]
        return [value for value in (self.effect, self.size, 0.0, *self.edges, *ends) if value is not None]


@dataclass(frozen=True)
class Shown:
    """What came of one claim in one run: the published one, or the reader's own."""

    published: bool
    profile: str
    says: str
    method: str
    verdict: str
    post_hoc: bool
    earlier: str
    withdrawn: str
    reason: str
    statistic: str
    n: int
    parts: tuple[Compared, ...]
    leading: Compared | None
    stages: tuple[str, ...]
    command: str

    @property
    def whose_run(self) -> str:
        return f"{'published' if self.published else 'yours'} ({self.profile})"

    @property
    def foretold(self) -> bool:
        """Whether the claim was written before its data, and judged by the rule of then."""
        return not (self.post_hoc or self.earlier)

    @property
    def standing(self) -> str:
        if self.withdrawn:
            return "WITHDRAWN"
        return "WITHHELD" if self.reason.startswith("withheld") else self.verdict

    @property
    def sample(self) -> str:
        """On how many seeds, questions or draws it rests, in words, and of what it does not generalise."""
        part = self.leading
        if part is None or (self.n < 2 and part.fixed != "seeds"):
            return ""
        if not part.paired:  # published before pairs were kept
            return f"{self.n} draws" if self.method == "simulated" else f"n = {self.n}"
        counted = f"{self.n} {part.paired}{'' if self.n == 1 else 's'}" + (f" × {part.items}s" if part.items else "")
        return counted + (f", about these very {part.fixed} alone" if part.fixed else "")


def shown_claim(claim: Claim, evidence: Evidence) -> list[Shown]:
    """What is published of a claim, and what was judged here; either may be missing."""
    found = []
    if evidence.published:
        found += [_published(one, evidence.published, claim) for one in evidence.published.claims if one.id == claim.id]
    if evidence.judged:
        found += [_judged(one, evidence) for one in evidence.judged.claims if one["id"] == claim.id]
    return found


def _published(one: Any, published: Publication, claim: Claim) -> Shown:
    told = vars(one)
    parts = tuple(_compared(vars(part)) for part in one.parts)
    leading = _leading(parts, one.effect, one.interval)
    if not parts and one.effect is not None:
        leading = _without_pairs(told, claim, published)
    return Shown(
        published=True,
        profile=published.profile,
        parts=parts or ((leading,) if leading else ()),
        leading=leading,
        stages=(),
        **{
            name: told[name]
            for name in (
                "says",
                "method",
                "verdict",
                "post_hoc",
                "earlier",
                "withdrawn",
                "reason",
                "statistic",
                "n",
                "command",
            )
        },
    )


def _without_pairs(told: Mapping[str, Any], claim: Claim, published: Publication) -> Compared:
    """What was published before pairs were kept: an effect and an interval, with no margin to set them against."""
    first = tests_of(claim)[:1]
    over_seeds = any(len(figure.seeds) == told["n"] for figure in published.by_name().values())
    return Compared(
        name="",
        quantity=first[0].left.quantity if first else "",
        kind="",
        margin=0.0,
        margin_of="",
        size=None,
        effect=told["effect"],
        interval=told["interval"],
        plain=told["plain"],
        level=None,
        p=told["p"],
        verdict=told["verdict"],
        items="",
        cluster="",
        paired="seed" if over_seeds else "",
        fixed="",
        pairs=(),
    )


def _judged(one: Mapping[str, Any], evidence: Evidence) -> Shown:
    parts = tuple(_compared(part) for part in one["parts"])
    return Shown(
        published=False,
        profile=evidence.chosen.name,
        earlier="",
        withdrawn="",
        parts=parts,
        leading=_leading(parts, one["effect"], one["interval"]),
        stages=tuple(measured_by(one)),
        command=f"{evidence.command} && tenfold trace {evidence.name}/{one['id']} --profile {evidence.chosen.base}",
        **{name: one[name] for name in ("says", "method", "verdict", "post_hoc", "reason", "statistic", "n")},
    )


def _compared(part: Mapping[str, Any]) -> Compared:
    left = part["left"] if isinstance(part["left"], Mapping) else vars(part["left"])
    given = part["pairs"]
    pairs = [(pair["pair"], pair["left"], pair["right"]) for pair in given] if isinstance(given, list) else given.rows()
    same = (
        "name",
        "kind",
        "margin",
        "margin_of",
        "size",
        "effect",
        "level",
        "p",
        "verdict",
        "items",
        "cluster",
        "paired",
        "fixed",
    )
    return Compared(
        quantity=left["quantity"],
        interval=_ends(part["interval"]),
        plain=_ends(part["plain"]),
        pairs=tuple(pairs),
        **{name: part[name] for name in same},
    )


def _ends(interval: Any) -> Interval:
    return (interval[0], interval[1]) if interval else None


def _leading(parts: tuple[Compared, ...], effect: float | None, interval: Any) -> Compared | None:
    """The comparison that speaks for the claim."""
    same = [part for part in parts if part.effect == effect and part.interval == _ends(interval)]
    return next(iter(same or parts), None)


def tests_of(claim: Claim) -> list[Test]:
    """A claim's comparisons as its paper states them."""
    if isinstance(claim.test, AtLeast):
        return list(claim.test.tests)
    return [claim.test] if isinstance(claim.test, Test) else []


def meanings(experiment: Experiment) -> dict[str, str]:
    """What each quantity of the paper's comparisons is, in the words of the stage that measures it."""
    found: dict[str, str] = {}
    for stage in experiment.stages.values():
        found |= getattr(stage.function, "measures", {})
    for claim in experiment.paper.claims:
        for test in tests_of(claim):
            for side in (test.left, test.right):
                if isinstance(side, Measurement):
                    found[side.quantity] = side.stage.function.measures[side.quantity]  # type: ignore[attr-defined]
    return found
