"""Attention in one kernel: where it is used, and that a block can be traced with it. Its numbers need a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.models import fused_attention as module
from jaxprune.models.fused_attention import fused_attention, has_fused_attention
from jaxprune.models.layers import causal_attention

Q, KV = (2, 256, 4, 64), (2, 256, 2, 64)


def operands(dtype=jnp.bfloat16):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in (Q, KV, KV)]


@pytest.fixture
def gpu(monkeypatch):
    """What it is without one: JAX says at once that there is no cuDNN."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(module, "_capability", lambda: 9.0)
    is_taken = module._is_taken
    is_taken.cache_clear()
    yield
    is_taken.cache_clear()


def test_a_cpu_has_none():
    assert not has_fused_attention(*operands())


def test_a_gpu_without_cudnn_has_none(gpu):
    assert not has_fused_attention(*operands())


@pytest.mark.parametrize(
    ("dtype", "capability", "is_taken"),
    [(jnp.bfloat16, 8.0, True), (jnp.float32, 9.0, False), (jnp.bfloat16, 7.5, False)],
)
def test_it_takes_16_bits_on_cards_that_have_it(gpu, monkeypatch, dtype, capability, is_taken):
    monkeypatch.setattr(module, "_capability", lambda: capability)
    monkeypatch.setattr(module, "fused_attention", lambda q, k, v, scale: q)
    assert has_fused_attention(*operands(dtype)) == is_taken


def test_it_is_used_where_a_token_sees_all_before_it(gpu, monkeypatch):
    monkeypatch.setattr(module, "_is_taken", lambda shapes: True)
    used = []

    def stand_in(q, k, v, *, scale):
        used.append(scale)
        # What is asked of cuDNN, by JAX's own reference.
        with jax.numpy_dtype_promotion("standard"):
            return jax.nn.dot_product_attention(q, k, v, scale=scale, is_causal=True, implementation="xla")

    monkeypatch.setattr("jaxprune.models.layers.fused_attention", stand_in)
    q, k, v = operands()
    fused = causal_attention(q, k, v, scale=0.1)
    assert used == [0.1]
    windowed = causal_attention(q, k, v, scale=0.1, window=np.asarray(256))
    assert used == [0.1]
    np.testing.assert_allclose(np.asarray(fused, np.float32), np.asarray(windowed, np.float32), atol=0.03)


def test_jax_is_asked_for_cudnn():
    with pytest.raises(RuntimeError, match="cuDNN"):
        jax.eval_shape(functools.partial(fused_attention, scale=1.0), *operands())
