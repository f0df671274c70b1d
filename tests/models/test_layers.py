"""Norms, linears and output layers against transformers' modules and plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from jaxprune.models.layers import Embedding, LayerNorm, Linear, OutputLayer, RMSNorm
from tests.models.reference import assert_close

RNGS = nnx.Rngs(0)
EPSILON = 3e-3


def given(*shape):
    """Returns values far from centred and so small that epsilon matters."""
    return (np.random.default_rng(0).standard_normal(shape) * 0.1 + 0.2).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (RMSNorm(14, epsilon=EPSILON, rngs=RNGS), LlamaRMSNorm(14, eps=EPSILON)),
        (RMSNorm(14, epsilon=EPSILON, offset=1.0, rngs=RNGS), Gemma3RMSNorm(14, eps=EPSILON)),
        (LayerNorm((14,), epsilon=EPSILON, rngs=RNGS), CohereLayerNorm(14, eps=EPSILON)),
        (LayerNorm((3, 14), epsilon=EPSILON, rngs=RNGS), CohereLayerNorm((3, 14), eps=EPSILON)),
    ],
    ids=[
        "root-mean-square",
        "root-mean-square-stored-around-zero",
        "mean-subtracting",
        "a-scale-for-each-head",
    ],
)
def test_norms_equal_transformers(ours, theirs):
    x = given(2, 5, 3, 14)
    for scale in (None, given(*theirs.weight.shape)):
        if scale is not None:
            ours.scale[...] = jnp.asarray(scale)
            theirs.weight.data = torch.tensor(scale)
        with torch.no_grad():
            wanted = theirs(torch.tensor(x)).numpy()
        assert_close(ours(jnp.asarray(x)), wanted, relative=1e-5)


def test_norms_of_bfloat16_are_computed_in_float32():
    x = jnp.asarray(given(4, 14) + 100, jnp.bfloat16)
    norm = LayerNorm((14,), epsilon=EPSILON, rngs=RNGS)
    found = norm(x)
    assert found.dtype == jnp.bfloat16
    wanted = norm(x.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(found.astype(jnp.float32), wanted.astype(jnp.float32))


@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_is_a_product_and_a_bias(bias):
    linear = Linear(14, 6, bias=bias, rngs=RNGS)
    expected = given(5, 14).astype(np.float64) @ np.asarray(linear.kernel[...], np.float64)
    if bias:
        linear.bias[...] = jnp.asarray(given(6))
        expected += given(6)
    assert_close(linear(jnp.asarray(given(5, 14))), expected, relative=1e-5)


@pytest.mark.parametrize("is_tied", [False, True])
def test_logits_of_bfloat16_are_added_up_in_float32(is_tied):
    layer = OutputLayer(64, 5, is_tied=is_tied, rngs=RNGS)
    x = jax.random.normal(jax.random.key(0), (1, 3, 64), jnp.bfloat16)
    weights = np.asarray(jax.tree.leaves(nnx.state(layer))[0].astype(jnp.bfloat16), np.float64)
    wanted = np.asarray(x, np.float64) @ (weights.T if is_tied else weights)
    found = layer(x)
    assert found.dtype == jnp.float32
    assert_close(found, wanted, relative=1e-5)


def test_tokens_are_looked_up_in_the_dtype_asked_for():
    embedding = Embedding(9, 14, rngs=RNGS)
    tokens = np.array([[8, 0, 3]])
    found = embedding(tokens, jnp.bfloat16)
    wanted = np.asarray(embedding.embedding[...])[tokens].astype(jnp.bfloat16)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(found), wanted)
