"""Rotary positions against transformers' functions, and against what they are for."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.cohere import modeling_cohere
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.llama import modeling_llama

from jaxprune.models.rotary import BandScaling, LinearScaling, Rotary, rotate
from tests.models.reference import assert_close

HEAD_SIZE = 64


def their_frequencies(**parameters):
    config = transformers.LlamaConfig(head_dim=HEAD_SIZE, max_position_embeddings=512, rope_parameters=parameters)
    compute = ROPE_INIT_FUNCTIONS.get(
        parameters["rope_type"], modeling_llama.LlamaRotaryEmbedding.compute_default_rope_parameters
    )
    return compute(config, device="cpu")[0].numpy()


@pytest.mark.parametrize("theta", [123.0, 12345.0, 8e6])
def test_frequencies_equal_transformers(theta):
    found = Rotary(theta=theta, scaling=None).frequencies(HEAD_SIZE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, their_frequencies(rope_type="default", rope_theta=theta), rtol=1e-6)


def test_linear_scaling_equals_transformers():
    found = Rotary(theta=12345.0, scaling=LinearScaling(factor=2.5)).frequencies(HEAD_SIZE)
    wanted = their_frequencies(rope_type="linear", rope_theta=12345.0, factor=2.5)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("factor", "low", "high", "length"), [(8.0, 1.0, 4.0, 8192), (3.0, 1.5, 5.0, 64), (32.0, 0.5, 9.0, 1000)]
)
def test_band_scaling_equals_transformers(factor, low, high, length):
    scaling = BandScaling(factor=factor, low_frequency_factor=low, high_frequency_factor=high, original_length=length)
    plain = Rotary(theta=12345.0, scaling=None).frequencies(HEAD_SIZE)
    found = Rotary(theta=12345.0, scaling=scaling).frequencies(HEAD_SIZE)
    wanted = their_frequencies(
        rope_type="llama3",
        rope_theta=12345.0,
        factor=factor,
        low_freq_factor=low,
        high_freq_factor=high,
        original_max_position_embeddings=length,
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    slower = plain / found
    # All three bands are there, so that none of them went untested.
    assert (slower < 1 + 1e-6).any()
    assert ((slower > 1 + 1e-3) & (slower < factor - 1e-3)).any()
    assert (slower > factor - 1e-3).any()


@pytest.mark.parametrize(
    ("module", "interleaved"),
    [(modeling_llama, False), (modeling_gemma3, False), (modeling_cohere, True)],
    ids=["llama", "gemma3", "cohere"],
)
def test_rotation_equals_transformers(module, interleaved):
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 2, 300, 3, HEAD_SIZE)).astype(np.float32)
    frequencies = Rotary(theta=12345.0, scaling=None).frequencies(HEAD_SIZE)
    angles = torch.arange(300.0)[None, :, None] * torch.tensor(frequencies)
    angles = angles.repeat_interleave(2, dim=-1) if interleaved else torch.cat((angles, angles), dim=-1)
    theirs = module.apply_rotary_pos_emb(torch.tensor(q), torch.tensor(k), angles.cos(), angles.sin(), unsqueeze_dim=2)
    for x, wanted in zip((q, k), theirs, strict=True):
        found = rotate(jnp.asarray(x), frequencies, interleaved=interleaved)
        assert_close(found, wanted.numpy(), relative=1e-5)


@pytest.mark.parametrize("interleaved", [False, True])
def test_inner_products_depend_on_distance_alone(interleaved):
    rng = np.random.default_rng(0)
    q, k = (jnp.asarray(np.tile(rng.standard_normal(10).astype(np.float32), (1, 20, 1, 1))) for _ in "qk")
    frequencies = Rotary(theta=12345.0, scaling=None).frequencies(10)
    q, k = (rotate(x, frequencies, interleaved=interleaved)[0, :, 0] for x in (q, k))
    products = np.asarray(q) @ np.asarray(k).T
    for distance in range(20):
        along = np.diagonal(products, -distance)
        np.testing.assert_allclose(along, along[0], atol=1e-5)
    assert np.ptp(products[:, 0]) > 0.1


def test_bfloat16_does_not_blur_positions():
    """Positions 256 and 257 are one number in bfloat16, and must not be one rotation."""
    x = jnp.ones((1, 258, 1, 2), jnp.bfloat16)
    rotated = np.asarray(rotate(x, np.ones(1, np.float32), interleaved=False)[0, :, 0], np.float64)
    wanted = [np.cos(257) - np.sin(257), np.cos(257) + np.sin(257)]
    np.testing.assert_allclose(rotated[257], wanted, rtol=2**-8)
