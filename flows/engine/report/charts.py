"""The report's figures as SVG, narrow enough for a telephone, that take their colours and font from the page."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any

from flows.engine.report.axis import Axis, short

WIDTH, HEIGHT = 360, 278
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 20, 38
LETTER, LINE, GAP = 5.9, 12, 4
"""The width of a letter, the height of a line of a label and the least gap, in the units of a drawing."""
ROW = 15
"""The height of a line of a figure that has a line a row."""
APART = 9
"""How far below one another the dots of one row lie."""
LONGEST = 24
"""Letters of a name in a figure; the rest shows when one points at it."""
MOST_BANDS = 4
"""Bands of more curves than these would hide one another."""
MOST_TICKS = 12
"""An axis with more places than this has round numbers in their stead."""
NAMED = 4
"""So many of the points that lie farthest off have their names beside them."""


@dataclass(frozen=True)
class Point:
    """A named point with the interval of its height, where there is one."""

    name: str
    x: float
    y: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bounded:
    """A named row: the share that was reached, and the share below which it cannot be."""

    name: str
    reached: float
    bound: float


@dataclass(frozen=True)
class Mean:
    """A value with its interval, where there is one."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass
class Drawing:
    """An SVG that grows: two axes, and marks and labels in their coordinates."""

    x: Axis
    y: Axis
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    marks: list[str] = field(default_factory=list)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = self.left + self.x.at(x) * (self.width - self.left - self.right)
        return round(across, 1), round(TOP + (1 - self.y.at(y)) * (self.height - TOP - BOTTOM), 1)

    def axes(self, x_title: str, y_title: str, x_ticks: Mapping[float, str] | None = None) -> None:
        """Grid lines with their numbers, and what is measured along either side."""
        for tick in self.y.ticks():
            _, y = self.place(self.x.low, tick)
            self.marks.append(f'<path class="grid" d="M{self.left} {y}H{self.width - self.right}"/>')
            self.marks.append(f'<text class="tick end" x="{self.left - 4}" y="{y + 4}">{short(tick)}</text>')
        self.across(x_ticks or {tick: short(tick) for tick in self.x.ticks()})
        middle = (self.left + self.width - self.right) / 2
        self.marks.append(f'<text class="axis middle" x="{middle}" y="{self.height - 6}">{escape(x_title)}</text>')
        if y_title:
            self.marks.append(f'<text class="axis" x="2" y="11">{escape(y_title)}</text>')

    def across(self, ticks: Mapping[float, str], top: float = TOP) -> None:
        """Grid lines up from the lower side, with what stands below them."""
        low, written = self.height - BOTTOM, -float(GAP)
        for tick, said in ticks.items():
            x, _ = self.place(tick, self.y.low)
            self.marks.append(f'<path class="grid" d="M{x} {top}V{low}"/>')
            wide = LETTER * len(said) / 2
            if x - wide > written + GAP:  # numbers that would touch are left out
                self.marks.append(f'<text class="tick middle" x="{x}" y="{low + 14}">{escape(said)}</text>')
                written = x + wide

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = "L".join(f"{x} {y}" for x, y in (self.place(*point) for point in points))
        self.marks.append(f'<path class="{kind}" d="M{path}"/>')

    def dot(self, point: Point, kind: str, said: str = "") -> None:
        """A point with its interval; what it is called, and what is `said` of it, shows when one points at it."""
        x, y = self.place(point.x, point.y)
        if point.interval:
            low, high = (self.place(point.x, end)[1] for end in point.interval)
            self.marks.append(f'<path class="{kind}" d="M{x} {low}V{high}"/>')
        title = f"<title>{escape(point.name)}: {escape(said or f'{short(point.x)}, {short(point.y)}')}</title>"
        self.marks.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="3.6">{title}</circle>')
        self.taken.append((x - 4, y - 4, x + 4, y + 4))

    def name(self, point: Point) -> bool:
        """Write a point's name beside it, where there is room; says whether there was."""
        x, y = self.place(point.x, point.y)
        called = _cut(point.name)
        wide = LETTER * len(called)
        for start, level in (
            (x + 7, y + 4),
            (x - 7 - wide, y + 4),
            (x - wide / 2, y - 8),
            (x - wide / 2, y + 16),
            (x + 5, y - 8),
            (x + 5, y + 16),
            (x - 5 - wide, y - 8),
            (x - 5 - wide, y + 16),
        ):
            box = (start, level - LINE + 2, start + wide, level + 2)
            across = box[0] >= self.left and box[2] <= self.width
            down = box[1] >= TOP - 4 and box[3] <= self.height - BOTTOM
            if across and down and not any(_overlap(box, other) for other in self.taken):
                self.taken.append(box)
                self.marks.append(f'<text x="{start:.1f}" y="{level:.1f}">{escape(called)}</text>')
                return True
        return False

    def svg(self, said: str) -> str:
        return (
            f'<svg role="img" aria-label="{escape(said)}" viewBox="0 0 {self.width} {self.height}" class="chart">'
            f"{''.join(self.marks)}</svg>"
        )


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def agreement(points: Sequence[Point], x_title: str, y_title: str) -> str:
    """What was predicted against what was observed; on the line both are equal, and the worst are named."""
    positive = all(min(point.x, point.y) > 0 for point in points)
    both = Axis.around([value for point in points for value in (point.x, point.y)], log=positive)
    drawing = Drawing(both, both, height=WIDTH - 20)
    drawing.axes(x_title, y_title)
    drawing.line([(both.low, both.low), (both.high, both.high)], "equal")
    for point in points:
        drawing.dot(point, "series")
    off = sorted(points, key=lambda point: -abs(both.at(point.y) - both.at(point.x)))
    for point in off[:NAMED]:
        drawing.name(point)
    return drawing.svg(f"{y_title} against {x_title}, {len(points)} points, with the line on which both are equal")


