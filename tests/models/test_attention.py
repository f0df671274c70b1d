"""Attention against float64 NumPy, in slices and in one piece, and what each token can see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import transformers

from jaxprune.models import FAMILIES, build_model, layers
from jaxprune.models.causal_lm import block_section
from jaxprune.models.layers import causal_attention
from tests.models.reference import assert_close
from tests.tiny import tiny_config, tiny_params


def random_qkv(num_tokens, *, heads=6, kv_heads=3, head_size=10):
    rng = np.random.default_rng(num_tokens)
    shapes = [(2, num_tokens, n, head_size) for n in (heads, kv_heads, kv_heads)]
    return [rng.standard_normal(shape).astype(np.float32) * 2 for shape in shapes]


def visible(num_tokens, window):
    """Returns which keys (second axis) each query (first axis) sees."""
    distance = np.arange(num_tokens)[:, None] - np.arange(num_tokens)[None, :]
    return (distance >= 0) & (distance < (window or num_tokens))


def plain_attention(q, k, v, *, scale, window):
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    groups = q.shape[2] // k.shape[2]
    k, v = np.repeat(k, groups, axis=2), np.repeat(v, groups, axis=2)
    scores = np.einsum("bqnh,bknh->bnqk", q, k) * scale
    scores = np.where(visible(q.shape[1], window), scores, -np.inf)
    attended = np.einsum("bnqk,bknh->bqnh", scipy.special.softmax(scores, axis=-1), v)
    return attended.reshape(*q.shape[:2], -1)


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
@pytest.mark.parametrize("window", [None, 1, 4, 100])
def test_equals_plain_attention(kv_heads, window):
    q, k, v = random_qkv(11, kv_heads=kv_heads)
    found = causal_attention(
        *map(jnp.asarray, (q, k, v)),
        scale=0.37,
        window=None if window is None else np.array(window, np.int32),
    )
    assert_close(found, plain_attention(q, k, v, scale=0.37, window=window), relative=1e-5)


@pytest.mark.parametrize(("num_tokens", "window"), [(8, 3), (11, None)])
def test_slices_equal_one_piece(num_tokens, window, monkeypatch):
    """Values and gradients, whether or not the slice divides the sequence."""
    qkv = tuple(map(jnp.asarray, random_qkv(num_tokens)))

    def weighted(qkv):
        attended = causal_attention(*qkv, scale=0.37, window=window and jnp.asarray(window, jnp.int32))
        return jnp.sum(jnp.sin(attended)), attended

    def run():
        # Another function for each piece size, so that it is traced again.
        return jax.jit(lambda qkv: jax.grad(weighted, has_aux=True)(qkv))(qkv)

    in_one_piece = run()
    monkeypatch.setattr(layers, "_QUERY_CHUNK", 4)
    in_slices = run()
    for found, wanted in zip(jax.tree.leaves(in_slices), jax.tree.leaves(in_one_piece), strict=True):
        assert_close(found, wanted, relative=1e-5)


@pytest.mark.parametrize("num_tokens", [4, 13, 37])
@pytest.mark.parametrize("window", [None, 5])
def test_segments_equal_plain_attention(num_tokens, window, monkeypatch):
    """Queries that meet only the keys before their segment's end, in slices that the segments do not fill."""
    monkeypatch.setattr(layers, "_SEGMENT_TOKENS", 2)
    monkeypatch.setattr(layers, "_QUERY_CHUNK", 3)
    q, k, v = random_qkv(num_tokens)
    window_array = None if window is None else np.array(window, np.int32)
    found = causal_attention(*map(jnp.asarray, (q, k, v)), scale=0.37, window=window_array)
    assert_close(found, plain_attention(q, k, v, scale=0.37, window=window), relative=1e-5)


def test_scores_far_apart_stay_finite():
    """Scores whose exponentials overflow, and masks added to scores far below zero."""
    q, k, v = random_qkv(9)
    found = causal_attention(*map(jnp.asarray, (q * 1e4, k * 1e4, v)), scale=1.0)
    assert_close(found, plain_attention(q * 1e4, k * 1e4, v, scale=1.0, window=None), relative=1e-5)


@pytest.mark.parametrize("num_tokens", [2048, 2050])
def test_long_sequences_never_have_all_scores_at_once(num_tokens):
    shapes = [jax.ShapeDtypeStruct((1, num_tokens, heads, 4), jnp.float32) for heads in (6, 3, 3)]
    compiled = jax.jit(lambda q, k, v: causal_attention(q, k, v, scale=0.5)).lower(*shapes).compile()
    all_scores = 6 * num_tokens**2 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < 0.6 * all_scores


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_block_lets_no_token_see_its_future(model_type):
    """The gradient of each output by each input is zero exactly where the input may not be seen."""
    config = tiny_config(model_type)
    model, params = build_model(config), tiny_params(config, seed=0)
    theirs = transformers.AutoConfig.for_model(**tiny_config(model_type)).to_dict()
    kinds = theirs.get("layer_types") or ["full_attention"] * model.num_blocks
    num_tokens = 9
    x = jax.random.normal(jax.random.key(0), (num_tokens, config["hidden_size"]))
    cotangents = jnp.eye(num_tokens)[:, :, None] * jax.random.normal(jax.random.key(1), (1, 1, x.shape[1]))

    @jax.jit
    def gradients(params, constants):
        _, pull_back = jax.vjp(lambda x_TD: model.block(params, constants, x_TD[None])[0][0], x)
        return jax.vmap(pull_back)(cotangents)[0]

    for index in range(model.num_blocks):
        seen = np.asarray(gradients(params[block_section(index)], model.constants(index)) != 0).any(axis=-1)
        window = config["sliding_window"] if kinds[index] == "sliding_attention" else None
        np.testing.assert_array_equal(seen, visible(num_tokens, window))
