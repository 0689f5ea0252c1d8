"""`published/PAPER.json`: the verdicts and figures that the project stands for, with all that they rest on."""

import json
import lzma
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from flows.engine.errors import first_error
from models.config import config
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.judging.intervals import Kind
from tasks.judging.parts import DRAW

FOLDER = ROOT / "published"
MANY = 100
"""Pairs of a comparison, such as draws of a simulation, from which on they are kept compressed beside the file."""

Interval = tuple[float, float] | None
Value = str | int | float | bool


@dataclass(frozen=True)
class Figure:
    """A number of the result tables: the mean over seeds, with Student's 95 % interval where there are several."""

    value: float
    unit: str
    seeds: tuple[int, ...]
    interval: Interval


@config
class Figures:
    """Numbers of one quantity, with what they share: the unit, and the seeds over which they are means.

    `values` has them to five digits, by a row's label and then by a column's (by "" and the row's where there are no
    columns): alone, or with an interval as [mean, low, high].
    """

    quantity: str
    unit: str
    seeds: tuple[int, ...]
    values: dict[str, dict[str, float | tuple[float, float, float]]]


@config
class Side:
    """What is measured on one side of a comparison, in the rows with these labels."""

    quantity: str
    labels: dict[str, Value]


@config
class Pairs:
    """The values of both sides, by seed, draw or cluster, or two computed ones; `weights` where they are not equal.

    Without `labels` they are numbered from 0; a `right` of one value is the same for all. In the file, those of more
    than `MANY` are the number of their place in `PAPER.draws.json.xz`.
    """

    labels: tuple[Value | None, ...]
    left: tuple[float, ...]
    right: tuple[float, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.left)
        allowed = {"labels": (0, count), "right": (1, count), "weights": (0, count)}
        for name, lengths in allowed.items():
            if count and len(getattr(self, name)) not in lengths:
                raise ValueError(f"{len(getattr(self, name))} {name} beside {count} values")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a pair is there twice")

    def rows(self) -> list[tuple[Value | None, float, float]]:
        """Label and both values of each pair."""
        labels = self.labels or tuple(range(len(self.left)))
        right = self.right * len(self.left) if len(self.right) == 1 else self.right
        return list(zip(labels, self.left, right, strict=True))


@config
class Part:
    """One comparison of a claim or control, with what its verdict is computed from.

    `interval` at `level` decides, `plain` is that at 1 - alpha. `crossed` are the means over seeds and items of
    tasks/judging/crossed.py, and `error` is a simulator's own.
    """

    name: str
    kind: Kind
    margin: float
    margin_of: Literal["", "paper", "ours"]
    size: float | None
    paired: str
    cluster: str
    items: str
    fixed: Literal["", "items", "seeds"]
    left: Side
    right: Side | float
    verdict: str
    reason: str
    statistic: str
    n: int
    n_items: int | None
    effect: float | None
    interval: Interval
    level: float | None
    plain: Interval
    p: float | None
    error: float | None
    pairs: Pairs
    crossed: dict[str, float | tuple[float, ...]] | None


@config
class PublishedControl:
    """A check of the measurement, and whether it passed."""

    id: str
    kind: str
    passed: bool
    needed: int
    parts: tuple[Part, ...]


@config
class PublishedClaim:
    """A claim with its verdict and all its comparisons, and the command that measures it again.

    `effect`, `interval` and `p` are those of the comparison that speaks for the claim. `digest` is the claim's
    identity. `withdrawn` is the reason for which we stand for the verdict no more. `seen_at` are the profiles at which
    its data existed when it was written, and `earlier` is the verdict with which the same data were published before
    the judge's rules changed.
    """

    id: str
    says: str
    source: str
    evidence: str
    paper_value: str
    whose: str
    expected: str
    seen: str
    enlarged: str
    method: str
    digest: str
    verdict: str
    reason: str
    withdrawn: str
    statistic: str
    n: int
    effect: float | None
    interval: Interval
    level: float | None
    plain: Interval
    p: float | None
    post_hoc: bool
    command: str
    needed: int
    parts: tuple[Part, ...]
    seen_at: tuple[str, ...] = ()
    earlier: str = ""


@config
class Publication:
    """One paper's verdicts at one profile, as computed from one commit on one machine.

    `scale` is the ledger of what was used in the place of what the paper used: the verdicts are about that. `judged`
    are the digests of what was judged. It is empty where a paper was published before pairs were kept: then no verdict
    can be recomputed.
    """

    paper: str
    profile: str
    commit: str
    environment: dict[str, str]
    scale: str
    judged: dict[str, str]
    alpha: float
    minimum_seeds: int
    minimum_items: int
    figures: tuple[Figures, ...]
    controls: tuple[PublishedControl, ...]
    claims: tuple[PublishedClaim, ...]

    def by_name(self) -> dict[str, Figure]:
        """The figures, each by its name: `quantity/row/column`, or `quantity/row`."""
        return {
            "/".join(filter(None, [group.quantity, row, column])): Figure(
                number[0] if isinstance(number, tuple) else number,
                group.unit,
                group.seeds,
                number[1:] if isinstance(number, tuple) else None,
            )
            for group in self.figures
            for row, numbers in group.values.items()
            for column, number in numbers.items()
        }


def grouped(figures: Mapping[str, Figure]) -> tuple[Figures, ...]:
    """Figures by name as a publication has them, those of one quantity, unit and seeds together."""
    groups: dict[tuple[str, str, tuple[int, ...]], dict[str, dict[str, Any]]] = {}
    for name, figure in figures.items():
        quantity, _, labels = name.partition("/")
        row, _, column = labels.rpartition("/")
        ends = [five_digits(end) for end in figure.interval or ()]
        values = groups.setdefault((quantity, figure.unit, figure.seeds), {})
        values.setdefault(row, {})[column] = (five_digits(figure.value), *ends) if ends else five_digits(figure.value)
    return tuple(
        Figures(quantity=quantity, unit=unit, seeds=seeds, values=values)
        for (quantity, unit, seeds), values in groups.items()
    )


