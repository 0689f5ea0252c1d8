"""The memory map of a plan as one HTML file: time from left to right, addresses upwards; it loads nothing."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from tools.plan_memory.answer import Answer, spoken

WIDTH, HEIGHT = 1200, 520
"""Of the map, in the units of the drawing."""


def write_page(found: Answer, plan: dict[str, Any], title: str, out: Path) -> None:
    """Write the page; hovering a block names its tensor, shape, bytes and the line of source that made it."""
    from models.olla.simulator import replay

    steps = max(1, len(plan["order"]))
    pytorch = replay(found.graph, range(steps)).live
    top = max(plan["arena_bytes"], max(pytorch, default=1), 1)
    kinds = sorted({one["operator"] for one in plan["tensors"]})
    blocks = []
    for one in plan["tensors"]:
        shape = "×".join(map(str, one["shape"])) or "scalar"
        about = f"{one['name']}: {one['operator']}\n{shape} {one['dtype']}, {spoken(one['bytes'])}\n"
        about += f"at {one['address']:,}, steps {one['from']} to {one['to'] - 1}\n{one['line']}"
        blocks.append(
            {
                "x": round(WIDTH * one["from"] / steps, 2),
                "width": round(max(0.6, WIDTH * (one["to"] - one["from"]) / steps), 2),
                "y": round(HEIGHT * (1 - (one["address"] + one["bytes"]) / top), 2),
                "height": round(max(0.4, HEIGHT * one["bytes"] / top), 2),
                "hue": 137 * kinds.index(one["operator"]) % 360,
                "about": about.strip(),
            }
        )
    line = " ".join(f"{WIDTH * (i + 0.5) / steps:.1f},{HEIGHT * (1 - b / top):.1f}" for i, b in enumerate(pytorch))
    page = Environment(loader=PackageLoader("tools.plan_memory", "."), autoescape=True).get_template(
        "timeline.html.jinja"
    )
    ticks = [(HEIGHT * (1 - share), spoken(top * share)) for share in (0.25, 0.5, 0.75, 1.0)]
    out.write_text(
        page.render(
            title=title,
            blocks=blocks,
            line=line,
            ticks=ticks,
            width=WIDTH,
            height=HEIGHT,
            now=spoken(found.now),
            planned=spoken(found.planned),
            bound=spoken(found.bound) if found.certain else "not computed",
            resident=spoken(found.plan.resident),
            arena=HEIGHT * (1 - plan["arena_bytes"] / top),
            steps=steps,
        ),
        encoding="utf-8",
    )
