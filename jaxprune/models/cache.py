"""What attention keeps of tokens, so that those after them need not compute them again.

Shapes: B sequences, T tokens, N query heads, K key/value heads, G = N / K, H head size, S slots of the cache.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxprune.models.layers import causal_attention, precision, sees


class Cache(NamedTuple):
    """Keys and values of one block; slot i is for the token at position i.

    Attributes:
      keys_BKSH: already rotated. Heads come before slots, as the products of attention want them: the other way round,
        each step would begin with a copy of them all.
      values_BKSH: likewise.
      lengths_B: int32; how many slots are filled. What is in the others is never seen.
    """

    keys_BKSH: Float[Array, "B K S H"]
    values_BKSH: Float[Array, "B K S H"]
    lengths_B: Int[Array, " B"]

    def positions(self, num_tokens: int) -> Int[Array, "B T"]:
        """Returns the positions of the next ``num_tokens`` tokens."""
        return self.lengths_B[:, None] + jnp.arange(num_tokens)[None, :]

    def extended(self, k_BTKH: Float[Array, "B T K H"], v_BTKH: Float[Array, "B T K H"]) -> "Cache":
        """Returns the cache with the keys and values of T more tokens, for which there have to be slots."""
        num_tokens = k_BTKH.shape[1]

        def write(slots_SH: Array, new_TH: Array, length: Array) -> Array:
            return jax.lax.dynamic_update_slice(slots_SH, new_TH, (length, 0))

        # Mapped over rows and heads, and not indexed by them, so that a mesh splits both without communication.
        write = jax.vmap(jax.vmap(write, (0, 0, None)))
        return Cache(
            write(self.keys_BKSH, jnp.swapaxes(k_BTKH, 1, 2), self.lengths_B),
            write(self.values_BKSH, jnp.swapaxes(v_BTKH, 1, 2), self.lengths_B),
            self.lengths_B + num_tokens,
        )

    def with_slots(self, num_slots: int) -> "Cache":
        """Returns the cache with empty slots behind its own, ``num_slots`` in all."""
        widths = ((0, 0), (0, 0), (0, num_slots - self.keys_BKSH.shape[2]), (0, 0))
        return Cache(jnp.pad(self.keys_BKSH, widths), jnp.pad(self.values_BKSH, widths), self.lengths_B)


def cached_attention(
    q_BTNH: Float[Array, "B T N H"],
    k_BTKH: Float[Array, "B T K H"],
    v_BTKH: Float[Array, "B T K H"],
    cache: Cache | None,
    *,
    scale: float,
    window: Int[Array | np.ndarray, ""] | None = None,
) -> tuple[Float[Array, "B T NH"], Cache]:
    """Returns ``causal_attention`` of tokens that follow those in ``cache``, and the cache with these in it.

    Without a cache nothing is before them, and the one returned has no slot to spare. With one, all scores
    ``[B, N, T, S]`` are in memory at once: it is meant for few tokens at a time.
    """
    batch, num_tokens, num_heads, head_size = q_BTNH.shape
    num_kv_heads = k_BTKH.shape[2]
    if cache is None:
        attended = causal_attention(q_BTNH, k_BTKH, v_BTKH, scale=scale, window=window)
        lengths_B = jnp.full((batch,), num_tokens, jnp.int32)
        return attended, Cache(jnp.swapaxes(k_BTKH, 1, 2), jnp.swapaxes(v_BTKH, 1, 2), lengths_B)
    positions_BT = cache.positions(num_tokens)
    cache = cache.extended(k_BTKH, v_BTKH)
    visible_BTS = sees(positions_BT[:, :, None] - jnp.arange(cache.keys_BKSH.shape[2])[None, None, :], window)
    q_BTKGH = q_BTNH.reshape(batch, num_tokens, num_kv_heads, num_heads // num_kv_heads, head_size)
    # The cache as the first operand: XLA on a CPU transposes the second, and the queries are the smaller one.
    scores_BKGTS = jnp.einsum(
        "BKSH,BTKGH->BKGTS",
        cache.keys_BKSH,
        q_BTKGH,
        precision=precision(q_BTNH.dtype),
        preferred_element_type=jnp.float32,
    )
    scores_BKGTS = jnp.where(jnp.expand_dims(visible_BTS, (1, 2)), scores_BKGTS * scale, jnp.finfo(jnp.float32).min)
    weights_BKGTS = jax.nn.softmax(scores_BKGTS, axis=-1).astype(q_BTNH.dtype)
    attended = jnp.einsum("BKSH,BKGTS->BTKGH", cache.values_BKSH, weights_BKGTS, precision=precision(q_BTNH.dtype))
    return attended.reshape(batch, num_tokens, num_heads * head_size), cache
