"""Intervals of signal-to-noise ratios against resamples drawn by hand, the jackknife, and planted truth."""

import math

import numpy as np
import pytest
import scipy.stats

from jaxprune.evaluation.snr import signal_to_noise
from jaxprune.evaluation.snr_intervals import energy_interval_db, linearised_db, mean_interval
from jaxprune.sharding import make_mesh
from tests.evaluation.test_snr import damaged
from tests.models.reference import make_pair, random_tokens
from tests.tiny import tiny_config


def ratio_db(signal, noise, axis=-1):
    return 10 * np.log10(np.sum(signal, axis) / np.sum(noise, axis))


@pytest.fixture(scope="module")
def windows():
    """What pruning did to the second block of a tiny model in 21 windows."""
    pair = make_pair(tiny_config("llama"))
    pruned = damaged(pair.params)
    found = signal_to_noise(
        pair.params.__getitem__, pruned.__getitem__, pair.model, {"de": random_tokens(6, count=21)},
        mesh=make_mesh({"data": 8, "model": 1}), dtype=np.dtype("float32"),
    )  # fmt: skip
    by_window = found.languages["de"].by_window
    return by_window.signal_LN[1], by_window.noise_LN[1], by_window.median_db_LN[1]


def by_hand(values, statistic):
    """Percentiles of resamples of windows, as far out as Student's t with N - 1 degrees puts 95 %."""
    items = len(values[0])
    drawn = np.random.default_rng(5).integers(items, size=(40_000, items))
    found = statistic(*(of[drawn] for of in values))
    tail = scipy.stats.norm.cdf(scipy.stats.t.ppf(0.025, items - 1) * math.sqrt(items / (items - 1)))
    return np.quantile(found, [tail, 1 - tail])


def test_from_16_windows_on_windows_are_resampled(windows):
    signal, noise, median = windows
    for found, wanted in (
        (energy_interval_db(signal, noise), by_hand((signal, noise), ratio_db)),
        (mean_interval(median), by_hand((median,), lambda values: values.mean(axis=-1))),
    ):
        assert found == pytest.approx(wanted, abs=0.05 * (wanted[1] - wanted[0]))


def test_of_fewer_student_s_interval_is_the_jackknife_s(windows):
    signal, noise, median = (of[:9] for of in windows)
    for found, value, without in (
        (energy_interval_db(signal, noise), ratio_db(signal, noise), [
            ratio_db(np.delete(signal, i), np.delete(noise, i)) for i in range(9)
        ]),
        (mean_interval(median), median.mean(), [np.delete(median, i).mean() for i in range(9)]),
    ):  # fmt: skip
        half = scipy.stats.t.ppf(0.975, 8) * np.sqrt(8 / 9 * np.sum(np.square(without - np.mean(without))))
        assert found == pytest.approx((value - half, value + half), abs=0.05 * half)


@pytest.mark.parametrize("items", [6, 24])
def test_intervals_hold_what_was_planted_in_95_of_100_studies(items):
    """Noise is a tenth of the signal on average, in windows that differ by a third in either."""
    rng, held, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        signal, noise = (rng.gamma(9, of, items) for of in (1.0, 0.1))
        low, high = energy_interval_db(signal, noise) or (0.0, 0.0)
        held += low < 10 < high
    assert held / trials == pytest.approx(0.95, abs=0.025)


def test_linearised_windows_have_the_ratio_as_their_mean(windows):
    signal, noise, _ = windows
    assert linearised_db(signal, noise).mean() == pytest.approx(ratio_db(signal, noise), abs=1e-9)


def test_one_window_and_no_change_have_no_interval():
    one, zero = np.ones(1), np.zeros(20)
    assert energy_interval_db(one, one) is None
    assert mean_interval(one) is None
    assert energy_interval_db(np.ones(20), zero) is None
    assert energy_interval_db(zero, np.ones(20)) is None
    assert mean_interval(np.array([3.0, math.inf, 4.0])) is None
    # Nearly all windows are as they were, so that some resamples have no noise at all.
    assert energy_interval_db(np.ones(20), np.eye(20)[0]) is None
