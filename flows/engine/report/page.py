"""Write `report.html`. Numbers reach the template only through `Evidence.judged`, that is with their chain."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.engine.evidence import SHOWN, Evidence, Judged, measured_by, sources
from flows.engine.paper import Profiles, Scale
from flows.engine.publication import WITHDRAWN, effect_and_interval, predictions, standing, tally
from flows.engine.report import figures
from tasks.base.files import ROOT
from tasks.judging.claims import WHOSE
from tasks.judging.judge import VERDICTS
from tasks.judging.report import cell

TEMPLATE = Path(__file__).parent
CLAIMS = "claims"
DRAWN = 5
"""A table of at most so many quantities is drawn too."""


def write_report(papers: Iterable[tuple[Evidence, Mapping[str, str]]], out: Path) -> Path:
    """Write the report on papers, each with what `draw` drew of it, to one file that needs no other."""
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"cell": _cell, "shown": _shown, "slug": _slug, "measured_by": measured_by}
    environment.filters["deciding"] = _deciding
    page = environment.get_template("report.html.jinja").render(
        papers=[_paper(evidence, drawn) for evidence, drawn in papers],
        verdict_words=(*VERDICTS, WITHDRAWN),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_commit(),
        shown_pairs=SHOWN,
    )
    fresh = out.with_name(f".{out.name}.fresh")
    fresh.write_text(page)
    os.replace(fresh, out)
    return out


def draw(evidence: Evidence) -> dict[str, str]:
    """The paper's figures by the titles of their tables, the claims' effects first; none where the chain is broken."""
    judged = evidence.judged
    if judged is None:
        return {}
    plotted = [table for table in evidence.experiment.paper.tables if len(table.quantities) <= DRAWN]
    return {CLAIMS: figures.forest(judged)} | {table.title: figures.drawn(table, judged) for table in plotted}


def write_figures(drawn: Mapping[str, str], folder: Path) -> list[Path]:
    """Write figures as SVG files of their own."""
    paths = []
    for title, svg in drawn.items():
        if svg:
            paths.append(folder / f"{_slug(title)}.svg")
            paths[-1].write_text(figures.standalone(svg))
    return paths


def _paper(evidence: Evidence, drawn: Mapping[str, str]) -> dict[str, Any]:
    judged = evidence.judged
    return {
        "evidence": evidence,
        "paper": evidence.experiment.paper,
        "judged": judged,
        "published": evidence.published,
        "published_claims": {c.id: c for c in evidence.published.claims} if evidence.published else {},
        "judged_claims": {c["id"]: c for c in judged.claims} if judged else {},
        "tallies": _tallies(evidence),
        "foregone": sum(claim.whose == WHOSE[-1] for claim in evidence.experiment.paper.claims),
        "scales": [(scale, _here(scale, evidence)) for scale in evidence.experiment.paper.scales],
        "graph": Markup(figures.graph(evidence)),  # noqa: S704 - drawn by us, with its text escaped
        "forest": Markup(drawn.get(CLAIMS, "")),  # noqa: S704
        "plots": {title: Markup(svg) for title, svg in drawn.items() if title != CLAIMS},  # noqa: S704
        "tables": [_table(table, judged) for table in judged.tables] if judged else [],
        "card": _cards(judged) if judged else None,
        "to_run": len(evidence.plan.work),
    }


def _table(table: dict[str, Any], judged: Judged) -> dict[str, Any]:
    """A table whose cells are figures with their cards."""
    rows = []
    for label, *_ in table["rows"]:
        names = [
            "/".join([table["quantity"], str(label), str(column)]) if table["quantity"] else f"{column}/{label}"
            for column in table["columns"][1:]
        ]
        rows.append((label, [judged.figures.get(name) for name in names]))
    stages = sorted({stage for _, cells in rows for figure in cells if figure for stage in figure.stages})
    return {"title": table["title"], "columns": table["columns"], "rows": rows, "stages": stages}


def _cards(judged: Judged) -> Any:
    """What stands behind a number that some stages measured: the stages, where they ran, the data they rest on."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}

    def card(stages: list[str]) -> dict[str, Any]:
        key = tuple(stages)
        if key not in known:
            origins = [judged.origins[name] for name in stages]
            times = sorted(origin.made["finished"] for origin in origins if origin.made)
            known[key] = {
                "stages": origins,
                "machines": list(dict.fromkeys(origin.machine for origin in origins)),
                "finished": list(dict.fromkeys([times[0], times[-1]])) if times else [],
                "data": sources(judged.behind(stages)),
            }
        return known[key]

    return card


def _tallies(evidence: Evidence) -> list[dict[str, Any]]:
    """By whose claim it is, but for the foregone ones: the verdicts published and here, and predictions come true."""
    published = evidence.published.claims if evidence.published else ()
    judged = evidence.judged.claims if evidence.judged else []
    before = tally((claim.whose, standing(claim)) for claim in published)
    here = tally((claim["whose"], claim["verdict"]) for claim in judged)
    tallies = []
    for whose in WHOSE[:-1]:
        if any(claim.whose == whose for claim in evidence.experiment.paper.claims):
            came = [one["as_expected"] for one in judged if one["whose"] == whose and one["as_expected"] is not None]
            tallies.append(
                {
                    "whose": whose,
                    "published": before.get(whose),
                    "published_predictions": predictions(claim for claim in published if claim.whose == whose),
                    "here": here.get(whose),
                    "predictions": (sum(came), len(came)),
                }
            )
    return tallies


def _here(scale: Scale, evidence: Evidence) -> str:
    return scale.here.at(evidence.chosen.base) if isinstance(scale.here, Profiles) else scale.here


def _cell(value: Any) -> str:
    return cell(value).removesuffix(".")


def _shown(claim: Any) -> str:
    """An effect with its 95 % interval; claims and their parts come as judged (a dictionary) or as published.

    Of what was published before levels were kept, the interval at its unknown level is all that there is.
    """
    if isinstance(claim, dict):
        return effect_and_interval(claim["effect"], claim["plain"])
    return effect_and_interval(claim.effect, claim.plain or claim.interval)


def _deciding(part: Any) -> str:
    """The interval that decides, where it is another one than that of 95 %."""
    told = part if isinstance(part, dict) else vars(part)
    if not told["interval"] or not told["level"] or list(told["interval"]) == list(told["plain"] or ()):
        return ""
    low, high = told["interval"]
    return f"{low:+.3g} to {high:+.3g} at {100 * told['level']:.2f} %"


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")


def _commit() -> str:
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
    return head.stdout.strip()
