"""How languages are kept apart and become one; and that another way needs no other file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.pruning.languages import COMBINATIONS, LanguageCombination, MeanLanguages, SumLanguages
from jaxprune.pruning.patterns import Unstructured
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.pruning.statistics import InputGram, InputNorms
from jaxprune.pruning.wanda import Wanda

LANGUAGES = ("de", "en", "sw")
TEXT = {
    language: np.random.default_rng(i).standard_normal((sequences, 9, 5)).astype(np.float32) * (i + 1)
    for i, (language, sequences) in enumerate(zip(LANGUAGES, (1, 2, 5), strict=True))
}


update = jax.jit(lambda statistic, *batch: statistic.update(*batch))


def collect(statistic, combination):
    groups = combination.group_of(LANGUAGES)
    collected = statistic.zeros(5, max(groups) + 1)
    for language, group in zip(LANGUAGES, groups, strict=True):
        # Five rows for all, so that one compilation does: the rest are fillers.
        x, weights = np.zeros((5, 9, 5), np.float32), np.zeros(5, np.float32)
        x[: len(TEXT[language])], weights[: len(TEXT[language])] = TEXT[language], 1
        collected = update(collected, x, weights, np.int32(group))
    return collected


def mean(statistic, x):
    x = x.reshape(-1, 5).astype(np.float64)
    return np.square(x).mean(0) if statistic is InputNorms else x.T @ x / len(x)


def combined(statistic, combination):
    return jax.jit(combination.combine)(collect(statistic, combination))


@pytest.mark.parametrize("statistic", [InputNorms, InputGram])
def test_a_sum_weighs_tokens(statistic):
    expected = mean(statistic, np.concatenate(list(TEXT.values())))
    np.testing.assert_allclose(combined(statistic, SumLanguages()), expected, rtol=1e-5)


def test_a_sum_of_languages_kept_apart_is_the_same():
    apart = collect(InputNorms, MeanLanguages())
    np.testing.assert_allclose(SumLanguages().combine(apart), combined(InputNorms, SumLanguages()), rtol=1e-5)


@pytest.mark.parametrize("statistic", [InputNorms, InputGram])
def test_a_mean_weighs_languages(statistic):
    means = [mean(statistic, TEXT[language]) for language in LANGUAGES]
    np.testing.assert_allclose(combined(statistic, MeanLanguages()), np.mean(means, axis=0), rtol=1e-5)
    given = MeanLanguages((("sw", 1.0), ("de", 3.0), ("en", 0.0)))
    expected = 0.75 * means[0] + 0.25 * means[2]
    np.testing.assert_allclose(combined(statistic, given), expected, rtol=1e-5)


def test_weights_are_for_the_languages_of_the_text():
    with pytest.raises(RequestError, match=r"are for de, fr, and the calibration text has de, en"):
        MeanLanguages((("de", 1.0), ("fr", 1.0))).group_of(("de", "en"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((("de", 1.0), ("de", 2.0)), "name a language twice"),
        ((("de", 0.0),), "not all 0"),
        ((("de", -1.0), ("en", 2.0)), "numbers from 0 on"),
        ((("de", float("nan")),), "numbers from 0 on"),
        ((), "make no average"),
    ],
)
def test_weights_that_make_no_average_are_refused(weights, message):
    with pytest.raises(RequestError, match=message):
        MeanLanguages(weights)


@dataclasses.dataclass(frozen=True)
class StrongestLanguage:
    """A third way, for norms: an input is as important as it is to the language that uses it most."""

    def group_of(self, languages):
        return tuple(range(len(languages)))

    def combine(self, statistic):
        return jnp.max(statistic.means(), axis=0)


def test_another_way_to_combine_is_a_value_of_the_method():
    assert isinstance(StrongestLanguage(), LanguageCombination)
    method = Wanda(languages=StrongestLanguage())
    assert method != Wanda()
    prepared = method.prepare(collect(InputNorms, method.languages))
    strongest = np.max([mean(InputNorms, TEXT[language]) for language in LANGUAGES], axis=0)
    np.testing.assert_allclose(prepared, strongest, rtol=1e-5)
    kernel = np.random.default_rng(9).standard_normal((5, 40)).astype(np.float32)
    mask = method.prune(jnp.asarray(kernel), prepared, Unstructured(0.4, "output")).mask
    order = np.argsort(np.abs(kernel) * np.sqrt(strongest)[:, None], axis=0)
    expected = np.ones(kernel.shape, bool)
    np.put_along_axis(expected, order[:2], False, axis=0)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("method", [Wanda, SparseGPT])
def test_methods_with_a_combination_are_static_arguments(method, name):
    combination = COMBINATIONS[name]
    assert {method(languages=combination()): 1}[method(languages=combination())] == 1
    assert dataclasses.asdict(method(languages=combination()))["languages"] is not None
