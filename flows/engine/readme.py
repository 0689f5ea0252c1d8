"""What is published, for people: the README's findings with their picture, and published/README.md with every claim."""

from flows.engine.discover import papers
from flows.engine.evidence import Evidence
from flows.engine.plan import Plan
from flows.engine.publication import (
    FOLDER,
    WITHDRAWN,
    Part,
    Publication,
    PublishedClaim,
    effect_and_interval,
    predictions,
    read,
    standing,
    tally,
)
from flows.engine.report.front import ORDER, Row, rows_of
from flows.engine.report.picture import picture
from flows.engine.report.shown import OURS
from flows.engine.variant import Variant
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.judging.claims import WHOSE
from tasks.judging.judge import DECIDED, VERDICTS

README = ROOT / "README.md"
TABLES = FOLDER / "README.md"
PICTURE = FOLDER / "findings.svg"
BEGIN = "<!-- findings: written by `tenfold publish`, from published/*.json -->"
END = "<!-- findings: end -->"
ABOVE = """# What is published

Written by `tenfold publish` from the files beside it. For every claim these hold each comparison with its values, the
interval at 95 % and the one at the Holm level that decides, the machine, and the command that measures it again:
`tenfold rejudge published/*.json` computes every verdict from them alone, and `tenfold report` shows them with figures.

A claim of what was learned is about new seeds and new items (questions, documents, concepts), and its interval is over
both; a simulation is consistent or inconsistent with a measurement, no more. A verdict is about the scale of its
profile, never about the paper's. Claims and predictions are written before the first run that could show them; one that
was edited afterwards, or whose sample grew after a look, is marked *post hoc*. Nothing is added up over the paper's
claims, ours, and those that could not fail.
"""
TOLD = 3
"""So many findings are told in words; the picture above them has one a paper."""
COUNTED = WHOSE[:-1]
"""Whose claims are counted: all but the foregone ones."""


def refresh() -> None:
    """Bring the README's findings, their picture, and the tables up to date."""
    rows = findings()
    README.write_text(with_findings(README.read_text(), rows))
    PICTURE.write_text(picture(rows))
    TABLES.write_text(tables())


def tables() -> str:
    """The text of published/README.md."""
    return "\n".join([ABOVE, *_table()])


def findings() -> list[Row]:
    """The first claim of each paper's findings that was judged either way, and not after its data were seen.

    What the papers do not tell comes first, as in the report, whatever came of it.
    """
    found = []
    for name, experiment in papers().items():
        # What is published, whatever is up to date here.
        evidence = Evidence(name, Variant("cpu"), Plan([], {}), read(name), None)
        rows = {row.claim.id: row for row in rows_of(evidence)}
        led = [rows[one] for one in experiment.paper.findings]
        found += [row for row in led if row.first and row.standing in DECIDED and row.first.foretold][:1]
    return sorted(found, key=lambda row: ORDER.index(row.claim.whose))


def with_findings(readme: str, rows: list[Row]) -> str:
    """The README with its findings brought up to date.

    Raises:
        UserError: the lines between which they stand are gone.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"README.md has no lines {BEGIN} and {END}: git restore it.")
    told = [_finding(row) for row in rows[:TOLD]]
    return "\n".join([before + BEGIN, f"![What was found]({PICTURE.relative_to(ROOT)})", "", *told, END + after])


def _finding(row: Row) -> str:
    run = row.first
    assert run
    assert run.leading
    whose = "not in the paper" if row.claim.whose == OURS else f"the paper: {row.claim.paper_value}"
    effect = effect_and_interval(run.leading.effect, run.leading.plain or run.leading.interval)
    sample = f", {run.sample}" if run.sample else ""
    quantity = run.leading.quantity.replace("_", " ")
    verdict = f"**{run.standing.capitalize()}** (`{row.paper}`, {whose})"
    return f"- {verdict}: {row.says}. Difference in {quantity}: {effect}{sample}."


def _table() -> list[str]:
    published = [found for path in sorted(FOLDER.glob("*.json")) if (found := read(path.stem))]
    counts = {found.paper: tally((claim.whose, standing(claim)) for claim in found.claims) for found in published}
    seen = {word for by_kind in counts.values() for kind in COUNTED for word in by_kind.get(kind, ())}
    words = [word for word in (*VERDICTS, WITHDRAWN) if word in seen]
    lines = [f"| paper | whose claims | {' | '.join(word.lower() for word in words)} | predictions that came true |"]
    lines.append("|---" * (len(words) + 3) + "|")
    foregone = []
    for found in published:
        for kind in COUNTED:
            if kind in counts[found.paper]:
                own = [claim for claim in found.claims if claim.whose == kind]
                right, decided = predictions(own)
                lines.append(
                    f"| [`{found.paper}`]({found.paper}.json), {found.profile} | {kind} | "
                    + " | ".join(str(counts[found.paper][kind][word]) for word in words)
                    + f" | {right} of {decided} |"
                )
        if count := sum(counts[found.paper].get(WHOSE[-1], {}).values()):
            foregone.append(f"{count} of {found.paper}")
    if foregone:
        lines += [
            "",
            f"Foregone claims ({', '.join(foregone)}) could not fail or were certain beforehand: they are tests of the "
            "code and not counted. Nor are predictions that were written after the data.",
        ]
    for found in published:
        lines += _claims(found)
    return [*lines, ""]


def _claims(found: Publication) -> list[str]:
    lines = ["", f"<details><summary>The claims of {found.paper}</summary>", ""]
    if not found.judged:
        lines += [
            "Published before pairs were kept: one comparison a claim is shown, the weakest of those that made the "
            "verdict, with an interval at a Holm level (99.4 to 99.7 %) that was not recorded, or of 95 %.",
            "",
        ]
    level = "95 % interval" if found.judged else "interval"
    lines += [f"| claim | whose | the paper | here: difference [{level}] | verdict |", "|---|---|---|---|---|"]
    for claim in found.claims:
        cells = [claim.says, claim.whose, f"{claim.paper_value} ({claim.source})", _here(claim), _verdict(claim)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines.append("")
    notes = {
        "Seen before the predictions were written": [claim.seen for claim in found.claims],
        "Measured before they were written, at the profile": [", ".join(claim.seen_at) for claim in found.claims],
        "The sample grew after a look": [claim.enlarged for claim in found.claims],
    }
    for title, said in notes.items():
        for text in dict.fromkeys(filter(None, said)):
            count = said.count(text)
            lines += [f"{title} ({count} claim{'' if count == 1 else 's'}): {text}.", ""]
    return [*lines, "</details>"]


def _here(claim: PublishedClaim) -> str:
    """Every comparison with its own intervals."""
    if not claim.parts:
        return effect_and_interval(claim.effect, claim.interval)
    return "<br>".join((f"{part.name}: " if len(claim.parts) > 1 else "") + _difference(part) for part in claim.parts)


def _difference(part: Part) -> str:
    told = effect_and_interval(part.effect, part.plain)
    if part.interval and part.level and part.interval != part.plain:
        low, high = part.interval
        told += f", at {part.level:.2%} [{low:+.3g}, {high:+.3g}]"
    return told.replace("%]", " %]") + (f", about these very {part.fixed} alone" if part.fixed else "")


def _verdict(claim: PublishedClaim) -> str:
    told = claim.verdict + (", post hoc" if claim.post_hoc else "")
    told += f", by a later rule of the judge; before: {claim.earlier}" if claim.earlier else ""
    return f"~~{told}~~ withdrawn: {claim.withdrawn}" if claim.withdrawn else told
