"""The parts that the families are made of.

Shapes: B sequences, T tokens, D hidden size, V vocabulary, N query heads, K key/value heads, G = N / K,
H head size.
Parameters are used in the dtype of the activations that meet them; norms, the softmax and logits are float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

# Attention scores for one slice of the queries at a time: at most [B, N, 512, T] floats, not [B, N, T, T].
_QUERY_CHUNK = 512


def precision(dtype: jnp.dtype) -> jax.lax.Precision | None:
    """Returns the precision at which a product of ``dtype`` operands is what its name says.

    TPUs and recent GPUs multiply float32 operands in bfloat16 or TF32 unless told otherwise.
    """
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


class Linear(nnx.Module):
    """``x @ kernel (+ bias)``, the kernel ``[d_in, d_out]``."""

    def __init__(self, d_in: int, d_out: int, *, bias: bool, rngs: nnx.Rngs):
        """Draws a kernel with standard deviation ``d_in ** -0.5``."""
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (d_in, d_out)) * d_in**-0.5)
        if bias:
            self.bias = nnx.Param(jnp.zeros((d_out,)))
        self.has_bias = bias

    def __call__(self, x: Float[Array, "... d_in"]) -> Float[Array, "... d_out"]:
        """Returns the product in the dtype of ``x``."""
        y = jnp.matmul(x, self.kernel[...].astype(x.dtype), precision=precision(x.dtype))
        if self.has_bias:
            y = y + jnp.expand_dims(self.bias[...].astype(x.dtype), range(y.ndim - 1))
        return y


class Embedding(nnx.Module):
    """A table ``[V, D]``."""

    def __init__(self, vocab_size: int, hidden_size: int, *, rngs: nnx.Rngs):
        """Draws a table with standard deviation 0.02."""
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (vocab_size, hidden_size)) * 0.02)

    def __call__(self, tokens_BT: Int[Array | np.ndarray, "B T"], dtype: Any) -> Float[Array, "B T D"]:
        """Looks tokens up, in ``dtype``."""
        return jnp.asarray(self.embedding[...])[tokens_BT].astype(dtype)


class OutputLayer(nnx.Module):
    """Logits: inner products with the rows of the embedding table if that is tied, else with a kernel."""

    def __init__(self, hidden_size: int, vocab_size: int, *, is_tied: bool, rngs: nnx.Rngs):
        """Has one parameter: ``embedding`` ``[V, D]`` if tied, ``kernel`` ``[D, V]`` if not."""
        self.is_tied = is_tied
        if is_tied:
            self.embedding = nnx.Param(jax.random.normal(rngs.params(), (vocab_size, hidden_size)) * 0.02)
        else:
            self.kernel = nnx.Param(jax.random.normal(rngs.params(), (hidden_size, vocab_size)) * hidden_size**-0.5)

    def __call__(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns float32 logits, added up in float32 whatever the dtype of ``x_BTD``."""
        weights, axes = (self.embedding, "VD") if self.is_tied else (self.kernel, "DV")
        return jnp.einsum(
            f"BTD,{axes}->BTV",
            x_BTD,
            weights[...].astype(x_BTD.dtype),
            precision=precision(x_BTD.dtype),
            preferred_element_type=jnp.float32,
        )


