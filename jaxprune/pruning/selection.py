"""Exactly the lowest so many scores of a group, without sorting.

Members are told apart by their score and, where scores are equal, by their position. The score and the
position that split off the number asked for are found bit by bit: a non-negative float orders like the
integer with the same bits. All that the members of a group share is a number, ``_count``: splitting a group
over devices needs a sum there, and nothing else.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

# The bits of a float32 that order it when its sign is taken as plus.
_SCORE_BITS = 31

# Bits that are found between two looks at whether all are done. A GPU's host looks, and the GPU waits for it: SparseGPT
# took a half more of its time for 4096 x 4096 weights with a look at each. Elsewhere a bit too many costs more.
_BITS_BETWEEN_LOOKS = {"gpu": 4}


def select_lowest(
    scores: Float32[Array, "*shape"],
    num: Int32[Array, "*groups"],
    *,
    axes: tuple[int, ...],
    position: Int32[Array, "*shape"],
) -> Bool[Array, "*shape"]:
    """Returns True for the ``num`` lowest scores of each group, never more or fewer.

    Args:
      scores: not negative. An infinite score is selected after every finite one, NaN after those.
      num: how many of each group, in any shape that broadcasts against ``scores`` with 1 for ``axes``.
      axes: those along which scores compete; the other axes count the groups.
      position: different for all members of a group and smaller than their number. Of equal scores the one
        with the smaller position is selected.
    """
    group_size = int(np.prod([scores.shape[axis] for axis in axes]))
    assert group_size < 2**31, "counts are int32"
    groups = tuple(1 if axis in axes else size for axis, size in enumerate(scores.shape))
    num = jnp.broadcast_to(num, groups)
    key = _key(scores)
    score, found = _bisect(
        lambda candidate: _count(key < candidate, axes), num, jnp.zeros_like(num), num_bits=_SCORE_BITS
    )
    below, tied = key < score, key == score
    cutoff, _ = _bisect(
        lambda candidate: _count(below | (tied & (position < candidate)), axes),
        num,
        found,
        num_bits=group_size.bit_length(),
    )
    return below | (tied & (position < cutoff))


def select_lowest_of_few(scores_GMO: Float32[Array, "G M O"], num: int) -> Bool[Array, "G M O"]:
    """Returns True for the ``num`` lowest of each M scores; of equal ones the first."""
    key_GMO = _key(scores_GMO)
    index_GMO = jax.lax.broadcasted_iota(jnp.int32, key_GMO.shape, 1)

    def compare(index: Int32[Array, ""], rank_GMO: Int32[Array, "G M O"]) -> Int32[Array, "G M O"]:
        rival_G1O = jax.lax.dynamic_index_in_dim(key_GMO, index, axis=1)
        is_lower = (rival_G1O < key_GMO) | ((rival_G1O == key_GMO) & (index < index_GMO))
        return rank_GMO + is_lower.astype(jnp.int32)

    rank_GMO = jax.lax.fori_loop(0, key_GMO.shape[1], compare, jnp.zeros_like(key_GMO))
    return rank_GMO < num


def _key(scores: Float32[Array, "*shape"]) -> Int32[Array, "*shape"]:
    # Without its sign bit -0.0 is the lowest score, not the highest.
    return jax.lax.bitcast_convert_type(scores, jnp.int32) & (2**_SCORE_BITS - 1)


def _count(condition: Bool[Array, "*shape"], axes: tuple[int, ...]) -> Int32[Array, "*groups"]:
    """Returns how many members of each group are True."""
    return jnp.sum(condition, axis=axes, keepdims=True, dtype=jnp.int32)


def _bisect(
    count_below: Callable[[Int32[Array, "*groups"]], Int32[Array, "*groups"]],
    num: Int32[Array, "*groups"],
    found: Int32[Array, "*groups"],
    *,
    num_bits: int,
) -> tuple[Int32[Array, "*groups"], Int32[Array, "*groups"]]:
    """Returns the largest pivot of ``num_bits`` bits that has at most ``num`` below it, and how many it has.

    Args:
      count_below: how many are below a pivot.
      num: how many are wanted; once every group has as many, smaller pivots do as well and the search ends.
      found: how many are below 0.
      num_bits: of the pivot.
    """

    def is_unfinished(state: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        step, _, found = state
        return (step < num_bits) & jnp.any(found != num)

    def try_bit(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        step, pivot, found = state
        # Past the last bit the pivot itself is tried, and stays.
        candidate = jnp.where(step < num_bits, pivot | (1 << jnp.maximum(num_bits - 1 - step, 0)), pivot)
        count = count_below(candidate)
        accepted = count <= num
        return step + 1, jnp.where(accepted, candidate, pivot), jnp.where(accepted, count, found)

    def try_bits(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        for _ in range(_BITS_BETWEEN_LOOKS.get(jax.default_backend(), 1)):
            state = try_bit(state)
        return state

    _, pivot, found = jax.lax.while_loop(is_unfinished, try_bits, (jnp.int32(0), jnp.zeros_like(num), found))
    return pivot, found
