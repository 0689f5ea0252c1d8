"""`published/PAPER.json`: the verdicts and figures that the project stands for, with where they come from."""

import json
from collections import Counter
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from flows.engine.errors import first_error
from models.config import config
from tasks.base.errors import UserError
from tasks.base.files import ROOT

FOLDER = ROOT / "published"
README = ROOT / "README.md"
BEGIN = "<!-- published: written by `tenfold publish`, from published/*.json -->"
END = "<!-- published: end -->"

Interval = tuple[float, float] | None


@config
class Figure:
    """A number of the result tables: the mean over seeds, with Student's 95 % interval where there are several."""

    value: float
    unit: str
    seeds: tuple[int, ...]
    interval: Interval


@config
class PublishedControl:
    """A check of the measurement, and whether it passed."""

    id: str
    kind: str
    passed: bool


@config
class PublishedClaim:
    """A claim with its verdict, the effect it rests on, the scale, and the command that recomputes it."""

    id: str
    says: str
    source: str
    evidence: str
    expected: str
    method: str
    verdict: str
    reason: str
    n: int
    effect: float | None
    interval: Interval
    p: float | None
    paper_value: str
    scale: str
    post_hoc: bool
    command: str


@config
class Publication:
    """One paper's verdicts at one profile, as computed from one commit on one machine."""

    paper: str
    profile: str
    commit: str
    environment: dict[str, str]
    figures: dict[str, Figure]
    controls: tuple[PublishedControl, ...]
    claims: tuple[PublishedClaim, ...]


def read(paper: str) -> Publication | None:
    """What is published of a paper, if anything is.

    Raises:
        UserError: the file has not the shape that it must have.
    """
    path = FOLDER / f"{paper}.json"
    if not path.exists():
        return None
    try:
        found: Publication = TypeAdapter(Publication).validate_json(path.read_text())
    except ValidationError as problem:
        raise UserError(
            f"published/{paper}.json has not the shape of a publication ({first_error(problem)}): "
            f"git restore it, or run tenfold publish {paper}."
        ) from problem
    return found


def write(publication: Publication) -> Path:
    """Write the paper's file, and the table in the README that is made of all of them."""
    path = FOLDER / f"{publication.paper}.json"
    FOLDER.mkdir(exist_ok=True)
    data = TypeAdapter(Publication).dump_python(publication, mode="json")
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    README.write_text(with_table(README.read_text()))
    return path


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


VERDICTS = ("SUPPORTED", "CONTRADICTED", "INCONCLUSIVE", "NOT TESTED", "FAILED")


def _table() -> list[str]:
    publications = [read(path.stem) for path in sorted(FOLDER.glob("*.json"))]
    lines = ["| paper | profile | " + " | ".join(word.lower() for word in VERDICTS) + " | predictions that came true |"]
    lines.append("|---" * (len(VERDICTS) + 3) + "|")
    details = []
    for found in publications:
        assert found is not None
        counts = Counter(claim.verdict for claim in found.claims)
        right, decided = predictions(found.claims)
        lines.append(
            f"| [`{found.paper}`](published/{found.paper}.json) | {found.profile} | "
            + " | ".join(str(counts[word]) for word in VERDICTS)
            + f" | {right} of {decided} |"
        )
        details += ["", f"<details><summary>The claims of {found.paper}</summary>", ""]
        details += ["| claim | the paper | here | verdict |", "|---|---|---|---|"]
        details += [
            f"| {claim.says} | {claim.paper_value} ({claim.source}) "
            f"| {effect_and_interval(claim.effect, claim.interval)} "
            f"| {claim.verdict}{', post hoc' if claim.post_hoc else ''} |"
            for claim in found.claims
        ]
        details += ["", "</details>"]
    return [*lines, *details, ""]


def predictions(claims: tuple[PublishedClaim, ...]) -> tuple[int, int]:
    """How many predictions came true, of those on which there is a verdict either way."""
    came = {("holds", "SUPPORTED"), ("does not hold at this scale", "CONTRADICTED")}
    decided = [claim for claim in claims if claim.verdict in ("SUPPORTED", "CONTRADICTED")]
    return sum((claim.expected, claim.verdict) in came for claim in decided), len(decided)


def effect_and_interval(effect: float | None, interval: Interval) -> str:
    """An effect with its interval, as people are shown it; a dash where there is none."""
    if effect is None:
        return "–"
    return f"{effect:+.3g}" + (f" [{interval[0]:+.3g}, {interval[1]:+.3g}]" if interval else "")
