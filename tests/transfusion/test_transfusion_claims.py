"""What claims compare can be compared at each profile: arms that are trained, the same seeds on both sides, enough."""

from typing import Any

import pytest

from flows.engine.discover import papers
from flows.engine.expand import expand
from flows.engine.paper import PROFILES
from flows.engine.variant import Variant

PAPER = papers()["transfusion"]


def judging(profile: str) -> tuple[dict[str, Any], set[Any]]:
    """The settings of the verdicts, and the seeds of the twins, which `parity` reads all together."""
    stages = expand(PAPER, Variant(profile))
    twins = {stage.axes["seed"] for stage in stages if stage.name.startswith("evaluated-twins")}
    return next(stage.settings for stage in stages if stage.name == "verdicts"), twins


def seeds(selection: Any, twins: set[Any]) -> set[Any]:
    """The seeds for which this is measured; none if the arm is not trained."""
    axes = selection["axes"]
    known = all(value in axes[name] for name, value in selection["labels"].items() if name in axes)
    return twins if selection["family"] == "parity" else set(axes["seed"]) if known else set()


@pytest.mark.parametrize("profile", PROFILES)
def test_both_sides_have_the_same_seeds_and_claims_enough(profile: str) -> None:
    """With seeds on one side only a claim is FAILED, with fewer than are needed it can never be answered."""
    settings, twins = judging(profile)
    for claim in [*settings["claims"], *settings["controls"]]:
        for comparison in claim.get("comparisons", ()):
            if comparison["paired"] != "seed":
                continue
            sides = [each for each in (comparison["left"], comparison["right"]) if isinstance(each, dict)]
            found = [seeds(side, twins) for side in sides]
            assert all(found), (claim["id"], "was never trained")
            assert all(each == found[0] for each in found), claim["id"]
            if profile != "quick":
                least = settings["minimum_seeds"] if claim in settings["claims"] else 2
                assert len(found[0]) >= least, claim["id"]


def test_a_printed_size_has_the_sign_of_what_is_claimed() -> None:
    """Sizes are differences, left less right: with the wrong sign every result were "smaller than printed"."""
    settings, _ = judging("cpu")
    sizes = [
        (claim["id"], comparison["kind"], comparison["size"])
        for claim in settings["claims"]
        for comparison in claim.get("comparisons", ())
        if comparison.get("size")
    ]
    assert sizes
    assert all({"less": -1, "greater": 1}[kind] * size > 0 for _, kind, size in sizes), sizes


def test_no_size_is_judged_where_the_measure_has_a_floor() -> None:
    """What few images add to a Fréchet distance shrinks every ratio, and is no finding about the paper's."""
    settings, _ = judging("cpu")
    for claim in settings["claims"]:
        for comparison in claim.get("comparisons", ()):
            about = {comparison["left"]["quantity"], comparison["left"]["labels"].get("metric")}
            assert not (about & {"log_fd", "fd_gap", "patch_cost", "log_fd_gap", "fd"} and comparison.get("size"))
