"""The commands of `tenfold` that show verdicts: claims, results, trace, report, publish, rejudge, compare."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.engine.console import console
from flows.engine.errors import did_you_mean
from tasks.base.errors import UserError
from tasks.base.files import ROOT

if TYPE_CHECKING:
    from flows.engine.evidence import Evidence, Judged, Origin

REPORT_FOLDER = ROOT / "report"
INDEX = "index.html"
"""The first page of a report."""

COLOURS = {
    "SUPPORTED": "green",
    "CONTRADICTED": "red",
    "CONSISTENT": "green",
    "INCONSISTENT": "red",
    "INCONCLUSIVE": "yellow",
    "NOT TESTED": "dim",
    "FAILED": "red",
}

Papers = Annotated[list[str] | None, typer.Argument(metavar="[PAPER]...", help="Short names; all by default.")]
Profile = Annotated[
    str | None, typer.Option("--profile", "-p", help="quick, cpu or gpu; by default the largest that is up to date.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="A setting, as in expert.steps=500.")
]


def add_to(app: typer.Typer) -> None:
    """Give the command line these commands."""
    for function in (claims, results, trace, report, publish, rejudge, compare):
        app.command()(function)


def claims(papers: Papers = None, profile: Profile = None, settings: Settings = None) -> None:
    """Show each claim with its verdict.

    Examples:

        tenfold claims

        tenfold claims btx --profile cpu
    """
    from flows.engine.evidence import gather
    from flows.engine.paper import TRIAL
    from flows.engine.publication import effect_and_interval, tally
    from flows.engine.terminal import counted

    for evidence in gather(papers or [], profile, settings or []):
        console.print(_claims_table(evidence))
        if evidence.judged is None:
            console.print(f"No verdicts of {evidence.chosen.name} are up to date here: run {evidence.command}.\n")
            continue
        if evidence.chosen.base == TRIAL:
            console.print(f"{TRIAL} shows that everything works; its figures are no evidence.")
        for line in counted(tally((claim["whose"], claim["verdict"]) for claim in evidence.judged.claims)):
            console.print(line)
        came = [
            claim["as_expected"]
            for claim in evidence.judged.claims
            if claim["as_expected"] is not None and claim["whose"] != "foregone"
        ]
        if came:
            console.print(f"{sum(came)} of the {len(came)} predictions on which there is a verdict came true.")
        for claim in evidence.judged.claims:
            if claim["verdict"] == "INCONCLUSIVE" and "straddles" in claim["reason"] and _decided_by_95_percent(claim):
                told = f"{claim['id']} stays open at its level of {claim['level']:.2%}, as one of many claims"
                console.print(f"{told}: {escape(effect_and_interval(claim['effect'], claim['interval']))}.")
        for control in evidence.judged.controls:
            mark = "[green]passed[/]" if control["passed"] else "[red]did not pass[/]"
            console.print(f"Control {control['id']} {mark}: {escape(control['reason'])}")
        console.print()


def results(papers: Papers = None, profile: Profile = None, settings: Settings = None) -> None:
    """Show each paper's tables of results.

    Example:

        tenfold results btx
    """
    from flows.engine.evidence import gather
    from flows.engine.terminal import show_table

    for evidence in gather(papers or [], profile, settings or []):
        if evidence.judged is None:
            console.print(f"No results of {evidence.name} are up to date here: run {evidence.command}.")
            continue
        for table in evidence.judged.tables:
            show_table(f"{evidence.name} at {evidence.chosen.name}", table)


def _decided_by_95_percent(claim: dict[str, Any]) -> bool:
    """Whether the interval that the table shows would decide, in each of the claim's comparisons."""
    from tasks.judging.intervals import decide

    parts = [part for part in claim["parts"] if part["plain"]]
    return bool(parts) and all(decide(part["kind"], part["margin"], part["plain"]) != "INCONCLUSIVE" for part in parts)


def _claims_table(evidence: "Evidence") -> Table:
    from flows.engine.publication import effect_and_interval, standing

    published = {claim.id: claim for claim in evidence.published.claims} if evidence.published else {}
    judged = {claim["id"]: claim for claim in evidence.judged.claims} if evidence.judged else {}
    table = Table(
        "claim",
        "whose",
        "verdict",
        "effect \\[95 % interval]",
        "predicted",
        f"published ({evidence.published.profile})" if evidence.published else "published",
        title=f"{evidence.name}: the claims at {evidence.chosen.name}",
        title_justify="left",
        title_style="bold",
    )
    for claim in evidence.experiment.paper.claims:
        here = judged.get(claim.id)
        verdict, effect, predicted = "–", "–", str(claim.expected)
        if here:
            post_hoc = " (post hoc)" if here["post_hoc"] else ""
            verdict = f"[{COLOURS[here['verdict']]}]{here['verdict']}[/]{post_hoc}"
            effect = escape(effect_and_interval(here["effect"], here["plain"]))
            predicted += {True: " ✓", False: " ✗", None: ""}[here["as_expected"]]
        before = standing(published[claim.id]) if claim.id in published else "–"
        table.add_row(claim.id, claim.whose, verdict, effect, predicted, before)
    return table


