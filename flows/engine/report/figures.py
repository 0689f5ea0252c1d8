"""The report's figures, as SVG that takes its colours from the page (light, dark or print)."""

import io
import re
from collections.abc import Iterator
from hashlib import md5
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from flows.engine.evidence import Evidence, Judged
from tasks.judging.intervals import edges
from tasks.judging.results import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

INK = "#010203"
"""Stands for the page's text colour while matplotlib draws."""

VERDICT_CLASS = {
    "SUPPORTED": "#010211",
    "CONTRADICTED": "#010212",
    "CONSISTENT": "#010211",
    "INCONSISTENT": "#010212",
    "INCONCLUSIVE": "#010213",
    "FAILED": "#010214",
}
ACCENT = "#010215"
VARIABLES = {
    INK: "currentColor",
    ACCENT: "var(--accent)",
    "#010211": "var(--supported)",
    "#010212": "var(--contradicted)",
    "#010213": "var(--inconclusive)",
    "#010214": "var(--failed)",
}


def forest(judged: Judged) -> str:
    """Each comparison's effect with its interval and the edge of what is claimed, a panel a quantity."""
    parts = [(claim, part) for claim in judged.claims for part in claim["parts"] if part["effect"] is not None]
    parts.sort(key=lambda item: str(item[1]["left"]["quantity"]))
    panels = [(quantity, list(group)) for quantity, group in groupby(parts, lambda item: item[1]["left"]["quantity"])]
    if not panels:
        return ""
    names = [f"{claim['id']}{_which(claim, part)}" for claim, part in parts]
    heights = [len(group) for _, group in panels]
    drawing, axes = _canvas(9.5, 0.32 * len(parts) + 0.9 * len(panels), heights, names)
    for axis, (quantity, group) in zip(axes, panels, strict=True):
        for row, (_, part) in enumerate(group):
            colour = VERDICT_CLASS.get(part["verdict"], INK)
            if part["interval"]:
                axis.plot(part["interval"], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
            axis.plot([part["effect"]], [row], "o", color=colour, markersize=5)
            finite = [edge for edge in edges(part["kind"], part["margin"]) if abs(edge) != float("inf")]
            axis.plot(finite, [row] * len(finite), "|", color=INK, markersize=11, markeredgewidth=1.4)
        labels = [f"{claim['id']}{_which(claim, part)}" for claim, part in group]
        axis.set_yticks(range(len(group)), labels, fontsize=8.5)
        axis.set_ylim(len(group) - 0.4, -0.6)
        axis.set_title(f"{quantity}: difference", fontsize=9.5, loc="left", color=INK)
        axis.grid(axis="x", color=INK, alpha=0.12)
    return _svg(drawing, "Effects of the claims' comparisons with their intervals")


def _which(claim: dict[str, Any], part: dict[str, Any]) -> str:
    """Which of a claim's comparisons this is, by the labels that tell them apart."""
    if len(claim["parts"]) == 1:
        return ""
    sides = [
        side["labels"] for other in claim["parts"] for side in (other["left"], other["right"]) if isinstance(side, dict)
    ]
    differing = {key for labels in sides for key in labels if len({str(one.get(key)) for one in sides}) > 1}
    own = [part["left"]["labels"], *([part["right"]["labels"]] if isinstance(part["right"], dict) else [])]
    words = dict.fromkeys(str(labels[key]) for labels in own for key in labels if key in differing)
    return f" ({', '.join(words)})"


def drawn(table: Table, judged: Judged) -> str:
    """A table's cells: curves where its columns are numbers, such as of GPUs, else dots."""
    data = next(one for one in judged.tables if one["title"] == table.title)
    rows, columns = [row[0] for row in data["rows"]], data["columns"][1:]
    places = [float(column) for column in columns if _is_number(column)]
    if len(places) > 2 and len(places) == len(columns):
        return _curves(table, judged, rows, dict(sorted(zip(places, columns, strict=True))))
    return _dots(table, judged, rows, columns)


def _is_number(column: Any) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", str(column)) is not None


def _curves(table: Table, judged: Judged, rows: list[Any], columns: dict[float, Any]) -> str:
    """A curve a row over the columns, by their places, with its 95 % band.

    Names stand at the curves' ends. Where there are too many for that, those that begin alike, up to a comma, share a
    panel, and the curves are named below.
    """
    places = list(columns)
    panels = _panels([str(row) for row in rows])
    legend = 0.32 * -(-max(len(own) for own in panels.values()) // 4) if len(panels) > 1 else 0.0
    drawing, axes = _canvas(9.5, 3.6 + legend, len(panels), ["-0.000"], between=0.55, below=0.45 + legend)
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows.values()))
    for axis, (title, own) in zip(axes, panels.items(), strict=True):
        for row, name in own.items():
            found = [judged.figures.get(f"{table.quantities[0]}/{row}/{column}") for column in columns.values()]
            curve = [(place, figure) for place, figure in zip(places, found, strict=True) if figure]
            if not any(figure.value for _, figure in curve):
                continue  # what is zero everywhere has no curve
            index = names.index(name)
            style = {"linestyle": LINES[index % len(LINES)], "marker": MARKERS[index % len(MARKERS)], "label": name}
            x, y = [place for place, _ in curve], [figure.value for _, figure in curve]
            axis.plot(x, y, color=ACCENT, linewidth=1.8, markersize=3.5, **style)
            if all(figure.interval for _, figure in curve):
                low, high = zip(*(figure.interval for _, figure in curve if figure.interval), strict=True)
                axis.fill_between(x, low, high, color=ACCENT, alpha=0.15, linewidth=0)
            if len(panels) == 1:
                axis.annotate(f"  {name}", (x[-1], y[-1]), fontsize=8.5, color=INK, va="center")
        if min(places) > 0 and len({after - before for before, after in pairwise(places)}) > 1:
            axis.set_xscale("log", base=2)
        axis.set_xticks(places, [str(column) for column in columns.values()])
        axis.set_xlabel(table.columns, fontsize=8.5, color=INK)
        axis.set_title(title, fontsize=9.5, loc="left", color=INK)
        axis.margins(x=0.12)
        axis.grid(color=INK, alpha=0.12)
    if len(panels) > 1:
        keys = {name: line for axis in axes for line, name in zip(*axis.get_legend_handles_labels(), strict=True)}
        shown = [keys[name] for name in names if name in keys]
        drawing.legend(
            handles=shown,
            loc="lower center",
            ncols=4,
            fontsize=8.5,
            frameon=False,
            labelcolor=INK,
            handlelength=3,
        )
    return _svg(drawing, f"{table.title}: {table.rows} over {table.columns}, with 95 % bands")


