"""What is published: only from a clean checkout with passing controls, in a fixed shape; the README follows."""

import json
import lzma
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Clone, read_json, runs_of

from flows.engine import publication
from flows.engine.discover import papers
from flows.engine.on_record import departures, recorded
from flows.engine.readme import PICTURE, README, TABLES, findings, tables, with_findings
from flows.engine.rejudge import differences, recomputable
from flows.engine.report.picture import picture
from tasks.base.errors import UserError
from tasks.judging.intervals import Ensemble, decide
from tasks.judging.parts import DRAW


def commit(clone: Clone) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "add", "-A"], cwd=clone.root, check=True)
    subprocess.run([*git, "commit", "-qm", "Results"], cwd=clone.root, check=True)


def refusal(clone: Clone) -> str:
    ended = clone.tenfold("publish", "tiny", "--profile", "quick", check=False)
    assert ended.returncode == 1
    assert not (clone.root / "published/tiny.json").exists()
    return ended.stderr


def test_the_readme_shows_what_is_published() -> None:
    """And so do the tables and the picture: all are made of the same files."""
    assert with_findings(README.read_text(), findings()) == README.read_text(), "edit between the lines no more"
    assert tables() == TABLES.read_text()
    assert picture(findings()) == PICTURE.read_text()


def test_every_publication_has_the_shape_and_its_controls_passed() -> None:
    for path in (ROOT / "published").glob("*.json"):
        found = publication.read(path.stem)
        assert found is not None
        assert all(control.passed for control in found.controls)
        assert {control.kind for control in found.controls} == {"planted", "shuffled"}
        assert not found.profile.startswith("quick")


def test_a_clean_checkout_publishes(done: Clone) -> None:
    assert "The checkout is not clean" in refusal(done)
    commit(done)
    done.tenfold("publish", "tiny", "--profile", "quick")
    found = read_json(done.root / "published/tiny.json")
    assert list(found) == [
        "paper", "profile", "commit", "environment", "scale", "judged", "alpha", "minimum_seeds", "minimum_items",
        "figures", "controls", "claims",
    ]  # fmt: skip
    assert set(found["claims"][0]) == {
        "id", "says", "source", "evidence", "paper_value", "whose", "expected", "seen", "enlarged", "method", "digest",
        "verdict", "reason", "withdrawn", "statistic", "n", "effect", "interval", "level", "plain", "p",
        "post_hoc", "command", "needed", "parts", "seen_at", "earlier",
    }  # fmt: skip
    control = found["controls"][0]
    assert {name: control[name] for name in ("id", "kind", "passed", "needed")} == {
        "id": "planted", "kind": "planted", "passed": True, "needed": 1,
    }  # fmt: skip
    lock = done.digests()
    assert found["judged"] == {name: lock[f"data/quick/tiny/{name}"] for name in ("results", "verdicts")}
    assert len(found["claims"][0]["parts"][0]["pairs"]["left"]) == 9
    readable = (done.root / "published/tiny.json").read_text().splitlines()
    figures = publication.read_file(done.root / "published/tiny.json").by_name()
    own = readable[readable.index(' "figures": [') : readable.index(' "controls": [')]
    told = [match for line in own if (match := re.fullmatch(r' {5}".*": \[?(-?[\d.e-]+)(, .*\])?,?', line))]
    assert [float(match[1]) for match in told] == [figure.value for figure in figures.values()], "each has one line"
    check_that_it_recomputes(done)
    assert figures["letters/line-0/all"].value > 0
    assert found["environment"]["processor"]
    readme = (done.root / "published/README.md").read_text()
    assert "| SUPPORTED |" in readme
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines()]
    heads = next(cells for cells in lines if cells[:2] == ["paper", "whose claims"])
    counted = next(cells for cells in lines if cells[:2] == ["[`tiny`](tiny.json), quick", "paper, with a number"])
    told = {head: cell for head, cell in zip(heads[2:-1], counted[2:-1], strict=True) if cell != "0"}
    assert told == {"supported": "2", "contradicted": "1", "not tested": "1"}
    assert "1 of tiny" in readme, "foregone claims are named, and counted nowhere"
    assert "published (quick)" in done.tenfold("claims").stdout
    done.tenfold("report")
    report = (done.root / "report/tiny.html").read_text()
    assert "we published (quick)" in report
    assert found["commit"][:12] in report
    assert found["claims"][0]["command"].replace("&&", "&amp;&amp;") in report
    said = done.run("docs/judge_again.py", "published/tiny.json", "half-is-more", "--margin", "0.9").stdout
    assert "9 pairs" in said
    assert "margin 0.9: CONTRADICTED (published with margin 0.1: SUPPORTED)" in said
    assert "<svg" in (done.root / "pairs.svg").read_text()
    assert "0 of 6 verdicts differ" in done.tenfold("compare", "published", "quick").stdout


