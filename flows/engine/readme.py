"""The README's table of what is published: every comparison of every claim, whose it is, and what was withdrawn."""

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
from tasks.base.errors import UserError
from tasks.base.files import ROOT
from tasks.judging.claims import WHOSE
from tasks.judging.judge import VERDICTS

README = ROOT / "README.md"
BEGIN = "<!-- published: written by `tenfold publish`, from published/*.json -->"
END = "<!-- published: end -->"
COUNTED = WHOSE[:-1]
"""Whose claims are counted: all but the foregone ones."""


def refresh() -> None:
    """Bring the README's table up to date."""
    README.write_text(with_table(README.read_text()))


def with_table(readme: str) -> str:
    """The README with the table of what is published brought up to date.

    Raises:
        UserError: the lines between which the table stands are gone.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"README.md has no lines {BEGIN} and {END}: git restore it.")
    return "\n".join([before + BEGIN, *_table(), END + after])


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
                    f"| [`{found.paper}`](published/{found.paper}.json), {found.profile} | {kind} | "
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
    return told.replace("%]", " %]")


def _verdict(claim: PublishedClaim) -> str:
    told = claim.verdict + (", post hoc" if claim.post_hoc else "")
    return f"~~{told}~~ withdrawn: {claim.withdrawn}" if claim.withdrawn else told
