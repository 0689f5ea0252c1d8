"""The paper's stages as a drawing: what waits for what, and what has to run."""

from collections.abc import Iterator
from html import escape
from typing import Any

from flows.engine.evidence import Evidence

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