def frontier(points: Sequence[Point], x_title: str, y_title: str, *, lower: bool) -> str:
    """Cost against quality; the rows that no other one beats in both are joined."""
    costs = [point.x for point in points]
    x = Axis.around(costs, log=min(costs) > 0 and max(costs) > 5 * min(costs), room=0.12)
    drawing = Drawing(x, Axis.around([value for p in points for value in (p.y, *(p.interval or ()))], room=0.1))
    drawing.axes(x_title, y_title)
    best = unbeaten(points, lower=lower)
    drawing.line([(point.x, point.y) for point in best], "frontier")
    for point in points:
        drawing.dot(point, "series" if point in best else "beaten")
    for point in [*best, *(point for point in points if point not in best)]:
        drawing.name(point)
    return drawing.svg(f"{y_title} against {x_title}; unbeaten: {', '.join(point.name for point in best)}")


def bounded(rows: Sequence[Bounded], title: str) -> str:
    """A line a row, the one with the lowest share first: what was reached, its bound, and what is saved against 1."""
    lowest = min(0.0, *(row.bound for row in rows))
    longest = max(len(row.name) for row in rows)
    left = int(min(160, LETTER * min(longest, LONGEST) + 16))
    across = Axis(lowest, 1.02)
    drawing = Drawing(across, Axis(len(rows) - 0.5, -0.5), height=TOP + BOTTOM + ROW * len(rows), left=left)
    drawing.across({tick: f"{tick:.0%}" for tick in across.ticks()})
    for place, row in enumerate(sorted(rows, key=lambda row: row.reached)):
        drawing.line([(row.reached, place), (1, place)], "saved")
        drawing.dot(Point(row.name, row.reached, place), "series", f"{row.reached:.1%}, bound {row.bound:.1%}")
        x, y = drawing.place(row.bound, place)
        drawing.marks.append(f'<path class="bound" d="M{x} {y - 5}V{y + 5}"/>')
        drawing.marks.append(f'<text class="end" x="{left - 6}" y="{y + 4}">{escape(_cut(row.name))}</text>')
    drawing.marks.append(f'<text class="axis end" x="{WIDTH - 6}" y="{drawing.height - 6}">{escape(title)}</text>')
    return drawing.svg(f"{title}, {len(rows)} rows, each with its bound")


