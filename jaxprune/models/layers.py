"""The parts that the families are made of.

Shapes: B sequences, T tokens, D hidden size, N query heads, K key/value heads, G = N / K, H head size.
Parameters are used in the dtype of the activations that meet them; norms, rotations and the softmax are float32.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

# Attention scores for one slice of the queries at a time: [B, N, 512, T] floats instead of [B, N, T, T].
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

    def __call__(self, tokens_BT: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """Looks tokens up."""
        return self.embedding[...][tokens_BT]

    def attend(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns the inner product with every row: the output layer of a model with tied embeddings."""
        table_VD = self.embedding[...].astype(x_BTD.dtype)
        return jnp.einsum(
            "BTD,VD->BTV",
            x_BTD,
            table_VD,
            precision=precision(x_BTD.dtype),
            preferred_element_type=jnp.float32,
        )


class RMSNorm(nnx.Module):
    """Root mean square norm over the last axis, with a learned scale.

    Args:
      offset: added to the stored scale. Gemma stores its scales around zero, Llama around one.
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
    """Mean-subtracting norm over the last axis with a scale and no bias (Cohere's).

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


def rotary_frequencies(head_size: int, *, theta: float) -> np.ndarray:
    """Returns the float32 angles per position ``theta ** (-2i / head_size)``, ``[head_size / 2]``."""
    return (theta ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)).astype(np.float32)


def llama3_frequencies(
    frequencies: np.ndarray,
    *,
    factor: float,
    low_frequency_factor: float,
    high_frequency_factor: float,
    original_length: int,
) -> np.ndarray:
    """Stretches slow rotations for long contexts, as Llama 3.1 does.

    Rotations that turn fewer than ``low_frequency_factor`` times within ``original_length`` tokens become ``factor``
    times slower, those above ``high_frequency_factor`` turns stay, and the ones between are interpolated.
    """
    turns = original_length * frequencies.astype(np.float64) / (2 * math.pi)
    kept = (turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor)
    kept = np.clip(kept, 0.0, 1.0)
    return (frequencies * (kept + (1 - kept) / factor)).astype(np.float32)


def rotate(
    x_BTNH: Float[Array, "B T N H"], frequencies: Float[Array, " H_half"], *, interleaved: bool
) -> Float[Array, "B T N H"]:
    """Rotates pairs of features by position times frequency (Su et al., 2021, https://arxiv.org/abs/2104.09864).

    Args:
      interleaved: whether a pair is two neighbours (Cohere), or feature i and i + H/2 (Llama, Gemma). A checkpoint read
        with the wrong layout runs, and writes nonsense.
    """
    positions = jnp.arange(x_BTNH.shape[1], dtype=jnp.float32)
    # float32, whatever the model's dtype: bfloat16 has 8 bits, and position 257 would be rotated like 256.
    angles = jnp.expand_dims(positions[:, None] * frequencies[None, :], (0, 2))
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    x = x_BTNH.astype(jnp.float32)
    if interleaved:
        first, second = x[..., ::2], x[..., 1::2]
    else:
        first, second = jnp.split(x, 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    if interleaved:
        rotated = jnp.stack(turned, axis=-1).reshape(x.shape)
    else:
        rotated = jnp.concatenate(turned, axis=-1)
    return rotated.astype(x_BTNH.dtype)


def causal_attention(
    q_BTNH: Float[Array, "B T N H"],
    k_BTKH: Float[Array, "B T K H"],
    v_BTKH: Float[Array, "B T K H"],
    *,
    scale: float,
    window: Int[Array, ""] | None = None,
) -> Float[Array, "B T NH"]:
    """Returns the attended values, heads joined.

    Args:
      scale: multiplies the inner products.
      window: a token sees itself and the ``window - 1`` before it; None for all before it. An array and no Python
        number, so that blocks with different windows share a compilation.
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
        distance = query_positions[:, None] - key_positions[None, :]
        visible = distance >= 0
        if window is not None:
            visible &= distance < window
        visible = jnp.expand_dims(visible, (0, 1, 2))
        scores = jnp.where(visible, scores * scale, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
        attended = jnp.einsum("BKGtT,BTKH->BtKGH", weights, v_BTKH, precision=precision(q.dtype))
        return attended.reshape(batch, t, num_heads * head_size)

    if num_tokens <= _QUERY_CHUNK or num_tokens % _QUERY_CHUNK:
        return attend(q_BTNH, key_positions)
    chunks = num_tokens // _QUERY_CHUNK
    q_chunks = jnp.moveaxis(q_BTNH.reshape(-1, chunks, _QUERY_CHUNK, num_heads, head_size), 1, 0)
    positions = key_positions.reshape(chunks, _QUERY_CHUNK)
    attended = jax.lax.map(lambda chunk: attend(*chunk), (q_chunks, positions))
    return jnp.moveaxis(attended, 0, 1).reshape(-1, num_tokens, num_heads * head_size)
