"""Centred kernel alignment: against the definition of its estimator, and on views of which it is known."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.analysis.cka import Moments, alignment, centred_kernel, kernel_alignment, unbiased_hsic


def by_definition(a_NN, b_NN):
    """Song et al.'s estimator, term by term."""
    a_NN, b_NN = a_NN - np.diag(np.diag(a_NN)), b_NN - np.diag(np.diag(b_NN))
    n, one = len(a_NN), np.ones(len(a_NN))
    total = np.trace(a_NN @ b_NN)
    total += (one @ a_NN @ one) * (one @ b_NN @ one) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * (one @ a_NN @ b_NN @ one)) / (n * (n - 3))


def views(count, *, d=7, e=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, d)) + 3
    return x, x[:, :3] @ rng.normal(size=(3, e)) + 0.5 * rng.normal(size=(count, e)) - 2


@pytest.mark.parametrize("count", [4, 5, 23])
def test_equals_the_definition_whatever_the_means(count):
    x, y = views(count)
    a, b = x @ x.T, y @ y.T
    wanted = by_definition(a, b) / np.sqrt(by_definition(a, a) * by_definition(b, b)) if count > 5 else None
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    lengths_x, lengths_y = (centred_x**2).sum(axis=1), (centred_y**2).sum(axis=1)
    moments = Moments(
        float(np.sum((centred_x.T @ centred_y) ** 2)),
        float(lengths_x @ lengths_y),
        (float(lengths_x.sum()), float(lengths_y.sum())),
    )
    assert unbiased_hsic(moments, count) == pytest.approx(by_definition(a, b), rel=1e-9, abs=1e-9)
    if wanted is not None:
        assert kernel_alignment(centred_kernel(x), centred_kernel(y)) == pytest.approx(wanted, rel=1e-9)


def test_a_turned_scaled_and_moved_view_is_the_same():
    x, _ = views(30)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))
    assert kernel_alignment(centred_kernel(x), centred_kernel(3 * x @ turn + 11)) == pytest.approx(1, abs=1e-12)


def test_views_with_nothing_in_common_give_zero_also_where_they_are_wide():
    rng = np.random.default_rng(2)
    found = [
        kernel_alignment(centred_kernel(rng.normal(size=(40, 300))), centred_kernel(rng.normal(size=(40, 300))))
        for _ in range(40)
    ]
    # The plain estimator gives 0.9 here. What chance gives wide views of N things is known (Szekely and Rizzo, 2013,
    # https://doi.org/10.1016/j.jmva.2013.02.012): Student's t, with N (N - 3) / 2 - 1 degrees of freedom.
    freedom = 40 * 37 / 2 - 1
    t = np.sqrt(freedom) * np.array(found) / np.sqrt(1 - np.square(found))
    assert abs(np.mean(t)) < 3 / np.sqrt(len(t))
    low, high = scipy.stats.chi2(len(t)).interval(0.998)
    assert low < np.sum(t**2) < high
    assert np.max(np.abs(t)) < scipy.stats.t(freedom).isf(0.002 / 2 / len(t))


def test_a_view_that_does_not_vary_has_no_alignment():
    x, _ = views(10)
    assert kernel_alignment(centred_kernel(x), centred_kernel(np.ones((10, 4)))) is None
    assert alignment(1.0, -1e-9, 2.0) is None