def trace(
    claim: Annotated[str, typer.Argument(help="A claim or control, as in btx/experts-specialise.")],
    profile: Profile = None,
    settings: Settings = None,
) -> None:
    """Show what a verdict rests on: test, values, stages, digests, commands.

    Example:

        tenfold trace btx/experts-specialise
    """
    from flows.engine.evidence import gather

    paper, _, name = claim.rpartition("/")
    every = gather([paper] if paper else [], profile, settings or [])
    found = [
        (evidence, entry, evidence.judged)
        for evidence in every
        if evidence.judged
        for entry in [*evidence.judged.claims, *evidence.judged.controls]
        if entry["id"] == name
    ]
    if len(found) > 1:
        raise UserError(
            f"Several papers have a claim {name}: say {' or '.join(f'{e.name}/{name}' for e, _, _ in found)}."
        )
    if not found:
        raise _missing(claim, name, every)
    for evidence, entry, judged in found:
        _show_trace(evidence, entry, judged)


def known_before(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """What had been seen before a prediction was written, and how its sample grew."""
    noted = [
        ("Seen before the prediction was written", entry["seen"]),
        ("Measured before it was written, at the profile", ", ".join(entry["seen_at"])),
        ("The sample grew after a look", entry["enlarged"]),
    ]
    return [(said, what) for said, what in noted if what]


def _missing(asked: str, name: str, every: "list[Evidence]") -> UserError:
    """What to say of a claim without a verdict: what to run, or that there is no such claim."""
    known = []
    for evidence in every:
        paper = evidence.experiment.paper
        ids = [claim.id for claim in paper.claims] + [control.id for control in paper.controls]
        if name in ids:
            return UserError(f"No verdict on {asked} is up to date here: run {evidence.command}.")
        known += [f"{evidence.name}/{entry}" for entry in ids]
    return UserError(f"There is no claim {asked}.{did_you_mean(asked, known)}")


def _show_trace(evidence: "Evidence", entry: dict[str, Any], judged: "Judged") -> None:
    from flows.engine.evidence import measured_by, sources

    say = console.print
    say(f"[bold]{evidence.name}/{entry['id']}[/]: {escape(entry['says'])}")
    if "verdict" in entry:
        post_hoc = ", post hoc" if entry["post_hoc"] else ""
        say(f"The paper: {escape(entry['paper_value'])} ({escape(entry['source'])}, evidence {entry['evidence']})")
        say(f"Verdict at {evidence.chosen.name}: [{COLOURS[entry['verdict']]}]{entry['verdict']}[/]{post_hoc} "
            f"({entry['method']}; predicted: {entry['expected']})")  # fmt: skip
        say(f"Because {escape(entry['reason'])}", f"Method: {entry['statistic']}", f"Whose: {entry['whose']}", sep="\n")
        for said, what in known_before(entry):
            say(f"{said}: {escape(what)}")
    else:
        say(f"Control, {entry['kind']}: {'passed' if entry['passed'] else 'did not pass'}: {escape(entry['reason'])}")
    for part in entry["parts"]:
        _show_part(part)
    stages = measured_by(entry)
    behind = judged.behind([*stages, "verdicts"]) if stages else []
    shown = [judged.origins[name] for name in [*stages, *(["results", "verdicts"] if stages else [])]]
    for _, alike in groupby(shown, lambda origin: origin.stage.function):
        _show_origins(list(alike))
    for origin in sources(behind):
        say(f"data {origin.stage.name}: {origin.digest}", markup=False)
    if behind:
        say(f"All {len(behind)} stages behind it: {evidence.command.replace('reproduce', 'status', 1)}", markup=False)
    say(f"To compute it again: {evidence.command}", markup=False)


def _show_origins(alike: "list[Origin]") -> None:
    """Stages of one function with their digests, and the command of the first; those of the others are like it."""
    for origin in alike:
        run = f", MLflow run {origin.run}" if origin.run else ""
        console.print(f"{origin.stage.title}: {origin.digest}; {origin.where}{run}", markup=False)
    others = f"  (those of the others are in {alike[0].stage.pipeline_file})" if len(alike) > 1 else ""
    console.print(f"  {alike[0].stage.command}{others}", markup=False, style="dim")


SIDES = ("left_stage", "right_stage")


def _show_part(part: dict[str, Any]) -> None:
    from flows.engine.evidence import SHOWN
    from flows.engine.publication import effect_and_interval, p_in_words

    shown = effect_and_interval(part["effect"], part["interval"])
    level = f" at {part['level']:.2%}" if part["level"] else ""
    if part["plain"] and part["plain"] != part["interval"]:
        level += f", {effect_and_interval(part['effect'], part['plain'])} at 95 %"
    said = p_in_words(part["p"], len(part["pairs"]), part["paired"], part["items"] or part["cluster"])
    p = f", {said}" if said else ""
    console.print(f"\n[bold]{escape(part['name'])}[/]: {escape(shown + level)}{p}: {part['verdict']}")
    table = Table("pair", "left", "right", "difference", "measured by", box=None, padding=(0, 2, 0, 0))
    for pair in part["pairs"][:SHOWN]:
        stages = " and ".join(dict.fromkeys(pair[side] for side in SIDES if pair[side]))
        label = "" if pair["pair"] is None else str(pair["pair"])
        difference = f"{pair['left'] - pair['right']:+.4f}"
        table.add_row(label, f"{pair['left']:.4f}", f"{pair['right']:.4f}", difference, stages)
    console.print(table)
    if len(part["pairs"]) > SHOWN:
        console.print(f"and {len(part['pairs']) - SHOWN} more pairs, all of them in verdicts.json")


def report(
    papers: Papers = None,
    profile: Profile = None,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = REPORT_FOLDER,
    serve: Annotated[bool, typer.Option("--serve", help="Show it on this machine until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to show it; 0 takes a free one.")] = 8000,
) -> None:
    """Write all verdicts, figures and their origins as a folder of pages, which any web host can serve.

    Examples:

        tenfold report

        tenfold report btx --profile cpu --out public

        tenfold report --serve --port 8123
    """
    from flows.engine.evidence import gather
    from flows.engine.report import write_report

    page = write_report(gather(papers or [], profile, settings or []), out)
    console.print(f"Wrote {page}", markup=False)
    if serve:
        from flows.engine.report.serve import serve_folder

        serve_folder(out, port)


def publish(
    paper: Annotated[str, typer.Argument(help="A paper's short name.")],
    profile: Annotated[str, typer.Option("--profile", "-p", help="The profile whose verdicts we stand for.")] = "cpu",
) -> None:
    """Write published/PAPER.json, the tables beside it and the README's findings, from a clean checkout.

    Example:

        tenfold publish btx --profile cpu
    """
    from flows.engine import publish as publishing

    path = publishing.publish(paper, profile)
    console.print(f"Wrote {path.relative_to(ROOT)} and what people read of it. Commit README.md and published/.")


def rejudge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Published files, as published/btx.json.")],
) -> None:
    """Compute every verdict of published files again, from what these hold alone.

    Where the clone has the commit from which a file was published, its claims, margins and digests are compared with
    that commit's, too.

    Example:

        tenfold rejudge published/btx.json
    """
    from flows.engine.on_record import departures, recorded
    from flows.engine.publication import read_file
    from flows.engine.rejudge import differences, recomputable

    wrong = []
    for path in files:
        published = read_file(path.resolve())
        if not recomputable(published):
            console.print(f"{path} was published before pairs were kept: it cannot be recomputed.")
            continue
        there = recorded(published)
        found = [*differences(published), *(departures(published, there) if there else ())]
        wrong += [f"{path}: {sentence}" for sentence in found]
        if not found:
            claims = "" if there else " Its commit is not in this clone: whether the claims are those, nobody looked."
            console.print(f"{path}: all {len(published.claims)} verdicts follow from its pairs.{claims}")
    if wrong:
        more = f" And {len(wrong) - 1} more." if len(wrong) > 1 else ""
        raise UserError(wrong[0] + more)


def compare(
    first: Annotated[str, typer.Argument(help="A profile, a variant's folder name, or `published`.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    paper: Annotated[str | None, typer.Option(help="Only this paper.")] = None,
) -> None:
    """Show what differs between two runs: settings, verdicts, figures.

    Examples:

        tenfold compare published quick

        tenfold compare quick quick+finetuned.balance=0.0 --paper btx
    """
    from flows.engine import comparison

    for title, table in comparison.compare(first, second, [paper] if paper else []):
        console.print(title)
        if table:
            console.print(table)
