"""Kernels and masks as files have them: rows are outputs, inputs lie next to each other.

Turned round and packed where they are: an accelerator does in milliseconds what takes NumPy a second, and a mask leaves
it as an eighth of the bytes. Shapes: O outputs, I inputs, P = ceil(I / 8).
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Shaped, UInt8

from jaxprune.sharding import own_shards


def rows_of(array: Any, *, is_kernel: bool) -> Iterable[tuple[int, Any]]:
    """Returns the rows that this process answers for, with the number of the first; outputs, if it is a kernel.

    What comes from an accelerator is on its way to the host, and NumPy makes an array of it; other rows are read,
    and turned round, as they are asked for.
    """
    if not is_kernel:
        rows = ((index[0].start or 0 if index else 0, part) for index, part in own_shards(array))
        return list(rows) if _is_on_accelerator(array) else rows
    if _is_on_accelerator(array):
        return list(_first_rows(turn(array, _turned(array))))
    return ((first, np.asarray(part).T) for first, part in _first_outputs(array))


def packed_rows_of(mask_IO: Any) -> Iterable[tuple[int, Any]]:
    """Returns what ``rows_of`` does of a mask, as bits: uint8 ``[rows, P]``, least significant first."""
    if _is_on_accelerator(mask_IO):
        return list(_first_rows(turn_and_pack(mask_IO, _turned(mask_IO))))
    return (
        (first, np.packbits(np.asarray(part).T, axis=1, bitorder="little")) for first, part in _first_outputs(mask_IO)
    )


@functools.partial(jax.jit, static_argnames="sharding")
def turn(kernel_IO: Shaped[Array, "I O"], sharding: Any) -> Shaped[Array, "O I"]:
    """Returns the kernel with its outputs first, split over devices by these as it was."""
    return jax.lax.with_sharding_constraint(kernel_IO.T, sharding)


@functools.partial(jax.jit, static_argnames="sharding")
def turn_and_pack(mask_IO: Bool[Array, "I O"], sharding: Any) -> UInt8[Array, "O P"]:
    """Returns the bits of a mask, outputs first, split over devices by these as it was."""
    return jax.lax.with_sharding_constraint(jnp.packbits(mask_IO.T, axis=1, bitorder="little"), sharding)


def _is_on_accelerator(array: Any) -> bool:
    return isinstance(array, jax.Array) and next(iter(array.devices())).platform != "cpu"


def _turned(array: jax.Array) -> Any:
    sharding = array.sharding
    if not isinstance(sharding, NamedSharding):
        return sharding
    along = (*sharding.spec, None, None)[:2]
    return NamedSharding(sharding.mesh, PartitionSpec(*along[::-1]))


def _first_rows(array_OI: jax.Array) -> Iterator[tuple[int, Any]]:
    for index, part in own_shards(array_OI):
        yield index[0].start or 0, part


def _first_outputs(array_IO: Any) -> Iterator[tuple[int, Any]]:
    for index, part in own_shards(array_IO):
        yield (index[1].start or 0) if index else 0, part
