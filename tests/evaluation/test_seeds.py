"""Differences between calibrations of several seeds: their limits are scipy's tests, and equals come out equal."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.errors import RequestError
from jaxprune.evaluation.seeds import difference_over_seeds
from jaxprune.evaluation.significance import paired_means
from tests.evaluation import convolution


def test_with_one_seed_each_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.2, 1, (1, 30)), rng.normal(0, 1, (1, 30))
    found = difference_over_seeds(first, second, np.ones(30))
    wanted = scipy.stats.ttest_rel(first[0], second[0])
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.interval == pytest.approx(wanted.confidence_interval())
    assert found.error_of_seeds == 0
    assert found.seeds == (1, 1)


def test_with_items_that_all_agree_it_is_welchs_t_test_of_the_seeds():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.9, 1, (5, 1)), rng.normal(0, 0.3, (3, 1))
    found = difference_over_seeds(np.repeat(first, 10, axis=1), np.repeat(second, 10, axis=1), np.ones(10))
    wanted = scipy.stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.interval == pytest.approx(wanted.confidence_interval())
    assert found.error_of_items == pytest.approx(0, abs=1e-9)
    assert found.seeds == (5, 3)


def test_items_and_seeds_add_up_as_behrens_and_fisher_have_it():
    """By hand: fifty windows whose differences vary, three seeds of one calibration, one of the other."""
    rng = np.random.default_rng(0)
    items_N, levels_S1 = rng.normal(0, 1, 50), np.asarray([[0.3], [0.5], [0.9]])
    found = difference_over_seeds(items_N + levels_S1, np.zeros((1, 50)), np.ones(50))
    parts = (items_N.var(ddof=1) / 50, 49), (levels_S1.var(ddof=1) / 3, 2)
    value, half = (items_N + levels_S1).mean(), convolution.quantile(*parts)
    assert found.interval == pytest.approx((value - half, value + half))
    assert found.p_value == pytest.approx(convolution.two_sided_tail(abs(value), *parts))
    assert [found.error_of_items**2, found.error_of_seeds**2] == pytest.approx([of[0] for of in parts])


def test_windows_weigh_by_their_tokens():
    tokens = np.array([1, 3])
    first, second = np.array([[2.0, 12.0], [4.0, 6.0]]), np.array([[1.0, 3.0]])
    found = difference_over_seeds(first, second, tokens)
    assert found.value == pytest.approx(np.mean([14 / 4, 10 / 4]) - 1)
    assert found.error_of_seeds == pytest.approx(np.std([14 / 4, 10 / 4], ddof=1) / np.sqrt(2))


def calibration(rng, items, *, seeds, spread):
    """Nats a window: what the text asks for, what the seed does to all of it, and what it does to each window."""
    return items + rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 0.1, (seeds, len(items)))


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("spread", [0.0, 0.03, 0.2])
def test_null_study_two_draws_of_one_calibration_come_out_equal(seeds, spread):
    rng = np.random.default_rng(seeds)
    times, found, by_items_alone = 800, 0, 0
    for i in range(times):
        items = rng.normal(3, 0.5, 64)
        first, second = (calibration(rng, items, seeds=seeds, spread=spread) for _ in range(2))
        found += difference_over_seeds(first, second, np.ones(64)).p_value < 0.05
        if i < 60:
            by_items_alone += paired_means(first.mean(0), second.mean(0), resamples=1000).p_value < 0.05
    assert scipy.stats.binomtest(found, times, 0.05, alternative="greater").pvalue > 0.01, found / times
    if spread:
        assert by_items_alone > 15, "so it would not be worth while"


def test_null_study_a_planted_difference_is_found():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        items = rng.normal(3, 0.5, 64)
        first, second = (calibration(rng, items, seeds=3, spread=0.03) for _ in range(2))
        found += difference_over_seeds(first + 0.15, second, np.ones(64)).p_value < 0.05
    assert found > 90


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(RequestError, match="8 and 7"):
        difference_over_seeds(np.ones((2, 8)), np.ones((3, 7)), np.ones(8))
    with pytest.raises(RequestError, match="finite"):
        difference_over_seeds(np.full((2, 8), np.nan), np.ones((3, 8)), np.ones(8))
    equal = difference_over_seeds(np.ones((2, 8)), np.ones((3, 8)), np.ones(8))
    assert (equal.value, equal.p_value) == (0.0, 1.0)