def dots(rows: Mapping[str, Mapping[str, Mean]], title: str, *, at: float | None, log: bool) -> str:
    """A line a row, with a dot and its interval for each column below the one before; `at` is dashed."""
    columns = list(dict.fromkeys(name for own in rows.values() for name in own))
    means = [mean for own in rows.values() for mean in own.values()]
    every = [end for mean in means for end in (mean.value, *(mean.interval or ()))] + ([] if at is None else [at])
    across = Axis.around([end for end in every if end > 0] if log else every, log=log)
    names = {row: textwrap.wrap(row, LONGEST, max_lines=2, placeholder="…") or [""] for row in rows}
    left = int(max(LETTER * len(line) for lines in names.values() for line in lines)) + 14
    keys = _key(columns, WIDTH - RIGHT) if len(columns) > 1 else []
    top = 6 + (LINE * (1 + keys[-1][1]) + 2 if keys else 0) - TOP
    high = {row: max(ROW, LINE * len(lines) + 4, APART * len(columns) + 6) for row, lines in names.items()}
    whole = top + sum(high.values())
    drawing = Drawing(across, Axis(whole, 0), height=TOP + BOTTOM + whole, left=left)
    _write_key(drawing, columns, keys)
    drawing.across({tick: short(tick) for tick in across.ticks()}, TOP + top)
    if at is not None:
        drawing.line([(at, top), (at, whole)], "equal")
    below = float(top)
    for row, own in rows.items():
        middle = below + high[row] / 2
        for number, words in enumerate(names[row]):
            height = TOP + middle + LINE * (number - (len(names[row]) - 1) / 2) + 4
            drawing.marks.append(f'<text class="end" x="{left - 8}" y="{height:g}">{escape(words)}</text>')
        for number, name in enumerate(columns):
            if name in own:
                _mean(drawing, own[name], middle + APART * (number - (len(columns) - 1) / 2), number, f"{row}, {name}")
        below += high[row]
    middle = (left + WIDTH - RIGHT) / 2
    drawing.marks.append(f'<text class="axis middle" x="{middle}" y="{drawing.height - 6:g}">{escape(title)}</text>')
    by = f" by {', '.join(columns)}" if keys else ""
    return drawing.svg(f"{title} of {', '.join(rows)}{by}")


def _key(columns: Sequence[str], width: float) -> list[tuple[float, int]]:
    """Where each name of a key stands: how far from the left, and in which line."""
    places, x, line = [], 0.0, 0
    for name in columns:
        wide = LETTER * len(name) + 26
        if x and x + wide > width:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += wide
    return places


def _series(number: int) -> str:
    """The class of a column's dots: six colours, and the same ones hollow."""
    return f"series s{number % 6 + 1}" + (" hollow" if number >= 6 else "")


def _write_key(drawing: Drawing, columns: Sequence[str], keys: Sequence[tuple[float, int]]) -> None:
    for number, (x, line) in enumerate(keys):
        kind, level = _series(number), LINE * line
        drawing.marks.append(f'<circle class="{kind}" cx="{x + 4}" cy="{level + 9}" r="3.6"/>')
        drawing.marks.append(f'<text class="{kind}" x="{x + 11}" y="{level + 13}">{escape(columns[number])}</text>')


def _mean(drawing: Drawing, mean: Mean, level: float, number: int, said: str) -> None:
    """A dot with its interval at a height, in the colour of the column of this number."""
    kind = _series(number)
    low = drawing.x.low
    if mean.interval:
        begin, end = (max(end, low) if drawing.x.log else end for end in mean.interval)
        drawing.line([(begin, level), (end, level)], kind)
    x, y = drawing.place(max(mean.value, low) if drawing.x.log else mean.value, level)
    said = f"{said.removesuffix(', ')}: {short(mean.value)}"
    drawing.marks.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="3.6"><title>{escape(said)}</title></circle>')


