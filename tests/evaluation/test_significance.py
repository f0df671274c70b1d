"""Paired tests against statsmodels and definitions, and the null study: what is nothing must come out as nothing."""

import itertools

import numpy as np
import pytest
import scipy.stats

from jaxprune.errors import RequestError
from jaxprune.evaluation.significance import holm, mcnemar, paired_means, paired_perplexity


def answers(only_first, only_second, both=100, neither=200):
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first), np.array(second)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        # statsmodels 0.15, mcnemar(exact=True)
        (12, 5, 0.143463134765625),
        (3, 14, 0.012725830078125),
        (1, 1, 1.0),
        (0, 7, 0.015625),
        (40, 61, 0.046044066929342785),
    ],
)
def test_mcnemar_is_statsmodels(only_first, only_second, p_value):
    first, second = answers(only_first, only_second)
    shuffle = np.random.default_rng(0).permutation(len(first))
    found = mcnemar(first[shuffle], second[shuffle])
    assert found.p_value == pytest.approx(p_value)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    low, high = found.interval
    assert low < found.difference < high
    assert (low > 0 or high < 0) == (p_value < 0.05)


def test_models_that_answer_alike_do_not_differ():
    found = mcnemar(*answers(0, 0))
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert found.interval[0] < 0 < found.interval[1]


@pytest.mark.parametrize(("items", "kinds"), [(60, (0.1, 0.05)), (500, (0.2, 0.1)), (500, (0.01, 0.01))])
def test_intervals_of_accuracy_hold_the_truth(items, kinds):
    rng = np.random.default_rng(items)
    held, times = 0, 1000
    for _ in range(times):
        first, second, same = rng.multinomial(items, [*kinds, 1 - sum(kinds)])
        low, high = mcnemar(*answers(first, second, same, 0)).interval
        held += low <= kinds[0] - kinds[1] <= high
    # Approximate, and known to err on the wide side for few differences.
    assert held / times > 0.935


def test_perplexity_is_weighted_by_tokens_and_its_ratio_is_exp():
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 1000, 40)
    nats = tokens * rng.gamma(9, 1 / 3, 40)
    worse = nats + tokens * 0.25
    found = paired_perplexity(worse, nats, tokens)
    perplexities = [np.exp(of.sum() / tokens.sum()) for of in (worse, nats)]
    assert np.exp(found.value) == pytest.approx(perplexities[0] / perplexities[1])
    assert found.interval == pytest.approx((0.25, 0.25))
    assert paired_perplexity(nats, worse, tokens).value == pytest.approx(-0.25)


def test_pairs_make_small_differences_visible():
    """Windows differ by far more than models do; only in pairs does that not matter."""
    rng = np.random.default_rng(0)
    hard = rng.normal(3, 1, 64)
    first, second = hard + rng.normal(0.05, 0.05, 64), hard + rng.normal(0, 0.05, 64)
    assert scipy.stats.ttest_ind(first, second).pvalue > 0.5
    found = paired_means(first, second)
    assert found.p_value < 0.001
    assert found.interval == pytest.approx(scipy.stats.ttest_rel(first, second).confidence_interval(), abs=0.003)


def test_holm_is_statsmodels_and_keeps_order():
    values = dict(zip("abcdefg", [0.01, 0.04, 0.03, 0.005, 0.2, 0.03, 0.9], strict=True))
    found = holm(values)
    # statsmodels 0.15, multipletests(method="holm")
    assert list(found.values()) == pytest.approx([0.06, 0.15, 0.15, 0.035, 0.4, 0.15, 0.9])
    assert list(found) == list(values)
    assert holm({}) == {}


def test_holm_is_the_closure_of_bonferroni():
    """A hypothesis is rejected if every family of hypotheses that it belongs to is, by Bonferroni's inequality."""
    values = dict(zip("abcdef", np.random.default_rng(0).uniform(0, 0.2, 6), strict=True))
    found = holm(values)
    for name in values:
        families = [f for size in range(1, 7) for f in itertools.combinations(values, size) if name in f]
        worst = max(min(1.0, len(f) * min(values[other] for other in f)) for f in families)
        assert found[name] == pytest.approx(worst)


TIMES = 500


def null_p_values(test):
    rng = np.random.default_rng(7)
    return np.array([test(rng) for _ in range(TIMES)])


def perplexity_of_equals(rng, *, items, planted=0.0):
    tokens = rng.integers(200, 512, items)
    hard = rng.gamma(25, 3 / 25, items)
    first, second = (tokens * (hard + rng.gamma(4, 0.05, items)) for _ in range(2))
    return paired_perplexity(first + planted * tokens, second, tokens, resamples=1000).p_value


def means_of_equals(rng, *, items, planted=0.0):
    level = rng.uniform(20, 60, items)
    first, second = (level + rng.normal(0, 10, items) for _ in range(2))
    return paired_means(first + planted, second, resamples=1000).p_value


@pytest.mark.parametrize(
    ("test", "items"), [(perplexity_of_equals, 12), (perplexity_of_equals, 64), (means_of_equals, 200)]
)
def test_null_study_equal_models_come_out_equal(test, items):
    p_values = null_p_values(lambda rng: test(rng, items=items))
    for level in (0.01, 0.05, 0.2):
        found = int(np.sum(p_values < level))
        assert scipy.stats.binomtest(found, TIMES, level).pvalue > 0.005, (level, found / TIMES)
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("test", "items", "planted"), [(perplexity_of_equals, 64, 0.1), (means_of_equals, 200, 4.0)])
def test_null_study_a_planted_difference_is_found(test, items, planted):
    rng = np.random.default_rng(7)
    found = [test(rng, items=items, planted=planted) < 0.05 for _ in range(60)]
    assert np.mean(found) > 0.9


def test_null_study_of_accuracy():
    """The exact test is discrete: it errs below its level, never above it."""
    p_values = null_p_values(lambda rng: mcnemar(rng.random(500) < 0.6, rng.random(500) < 0.6).p_value)
    for level in (0.01, 0.05, 0.2):
        found = int(np.sum(p_values < level))
        assert scipy.stats.binomtest(found, TIMES, level, alternative="greater").pvalue > 0.01, (level, found / TIMES)
    assert np.mean(p_values < 0.2) > 0.12
    planted = null_p_values(lambda rng: mcnemar(rng.random(500) < 0.6, rng.random(500) < 0.48).p_value)
    assert np.mean(planted < 0.05) > 0.9


def test_null_study_holm_holds_a_family_of_languages():
    rng = np.random.default_rng(7)
    accidents = 0
    for _ in range(TIMES):
        shared = rng.normal()  # the languages' tests depend on each other
        scores = 0.7 * shared + np.sqrt(1 - 0.7**2) * rng.normal(size=8)
        family = holm({str(i): float(p) for i, p in enumerate(2 * scipy.stats.norm.sf(abs(scores)))})
        accidents += min(family.values()) < 0.05
    assert scipy.stats.binomtest(accidents, TIMES, 0.05, alternative="greater").pvalue > 0.01


def test_other_items_are_no_pairs():
    with pytest.raises(RequestError, match="500 and 498"):
        paired_means(np.ones(500), np.ones(498))
    with pytest.raises(RequestError, match="same items"):
        mcnemar(np.zeros(0, bool), np.zeros(0, bool))
    with pytest.raises(RequestError, match="NaN"):
        paired_perplexity(np.array([1.0, np.nan]), np.ones(2), np.ones(2))
