"""Sparsity of units and its concentration: planted units are named, and even or random zeros are not concentrated."""

import numpy as np
import pytest

from jaxprune.analysis.spread import QUANTILES, spread


def gini(zeros):
    """Returns the mean difference of all ordered pairs over twice the mean."""
    zeros = np.asarray(zeros, np.float64)
    return np.abs(zeros[:, None] - zeros[None, :]).mean() / (2 * zeros.mean())


@pytest.mark.parametrize("seed", range(4))
def test_against_all_pairs(seed):
    rng = np.random.default_rng(seed)
    kept = rng.integers(0, 50, 37)
    found = spread(kept, 49, top=4, variance=1.0)
    zeros = 49 - kept
    assert found.units == 37
    assert found.gini == pytest.approx(gini(zeros), rel=1e-12)
    expected = [np.sort(zeros / 49)[0], *np.quantile(zeros / 49, QUANTILES[1:-1]), zeros.max() / 49]
    np.testing.assert_allclose(found.quantiles, expected, rtol=1e-12)
    # Units that have lost the same come in their order.
    order = sorted(range(37), key=lambda unit: (-zeros[unit], unit))[:4]
    assert [unit for unit, _ in found.most] == order
    assert [sparsity for _, sparsity in found.most] == pytest.approx([zeros[unit] / 49 for unit in order], rel=1e-15)


def test_planted_units_are_found():
    kept = np.full(100, 80)
    kept[[17, 64]] = 0, 10
    found = spread(kept, 80, top=3, variance=1.0)
    assert found.most[:2] == ((17, 1.0), (64, 1 - 10 / 80))
    assert found.most[2] == (0, 0.0)
    # What has lost anything has lost nearly everything.
    assert found.gini == pytest.approx(gini(80 - kept))
    assert found.gini > 0.97


def test_even_zeros_are_not_concentrated_and_no_unit_stands_out():
    found = spread(np.full(64, 30), 60, top=5, variance=1.0)
    assert found.gini == pytest.approx(0, abs=1e-15)
    assert found.most == ()
    assert set(found.quantiles) == {0.5}


def test_all_in_half_of_the_units_is_the_most_that_half_can_be():
    assert spread(np.array([0, 0, 9, 9]), 9, top=1, variance=1.0).gini == pytest.approx(1 - 0.5)


@pytest.mark.parametrize(("sparsity", "num_weights", "num_units"), [(0.5, 400, 3000), (0.8, 1000, 6), (0.1, 900, 500)])
def test_random_zeros_have_the_concentration_of_chance(sparsity, num_weights, num_units):
    rng = np.random.default_rng(0)
    kept = rng.binomial(num_weights, 1 - sparsity, (200, num_units))
    variance = num_weights * sparsity * (1 - sparsity)
    found = [spread(of_sample, num_weights, top=1, variance=variance) for of_sample in kept]
    measured = np.array([one.gini for one in found])
    expected = np.mean([one.gini_by_chance for one in found])
    standard_error = measured.std() / np.sqrt(len(measured))
    assert abs(measured.mean() - expected) < 4 * standard_error + 0.003 * expected


def test_without_zeros_there_is_no_concentration():
    found = spread(np.full(5, 7), 7, top=2, variance=1.0)
    assert (found.gini, found.gini_by_chance, found.most) == (None, None, ())
    assert set(found.quantiles) == {0.0}


def test_one_unit_has_nobody_to_be_compared_with():
    found = spread(np.array([3]), 7, top=2, variance=1.0)
    assert (found.gini, found.gini_by_chance, found.most) == (None, None, ())
    assert found.quantiles == pytest.approx([4 / 7] * len(QUANTILES))