def check_that_it_recomputes(clone: Clone) -> None:
    """From the file alone; and an altered verdict or value is found."""
    path = clone.root / "published/tiny.json"
    honest = path.read_text()
    assert "all 6 verdicts follow from its pairs" in clone.tenfold("rejudge", "published/tiny.json").stdout
    for before, after in (('"verdict": "CONTRADICTED"', '"verdict": "SUPPORTED"'), ('"alpha": 0.05', '"alpha": 0.04')):
        path.write_text(honest.replace(before, after))
        ended = clone.tenfold("rejudge", "published/tiny.json", check=False)
        assert ended.returncode == 1
        assert "its pairs give" in ended.stderr
    shown = json.loads(honest)
    for said, alter in OFF_THE_RECORD.items():
        other = json.loads(honest)
        alter(other)
        path.write_text(json.dumps(other))
        ended = clone.tenfold("rejudge", "published/tiny.json", check=False)
        assert ended.returncode == 1
        assert re.search(said, ended.stderr), (said, ended.stderr)
        assert len(ended.stderr.strip().splitlines()) < 4, "one sentence"
    shown["commit"] = "0" * 40
    path.write_text(json.dumps(shown))
    assert "Its commit is not in this clone" in clone.tenfold("rejudge", "published/tiny.json").stdout
    path.write_text(honest)


OFF_THE_RECORD: dict[str, Callable[[Any], object]] = {
    "margin is published as 0.09; it was 0.1": lambda it: it["claims"][0]["parts"][0].update(margin=0.09),
    "minimum_seeds is published as 2; it was 8": lambda it: it.update(minimum_seeds=2),
    "The digest of verdicts is published as .*, which is not the one on record": (
        lambda it: it["judged"].update(verdicts="0.dir")
    ),
    "The claims or controls are not those that were judged: see all-languages": lambda it: it["claims"].pop(),
    "The claims or controls are not those that were judged: see planted": lambda it: it["controls"].pop(0),
    "is published as post hoc; by the register it is not": lambda it: it["claims"][0].update(post_hoc=True),
    "expected is published as does not hold at this scale; it was holds": (
        lambda it: it["claims"][0].update(expected="does not hold at this scale")
    ),
    "its right side is another than was judged": lambda it: it["claims"][0]["parts"][0]["right"]["labels"].clear(),
    "the digest 0 is not that of the claim": lambda it: it["claims"][0].update(digest="0"),
}
"""What leaves the numbers following from each other, so that only the commit from which it was published tells."""


def test_what_is_not_current_is_not_published(done: Clone) -> None:
    done.edit("tasks/tiny.py", lambda code: code + "\nEDITED = True\n")
    commit(done)
    assert "is not up to date, so there is nothing to publish" in refusal(done)


def test_a_paper_whose_control_fails_is_not_published(done: Clone) -> None:
    """The planted effect is taken out: its control must notice."""
    done.edit("flows/tiny.py", lambda code: code.replace("test=greater(half, third)),", "test=greater(third, half)),"))
    done.tenfold("reproduce", "--plain")
    verdicts = read_json(done.root / "data/quick/tiny/verdicts/verdicts.json")["claims"]
    assert {claim["verdict"] for claim in verdicts} == {"FAILED", "INCONCLUSIVE", "NOT TESTED"}
    commit(done)
    assert "The control planted did not pass" in refusal(done)


def test_a_publication_of_another_shape_is_one_sentence(done: Clone) -> None:
    (done.root / "published").mkdir(exist_ok=True)
    (done.root / "published/tiny.json").write_text(json.dumps({"paper": "tiny"}))
    ended = done.tenfold("claims", check=False)
    assert ended.returncode == 1
    assert "published/tiny.json has not the shape" in done.tenfold("rejudge", "published/tiny.json", check=False).stderr
    assert "published/tiny.json has not the shape of a publication" in ended.stderr


def test_a_report_that_cannot_be_written_still_ends_the_run(done: Clone) -> None:
    (done.root / "published").mkdir(exist_ok=True)
    (done.root / "published/tiny.json").write_text(json.dumps({"paper": "tiny"}))
    done.edit("flows/tiny.py", lambda code: code.replace("margin=0.1", "margin=0.2"))
    ended = done.tenfold("reproduce", check=False)
    assert ended.returncode == 1
    assert "published/tiny.json has not the shape of a publication" in ended.stdout + ended.stderr
    newest = next(run for run in runs_of(done)["tiny"] if str(run["name"]).startswith("quick "))
    assert newest["status"] == "FINISHED"
    assert newest["metrics"]["verdicts/number/supported"] > 0


