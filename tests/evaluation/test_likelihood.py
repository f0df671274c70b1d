"""Log-likelihoods made tile by tile, against SciPy on the logits of all words at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxprune.evaluation.likelihood import label_log_likelihoods
from jaxprune.models import FAMILIES
from jaxprune.models.causal_lm import HEAD
from tests.models.reference import make_pair
from tests.tiny import VOCAB_SIZE, tiny_config

PICKED = np.array([0, 0, 1, 2, 3, 3, 4, 5, 6])


def compute(pair, params, x, labels, words):
    found = jax.jit(label_log_likelihoods, static_argnames=("model", "words"))(
        pair.model, params, jnp.asarray(x), jnp.asarray(PICKED), jnp.asarray(labels), words=words
    )
    return [np.asarray(of) for of in found]


@pytest.mark.parametrize("words", [1, 100, 199, 396, VOCAB_SIZE])
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_tiles_of_any_size_give_what_all_words_give(model_type, words):
    if words == 1 and model_type != "llama":
        pytest.skip("one is enough of the slowest")
    pair = make_pair(tiny_config(model_type))
    params = pair.params[HEAD]
    x = np.random.default_rng(0).normal(size=(7, 48)).astype(np.float32) * 3
    logits = np.asarray(pair.model.unembed(params, jnp.asarray(x)[None]))[0].astype(np.float64)
    # The first and the last word, the likeliest one, one at the border of two tiles, and any.
    labels = np.array([0, VOCAB_SIZE - 1, *logits.argmax(axis=1)[[1, 2]], 99, 100, 198, 199, 42])
    nats, is_likeliest = compute(pair, params, x, labels, words)
    wanted = (logits - scipy.special.logsumexp(logits, axis=1, keepdims=True))[PICKED, labels]
    np.testing.assert_allclose(nats, wanted, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(is_likeliest, logits.argmax(axis=1)[PICKED] == labels)
    assert is_likeliest[2:4].all()


@pytest.mark.parametrize("words", [100, VOCAB_SIZE])
def test_of_equals_the_first_is_the_likeliest(words):
    pair = make_pair(tiny_config("llama"))
    params = dict(pair.params[HEAD])
    kernel = params["output/kernel"].copy()
    # Two words with one column, in different tiles, higher than all others.
    kernel[:, [250, 30, 260]] = 10 * np.sign(np.arange(48) % 2 - 0.5)[:, None]
    params["output/kernel"] = kernel
    x = np.tile(np.sign(np.arange(48) % 2 - 0.5).astype(np.float32), (7, 1))
    _, is_likeliest = compute(pair, params, x, np.array([30, 250, 260, 30, 30, 1, 30, 250, 30]), words)
    np.testing.assert_array_equal(is_likeliest, [True, False, False, True, True, False, True, False, True])


@pytest.mark.parametrize("words", [100, VOCAB_SIZE])
def test_logits_that_are_no_numbers_are_not_hidden(words):
    pair = make_pair(tiny_config("llama"))
    params = dict(pair.params[HEAD])
    kernel = params["output/kernel"].copy()
    kernel[:, 300] = np.nan
    params["output/kernel"] = kernel
    nats, _ = compute(pair, params, np.ones((7, 48), np.float32), np.arange(9), words)
    assert np.isnan(nats).all()