def _panels(rows: list[str]) -> dict[str, dict[str, str]]:
    """By a panel's title its rows with their names there."""
    if len(rows) <= MOST_NAMED or not all(", " in row for row in rows):
        return {"": {row: row for row in rows}}
    panels: dict[str, dict[str, str]] = {}
    for row in rows:
        title, _, name = row.partition(", ")
        panels.setdefault(title, {})[row] = name
    return panels


LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "X", "P")
MOST_NAMED = 8
"""How many curves can have their names at their ends."""


MILLIONS = 2e6
"""Beyond it an axis counts in millions (M) and more, rather than in a power of ten at its end."""


def _dots(table: Table, judged: Judged, rows: list[Any], columns: list[Any]) -> str:
    """The cells as dots with 95 % intervals: a panel a column, a line a row."""
    from matplotlib.ticker import EngFormatter

    labels = [str(row) for row in rows]
    drawing, axes = _canvas(2.6 + 1.75 * len(columns), 0.27 * len(rows) + 1.0, len(columns), labels)
    for axis, column in zip(axes, columns, strict=True):
        for height, row in enumerate(rows):
            name = f"{table.quantities[0]}/{row}/{column}" if table.columns else f"{column}/{row}"
            figure = judged.figures.get(name)
            if figure:
                if figure.interval:
                    axis.plot(figure.interval, [height, height], color=ACCENT, linewidth=2)
                axis.plot([figure.value], [height], "o", color=ACCENT, markersize=4)
        axis.set_title(str(column), fontsize=9.5, loc="left", color=INK)
        axis.set_yticks(range(len(rows)), rows if axis is axes[0] else [""] * len(rows), fontsize=8.5)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.grid(color=INK, alpha=0.12)
        axis.locator_params(axis="x", nbins=4)
        if axis.get_xlim()[1] > MILLIONS:
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    return _svg(drawing, f"{table.title}: means over seeds with 95 % intervals")


LETTER_INCHES = 0.064
"""The width of a letter of a label."""


def _canvas(
    width: float,
    height: float,
    panels: int | list[int],
    labels: list[str],
    *,
    between: float = 0.3,
    below: float = 0.35,
) -> "tuple[Drawing, list[Any]]":
    """So many panels beside each other, or below each other with the given heights; all lengths in inches.

    The room for the labels on the left is reckoned, for matplotlib takes seconds to find it by drawing.
    """
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tenfold", "font.family": "sans-serif"})
    left = 0.2 + LETTER_INCHES * max(map(len, labels), default=0)
    width = max(width, left + 2.5)
    drawing = Drawing(figsize=(width, height))
    beside = isinstance(panels, int)
    count = panels if isinstance(panels, int) else len(panels)
    one = (width - left) / count if beside else (height - below) / count
    room = between if beside else 0.75
    place = {"left": left / width, "right": 1 - 0.12 / width, "bottom": below / height, "top": 1 - 0.32 / height}
    spaced = {"wspace" if beside else "hspace": room / max(one - room, 0.1)}
    ratios = {} if isinstance(panels, int) else {"height_ratios": panels}
    shape = (1, count) if beside else (count, 1)
    grid = drawing.subplots(*shape, squeeze=False, gridspec_kw={**place, **spaced, **ratios})
    axes = list(grid.flat)
    for axis in axes:
        axis.set_facecolor("none")
        axis.tick_params(colors=INK, labelsize=8.5, length=0)
        for name, spine in axis.spines.items():
            spine.set_visible(name == "bottom")
            spine.set_color(INK)
            spine.set_alpha(0.4)
    drawing.patch.set_alpha(0)
    return drawing, axes


