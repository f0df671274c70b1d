"""Counts the bits of packed masks without unpacking them: kept by both of two runs, by an output, by an input.

Shapes: R runs, O outputs (rows of a piece), W words of 64 inputs, I = 64 W inputs, P bit planes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64, UInt32, UInt64

_HALF_WORD = 32


class BitCounts(NamedTuple):
    """How many weights of a piece are kept."""

    both_RR: Int64[np.ndarray, "R R"]  # by each of two runs; on the diagonal by one
    outputs_RO: Int64[np.ndarray, "R O"]
    inputs_RI: Int64[np.ndarray, "R I"]


CountBits = Callable[[Sequence[UInt64[np.ndarray, "O W"]]], BitCounts]


def choose_counter() -> CountBits:
    """Returns ``count_on_accelerator`` if JAX has one, else ``count_on_cpu``; both count the same."""
    return count_on_cpu if jax.default_backend() == "cpu" else count_on_accelerator


def count_on_cpu(words: Sequence[UInt64[np.ndarray, "O W"]]) -> BitCounts:
    """Counts one piece of every run with NumPy, which lets other threads run meanwhile."""
    outputs_RO = np.stack([np.bitwise_count(words_OW).sum(axis=1, dtype=np.int64) for words_OW in words])
    both_RR = np.diag(outputs_RO.sum(axis=1))
    common_OW, counts_OW = np.empty_like(words[0]), np.empty(words[0].shape, np.uint8)
    for a in range(len(words)):
        for b in range(a):
            np.bitwise_and(words[a], words[b], out=common_OW)
            both_RR[a, b] = both_RR[b, a] = np.bitwise_count(common_OW, out=counts_OW).sum(dtype=np.int64)
    return BitCounts(both_RR, outputs_RO, np.stack([_count_columns(words_OW) for words_OW in words]))


def count_on_accelerator(words: Sequence[UInt64[np.ndarray, "O W"]]) -> BitCounts:
    """Counts one piece of every run with JAX."""
    # Accelerators have no 64-bit words. A piece holds far less than the 2^31 bits that an int32 can count.
    halves_ROH = np.stack([words_OW.view(np.uint32) for words_OW in words])
    both_RR, outputs_RO, inputs_BRH = (np.asarray(counts, np.int64) for counts in _count(jnp.asarray(halves_ROH)))
    # Input 32 h + b is bit b of half word h.
    return BitCounts(both_RR, outputs_RO, inputs_BRH.transpose(1, 2, 0).reshape(len(words), -1))


@jax.jit
def _count(
    halves_ROH: UInt32[Array, "R O H"],
) -> tuple[Int32[Array, "R R"], Int32[Array, "R O"], Int32[Array, "bits R H"]]:
    def count(bits: UInt32[Array, "..."], axis: int | tuple[int, ...]) -> Int32[Array, "..."]:
        return jnp.sum(jax.lax.population_count(bits).astype(jnp.int32), axis=axis, dtype=jnp.int32)

    def count_common(halves_OH: UInt32[Array, "O H"]) -> Int32[Array, " R"]:
        return count(halves_ROH & jnp.expand_dims(halves_OH, 0), (1, 2))

    def count_plane(bit: UInt32[Array, ""]) -> Int32[Array, "R H"]:
        return count((halves_ROH >> bit) & jnp.uint32(1), 1)

    both_RR = jax.lax.map(count_common, halves_ROH)
    inputs_BRH = jax.lax.map(count_plane, jnp.arange(_HALF_WORD, dtype=jnp.uint32))
    return both_RR, count(halves_ROH, 2), inputs_BRH


def _count_columns(words_OW: UInt64[np.ndarray, "O W"]) -> Int64[np.ndarray, " I"]:
    """Returns how many rows have each bit.

    Rows are added as numbers of one bit, 64 columns in a word: full adders turn three bits of one weight into
    one of that weight and one of twice the weight, until one is left of each weight. That is about five
    operations a word, where unpacking costs 64 additions.
    """
    planes = []
    bits_NW = words_OW
    while len(bits_NW):
        carries = []
        while len(bits_NW) > 2:
            third = len(bits_NW) // 3
            a, b, c, rest = np.split(bits_NW, [third, 2 * third, 3 * third])
            either = a ^ b
            carries.append((a & b) | (either & c))
            bits_NW = np.concatenate([either ^ c, rest])
        if len(bits_NW) == 2:
            carries.append(bits_NW[:1] & bits_NW[1:])
            bits_NW = bits_NW[:1] ^ bits_NW[1:]
        planes.append(bits_NW[0])
        bits_NW = np.concatenate(carries) if carries else bits_NW[:0]
    bits_PI = np.unpackbits(np.stack(planes).view(np.uint8), axis=1, bitorder="little")
    weights_P = 2 ** np.arange(len(planes), dtype=np.int64)
    return weights_P @ bits_PI.astype(np.int64)
