"""The outside check of the split: on sentences of which it is known what they share, and paired by sentence."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.analysis.lsar import split_languages
from jaxprune.analysis.sentence_checks import PARTS, SentenceChecks, check_sentences, retrieval_gain


def planted_sentences(*, specific_size, seed=0, count=60, width=50, languages=4):
    """Returns sentence vectors with a meaning, a language and noise, in directions that are known; and the means."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(width, width)))
    shared, meanings = basis[:, 0], basis[:, 1:30]
    marks = basis[:, 30 : 30 + languages - 1]
    coordinates = specific_size * rng.normal(size=(languages, languages - 1))
    content = rng.normal(size=(count, 29)) @ meanings.T
    # Languages also differ in how far each sentence goes along their marks: what hides a translation.
    vectors = {
        str(i): 5 * shared
        + content
        + (coordinates[i] * rng.uniform(0.5, 1.5, size=(count, 1))) @ marks.T
        + 0.1 * rng.normal(size=(count, width))
        for i in range(languages)
    }
    return vectors, {language: of.mean(axis=0) for language, of in vectors.items()}, marks


def split_and_others(*, specific_size, seed=0, count=60):
    """Returns the split of one half of the sentences, the other half, and the planted directions."""
    vectors, _, marks = planted_sentences(specific_size=specific_size, seed=seed, count=2 * count)
    split = split_languages(np.stack([of[:count].mean(axis=0) for of in vectors.values()]), 3)
    return split, {language: of[count:] for language, of in vectors.items()}, marks


# Of a sentence's translations into L languages one is nearest to each mean, if only noise tells them apart: a share of
# 1 / L is right, with a variance of (1 - 1 / L) / L^2 a sentence at most.
BY_CHANCE, ERROR = 1 / 4, np.sqrt((1 - 1 / 4) / 4**2 / 60)


def test_planted_parts_do_what_they_should():
    split, vectors, marks = split_and_others(specific_size=60)
    assert np.sum((split.specific_DR.T @ marks) ** 2) / 3 > 0.999
    found = check_sentences(vectors, split)
    assert set(found.retrieval) == set(found.identification) == set(PARTS)
    for language in vectors:
        assert found.retrieval["agnostic"][language] > 0.95
        assert found.retrieval["whole"][language] < 0.7
        assert found.identification["specific"][language] > 0.9
    assert abs(np.mean(list(found.identification["agnostic"].values())) - BY_CHANCE) < 3 * ERROR
    # Languages go their own ways along their marks, so each sentence is as near to all of another language.
    hits = 60 * 12 * np.mean(list(found.retrieval["specific"].values()))
    low, high = scipy.stats.binom(60 * 12, 1 / 60).interval(0.998)
    assert low <= hits <= high
    assert len(found.alignment) == 6
    assert retrieval_gain([found]).interval[0] > 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_languages_planted_no_part_knows_them(seed):
    split, vectors, _ = split_and_others(specific_size=0.0, seed=seed)
    found = check_sentences(vectors, split)
    for part in PARTS:
        assert abs(np.mean(list(found.identification[part].values())) - BY_CHANCE) < 3 * ERROR
    assert min(found.retrieval["whole"].values()) > 0.95
    # Nothing hides a translation, so taking directions away shows none.
    assert retrieval_gain([found]).interval[0] <= 0
    # Translations are all that these sentences differ by.
    assert min(found.alignment.values()) > 0.95


def test_sentences_with_nothing_in_common_find_each_other_by_chance():
    rng = np.random.default_rng(3)
    split, others, _ = split_and_others(specific_size=4)
    found = check_sentences({language: rng.normal(size=of.shape) for language, of in others.items()}, split)
    low, high = scipy.stats.binom(60 * 12, 1 / 60).interval(0.998)
    for part in PARTS:
        assert low <= 60 * 12 * found.retrieved[part].mean() <= high
    # Pairs of languages at N sentences: the standard deviation of an alignment by chance (Szekely and Rizzo, 2013).
    assert abs(np.mean(list(found.alignment.values()))) < 3 / np.sqrt(6 * 60 * 57 / 2)
    gain = retrieval_gain([found])
    assert gain.interval[0] < 0 < gain.interval[1]


