"""Divisions keep what must be kept, each is as likely, and languages are by themselves as often as is expected."""

import itertools
import math

import numpy as np
import pytest

from jaxprune.analysis.mixtures import draw_divisions, expected_pure

UNEVEN = np.array([[20, 20, 20, 10], [20, 20, 20, 10], [20, 20, 10, 0]])


@pytest.mark.parametrize("tokens_LG", [np.full((3, 8), 20), UNEVEN])
def test_mixtures_have_as_many_groups_of_each_size_as_languages(tokens_LG):
    divisions = draw_divisions(tokens_LG, num=50)
    assert len({of.tobytes() for of in divisions}) > 40
    for of_division in divisions:
        for mixture, own in enumerate(tokens_LG):
            assert sorted(tokens_LG[of_division == mixture].tolist()) == sorted(own.tolist())
    np.testing.assert_array_equal(divisions, draw_divisions(tokens_LG, num=50))


def test_every_division_is_as_likely():
    tokens_LG = np.full((2, 2), 5)
    divisions = [tuple(of.ravel().tolist()) for of in draw_divisions(tokens_LG, num=3000, seed=1)]
    wanted = set(itertools.permutations((0, 0, 1, 1)))
    assert set(divisions) == wanted
    # 500 of each on average, with a standard deviation of 20.
    assert all(400 < divisions.count(of) < 600 for of in wanted)


@pytest.mark.parametrize("tokens_LG", [np.full((2, 3), 20), np.full((3, 2), 20), UNEVEN[:, 2:], UNEVEN[:2, 1:]])
def test_languages_are_by_themselves_as_often_as_is_expected(tokens_LG):
    pure = [
        len(set(of_division[language, tokens_LG[language] > 0].tolist())) == 1
        for of_division in draw_divisions(tokens_LG, num=4000)
        for language in range(len(tokens_LG))
    ]
    # The number has a standard deviation of 0.95 at most.
    assert sum(pure) / 4000 == pytest.approx(expected_pure(tokens_LG), abs=4 * 0.95 / math.sqrt(4000))


def test_languages_are_by_themselves_less_often_the_more_groups_there_are():
    assert expected_pure(np.full((2, 3), 9)) == pytest.approx(4 / 20)
    # Of three languages each is in any of three mixtures, with one of C(12, 4) choices of places.
    assert expected_pure(np.full((3, 4), 9)) == pytest.approx(9 / 495)
    assert expected_pure(np.array([[9, 9, 9, 0]] * 3)) == pytest.approx(9 / 84)
