"""The parts that the families are made of.

Shapes: B sequences, T tokens, D hidden size, V vocabulary, N query heads, K key/value heads, G = N / K,
H head size.
Parameters are used in the dtype of the activations that meet them; norms, the softmax and logits are float32.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from jaxprune.models.fused_attention import fused_attention, has_fused_attention

# Attention scores for one slice of the queries at a time: at most [B, N, 256, T] floats, not [B, N, T, T].
_QUERY_CHUNK = 256

# Queries are cut into so many segments, each of which meets the keys up to its own end: 5/8 of all products, where 1/2
# can be seen. More of them would be compiled for longer, smaller ones would be products too small to be worth it.
_SEGMENTS = 4
_SEGMENT_TOKENS = 128


def precision(dtype: jnp.dtype) -> jax.lax.Precision | None:
    """Returns the precision at which a product of ``dtype`` operands is what its name says.

    TPUs and recent GPUs multiply float32 operands in bfloat16 or TF32 unless told otherwise.
    """
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def product(
    equation: str, left: Float[Array | np.ndarray, "..."], right: Float[Array | np.ndarray, "..."]
) -> Float[Array, "..."]:
    """Returns ``jnp.einsum`` of two operands of one dtype in that dtype, added up in float32."""
    left, right = jnp.asarray(left), jnp.asarray(right)
    multiply = functools.partial(jnp.einsum, equation, precision=precision(left.dtype))

    def multiply_to_float32(left: Array, right: Array) -> Array:
        return multiply(left, right, preferred_element_type=jnp.float32).astype(left.dtype)

    if left.dtype == jnp.float32:
        return multiply(left, right)
    # A CPU's bfloat16 instructions give float32: asked for anything else, XLA widens the operands instead.
    return jax.lax.platform_dependent(left, right, cpu=multiply_to_float32, default=multiply)


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
        y = product("...i,io->...o", x, self.kernel[...].astype(x.dtype))
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
    batch, num_tokens, num_heads, head_size = q_BTNH.shape
    if window is None and has_fused_attention(q_BTNH, k_BTKH, v_BTKH):
        return fused_attention(q_BTNH, k_BTKH, v_BTKH, scale=scale).reshape(batch, num_tokens, num_heads * head_size)
    num_groups = num_heads // k_BTKH.shape[2]
    # Tokens after heads and before groups: then a slice of the tokens of one key head is a plain matrix.
    q_BKTGH = jnp.moveaxis(q_BTNH.reshape(batch, num_tokens, -1, num_groups, head_size), 1, 2)
    k_BKTH, v_BKTH = jnp.moveaxis(k_BTKH, 1, 2), jnp.moveaxis(v_BTKH, 1, 2)
    size = max(-(-num_tokens // _SEGMENTS), _SEGMENT_TOKENS)
    ends = [min(start + size, num_tokens) for start in range(0, num_tokens, size)]
    # No query of a segment sees a key after it: these are never multiplied.
    segments = [
        _attend(q_BKTGH[:, :, start:end], k_BKTH[:, :, :end], v_BKTH[:, :, :end], start, scale=scale, window=window)
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    attended_BKTGH = jnp.concatenate(segments, axis=2)
    return jnp.moveaxis(attended_BKTGH, 2, 1).reshape(batch, num_tokens, num_heads * head_size)


def _attend(
    q_BKtGH: Float[Array, "B K t G H"],
    k_BKTH: Float[Array, "B K T H"],
    v_BKTH: Float[Array, "B K T H"],
    first: int,
    *,
    scale: float,
    window: Int[Array | np.ndarray, ""] | None,
) -> Float[Array, "B K t G H"]:
    """Returns what the queries of tokens from ``first`` on attend to, for some of them at a time."""
    batch, num_keys, num_queries, num_groups, head_size = q_BKtGH.shape
    key_positions = jnp.arange(k_BKTH.shape[2])

    def attend(q_BKtGH: Array, query_positions: Array) -> Array:
        q_BKMH = q_BKtGH.reshape(batch, num_keys, -1, head_size)
        scores = jnp.einsum(
            "BKMH,BKTH->BKMT", q_BKMH, k_BKTH, precision=precision(q_BKMH.dtype), preferred_element_type=jnp.float32
        )
        visible = sees(jnp.repeat(query_positions, num_groups)[:, None] - key_positions[None, :], window)
        # Added, not selected: XLA's CPU kernels then take products and softmax together, and keep no scores.
        hidden = jnp.where(visible, 0.0, jnp.finfo(jnp.float32).min)
        scores = scores * scale + jnp.expand_dims(hidden, (0, 1))
        weights = jax.nn.softmax(scores, axis=-1).astype(q_BKMH.dtype)
        return product("BKMT,BKTH->BKMH", weights, v_BKTH).reshape(q_BKtGH.shape)

    chunks = -(-num_queries // _QUERY_CHUNK)
    if chunks == 1:
        return attend(q_BKtGH, first + jnp.arange(num_queries))
    size = -(-num_queries // chunks)
    # Queries that fill the last chunk up stand after the last key; what they attend to is cut off again.
    q_BKSGH = jnp.pad(q_BKtGH, ((0, 0), (0, 0), (0, chunks * size - num_queries), (0, 0), (0, 0)))
    q_chunks = jnp.moveaxis(q_BKSGH.reshape(batch, num_keys, chunks, size, num_groups, head_size), 2, 0)
    positions = first + jnp.arange(chunks * size).reshape(chunks, size)
    attended = jax.lax.map(lambda chunk: attend(*chunk), (q_chunks, positions))
    attended_BKSGH = jnp.moveaxis(attended, 0, 2).reshape(q_BKSGH.shape)
    return attended_BKSGH[:, :, :num_queries]


def sees(distance: Int[Array, "*any"], window: Int[Array | np.ndarray, ""] | None) -> Bool[Array, "*any"]:
    """Returns whether a token sees the one ``distance`` before it; see ``causal_attention`` for ``window``."""
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)
