"""What chance can do under a pattern, against all masks that the pattern allows, and against masks drawn at random."""

import itertools

import numpy as np
import pytest

from jaxprune.analysis.competition import Competition, inputs_variance, outputs_variance
from jaxprune.analysis.spread import spread


def groups_of(competition, d_out, d_in):
    """Returns the weights of each group, as numbers of a flat kernel ``[d_out, d_in]``."""
    numbers = np.arange(d_out * d_in).reshape(d_out, d_in)
    width = competition.inputs or d_in
    columns = [numbers[:, start : start + width] for start in range(0, d_in, width)]
    if competition.is_of_one_output:
        return [row for of_columns in columns for row in of_columns]
    return [of_columns.ravel() for of_columns in columns]


def all_masks(competition, d_out, d_in, share):
    """Returns every mask that prunes ``share`` of each group, True what is pruned; ``[masks, d_out, d_in]``."""
    of_groups = [
        itertools.combinations(group, round(share * len(group))) for group in groups_of(competition, d_out, d_in)
    ]
    chosen = np.array([np.concatenate(parts) for parts in itertools.product(*of_groups)])
    pruned = np.zeros((len(chosen), d_out * d_in), bool)
    np.put_along_axis(pruned, chosen, True, axis=1)
    return pruned.reshape(-1, d_out, d_in)


def half_mean_square(zeros):
    """Of the differences of all pairs of two units; ``zeros`` is ``[masks, units]``."""
    pairs = itertools.combinations(range(zeros.shape[1]), 2)
    return np.mean([(zeros[:, a] - zeros[:, b]) ** 2 for a, b in pairs]) / 2


@pytest.mark.parametrize(
    ("competition", "d_out", "d_in", "share"),
    [
        (Competition(), 4, 4, 1 / 4),
        (Competition(2), 4, 4, 1 / 2),
        # The last block is narrower.
        (Competition(4), 2, 6, 1 / 4),
        (Competition(None, is_of_one_output=True), 2, 6, 1 / 3),
        (Competition(4, is_of_one_output=True), 2, 8, 1 / 2),
        # Units of two and three inputs reach over the bounds of groups.
        (Competition(4, is_of_one_output=True), 2, 12, 1 / 4),
        (Competition(64), 4, 4, 1 / 4),
    ],
)
def test_differences_are_those_of_all_masks_that_a_pattern_allows(competition, d_out, d_in, share):
    pruned = all_masks(competition, d_out, d_in, share)
    assert (pruned.mean(axis=(1, 2)) == share).all()
    for size in (1, 2, 3):
        if d_out % size == 0 and d_out > size:
            zeros = pruned.sum(axis=2).reshape(len(pruned), -1, size).sum(axis=2)
            expected = half_mean_square(zeros)
            assert outputs_variance(competition, d_out, d_in, share, size=size) == pytest.approx(expected, rel=1e-12)
        if d_in % size == 0:
            zeros = pruned.sum(axis=1).reshape(len(pruned), -1, size).sum(axis=2)
            expected = half_mean_square(zeros)
            assert inputs_variance(competition, d_out, d_in, share, size=size) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "competition",
    [
        Competition(),
        Competition(32),
        Competition(None, is_of_one_output=True),
        Competition(4, is_of_one_output=True),
        Competition(32, is_of_one_output=True),
    ],
)
def test_concentration_of_random_masks_is_that_of_chance(competition):
    rng, d_out, d_in, times = np.random.default_rng(0), 60, 96, 300
    pruned = np.zeros((times, d_out * d_in), bool)
    for group in groups_of(competition, d_out, d_in):
        lowest = rng.random((times, len(group))).argsort(axis=1)[:, : len(group) // 2]
        np.put_along_axis(pruned, group[lowest], True, axis=1)
    pruned = pruned.reshape(times, d_out, d_in)
    for zeros, num_weights, variance in [
        (pruned.sum(axis=2), d_in, outputs_variance(competition, d_out, d_in, 0.5)),
        (pruned.sum(axis=1), d_out, inputs_variance(competition, d_out, d_in, 0.5)),
        (
            pruned.sum(axis=1).reshape(times, -1, 8).sum(axis=2),
            8 * d_out,
            inputs_variance(competition, d_out, d_in, 0.5, size=8),
        ),
    ]:
        found = [spread(num_weights - of_mask, num_weights, top=1, variance=variance) for of_mask in zeros]
        measured = np.array([one.gini for one in found])
        expected = np.mean([one.gini_by_chance for one in found])
        standard_error = measured.std() / np.sqrt(times)
        assert abs(measured.mean() - expected) <= 4 * standard_error + 0.003 * expected + 1e-15
        assert standard_error <= 0.02 * expected


def test_what_a_pattern_makes_even_is_so_by_chance():
    of_one = Competition(None, is_of_one_output=True)
    assert outputs_variance(of_one, 30, 64, 0.5) == 0
    two_of_four = Competition(4, is_of_one_output=True)
    assert inputs_variance(two_of_four, 30, 64, 0.5, size=16) == 0 < inputs_variance(two_of_four, 30, 64, 0.5, size=2)
    assert inputs_variance(Competition(128), 30, 512, 0.5, size=256) == 0
    assert spread(np.full(30, 32), 64, top=1, variance=0.0).gini_by_chance == 0


def test_one_unit_differs_from_none():
    assert outputs_variance(Competition(), 4, 8, 0.5, size=4) == inputs_variance(Competition(), 4, 8, 0.5, size=8) == 0