@pytest.mark.parametrize("name", sorted(papers()))
def test_published_claims_are_the_papers_claims(name: str) -> None:
    """A claim that was dropped or renamed after publication would vanish from the record."""
    found = publication.read(name)
    if found is not None:
        known = {claim.id: claim.whose for claim in papers()[name].paper.claims}
        assert {claim.id for claim in found.claims} <= set(known), "claims may be added before they are published"
        assert all(claim.whose == known[claim.id] for claim in found.claims)


@pytest.mark.parametrize("path", sorted((ROOT / "published").glob("*.json")), ids=lambda path: path.stem)
def test_every_published_verdict_follows_from_its_pairs(path: Path) -> None:
    """Or was published before pairs were kept, and says so by having none."""
    found = publication.read_file(path)
    assert list(differences(found)) == [] if recomputable(found) else not any(claim.parts for claim in found.claims)
    there = recorded(found) if recomputable(found) else None
    assert there is None or list(departures(found, there)) == [], "its claims are those of its commit"
    every = [part for told in (*found.claims, *found.controls) for part in told.parts]
    assert all((part.interval is None) == (part.level is None) for part in every), "no interval without its level"
    assert path.stat().st_size < 200_000
    assert all(draws.stat().st_size < 200_000 for draws in path.parent.glob(f"{path.stem}.draws.*"))


def test_draws_are_kept_beside_the_file_and_missed_where_they_are_not(tmp_path: Path) -> None:
    """A verdict of draws that nobody has any more must not look like one that follows from its pairs."""
    names = ("hardware_scaling.json", "hardware_scaling.draws.json.xz")
    here, draws = (Path(shutil.copy(ROOT / "published" / name, tmp_path)) for name in names)
    found = publication.read_file(here)
    assert found == publication.read_file(ROOT / "published" / names[0])
    assert max(len(part.pairs.left) for claim in found.claims for part in claim.parts) == 1000
    draws.write_bytes(draws.read_bytes()[:1000])
    with pytest.raises(UserError, match="draws beside it cannot be read"):
        publication.read_file(here)
    draws.unlink()
    with pytest.raises(UserError, match="draws beside it cannot be read"):
        publication.read_file(here)


def test_the_draws_of_another_run_are_refused(tmp_path: Path) -> None:
    """As many comparisons with as many draws, of which not one is another's: by one sentence each."""
    name = "hardware_scaling"
    for file in (f"{name}.json", f"{name}.draws.json.xz"):
        shutil.copy(ROOT / "published" / file, tmp_path)
    draws = tmp_path / f"{name}.draws.json.xz"
    columns = json.loads(lzma.decompress(draws.read_bytes()))
    other = [{**column, "left": [value + 1e-6 for value in column["left"]]} for column in columns]
    for made in (other, columns[1:] + columns[:1]):
        draws.write_bytes(lzma.compress(json.dumps(made).encode(), preset=0))
        assert next(differences(publication.read_file(tmp_path / f"{name}.json")))
    shutil.copy(ROOT / "published/radit.draws.json.xz", draws)
    with pytest.raises(UserError, match="draws beside it cannot be read"):
        publication.read_file(tmp_path / f"{name}.json")


def test_twice_as_many_draws_change_no_published_verdict() -> None:
    """Judged by either half of them, no claim comes out the other way, and none that is decided by both is open."""
    found = publication.read("hardware_scaling")
    assert found is not None
    for claim in found.claims:
        for part in claim.parts:
            values = [left - right for _, left, right in part.pairs.rows()]
            if part.paired == DRAW and part.level:
                halves = [Ensemble(tuple(half), part.error or 0.0) for half in (values[::2], values[1::2])]
                words = {decide(part.kind, part.margin, half.interval(part.level)) for half in halves}
                plain = {"CONSISTENT": "SUPPORTED", "INCONSISTENT": "CONTRADICTED"}.get(part.verdict, part.verdict)
                assert words == {plain}, f"{claim.id}, {part.name}"


def test_what_was_withdrawn_is_shown_with_its_reason() -> None:
    readme = TABLES.read_text()
    withdrawn = [
        c for path in (ROOT / "published").glob("*.json") for c in publication.read_file(path).claims if c.withdrawn
    ]
    for claim in withdrawn:
        assert f"withdrawn: {claim.withdrawn}" in readme
