"""The findings as one picture, for the README: each claim's effect against what it claims."""

import textwrap
from collections.abc import Sequence
from html import escape

from flows.engine.publication import effect_and_interval
from flows.engine.report.axis import Axis
from flows.engine.report.front import Row
from flows.engine.report.shown import OURS, Compared

WIDTH, HIGH, TEXT, STRIP = 900, 62, 470, 210
COLOURS = {"SUPPORTED": "#0a5c9e", "CONSISTENT": "#0a5c9e", "CONTRADICTED": "#b8420a", "INCONSISTENT": "#b8420a"}
OPEN = "#6a6d73"


def picture(rows: Sequence[Row]) -> str:
    """An SVG on white, a line a claim, each on an axis of its own with 0 dashed and the claimed side tinted."""
    lines = [line for place, row in enumerate(rows) for line in _line(row, 30 + place * HIGH)]
    height = 30 + HIGH * len(rows)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
            f'font-size="13" role="img" aria-label="What was found: {len(rows)} claims with their effects">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fdfcf9"/>',
            f'<g font-size="11" fill="{OPEN}"><text x="12" y="18">claim</text>'
            f'<text x="{TEXT}" y="18">difference, with its interval; dashed: 0</text>'
            f'<text x="{TEXT + STRIP + 14}" y="18">verdict at our scale</text></g>',
            *lines,
            "</svg>",
            "",
        ]
    )


def _line(row: Row, top: int) -> list[str]:
    run = row.first
    assert run
    part = run.leading
    assert part
    colour = COLOURS.get(run.standing, OPEN)
    says = textwrap.wrap(row.says, 64)[:2]
    whose = "ours, not in the paper" if row.claim.whose == OURS else row.claim.whose
    beside = TEXT + STRIP + 14
    return [
        f'<path d="M12 {top}H{WIDTH - 12}" stroke="#dcdad3"/>',
        *(f'<text x="12" y="{top + 18 + 16 * n}">{escape(text)}</text>' for n, text in enumerate(says)),
        f'<text x="12" y="{top + 52}" font-size="11" fill="{OPEN}">{escape(row.paper)}: {escape(whose)}</text>',
        *_strip(part, top, colour),
        f'<text x="{beside}" y="{top + 24}" font-weight="bold" fill="{colour}">{run.standing.lower()}</text>',
        f'<text x="{beside}" y="{top + 42}" font-size="11">'
        f"{escape(effect_and_interval(part.effect, part.plain or part.interval))}</text>",
    ]


def _strip(part: Compared, top: int, colour: str) -> list[str]:
    axis = Axis.around(part.reach)

    def at(value: float) -> float:
        return round(TEXT + STRIP * axis.percent(value) / 100, 1)

    middle = top + 30
    found = []
    if part.claimed:
        low, high = (at(end) for end in part.claimed)
        found.append(f'<rect x="{low}" y="{top + 12}" width="{high - low:.1f}" height="36" fill="#0a5c9e1c"/>')
    found.append(f'<path d="M{at(0)} {top + 12}V{top + 48}" stroke="{OPEN}" stroke-dasharray="3 3"/>')
    ends = part.interval or part.plain
    if ends:
        found.append(f'<path d="M{at(ends[0])} {middle}H{at(ends[1])}" stroke="{colour}" stroke-width="3"/>')
    assert part.effect is not None
    return [*found, f'<circle cx="{at(part.effect)}" cy="{middle}" r="5" fill="{colour}"/>']