def five_digits(value: float) -> float:
    """A figure as it is published; counts stay whole. No verdict rests on it: pairs are kept as they were measured."""
    return value if value == round(value) else float(f"{value:.5g}")


def read(paper: str) -> Publication | None:
    """What is published of a paper, if anything is.

    Raises:
        UserError: the file has not the shape that it must have.
    """
    path = FOLDER / f"{paper}.json"
    return read_file(path) if path.exists() else None


def read_file(path: Path) -> Publication:
    """What such a file publishes, wherever it lies.

    Raises:
        UserError: there is no such file, or it has not the shape that it must have.
    """
    if not path.exists():
        raise UserError(f"There is no file {path}.")
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    again = f"git restore it, or run tenfold publish {path.stem}."
    try:
        raw = json.loads(path.read_text())
        many = [part for part in _parts(raw) if isinstance(part["pairs"], int)]
        columns = json.loads(lzma.decompress(_beside(path).read_bytes())) if many else []
        for part in many:
            part["pairs"] = columns[part["pairs"]]
        found: Publication = TypeAdapter(Publication).validate_json(json.dumps(raw))
    except ValidationError as problem:
        raise UserError(f"{shown} has not the shape of a publication ({first_error(problem)}): {again}") from problem
    except (KeyError, TypeError) as problem:
        raise UserError(f"{shown} has not the shape of a publication (no {problem}): {again}") from problem
    except (OSError, lzma.LZMAError, ValueError, IndexError) as problem:
        raise UserError(f"{shown} or the draws beside it cannot be read ({problem}): {again}") from problem
    return found


def write(publication: Publication) -> Path:
    """Write the paper's file; what people read is made of all of them (readme.py)."""
    path = FOLDER / f"{publication.paper}.json"
    FOLDER.mkdir(exist_ok=True)
    raw = TypeAdapter(Publication).dump_python(publication, mode="json")
    columns: list[Any] = []
    for part in _parts(raw):
        if len(part["pairs"]["left"]) > MANY:
            columns.append(part["pairs"])
            part["pairs"] = len(columns) - 1
    beside = _beside(path)
    if columns:
        beside.write_bytes(lzma.compress(json.dumps(columns).encode(), preset=9 | lzma.PRESET_EXTREME))
    else:
        beside.unlink(missing_ok=True)
    path.write_text(lines(raw) + "\n")
    return path


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.draws.json.xz")


def _parts(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of a publication as it lies in its file."""
    return [part for told in (*raw["controls"], *raw["claims"]) for part in told["parts"]]


def lines(value: Any, indent: int = 0, *, apart: bool = False) -> str:
    """JSON of which a diff can be read: what holds plain values, or lists of such, is one line.

    Only figures, which come under the name `values`, have a line each (`apart`).
    """
    within = value.values() if isinstance(value, dict) else value
    broken = apart and isinstance(value, dict)
    if not isinstance(value, dict | list) or (not broken and all(_is_plain(one) for one in within)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    space = " " * (indent + 1)
    if isinstance(value, dict):
        inner = [
            f"{json.dumps(name, ensure_ascii=False)}: {lines(one, indent + 1, apart=apart or name == 'values')}"
            for name, one in value.items()
        ]
    else:
        inner = [lines(one, indent + 1) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + "\n" + ",\n".join(space + line for line in inner) + "\n" + " " * indent + closing


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(one, dict | list) for one in value)
    return not isinstance(value, dict)


WITHDRAWN = "WITHDRAWN"


def standing(claim: PublishedClaim) -> str:
    """The verdict that still stands."""
    return WITHDRAWN if claim.withdrawn else claim.verdict


def tally(claims: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """How many claims came out how, from (whose, verdict), by whose claim it is; never over all of them."""
    counts: dict[str, Counter[str]] = {}
    for whose, verdict in claims:
        counts.setdefault(whose, Counter())[verdict] += 1
    return counts


def predictions(claims: Iterable[PublishedClaim]) -> tuple[int, int]:
    """How many predictions came true, of those on which there is a verdict either way.

    What was written after the data is none, nor is what could not fail, or was judged again by another rule.
    """
    from tasks.judging.deciding import came_true

    came = [
        came_true(claim.expected, claim.verdict)
        for claim in claims
        if not (claim.post_hoc or claim.withdrawn or claim.earlier or claim.whose == "foregone")
    ]
    decided = [one for one in came if one is not None]
    return sum(decided), len(decided)


def p_in_words(p: float | None, pairs: int, paired: str, over: str) -> str:
    """A p as people are shown it: few pairs cannot give a small one by flips of their signs, whatever they show.

    `over` is what besides pairs the p is about, "" where signs are flipped.
    """
    if p is None:
        return ""
    flipped = pairs > 0 and paired not in ("", DRAW) and not over
    if flipped and p <= 2 ** (1 - pairs):
        return f"sign-flip p {p:.2g}, the smallest that {pairs} pairs can give"
    return f"{'sign-flip ' if flipped else ''}p {p:.2g}"


def effect_and_interval(effect: float | None, interval: Interval) -> str:
    """An effect with its interval, as people are shown it; a dash where there is none."""
    if effect is None:
        return "–"
    return f"{effect:+.3g}" + (f" [{interval[0]:+.3g}, {interval[1]:+.3g}]" if interval else "")
