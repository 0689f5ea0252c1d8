"""Fits find what was put in, and counts are those of the formulas."""

import math
import random

import pytest

from models.framework_tax.fits import affine, elasticity, knee, regimes

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


def test_both_terms_of_an_affine_curve_are_found() -> None:
    fit = affine(BATCHES, [3.0 + 0.25 * b for b in BATCHES])
    assert fit.fixed == pytest.approx(3.0)
    assert fit.each == pytest.approx(0.25)
    assert fit.tax(4) == pytest.approx(0.75)
    assert fit.even == pytest.approx(12)


def test_no_term_is_below_zero() -> None:
    """Noise would else give a tax of less than nothing."""
    assert affine((1, 2, 4), (1.0, 2.1, 4.4)).fixed >= 0
    assert affine((1, 2, 4), (1.0, 0.9, 0.8)).even == math.inf


def test_three_batches_are_needed() -> None:
    with pytest.raises(ValueError, match="three batches"):
        affine((1, 1, 2), (1.0, 1.0, 2.0))


@pytest.mark.parametrize("flat", [1.5, 4.0, 11.0, 40.0])
def test_a_planted_knee_is_found(flat: float) -> None:
    """And not at a batch that was measured, but between those."""
    draw = random.Random(0)
    each, fixed = 0.8, 0.4
    times = [max(fixed + each * flat, fixed + each * b) * (1 + 0.01 * (draw.random() - 0.5)) for b in BATCHES]
    found = regimes(BATCHES, times)
    assert found.knee == pytest.approx(flat, rel=0.1)
    assert found.error < 0.02


def test_a_curve_without_a_flat_part_has_its_knee_at_one() -> None:
    assert regimes(BATCHES, [2.0 * b for b in BATCHES]).knee == 1.0


def test_faster_kernels_leave_more_to_the_framework() -> None:
    found = regimes(BATCHES, [max(10.0, 1.0 * b) for b in BATCHES])
    assert found.tax(1) == pytest.approx(0.9)
    assert found.tax(16) == pytest.approx(0.0, abs=1e-6)
    assert found.tax(16, faster=2.0) == pytest.approx(0.2)
    assert found.at(16, faster=2.0) == pytest.approx(10.0)


def test_the_knee_of_the_sheet_is_the_last_batch_within_a_tenth() -> None:
    assert knee(BATCHES, (10.61, 10.82, 10.72, 10.75, 16.74, 31.69, 61.92, 123.67)) == 8
    assert knee((1, 2, 4), (1.0, 1.2, 1.05)) == 1  # a batch beyond a slow one does not count


def test_elasticity_is_the_slope_of_logarithms() -> None:
    assert elasticity((1, 4, 16), (1.0, 2.0, 4.0)) == pytest.approx(0.5)
