"""The split of language means: against its definition, and on spaces of which it is known."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from jaxprune.analysis.lsar import (
    angle_between,
    check_rank,
    principal_angles,
    split_languages,
    squared_cosines,
)
from jaxprune.errors import RequestError


def planted(*, languages=5, width=40, rank=3, seed=0):
    """Returns means with a known shared vector and known directions orthogonal to it, along which they differ."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(width, rank + 1)))
    shared, directions = 7 * basis[:, 0], basis[:, 1:]
    # Around zero or not: what they have on average along the directions is theirs too.
    coordinates = rng.normal(size=(languages, rank)) + 0.7
    return shared + coordinates @ directions.T, shared, directions


def test_a_planted_split_is_found():
    means, shared, directions = planted(languages=6, rank=5)
    split = split_languages(means, 5)
    np.testing.assert_allclose(split.shared_D, shared, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(split.specific_DR @ split.specific_DR.T, directions @ directions.T, atol=1e-9)


def test_fewer_directions_than_languages_allow_are_found_as_such():
    means, _, directions = planted(languages=6, rank=2)
    split = split_languages(means, 5)
    assert split.rank == 2
    assert squared_cosines(split, split) == pytest.approx(1)
    np.testing.assert_allclose(split.specific_DR @ split.specific_DR.T @ directions, directions, atol=1e-9)


def test_nothing_is_found_where_languages_do_not_differ():
    vector = np.random.default_rng(1).normal(size=30)
    split = split_languages(np.tile(vector, (4, 1)), 3)
    assert split.rank == 0
    np.testing.assert_allclose(split.shared_D, vector, rtol=1e-12)
    vectors = np.random.default_rng(2).normal(size=(5, 30))
    assert not split.specific(vectors).any()
    np.testing.assert_array_equal(split.agnostic(vectors), vectors)
    assert squared_cosines(split, split) is None
    assert not principal_angles(split, split).size


def test_directions_that_noise_gives_hold_no_more_of_other_vectors_than_any():
    """Nothing planted: means differ, because each is of few vectors, and other vectors do not go their way."""
    rng, width, rank = np.random.default_rng(4), 40, 3
    shared = 7 * np.eye(width)[0]
    split = split_languages((shared + rng.normal(size=(4, 25, width))).mean(axis=1), rank)
    assert split.rank == rank
    others = rng.normal(size=(500, width))
    energy = np.sum(np.square(split.specific(others)))
    # A sum of squares of as many independent normal numbers as there are vectors times directions.
    low, high = scipy.stats.chi2(500 * rank).interval(0.998)
    assert low < energy < high


def test_subspaces_with_nothing_in_common_have_what_their_ranks_give():
    rng, width, small, large = np.random.default_rng(6), 40, 3, 5

    def random_split(rank):
        return split_languages(rng.normal(size=(rank + 1, width)), rank)

    found = [squared_cosines(random_split(small), random_split(large)) for _ in range(200)]
    # Each squared cosine of a direction with a random subspace is Beta(large / 2, (width - large) / 2).
    error = scipy.stats.beta(large / 2, (width - large) / 2).std() / np.sqrt(200 * small)
    assert np.mean(found) == pytest.approx(large / width, abs=3 * error)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_definition_holds(rank):
    means = np.random.default_rng(rank).normal(size=(4, 25)) + 2
    split = split_languages(means, rank)
    np.testing.assert_allclose(split.specific_DR.T @ split.specific_DR, np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(split.specific_DR.T @ split.shared_D, 0, atol=1e-10)
    # All fitted means have the same component along the shared vector: its own length.
    residual = means.T - split.shared_D[:, None] - split.specific_DR @ (split.specific_DR.T @ means.T)
    if rank == 3:
        np.testing.assert_allclose(residual, 0, atol=1e-10)


def test_no_other_split_of_that_rank_fits_better():
    """The published steps against a minimiser of the published objective, in which nothing is solved by hand."""
    means, rank = (np.random.default_rng(5).normal(size=(4, 6)) + 1).T, 2
    split = split_languages(means.T, rank)

    def loss(shared, specific):
        centred = means - shared[:, None]
        return np.sum((centred - specific @ (specific.T @ centred)) ** 2)

    def objective(values):
        shared, raw = values[:6], values[6:].reshape(6, rank)
        # Orthogonal to the shared vector, as the constraint has it.
        raw = raw - np.outer(shared, shared @ raw) / (shared @ shared)
        return loss(shared, np.linalg.qr(raw)[0])

    ours = loss(split.shared_D, split.specific_DR)
    best = min(
        scipy.optimize.minimize(objective, np.random.default_rng(start).normal(size=18)).fun for start in range(12)
    )
    assert ours == pytest.approx(best, rel=1e-4)


def test_parts_add_up_to_the_whole():
    means, _, _ = planted()
    split, vectors = split_languages(means, 3), np.random.default_rng(3).normal(size=(9, 40)).astype(np.float32)
    np.testing.assert_allclose(split.specific(vectors) + split.agnostic(vectors), vectors, atol=1e-12)
    np.testing.assert_allclose(split.specific(split.agnostic(vectors)), 0, atol=1e-12)


def test_angles_are_those_by_which_a_space_was_turned():
    means, _, directions = planted(languages=4, rank=3)
    split = split_languages(means, 3)
    other = np.linalg.svd(np.concatenate([directions, means[:1].T], axis=1))[0][:, 4:7]
    turned = [np.radians(10), np.radians(35), np.radians(80)]
    rotated = directions * np.cos(turned) + other * np.sin(turned)
    found = split.__class__(split.shared_D, rotated)
    np.testing.assert_allclose(principal_angles(split, found), [10, 35, 80], atol=1e-6)
    assert squared_cosines(split, found) == pytest.approx(np.mean(np.cos(turned) ** 2))


def test_small_angles_are_exact():
    assert angle_between(np.array([1.0, 0]), np.array([1.0, 1e-9])) == pytest.approx(np.degrees(1e-9), rel=1e-6)
    assert angle_between(np.array([1.0, 0]), np.array([-2.0, 0])) == pytest.approx(180)


@pytest.mark.parametrize(
    ("rank", "languages", "words"),
    [
        (None, 1, "name two or more"),
        (3, 3, "differ along 2 directions at most; give --rank a number from 1 to 2"),
        (0, 3, "give --rank a number from 1 to 2"),
        (2, 2, "differ along 1 direction at most; leave --rank out, or give --rank 1"),
    ],
)
def test_ranks_that_do_not_exist_are_refused(rank, languages, words):
    with pytest.raises(RequestError, match=words):
        check_rank(rank, languages)
    assert check_rank(None, 3) == 2