def unbeaten(points: Sequence[Point], *, lower: bool) -> list[Point]:
    """Those to which no other point is better in one and as good in the other, from the cheapest on."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, p.y if lower else -p.y)):
        if not found or (point.y < found[-1].y if lower else point.y > found[-1].y):
            found.append(point)
    return found


def curves(
    rows: Mapping[str, Sequence[Point]],
    x_title: str,
    y_title: str,
    y: Axis,
    *,
    colours: Mapping[str, int] | None = None,
    at: float | None = None,
) -> str:
    """A line a row, with its band and its name at its end; the points' names are what stands at the ticks.

    The level `at` is dashed. A row's colour goes by its number in `colours`, or by its place.
    """
    every = [point for row in rows.values() for point in row]
    ticks = dict(sorted((point.x, point.name) for point in every))
    steps = {round(after - before, 9) for before, after in pairwise(sorted(ticks))}
    x = Axis.around(ticks, log=min(ticks) > 0 and len(steps) > 1)
    longest = max(len(name) for name in rows)
    drawing = Drawing(x, y, right=int(min(150, LETTER * longest + 12)))
    drawing.axes(x_title, y_title, ticks if len(ticks) <= MOST_TICKS else None)
    if at is not None and y.holds(at):
        drawing.line([(x.low, at), (x.high, at)], "equal")
    ends = []
    for place, (name, row) in enumerate(rows.items()):
        number = colours[name] if colours else place
        kind = f"series s{number % 6 + 1}" + (" dashed" if number >= 6 else "")
        if len(row) == 1:
            drawing.dot(row[0], kind, f"{name}, {short(row[0].y)}")
        elif len(rows) <= MOST_BANDS and all(point.interval for point in row):
            bottom = y.low if y.log else float("-inf")
            low = [drawing.place(point.x, max(point.interval[0], bottom)) for point in row if point.interval]
            high = [drawing.place(point.x, point.interval[1]) for point in row if point.interval]
            path = "L".join(f"{across} {down}" for across, down in [*high, *reversed(low)])
            drawing.marks.append(f'<path class="band s{number % 6 + 1}" d="M{path}Z"/>')
        if len(row) > 1:
            drawing.line([(point.x, point.y) for point in row], kind)
        ends.append((drawing.place(row[-1].x, row[-1].y), name, kind))
    for (x_end, level), name, kind in _apart(ends):
        drawing.marks.append(f'<text class="{kind}" x="{x_end + 5}" y="{level + 4:.1f}">{escape(_cut(name))}</text>')
    return drawing.svg(f"{y_title} over {x_title} for {', '.join(rows)}")


def best(rows: Mapping[str, Mapping[str, tuple[str, float]]], x_title: str, y_title: str) -> str:
    """A line a row and a cell for each column: the value of the best, in its colour, with a key of all who are best.

    Args:
        rows: by row and column who is best, and its value.
    """
    columns = list(dict.fromkeys(name for own in rows.values() for name in own))
    winners = list(dict.fromkeys(name for own in rows.values() for name, _ in own.values()))
    left = int(LETTER * min(LONGEST, max(len(row) for row in rows))) + 14
    keys = _key(winners, WIDTH - RIGHT)
    top = LINE * (1 + keys[-1][1]) + 8 - TOP
    across = Axis(-0.5, len(columns) - 0.5)
    drawing = Drawing(across, Axis(len(rows) - 0.5, -0.5), height=TOP + BOTTOM + top + ROW * len(rows), left=left)
    _write_key(drawing, winners, keys)
    wide = (WIDTH - left - RIGHT) / len(columns)
    for place, (row, own) in enumerate(rows.items()):
        level = TOP + top + ROW * place
        drawing.marks.append(f'<text class="end" x="{left - 6}" y="{level + 11:g}">{escape(_cut(row))}</text>')
        for name, (winner, value) in own.items():
            kind = f"s{winners.index(winner) % 6 + 1}"
            x, _ = drawing.place(columns.index(name), 0)
            cell = f"M{x - wide / 2 + 1:.1f} {level:g}h{wide - 2:.1f}v{ROW - 1}h{2 - wide:.1f}Z"
            said = f"<title>{escape(f'{row}, {name}: {winner}, {short(value)}')}</title>"
            drawing.marks.append(f'<path class="band {kind}" d="{cell}">{said}</path>')
            drawing.marks.append(
                f'<text class="series middle {kind}" x="{x}" y="{level + 11:g}">{_brief(value)}</text>'
            )
    for number, name in enumerate(columns):
        x, _ = drawing.place(number, 0)
        drawing.marks.append(
            f'<text class="tick middle" x="{x}" y="{drawing.height - BOTTOM + 14:g}">{escape(name)}</text>'
        )
    middle = (left + WIDTH - RIGHT) / 2
    drawing.marks.append(f'<text class="axis middle" x="{middle}" y="{drawing.height - 6:g}">{escape(x_title)}</text>')
    return drawing.svg(f"Who has the best {y_title} over {x_title} for {', '.join(rows)}: {', '.join(winners)}")


def _brief(value: float) -> str:
    """A value as a cell has room for it, to two digits; the whole shows when one points at it."""
    places = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{places}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{places}f}"


def _apart(ends: list[tuple[tuple[float, float], str, str]]) -> list[tuple[tuple[float, float], str, str]]:
    """The same labels, moved where they would lie on one another or below the axis."""
    room = HEIGHT - BOTTOM
    moved: list[tuple[tuple[float, float], str, str]] = []
    for place, ((x, y), name, kind) in enumerate(sorted(ends, key=lambda end: end[0][1])):
        above = moved[-1][0][1] + LINE if moved else y
        moved.append(((x, min(max(y, above), room - LINE * (len(ends) - 1 - place))), name, kind))
    return moved


def paired(pairs: Sequence[tuple[Any, float, float]], left: str, right: str, said: str) -> str:
    """The two sides of a comparison, each seed's values joined."""
    y = Axis.around([value for _, one, other in pairs for value in (one, other)], room=0.08)
    drawing = Drawing(Axis(-0.35, 1.35), y, width=300, height=190, right=8)
    drawing.axes("", said, {0.0: _cut(left), 1.0: _cut(right)})
    for label, one, other in pairs:
        drawing.line([(0, one), (1, other)], "pair up" if other > one else "pair down")
        drawing.dot(Point(str(label), 0, one), "series")
        drawing.dot(Point(str(label), 1, other), "series")
    return drawing.svg(f"{said} of {left} and {right}, {len(pairs)} pairs joined")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


COLOURS = ("#0a5c9e", "#b8420a", "#00755b", "#9a3f87", "#7a6200", "#45474c")
"""Those of the page's curves on white."""
LIGHT = """text{font:11px sans-serif;fill:#1c1d20}.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:#ddd}path{fill:none;stroke:#17646e}circle{fill:#17646e}.equal,.frontier,.bound{stroke:#555}
.saved{opacity:.4}.dashed{stroke-dasharray:5 3}circle.beaten{fill:#fff;stroke:#555}.up{stroke:#b8420a}
.down{stroke:#0a5c9e}path.band{stroke:none;opacity:.14}""" + "".join(
    f"path.s{n}{{stroke:{colour}}}text.s{n},circle.s{n},.band.s{n}{{fill:{colour}}}.band.s{n}{{stroke:none}}circle.hollow.s{n}{{fill:#fff;stroke:{colour}}}"
    for n, colour in enumerate(COLOURS, 1)
)


def standalone(svg: str) -> str:
    """A figure of the report as a file of its own, on white."""
    named = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff"', 1)
    return named.replace(">", f"><style>{LIGHT}</style>", 1)
