"""Errors of two parts: against a convolution, against draws, and where the distribution is known in closed form."""

import math

import numpy as np
import pytest
import scipy.stats

from jaxprune.evaluation.behrens_fisher import Variance, behrens_fisher, quantile, two_sided_tail
from tests.evaluation import convolution

FREEDOMS = (0.7, 1.3, 4.7, 39, 5000, math.inf)
RATIOS = (1e-6, 0.02, 0.7, 30, 1e6)


@pytest.mark.parametrize("outside", [0.6, 0.05, 1e-6, 1e-12])
@pytest.mark.parametrize(("f1", "f2"), [(1.3, 4.7), (1.3, 5000), (4.7, 39), (39, 5000), (2.4, 2.6)])
def test_it_is_the_convolution(f1, f2, outside):
    for ratio in RATIOS:
        parts = Variance(3.0 * ratio, f1), Variance(3.0, f2)
        distance = quantile(*parts, outside=outside)
        assert two_sided_tail(distance, *parts) == pytest.approx(outside, rel=1e-10)
        assert convolution.two_sided_tail(distance, *parts) == pytest.approx(outside, rel=1e-8)


@pytest.mark.parametrize(("f1", "f2", "ratio"), [(1.3, 4.7, 2.0), (5, 39, 1.0), (3, 5000, 0.5)])
def test_it_is_what_draws_say(f1, f2, ratio):
    rng = np.random.default_rng(0)
    draws = 500_000
    sums = math.sqrt(ratio) * rng.standard_t(f1, draws) + rng.standard_t(f2, draws)
    for outside in (0.3, 0.05, 0.001):
        beyond = np.count_nonzero(np.abs(sums) > quantile(Variance(ratio, f1), Variance(1.0, f2), outside=outside))
        assert scipy.stats.binomtest(int(beyond), draws, outside).pvalue > 0.001


@pytest.mark.parametrize("ratio", RATIOS)
def test_of_cauchys_it_is_a_cauchy_however_far_out(ratio):
    """The one case of few degrees with a closed form: scales add up."""
    parts = Variance(ratio, 1), Variance(1.0, 1)
    for outside in (0.9, 0.05, 1e-6, 1e-100):
        wanted = (math.sqrt(ratio) + 1) / math.tan(math.pi / 2 * outside)
        assert quantile(*parts, outside=outside) == pytest.approx(wanted, rel=1e-11)
        assert two_sided_tail(wanted, *parts) == pytest.approx(outside, rel=1e-11)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_without_variance_in_one_part_it_is_students_and_with_little_nearly(freedom):
    student = scipy.stats.t(freedom) if math.isfinite(freedom) else scipy.stats.norm
    part = Variance(4.0, freedom)
    for other in (0.0, 1e-30):
        for none in (Variance(other, 2), Variance(other, math.inf)):
            for pair in ((none, part), (part, none)):
                interval, p_value = behrens_fisher(-7.0, *pair)
                half = 2 * student.isf(0.025)
                assert interval == pytest.approx((-7 - half, -7 + half), rel=1e-6)
                assert p_value == pytest.approx(2 * student.sf(3.5), rel=1e-6)


def test_of_two_exact_variances_it_is_normal():
    parts = Variance(1.0, math.inf), Variance(3.0, math.inf)
    for distance in (0.1, 4.0, 12.0):
        assert two_sided_tail(distance, *parts) == pytest.approx(2 * scipy.stats.norm.sf(distance / 2), rel=1e-12)


def test_without_any_variance_all_is_certain():
    nothing = Variance(0.0, 3), Variance(0.0, math.inf)
    assert behrens_fisher(0.0, *nothing) == ((0.0, 0.0), 1.0)
    assert behrens_fisher(0.2, *nothing) == ((0.2, 0.2), 0.0)


@pytest.mark.parametrize("f1", FREEDOMS)
@pytest.mark.parametrize("f2", FREEDOMS)
def test_tails_fall_with_distance_and_know_no_order_sign_or_unit(f1, f2):
    parts = Variance(0.3, f1), Variance(2.0, f2)
    distances = np.geomspace(1e-3, 30, 40)
    tails = np.asarray([two_sided_tail(distance, *parts) for distance in distances])
    assert (np.diff(tails) < 0).all()
    assert two_sided_tail(0.0, *parts) == pytest.approx(1)
    for scale in (1e-9, 1e9):
        swapped = [Variance(of.value * scale**2, of.freedom) for of in reversed(parts)]
        assert [two_sided_tail(-scale * d, *swapped) for d in distances] == pytest.approx(tails, rel=1e-9)


def test_the_interval_leaves_zero_out_where_the_p_value_is_below_its_level():
    parts = Variance(0.3, 4.7), Variance(2.0, 39)
    for confidence in (0.95, 0.5):
        half = quantile(*parts, outside=1 - confidence)
        for value in (0.9999 * half, 1.0001 * half):
            (low, high), p_value = behrens_fisher(value, *parts, confidence=confidence)
            assert (low > 0) is (p_value < 1 - confidence)
            assert high - low == pytest.approx(2 * half)


def test_tails_are_heavier_than_satterthwaites_where_one_part_is_poorly_known():
    """Which is why this is here: at Holm's levels tenfold."""
    few, many = Variance(1.0, 4.0), Variance(1.0, 200.0)
    freedom = 4 / (1 / 4 + 1 / 200)
    distance = math.sqrt(2) * scipy.stats.t(freedom).isf(1e-5 / 2)
    assert two_sided_tail(distance, few, many) > 1e-4
