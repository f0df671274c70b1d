"""Intervals of tasks' scores: each metric its own, over seeds as over items, and within what an item can score."""

import math

import numpy as np
import pytest
import scipy.stats

from jaxprune.evaluation.intervals import proportion_interval
from jaxprune.evaluation.score_intervals import is_right_or_wrong, score_interval
from jaxprune.evaluation.seed_spread import Spread, pool_spread
from tests.evaluation import convolution


def alike(variance, freedom):
    """What a seed changes, the same in all calibrations."""
    return Spread(variance, math.inf, float(freedom))


def answers(right, items):
    return (np.arange(items) < right).astype(float)


@pytest.mark.parametrize(
    ("metric", "scores", "expected"),
    [
        ("acc_norm", [0, 0, 0], True),
        ("exact_match", [0, 0, 0], True),
        ("chrf", [0, 0, 0], False),
        ("f1", [0, 1], False),
        ("pass", [0, 1], True),
        ("acc", [0, 0.5], False),
        ("accord", [0, 0], False),
    ],
)
def test_right_or_wrong_is_what_the_metric_says(metric, scores, expected):
    assert is_right_or_wrong(metric, np.asarray(scores)) is expected


def test_one_models_answers_have_wilsons_interval():
    assert score_interval("acc", answers(3, 40)[None]) == proportion_interval(3, 40)
    low, high = score_interval("acc", answers(0, 40)[None])
    assert (low, high) == pytest.approx((0, 0.0876), abs=1e-4)  # 1.96^2 / (40 + 1.96^2)


def test_grades_that_are_all_zero_have_none():
    assert score_interval("chrf", np.zeros((1, 40))) is None
    assert score_interval("chrf", np.zeros((2, 40)), spread=alike(0.0, 1)) is None
    assert score_interval("chrf", np.full((1, 1), 0.3)) is None
    # Other calibrations show what a seed may change.
    low, high = score_interval("chrf", np.zeros((2, 40)), spread=alike(1e-4, 9))
    assert low == 0 < high


def test_the_error_of_grades_over_seeds_is_the_items_and_the_seeds():
    rng = np.random.default_rng(0)
    grades_SN = rng.uniform(0.3, 0.7, (2, 50))
    of_items = scipy.stats.sem(grades_SN.mean(axis=0)) ** 2
    half = convolution.quantile((of_items, 49), (2e-4, 3))
    wanted = (grades_SN.mean() - half, grades_SN.mean() + half)
    assert score_interval("chrf", grades_SN, spread=alike(4e-4, 3)) == pytest.approx(wanted)


def test_the_ends_for_answers_over_seeds_are_as_far_from_the_mean_as_the_quantile_says():
    """Each end, were it the truth, is as many standard errors away as the two errors' sum is in 5 of 100 cases."""
    answers_SN = np.stack([answers(150, 200), answers(162, 200)])
    ends = score_interval("acc", answers_SN, spread=alike(1e-3, 3))
    mean = 156 / 200
    parts = (mean * (1 - mean) / 200, 199), (1e-3 / 2, 3)
    errors_away = convolution.quantile(*parts) / np.sqrt(parts[0][0] + parts[1][0])
    for end in ends:
        assert abs(end - mean) == pytest.approx(errors_away * np.sqrt(end * (1 - end) / 200 + 1e-3 / 2))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_grades_stay_within_what_an_item_can_score(scale):
    grades_SN = scale * np.asarray([[0.0, 0.9, 1.0, 1.0, 1.0], [0.1, 1.0, 1.0, 1.0, 1.0]])
    low, high = score_interval("chrf", grades_SN, spread=alike((0.4 * scale) ** 2, 2), most=scale)
    assert (low, high) == (0, scale)
    # What can be negative has no end at zero.
    assert score_interval("mcc", grades_SN / scale - 0.5, spread=alike(0.2, 2))[0] < -0.5


@pytest.mark.parametrize(("accuracy", "seed_spread"), [(0.02, 0.005), (0.5, 0.03), (0.97, 0.01)])
def test_answers_over_seeds_cover_the_truth_and_stay_inside(accuracy, seed_spread):
    """The truth is in nearly all intervals; too careful is what the variance of seeds within that of items makes it."""
    rng = np.random.default_rng(1)
    studies, covered, widths = 400, 0, 0.0
    for _ in range(studies):
        levels = np.clip(accuracy + rng.normal(0, seed_spread, (6, 2)), 0, 1)
        ease_N = rng.random(200)
        answers_CSN = (ease_N < levels[..., None]).astype(float)
        spread = pool_spread(answers_CSN.mean(axis=2))
        low, high = score_interval("acc", answers_CSN[0], spread=spread)
        assert 0 <= low < high <= 1
        covered += low <= accuracy <= high
        widths += high - low
    assert covered / studies > 0.93, covered
    # Of use still: not twice as wide as the spread of items and seeds asks for.
    error = np.sqrt(accuracy * (1 - accuracy) / 200 + seed_spread**2 / 2)
    assert widths / studies < 2 * 2 * 1.96 * error


def test_answers_of_two_seeds_that_agree_are_nearly_wilsons():
    wanted = proportion_interval(30, 200)
    found = score_interval("acc", np.stack([answers(30, 200)] * 2), spread=alike(1e-12, 8))
    assert found == pytest.approx(wanted, abs=1e-3)
    low, high = score_interval("acc", np.zeros((2, 200)), spread=alike(0.0, 8))
    assert low == 0
    assert high == pytest.approx(proportion_interval(0, 200)[1], abs=1e-3)
