"""Draws against transformers' own cut-offs: what may be drawn, how often, and that a seed means the same anywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from jaxprune.errors import RequestError
from jaxprune.evaluation.sampling import GREEDY, Sampling, choose, make_draw

NUM_TOKENS = 40
NUM_DRAWS = 20_000


def given_logits(rows=1, *, seed=0):
    return (np.random.default_rng(seed).standard_normal((rows, NUM_TOKENS)) * 2).astype(np.float32)


def prompts(*lengths):
    return [np.arange(length, dtype=np.int32) for length in lengths]


def draws(sampling, logits_BV, of_prompts, steps):
    """Returns the tokens ``[steps, B]``."""
    draw = make_draw(sampling, of_prompts, vocab_size=NUM_TOKENS)
    return np.asarray(jax.vmap(lambda step: choose(jnp.asarray(logits_BV), step, draw))(jnp.arange(steps)))


def their_probabilities(sampling, logits_1V):
    warpers = [transformers.TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        warpers.append(transformers.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(transformers.TopPLogitsWarper(sampling.top_p))
    warped = transformers.LogitsProcessorList(warpers)(torch.zeros((1, 1), dtype=torch.long), torch.tensor(logits_1V))
    return torch.softmax(warped.double(), dim=-1)[0].numpy()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"temperature": 0.6},
        {"temperature": 1.7, "top_k": 5},
        {"temperature": 1.0, "top_p": 0.8},
        {"temperature": 0.8, "top_p": 0.9, "top_k": 7},
        {"temperature": 1.0, "top_p": 1e-6},
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.0, "top_k": 1000},
    ],
    ids=str,
)
def test_tokens_come_as_often_as_transformers_would_draw_them(options):
    sampling = Sampling(**options)
    logits = given_logits()
    wanted = their_probabilities(sampling, logits)
    found = np.bincount(draws(sampling, logits, prompts(3), NUM_DRAWS)[:, 0], minlength=NUM_TOKENS) / NUM_DRAWS
    assert not found[wanted == 0].any()
    deviation = np.sqrt(wanted * (1 - wanted) / NUM_DRAWS)
    assert (np.abs(found - wanted) <= 4.5 * deviation + 1e-12).all()


def test_tokens_as_likely_as_the_last_one_kept_are_kept():
    logits = np.asarray([[3.0, 1.0, 2.0, 2.0, *[0.0] * (NUM_TOKENS - 4)]], np.float32)
    found = draws(Sampling(temperature=1.0, top_k=2), logits, prompts(3), 500)
    assert set(found[:, 0]) == {0, 2, 3}


def test_the_likeliest_token_is_no_draw():
    logits = given_logits(3)
    assert make_draw(GREEDY, prompts(1, 2, 3), vocab_size=NUM_TOKENS) is None
    np.testing.assert_array_equal(choose(jnp.asarray(logits), jnp.int32(0), None), logits.argmax(-1))


@pytest.mark.parametrize("cut", [{}, {"top_p": 0.5}, {"top_k": 3}])
def test_a_temperature_near_nothing_chooses_the_likeliest_token(cut):
    logits = given_logits(3)
    for temperature in (1e-6, 1e-38, 1e-300):
        found = draws(Sampling(temperature=temperature, **cut), logits, prompts(1, 2, 3), 20)
        np.testing.assert_array_equal(found, np.tile(logits.argmax(-1), (20, 1)))


def test_a_prompt_draws_the_same_in_any_company_and_another_prompt_something_else():
    sampling = Sampling(temperature=1.0, seed=7)
    logits = np.repeat(given_logits(), 3, axis=0)
    together = draws(sampling, logits, prompts(4, 9, 2), 50)
    turned = draws(sampling, logits[:2], prompts(2, 4), 50)
    np.testing.assert_array_equal(turned, together[:, [2, 0]])
    # Independent: two of them agree no more often than chance has it.
    chance = np.sum(their_probabilities(sampling, given_logits()) ** 2)
    assert np.mean(together[:, 0] == together[:, 1]) < chance + 4 * np.sqrt(chance / 50)


def test_another_seed_draws_something_else():
    logits = given_logits()
    first, same, other = (
        draws(Sampling(temperature=1.0, seed=seed), logits, prompts(4), 50) for seed in (0, 0, 2**32 - 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_p": 0.0}, "top-p is 0.0"),
        ({"top_p": 1.01}, "top-p is 1.01"),
        ({"top_p": float("nan")}, "top-p is nan"),
        ({"top_k": -1}, "top-k is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
    ],
)
def test_refuses_what_makes_no_sense(options, message):
    with pytest.raises(RequestError, match=message):
        Sampling(**options)
