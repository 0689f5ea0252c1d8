"""Verdicts of a published file computed again from it alone, whatever their intervals are over, altered or not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from flows.engine.publication import (
    Figure,
    Pairs,
    Part,
    Publication,
    PublishedClaim,
    grouped,
    lines,
    predictions,
    read_file,
)
from flows.engine.publish import judged_again, published_claim, published_control
from flows.engine.rejudge import differences, recomputable
from tasks.base.errors import UserError
from tasks.judging.claims import Comparison, Control, Discrepancy, Judging, Selection, Statement
from tasks.judging.judge import verdicts

CHANCE = np.random.default_rng(1)


def select(arm: str, quantity: str = "bits") -> Selection:
    return Selection(family="evaluation", axes={}, quantity=quantity, labels={"arm": arm})


def compare(kind: Any = "less", right: Any = "b", **how: Any) -> Comparison:
    side = select(right) if isinstance(right, str) else right
    return Comparison(kind=kind, left=select("a"), right=side, **{"margin": 0.0, "paired": "seed", **how})


def claim(
    name: str, *comparisons: Comparison, method: Any = "measured", needed: int = 1, reason: str = ""
) -> Statement:
    return Statement(
        id=name, says=name, source="", evidence="P", paper_value="", whose="ours", method=method, needed=needed,
        comparisons=comparisons, expected="not tested" if reason else "holds", not_tested=reason,
    )  # fmt: skip


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"stage": "evaluation", "arm": arm, label: number, quantity: mean + 0.1 * float(CHANCE.normal())}
        for arm, mean in (("a", 1.0), ("b", 1.3))
        for label, quantity, count in (("seed", "bits", 8), ("draw", "drawn", 600))
        for number in range(count)
    ]
    return found + [
        {"stage": "tested", "source": number // 3, "off": 0.05 * float(CHANCE.normal())} for number in range(9)
    ]


def examples() -> list[dict[str, Any]]:
    return [
        {"stage": "evaluation", "arm": arm, "seed": seed, "question": f"q{item}", "size": 1.0 + item % 7,
         "bits": mean + 0.3 * float(CHANCE.normal())}
        for arm, mean in (("a", 1.0), ("b", 1.1))
        for seed in range(8)
        for item in range(40)
        if (seed + item) % 11
    ]  # fmt: skip


OFF = Discrepancy(errors=Selection(family="tested", axes={}, quantity="off", labels={}), within="source", times=1.4)
DRAWN = {"left": select("a", "drawn"), "paired": "draw", "discrepancy": OFF}
CLAIMS = (
    claim("seeds", compare()),
    claim("size", compare(size=-0.5)),
    claim("not", compare("greater")),
    claim("open", compare(margin=0.28, margin_of="ours")),
    claim("questions", compare(items="question")),
    claim("weighted", compare(items="question", weight="size")),
    claim("these", compare(items="question", fixed="items")),
    claim("models", compare(items="question", fixed="seeds")),
    claim("several", compare(), compare("at most", margin=0.1), compare("greater", items="question"), needed=2),
    claim("clusters", compare(paired="question", cluster="seed")),
    claim("drawn", replace(compare(right=1.5), **DRAWN), method="simulated"),
    claim("drawn-pairs", replace(compare(right=select("b", "drawn")), **DRAWN), method="simulated"),
    claim("nobody", compare(right="nobody")),
    claim("no-gpu", reason="no GPU"),
)
CONTROLS = (Control(id="planted", kind="planted", says="", comparisons=(compare(),)),)


EMPTY = Publication(
    paper="made", profile="cpu", commit="0", environment={}, scale="", judged={"results": "1"}, alpha=0.05,
    minimum_seeds=8, minimum_items=30, figures=(), controls=(), claims=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def published() -> Publication:
    """As `tenfold publish` writes and reads it."""
    judging = Judging(families=("evaluation",), claims=CLAIMS, controls=CONTROLS)
    claims, controls = verdicts(rows(), judging, examples())
    made = replace(
        EMPTY,
        controls=tuple(published_control(control) for control in controls),
        claims=tuple(published_claim({**one, "post_hoc": False, "seen_at": []}, "") for one in claims),
    )
    written = lines(TypeAdapter(Publication).dump_python(made, mode="json"))
    assert max(map(len, written.splitlines())) < 20_000
    read: Publication = TypeAdapter(Publication).validate_json(written)
    assert read == made
    return read


def test_every_kind_of_verdict_is_recomputed(published: Publication) -> None:
    assert list(differences(published)) == []
    assert recomputable(published)
    assert {claim.verdict for claim in published.claims} >= {
        "SUPPORTED", "CONTRADICTED", "INCONCLUSIVE", "CONSISTENT", "FAILED", "NOT TESTED",
    }  # fmt: skip
    assert all(part.pairs.left for one in published.claims for part in one.parts if one.id != "nobody")


@pytest.mark.parametrize("name", [one.id for one in CLAIMS if one.id not in ("nobody", "no-gpu")])
def test_another_value_or_verdict_is_found(published: Publication, name: str) -> None:
    (index,) = [number for number, one in enumerate(published.claims) if one.id == name]
    one = published.claims[index]

    def altered(**changes: Any) -> Publication:
        claims = [*published.claims]
        claims[index] = replace(one, **changes)
        return replace(published, claims=tuple(claims))

    other = "CONTRADICTED" if one.verdict in ("SUPPORTED", "CONSISTENT") else "SUPPORTED"
    assert any(f"{name} is published as {other}" in said for said in differences(altered(verdict=other)))
    assert list(differences(altered(parts=())))
    part = one.parts[0]
    if part.crossed:
        means = part.crossed["item_means"]
        assert isinstance(means, tuple)
        moved = replace(part, crossed={**part.crossed, "item_means": (means[0] + 0.5, *means[1:])})
    else:
        pairs = part.pairs
        left = (pairs.left[0] + 0.5, *pairs.left[1:])
        moved = replace(part, pairs=Pairs(labels=pairs.labels, left=left, right=pairs.right, weights=pairs.weights))
    assert list(differences(altered(parts=(moved, *one.parts[1:]))))


def with_part(published: Publication, name: str, **changes: Any) -> Publication:
    """The first comparison of a claim altered."""
    return with_claim(published, name, lambda one: {"parts": (replace(one.parts[0], **changes), *one.parts[1:])})


def with_claim(published: Publication, name: str, changes: Callable[[PublishedClaim], dict[str, Any]]) -> Publication:
    claims = tuple(replace(one, **changes(one)) if one.id == name else one for one in published.claims)
    return replace(published, claims=claims)


def part_of(published: Publication, name: str) -> Part:
    return next(one.parts[0] for one in published.claims if one.id == name)


def pairs_moved(published: Publication, name: str) -> Publication:
    """What is shown by seed, beside the means by seed and item from which the interval comes."""
    pairs = part_of(published, name).pairs
    return with_part(published, name, pairs=replace(pairs, left=(pairs.left[0] + 0.01, *pairs.left[1:])))


def items_dropped(published: Publication, name: str) -> Publication:
    part = part_of(published, name)
    assert part.crossed
    cut = {key: value[:-1] if key.startswith("item") else value for key, value in part.crossed.items()}  # type: ignore[index]
    return with_part(published, name, crossed=cut)


def relabelled(published: Publication, name: str, word: str) -> Publication:
    """A claim that was judged, told as one that could not be."""
    changed = with_part(published, name, verdict=word, reason="the run broke")
    return with_claim(changed, name, lambda one: {"verdict": word, "effect": None, "interval": None, "plain": None})


WRONG: dict[str, tuple[Callable[[Publication], Publication], str]] = {
    "a seed's mean moved beside its items": (lambda it: pairs_moved(it, "questions"), "means by seed are not the same"),
    "a weighted one": (lambda it: pairs_moved(it, "weighted"), "means by seed are not the same"),
    "items dropped, of which it does not generalise": (lambda it: items_dropped(it, "these"), "and has means of 39"),
    "weights dropped": (
        lambda it: with_part(it, "weighted", pairs=replace(part_of(it, "weighted").pairs, weights=())),
        "means by seed are not the same",
    ),
    "fewer pairs than are told": (lambda it: with_part(it, "seeds", n=9), "published with 9 pairs and has 8"),
    "a level widened": (lambda it: with_part(it, "seeds", level=0.999), "level is published as 0.999"),
    "a contradiction told as a failed run": (lambda it: relabelled(it, "not", "FAILED"), "as FAILED, but has values"),
    "one told as never tested": (lambda it: relabelled(it, "not", "NOT TESTED"), "as NOT TESTED, but has values"),
    "its values taken away, too": (
        lambda it: with_claim(it, "not", lambda one: {"verdict": "NOT TESTED", "parts": ()}),
        "NOT TESTED, expected: holds, but has no comparisons",
    ),
    "no comparison needed": (lambda it: with_claim(it, "several", lambda one: {"needed": 0}), "0 of 3 comparisons"),
    "more needed than there are": (lambda it: with_claim(it, "seeds", lambda one: {"needed": 2}), "2 of 1 comparisons"),
    "a control that failed, and verdicts all the same": (
        lambda it: replace(it, controls=(replace(it.controls[0], passed=False),)),
        "so there can be no verdicts",
    ),
    "a residual of another run": (
        lambda it: with_part(it, "questions", crossed={**(part_of(it, "questions").crossed or {}), "residual": 0.0}),
        "interval is published as",
    ),
    "means by item without those by seed": (
        lambda it: with_part(it, "questions", crossed={"item_means": (1.0, 2.0)}),
        "by item are not whole",
    ),
    "an error that no simulator has": (lambda it: with_part(it, "seeds", error=0.1), "only a simulation has an error"),
    "means by item gone": (lambda it: with_part(it, "questions", crossed=None), "belong to a comparison over items"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_publication_is_refused(published: Publication, wrong: str) -> None:
    alter, said = WRONG[wrong]
    found = list(differences(alter(published)))
    assert any(said in sentence for sentence in found), found


@pytest.mark.parametrize(("before", "after", "said"), [
    ('"labels": [1, ', '"labels": [2, ', "a pair is there twice"),
    ('"weights": []', '"weights": [1.0]', "1 weights beside"),
    ('"kind": "less"', '"kind": "smaller"', "kind"),
    ('"fixed": "items"', '"fixed": "all"', "fixed"),
    ('"needed": 1', '"needed": "one"', "needed"),
])  # fmt: skip
def test_a_publication_that_no_run_can_have_written_is_one_sentence(
    published: Publication, tmp_path: Path, before: str, after: str, said: str
) -> None:
    numbered = with_part(published, "seeds", pairs=replace(part_of(published, "seeds").pairs, labels=(*range(1, 9),)))
    written = lines(TypeAdapter(Publication).dump_python(numbered, mode="json"))
    assert before in written
    (tmp_path / "made.json").write_text(written.replace(before, after))
    with pytest.raises(UserError, match=f"has not the shape of a publication.*{said}"):
        read_file(tmp_path / "made.json")


def test_a_verdict_that_a_later_rule_changed_says_so(published: Publication) -> None:
    """Else a rule could be chosen by what comes of it, and its verdict pass for a prediction."""
    before = with_claim(published, "seeds", lambda one: {"verdict": "INCONCLUSIVE"})
    (now,) = [one for one in judged_again(published, before).claims if one.id == "seeds"]
    assert (now.verdict, now.earlier) == ("SUPPORTED", "INCONCLUSIVE")
    assert predictions([now]) == (0, 0)
    assert all(not one.earlier for one in judged_again(published, before).claims if one.id != "seeds")
    again = judged_again(published, judged_again(published, before))
    assert [one.earlier for one in again.claims if one.id == "seeds"] == ["INCONCLUSIVE"], "publishing it anew"
    other = replace(before, judged={"results": "2"})
    assert judged_again(published, other) == published, "other data may give another verdict"
    assert judged_again(published, None) == published


def test_a_control_that_did_not_pass_is_found(published: Publication) -> None:
    """Its values are those of an effect that is not there, and it is said to be."""
    control = published.controls[0]
    pairs = replace(control.parts[0].pairs, left=control.parts[0].pairs.right)
    control = replace(control, parts=(replace(control.parts[0], pairs=pairs),))
    found = list(differences(replace(published, controls=(control,))))
    assert any("published as passed; its pairs give" in sentence for sentence in found)


def test_a_diff_of_a_publication_can_be_read() -> None:
    """A figure is one line, the values of a side are one line, and nothing else is."""
    value = {
        "figures": [{"seeds": [1, 2], "values": {"a": {"x": 1.0, "y": [2.0, 1.5, 2.5]}}}],
        "claims": [{"parts": [{"left": [1, 2], "p": 1}]}],
    }
    assert json.loads(lines(value)) == value
    assert [line.strip() for line in lines(value).splitlines()] == [
        "{", '"figures": [', "{", '"seeds": [1, 2],', '"values": {', '"a": {', '"x": 1.0,', '"y": [2.0, 1.5, 2.5]',
        "}", "}", "}", "],", '"claims": [', "{", '"parts": [', '{"left": [1, 2], "p": 1}', "]", "}", "]", "}",
    ]  # fmt: skip


def test_figures_are_read_as_they_were_grouped() -> None:
    """By name, to five digits; a count, a slash in a label and a row with and without columns stay."""
    given = {
        "f1/a/all": Figure(0.123456789, "F1", (1, 2), (0.1, 0.2)),
        "f1/a/of/all": Figure(0.5, "F1", (1, 2), None),
        "f1/b": Figure(0.25, "F1", (3,), None),
        "f1/c/all": Figure(0.75, "F1", (1, 2), None),
        "bytes/b": Figure(1234567890.0, "bytes", (), None),
    }
    kept = {**given, "f1/a/all": replace(given["f1/a/all"], value=0.12346)}
    assert replace(EMPTY, figures=grouped(given)).by_name() == kept