def test_a_language_beside_the_split_is_found_in_the_agnostic_part():
    """The means of the split have nothing of it: only other sentences of the language do."""
    vectors, means, _ = planted_sentences(specific_size=60)
    split = split_languages(np.stack(list(means.values())), 3)
    rng = np.random.default_rng(5)
    beside = {
        language: of + split.agnostic(np.broadcast_to(60 * rng.normal(size=of.shape[1]), of.shape))
        for language, of in vectors.items()
    }
    found = check_sentences(beside, split)
    assert min(found.identification["agnostic"].values()) > 0.9


def test_what_is_found_is_kept_by_sentence():
    vectors, means, _ = planted_sentences(specific_size=4, count=23)
    split = split_languages(np.stack(list(means.values())), 3)
    found = check_sentences(vectors, split)
    for part, cut in (("whole", lambda x: x), ("agnostic", split.agnostic), ("specific", split.specific)):
        right = np.zeros(23)
        for a, sources in vectors.items():
            for b, targets in vectors.items():
                for number, source in enumerate(cut(sources)):
                    cosines = cut(targets) @ source / np.linalg.norm(cut(targets), axis=1)
                    right[number] += a != b and np.argmax(cosines) == number
        np.testing.assert_allclose(found.retrieved[part], right / 12)
        assert np.mean(list(found.retrieval[part].values())) == pytest.approx(np.mean(right / 12))
    # Neither all nor nothing is found, or the above says little.
    assert 0.1 < found.retrieved["whole"].mean() < 0.9


def checks(whole_N, agnostic_N):
    return SentenceChecks({}, {"whole": whole_N, "agnostic": agnostic_N}, {}, {})


def hard_and_easy(*, gain, count=200, seed=0):
    """Returns how often each sentence is found by either part, some sentences much more often than others."""
    rng = np.random.default_rng(seed)
    chance_N = rng.beta(0.7, 0.7, count) * (1 - gain)
    return [rng.binomial(56, chance_N + more) / 56 for more in (0, gain)]


def test_the_gain_is_paired_by_sentence():
    whole, agnostic = hard_and_easy(gain=0.03)
    found = retrieval_gain([checks(whole, agnostic)])
    wanted = scipy.stats.ttest_rel(agnostic, whole)
    assert found.value == pytest.approx(np.mean(agnostic) - np.mean(whole))
    assert found.items == 200
    low, high = wanted.confidence_interval()
    assert found.interval == pytest.approx((low, high), abs=0.08 * (high - low))
    assert found.p_value < 0.01
    assert wanted.pvalue < 0.01
    # As two samples they would show nothing.
    assert scipy.stats.ttest_ind(agnostic, whole).pvalue > 0.3


def test_blocks_of_the_same_sentences_are_no_further_sentences():
    whole, agnostic = hard_and_easy(gain=0.02)
    of_one, of_nine = (retrieval_gain([checks(whole, agnostic)] * blocks) for blocks in (1, 9))
    assert of_nine.items == of_one.items == 200
    assert of_nine.interval == pytest.approx(of_one.interval, rel=1e-9)


def test_the_gain_over_blocks_is_that_of_their_mean():
    first, second = (hard_and_easy(gain=0.1, seed=seed) for seed in (1, 2))
    found = retrieval_gain([checks(*first), checks(*second)])
    low, high = scipy.stats.ttest_1samp(
        (np.subtract(*first[::-1]) + np.subtract(*second[::-1])) / 2, 0
    ).confidence_interval()
    assert found.interval == pytest.approx((low, high), abs=0.08 * (high - low))


def test_without_a_difference_none_is_found():
    whole, _ = hard_and_easy(gain=0)
    # A part is as often above the other as below, by as much.
    other = np.where(np.arange(200) % 2, whole + 0.05, whole - 0.05)
    found = retrieval_gain([checks(whole, other)])
    assert found.interval[0] < 0 < found.interval[1]
    assert found.p_value > 0.9
