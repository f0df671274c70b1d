"""Intervals against statsmodels, scipy and plain loops, and how often they hold what they promise."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import estimate_ratio, proportion_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # statsmodels 0.15, proportion_confint(method="wilson")
        (0, 10, 0.0, 0.27753279986288926),
        (3, 10, 0.10779126740630104, 0.6032218525388546),
        (481, 500, 0.9414152274693561, 0.9755398819441696),
        (500, 500, 0.9923756595384479, 1.0),
    ],
)
def test_proportions_are_statsmodels(successes, trials, low, high):
    assert proportion_interval(successes, trials) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("items", [2, 3, 9, 15])
def test_few_items_have_students_interval(items):
    values = np.random.default_rng(items).normal(0.5, 1, items)
    wanted = scipy.stats.ttest_1samp(values, 0)
    found = estimate_ratio(values, np.ones(items))
    assert found.value == pytest.approx(values.mean())
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.interval == pytest.approx(wanted.confidence_interval())
    assert found.items == items


@pytest.mark.parametrize(("items", "resamples", "room"), [(16, 200_000, 0.008), (300, 20_000, 0.03)])
def test_many_items_are_resampled_whole(items, resamples, room):
    """Against resamples drawn otherwise, as how often each item is in them, with percentiles widened to Student's."""
    rng = np.random.default_rng(items)
    counts = rng.integers(5, 400, items)
    totals = counts * rng.gamma(9, 1 / 3, items)
    times = rng.multinomial(items, np.full(items, 1 / items), resamples)
    t = scipy.stats.t(items - 1).isf(0.025) * np.sqrt(items / (items - 1))
    wanted = np.quantile((times @ totals) / (times @ counts), scipy.stats.norm.cdf([-t, t]))
    found = estimate_ratio(totals, counts, resamples=resamples)
    assert found.value == pytest.approx(totals.sum() / counts.sum())
    np.testing.assert_allclose(found.interval, wanted, atol=room * np.ptp(wanted))


def test_of_a_large_sample_it_is_the_normal_one():
    values = np.random.default_rng(0).normal(0.08, 1, 2000)
    wanted = scipy.stats.ttest_1samp(values, 0)
    found = estimate_ratio(values, np.ones(2000))
    width = np.ptp(wanted.confidence_interval())
    np.testing.assert_allclose(found.interval, wanted.confidence_interval(), atol=0.03 * width)
    assert found.p_value == pytest.approx(wanted.pvalue, rel=0.3)
    assert wanted.pvalue < 0.05


@pytest.mark.parametrize("items", [6, 40])
def test_moves_and_scales_with_what_is_measured(items):
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 9, items)
    totals = rng.normal(0, 1, items) * counts
    before, after = estimate_ratio(totals, counts), estimate_ratio(-2 * totals + 3 * counts, counts)
    assert after.value == pytest.approx(3 - 2 * before.value)
    assert after.interval == pytest.approx((3 - 2 * before.interval[1], 3 - 2 * before.interval[0]), rel=1e-2)
    assert estimate_ratio(-totals, counts).p_value == pytest.approx(before.p_value)


@pytest.mark.parametrize("items", [8, 16, 64])
def test_zero_is_outside_exactly_where_p_is_below_5_in_100(items):
    rng = np.random.default_rng(items)
    sides = []
    for _ in range(60):
        found = estimate_ratio(rng.normal(1.9 / np.sqrt(items), 1, items), np.ones(items))
        low, high = found.interval
        # A resample's worth of room: quantiles are interpolated, tails are counted.
        if abs(found.p_value - 0.05) > 1e-3:
            assert (low > 0 or high < 0) == (found.p_value < 0.05)
            sides.append(found.p_value < 0.05)
    assert 10 < sum(sides) < 50


@pytest.mark.parametrize("items", [5, 20, 60])
def test_holds_the_truth_95_times_in_100(items):
    """Nats a token over windows of unequal length, as skewed as windows of text are."""
    rng = np.random.default_rng(items)
    held, times = 0, 600
    for _ in range(times):
        counts = rng.integers(100, 500, items)
        totals = counts * rng.gamma(25, 3.0 / 25, items)
        low, high = estimate_ratio(totals, counts, resamples=1000).interval
        held += low <= 3.0 <= high
    assert scipy.stats.binomtest(held, times, 0.95).pvalue > 0.001, held / times


@pytest.mark.parametrize("items", [4, 30])
def test_items_that_agree_leave_no_doubt(items):
    nothing = estimate_ratio(np.zeros(items), np.ones(items))
    assert (nothing.value, nothing.interval, nothing.p_value) == (0.0, (0.0, 0.0), 1.0)
    something = estimate_ratio(np.full(items, 0.25), np.ones(items))
    assert something.interval == (0.25, 0.25)
    assert something.p_value < 0.002


def test_one_item_has_no_interval():
    assert estimate_ratio(np.array([6.0]), np.array([3])).interval is None
    assert estimate_ratio(np.array([6.0]), np.array([3])).value == 2.0


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=50)
    first, second, other = (estimate_ratio(values, np.ones(50), seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first.interval != other.interval


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(RequestError, match="2 of 3 items are NaN"):
        estimate_ratio(np.array([1.0, np.nan, np.inf]), np.ones(3))
    with pytest.raises(RequestError, match="3 items with 2 weights"):
        estimate_ratio(np.ones(3), np.ones(2))
    with pytest.raises(RequestError, match="0 items"):
        estimate_ratio(np.ones(0), np.ones(0))