class RMSNorm(nnx.Module):
    """Root mean square norm over the last axis, with a learned scale.

    Args:
      width: size of the last axis.
      epsilon: added to the mean square.
      offset: added to the stored scale, for checkpoints that store how far it is from one.
      rngs: not used.
    """

    def __init__(self, width: int, *, epsilon: float, offset: float = 0.0, rngs: nnx.Rngs):
        """Starts with an effective scale of one."""
        del rngs
        self.scale = nnx.Param(jnp.full((width,), 1.0 - offset))
        self.epsilon = epsilon
        self.offset = offset

    def __call__(self, x: Float[Array, "*B width"]) -> Float[Array, "*B width"]:
        """Normalises in float32."""
        x_f32 = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(x_f32), axis=-1, keepdims=True) + self.epsilon)
        scale = self.scale[...].astype(jnp.float32) + self.offset
        return (x_f32 * inverse * jnp.expand_dims(scale, range(x.ndim - 1))).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Mean-subtracting norm over the last axis with a scale and no bias.

    ``shape`` may have leading axes: a scale ``[heads, head_size]`` still normalises over the last axis only.
    """

    def __init__(self, shape: tuple[int, ...], *, epsilon: float, rngs: nnx.Rngs):
        """Starts with a scale of one."""
        del rngs
        self.scale = nnx.Param(jnp.ones(shape))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*B width"]) -> Float[Array, "*B width"]:
        """Normalises in float32."""
        x_f32 = x.astype(jnp.float32)
        centred = x_f32 - jnp.mean(x_f32, axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + self.epsilon)
        scale = self.scale[...].astype(jnp.float32)
        return (centred * inverse * jnp.expand_dims(scale, range(x.ndim - scale.ndim))).astype(x.dtype)


def causal_attention(
    q_BTNH: Float[Array, "B T N H"],
    k_BTKH: Float[Array, "B T K H"],
    v_BTKH: Float[Array, "B T K H"],
    *,
    scale: float,
    window: Int[Array | np.ndarray, ""] | None = None,
) -> Float[Array, "B T NH"]:
    """Returns the attended values, heads joined.

    Args:
      q_BTNH: queries, already rotated.
      k_BTKH: keys, already rotated; query heads ``G * k`` to ``G * k + G - 1`` look at key head ``k``.
      v_BTKH: values.
      scale: multiplies the inner products.
      window: a token sees itself and the ``window - 1`` before it; None for all before it. An array and no
        Python number, so that blocks with different windows share a compilation.
    """
    num_tokens, num_heads, head_size = q_BTNH.shape[1:]
    num_groups = num_heads // k_BTKH.shape[2]
    key_positions = jnp.arange(num_tokens)

    def attend(q_BtNH: Array, query_positions: Array) -> Array:
        batch, t = q_BtNH.shape[:2]
        q = q_BtNH.reshape(batch, t, k_BTKH.shape[2], num_groups, head_size)
        scores = jnp.einsum(
            "BtKGH,BTKH->BKGtT", q, k_BTKH, precision=precision(q.dtype), preferred_element_type=jnp.float32
        )
        visible_tT = sees(query_positions[:, None] - key_positions[None, :], window)
        weights = attention_weights(scores, visible_tT[None], scale=scale, dtype=q.dtype)
        attended = jnp.einsum("BKGtT,BTKH->BtKGH", weights, v_BTKH, precision=precision(q.dtype))
        return attended.reshape(batch, t, num_heads * head_size)

    chunks = -(-num_tokens // _QUERY_CHUNK)
    if chunks == 1:
        return attend(q_BTNH, key_positions)
    size = -(-num_tokens // chunks)
    # Queries that fill the last chunk up stand after the last key; what they attend to is cut off again.
    q_BSNH = jnp.pad(q_BTNH, ((0, 0), (0, chunks * size - num_tokens), (0, 0), (0, 0)))
    q_chunks = jnp.moveaxis(q_BSNH.reshape(-1, chunks, size, num_heads, head_size), 1, 0)
    positions = jnp.arange(chunks * size).reshape(chunks, size)
    attended = jax.lax.map(lambda chunk: attend(*chunk), (q_chunks, positions))
    return jnp.moveaxis(attended, 0, 1).reshape(-1, chunks * size, num_heads * head_size)[:, :num_tokens]


def sees(distance: Int[Array, "*any"], window: Int[Array | np.ndarray, ""] | None) -> Bool[Array, "*any"]:
    """Returns whether a token sees the one ``distance`` before it; see ``causal_attention`` for ``window``."""
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)


def attention_weights(
    scores_BKGtT: Float[Array, "B K G t T"], visible_BtT: Bool[Array, "_ t T"], *, scale: float, dtype: Any
) -> Float[Array, "B K G t T"]:
    """Returns how much each token takes from those visible to it, from float32 inner products."""
    visible = jnp.expand_dims(visible_BtT, (1, 2))
    scores = jnp.where(visible, scores_BKGtT * scale, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores, axis=-1).astype(dtype)
