"""Rotary positions (Su et al., 2021, https://arxiv.org/abs/2104.09864), and how a configuration spells them.

Shapes: B sequences, T tokens, N heads, H head size.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxprune.models.cache import Cache
from jaxprune.models.fields import ConfigFields


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """All rotations ``factor`` times slower."""

    factor: float

    def __call__(self, frequencies: np.ndarray) -> np.ndarray:
        """Returns the slower frequencies."""
        return (frequencies.astype(np.float64) / self.factor).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BandScaling:
    """Slow rotations ``factor`` times slower, for long contexts (``rope_type: llama3``).

    Rotations that turn fewer than ``low_frequency_factor`` times within ``original_length`` tokens become
    ``factor`` times slower, those above ``high_frequency_factor`` turns stay, those between are interpolated.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_length: int

    def __call__(self, frequencies: np.ndarray) -> np.ndarray:
        """Returns the stretched frequencies."""
        frequencies = frequencies.astype(np.float64)
        turns = self.original_length * frequencies / (2 * math.pi)
        kept = (turns - self.low_frequency_factor) / (self.high_frequency_factor - self.low_frequency_factor)
        kept = np.clip(kept, 0.0, 1.0)
        return (frequencies * (kept + (1 - kept) / self.factor)).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotary:
    """How fast feature pairs turn: pair i by ``theta ** (-2i / head_size)`` a token, before scaling."""

    theta: float
    scaling: LinearScaling | BandScaling | None

    def frequencies(self, head_size: int) -> np.ndarray:
        """Returns the angle per position of each pair, float32 ``[head_size / 2]``."""
        angles = self.theta ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
        return angles.astype(np.float32) if self.scaling is None else self.scaling(angles)


def read_rotary(fields: ConfigFields) -> Rotary:
    """Reads ``rope_parameters``, or those of one kind of block, as transformers writes them.

    Raises:
      RequestError: the rotary type is not supported, or one of its values is missing, unknown or impossible.
    """
    kind = fields.take("rope_type", "default", "linear", "llama3")
    fields.require("type", kind)  # the older name of rope_type, which transformers keeps
    fields.require("partial_rotary_factor", 1.0, 1)
    scaling = None
    if kind == "linear":
        scaling = LinearScaling(factor=fields.take_number("factor"))
    elif kind == "llama3":
        scaling = BandScaling(
            factor=fields.take_number("factor"),
            low_frequency_factor=fields.take_number("low_freq_factor"),
            high_frequency_factor=fields.take_number("high_freq_factor"),
            original_length=fields.take_size("original_max_position_embeddings"),
        )
        if scaling.low_frequency_factor >= scaling.high_frequency_factor:
            raise fields.unsupported(
                f"low_freq_factor = {scaling.low_frequency_factor}",
                f"less than high_freq_factor = {scaling.high_frequency_factor}",
            )
    rotary = Rotary(theta=fields.take_number("rope_theta"), scaling=scaling)
    fields.finish()
    return rotary


def rotate(
    x_BTNH: Float[Array, "B T N H"],
    frequencies: Float[Array | np.ndarray, " H_half"],
    *,
    interleaved: bool,
    cache: Cache | None = None,
) -> Float[Array, "B T N H"]:
    """Rotates pairs of features by position times frequency.

    Args:
      x_BTNH: queries or keys.
      frequencies: radians per position of each pair.
      interleaved: whether a pair is two neighbours, or feature i and i + H/2. A checkpoint read with the
        wrong layout runs, and writes nonsense.
      cache: the tokens before these; without it, positions start at zero.
    """
    num_tokens = x_BTNH.shape[1]
    positions = jnp.arange(num_tokens)[None, :] if cache is None else cache.positions(num_tokens)
    # float32, whatever the model's dtype: bfloat16 has 8 bits, and position 257 would be rotated like 256.
    positions = positions.astype(jnp.float32)
    angles = jnp.expand_dims(positions[:, :, None] * frequencies[None, None, :], 2)
    cos, sin = _once(jnp.cos(angles)), _once(jnp.sin(angles))
    x = x_BTNH.astype(jnp.float32)
    if interleaved:
        first, second = x[..., ::2], x[..., 1::2]
    else:
        first, second = jnp.split(x, 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    rotated = jnp.stack(turned, axis=-1) if interleaved else jnp.concatenate(turned, axis=-1)
    return rotated.reshape(x.shape).astype(x_BTNH.dtype)


def _once(table: Float[Array, "*any H_half"]) -> Float[Array, "*any H_half"]:
    """Returns a table whose entries are not computed anew for each head.

    XLA's CPU compiler takes a cosine into every loop that reads it, barrier or not, and twenty times as long for it. A
    product it leaves where it is; by the identity it changes no bit.
    """

    def multiplied(table: Array) -> Array:
        return jnp.matmul(table, jnp.eye(table.shape[-1], dtype=table.dtype), precision=jax.lax.Precision.HIGHEST)

    return jax.lax.platform_dependent(table, cpu=multiplied, default=lambda table: table)
