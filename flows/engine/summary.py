"""The end of a reproduction: what came of each paper here, beside what is published, and where to look next."""

import os
import shutil
import sys
from pathlib import Path

from rich.table import Table

from flows.engine.console import console
from flows.engine.evidence import Evidence
from flows.engine.paper import TRIAL
from flows.engine.publication import standing, tally
from flows.engine.terminal import controls, verdicts_in_words
from tasks.base.files import ROOT
from tasks.judging.claims import WHOSE


def show_summary(found: list[Evidence]) -> None:
    """Print a table of papers and verdicts, what the profile is good for, and the next commands."""
    table = Table("paper", "whose claims", f"here ({found[0].chosen.name})", "published", title_justify="left")
    for evidence in found:
        for row in _rows(evidence):
            table.add_row(*row)
    console.print(table)
    for evidence in found:
        failing = (
            [control["id"] for control in evidence.judged.controls if not control["passed"]] if evidence.judged else []
        )
        if failing and evidence.chosen.base != TRIAL:
            console.print(f"{evidence.name}: {controls(failing)} did not pass, which withholds what rests on them.")
        if evidence.chosen.base != TRIAL and (said := differing(evidence)):
            console.print(said, markup=False)
    first, trial = found[0], found[0].chosen.base == TRIAL
    if trial:
        console.print(
            f"{TRIAL} shows that everything works. Its seeds and training steps are too few to judge by, so "
            "controls may not pass and its figures are no evidence: verdicts come from cpu and gpu."
        )
    judged = [evidence for evidence in found if evidence.judged]
    if judged:
        again = (
            f"tenfold reproduce {first.name} --profile cpu"
            if trial
            else f"tenfold compare published {first.chosen.name}"
        )
        console.print(
            f"Next: tenfold report, tenfold results {judged[0].name}, tenfold claims {judged[0].name}, {again}"
        )


def is_current(page: Path) -> bool:
    """Whether the report was written after all that it shows, and after the code that writes it."""
    shows = ("pipelines/*/*/dvc.lock", "published/*", "flows/**/*.py", "flows/**/*.jinja", "flows/**/*.css")
    written = _changed(page)
    return written > 0 and all(_changed(path) < written for pattern in shows for path in ROOT.glob(pattern))


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def show_page(page: Path) -> None:
    """Name the report, and say how to call tenfold where a shell does not find it."""
    console.print(f"Report: {os.path.relpath(page)} (tenfold report --serve shows it)", markup=False)
    if not _found_by_the_shell():
        bin_folder = Path(sys.executable).parent
        place = bin_folder.relative_to(ROOT) if bin_folder.is_relative_to(ROOT) else bin_folder
        console.print(
            f"tenfold is not on your PATH: call {place}/tenfold, or run . {place}/activate once.", markup=False
        )


def _found_by_the_shell() -> bool:
    """Whether who started this can type `tenfold`; make puts it on the PATH of its own commands alone."""
    if os.environ.get("VIRTUAL_ENV") == sys.prefix:
        return True
    return "MAKELEVEL" not in os.environ and shutil.which("tenfold") is not None


def _rows(evidence: Evidence) -> list[tuple[str, str, str, str]]:
    """One row for each kind of claim that is counted; the first names the paper."""
    published = evidence.published.claims if evidence.published else ()
    before = tally((claim.whose, standing(claim)) for claim in published)
    here = tally((claim["whose"], claim["verdict"]) for claim in evidence.judged.claims) if evidence.judged else {}
    kinds = [kind for kind in WHOSE[:-1] if kind in before or kind in here]
    rows: list[tuple[str, str, str, str]] = []
    for number, kind in enumerate(kinds):
        if evidence.chosen.base == TRIAL:
            now = _works(evidence) if number == 0 else ""
        else:
            now = verdicts_in_words(here.get(kind, {})) or "not up to date"
        stands = verdicts_in_words(before.get(kind, {})) + (
            f" ({evidence.published.profile})" if evidence.published and number == 0 else ""
        )
        rows.append((evidence.name if number == 0 else "", kind, now, stands or "–"))
    return rows


def differing(evidence: Evidence) -> str:
    """Which verdicts are not those that are published, in a sentence; "" where nothing can be compared."""
    if evidence.judged is None or evidence.published is None:
        return ""
    before = {claim.id: standing(claim) for claim in evidence.published.claims}
    shared = [claim for claim in evidence.judged.claims if claim["id"] in before]
    other = [
        f"{claim['id']} is {claim['verdict'].lower()}, published {before[claim['id']].lower()}"
        for claim in shared
        if claim["verdict"] != before[claim["id"]]
    ]
    if not other:
        return f"{evidence.name}: all {len(shared)} verdicts are as published."
    return f"{evidence.name}: {len(other)} of {len(shared)} verdicts differ: {'; '.join(other)}."


def _works(evidence: Evidence) -> str:
    if evidence.judged is None:
        return "not up to date"
    controls = evidence.judged.controls
    passed = sum(control["passed"] for control in controls)
    return f"works; {passed} of {len(controls)} controls pass" if controls else "works"