def _svg(drawing: "Drawing", title: str) -> str:
    """The drawing as an SVG element that scales, with the page's own colours and fonts."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    text = re.sub(r"font: (\S+) [^;\"]*", r"font-size: \1; font-family: inherit", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _with_own_ids(text).replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)


def _with_own_ids(svg: str) -> str:
    """The drawing with only the ids that it refers to, and those unlike the ids of other drawings on the page."""
    own = md5(svg.encode(), usedforsecurity=False).hexdigest()[:8]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{found[1]}-{own}"' if found[1] in used else "", svg)
    return re.sub(r'(href="|url\()#([^")]+)', rf"\1#\2-{own}", svg)


LIGHT = {
    "currentColor": "#1c1d20",
    "var(--accent)": "#17646e",
    "var(--supported)": "#24733f",
    "var(--contradicted)": "#b03a2e",
    "var(--inconclusive)": "#866413",
    "var(--failed)": "#7b3a9a",
}


def standalone(svg: str) -> str:
    """A figure of the report as a file of its own, on white."""
    for variable, colour in LIGHT.items():
        svg = svg.replace(variable, colour)
    return svg.replace("<svg", '<svg style="background: #fff; font-family: sans-serif"', 1)


# The stages

WIDTH, HEIGHT, GAP, DOWN = 112, 28, 16, 58
LETTER = 7.6
"""The width of a letter in a box, in the units of the drawing; the boxes are as wide as the longest name asks for."""


def graph(evidence: Evidence) -> str:
    """The paper's stages, each family one box, layered by what they wait for; dashed where they have to run."""
    families = _families(evidence)
    width = max(WIDTH, *(LETTER * len(_box_label(name, family)) + 12 for name, family in families.items()))
    depth: dict[str, int] = {}
    for name, family in families.items():
        depth[name] = 1 + max((depth[one] for one in family["reads"] if one in depth), default=-1)
    layers: dict[int, list[str]] = {}
    for name, layer in depth.items():
        layers.setdefault(layer, []).append(name)
    widest = max(len(names) for names in layers.values())
    place: dict[str, tuple[float, float]] = {
        name: ((column + (widest - len(names)) / 2) * (width + GAP), layer * DOWN)
        for layer, names in layers.items()
        for column, name in enumerate(names)
    }
    lines = list(_edges(families, place, width)) + list(_boxes(families, place, width))
    across, down = widest * (width + GAP) - GAP + 2, (len(layers) - 1) * DOWN + HEIGHT + 2
    label = f"The stages of {escape(evidence.name)}"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="-1 -1 {across:g} {down}" style="max-width: {across:g}px" '
        f'class="graph">{"".join(lines)}</svg>'
    )


def _box_label(name: str, family: dict[str, Any]) -> str:
    return name + (f" × {family['count']}" if family["count"] > 1 else "")


def _families(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Stages by the paper's variable that made them: how many, how many have to run, which they read."""
    variables = sorted(evidence.experiment.stages, key=len, reverse=True)
    made: dict[str, str] = {}
    families: dict[str, dict[str, Any]] = {}
    work = {stage.out for stage in evidence.plan.work}
    for stage in evidence.plan.stages:
        if stage.kind == "environment":
            continue
        known = [name for name in variables if stage.name == name or stage.name.startswith(f"{name}-")]
        name = known[0] if known and stage.axes else stage.name
        made[stage.out] = name
        family = families.setdefault(name, {"count": 0, "to_run": 0, "reads": set()})
        family["count"] += 1
        family["to_run"] += stage.out in work
        family["reads"] |= {made[folder] for folder in stage.input_folders if made.get(folder, name) != name}
    return families


def _edges(families: dict[str, dict[str, Any]], place: dict[str, tuple[float, float]], width: float) -> Iterator[str]:
    for name, family in families.items():
        for before in sorted(family["reads"]):
            (x1, y1), (x2, y2) = place[before], place[name]
            x1, x2, y1 = x1 + width / 2, x2 + width / 2, y1 + HEIGHT
            middle = (y1 + y2) / 2
            yield f'<path d="M{x1:g} {y1}C{x1:g} {middle} {x2:g} {middle} {x2:g} {y2}"/>'


def _boxes(families: dict[str, dict[str, Any]], place: dict[str, tuple[float, float]], width: float) -> Iterator[str]:
    for name, family in families.items():
        x, y = place[name]
        state = f"{family['to_run']} to run" if family["to_run"] else "up to date"
        kind = "waiting" if family["to_run"] else "current"
        yield (
            f'<g class="{kind}"><title>{escape(name)}: {state}</title>'
            f'<rect x="{x}" y="{y}" width="{width:g}" height="{HEIGHT}" rx="4"/>'
            f'<text x="{x + width / 2}" y="{y + HEIGHT / 2 + 4}">{escape(_box_label(name, family))}</text></g>'
        )
