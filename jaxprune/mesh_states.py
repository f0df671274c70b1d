"""The hidden states of all sequences between two blocks: on the devices, or off the mesh to the host and back onto it.

Shapes: M microbatches, R rows of a microbatch (sequences, or tokens), on all devices together.
"""

from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from jaxprune.hidden_states import HiddenStates, half_of_memory
from jaxprune.sharding import PINNED, batch_sharding, can_pin, local_batch, local_rows, to_memory

_SHARE_OF_A_GPU = 8


def most_on_device(platform: str, memory_bytes: int | None) -> int:
    """Returns the bytes of hidden states that a device keeps, where nobody says how many: an eighth of a GPU's memory.

    What goes to the host and back is waited for. But a CPU has no memory of its own, and TPUs have little.

    Args:
      platform: of the device, as JAX names it.
      memory_bytes: of the device; None if it is not known.
    """
    return memory_bytes // _SHARE_OF_A_GPU if platform == "gpu" and memory_bytes else 0


def most_on_devices(mesh: Mesh) -> int:
    """Returns ``most_on_device`` of the one of this process's devices on ``mesh`` that has least."""
    return min(
        most_on_device(device.platform, (device.memory_stats() or {}).get("bytes_limit"))
        for device in mesh.local_devices
    )


def bytes_on_device(mesh: Mesh, num_batches: int, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Returns what each device's part of all microbatches ``[R, ...]`` takes."""
    return num_batches * (int(np.prod(shape)) // mesh.shape["data"]) * dtype.itemsize


class MeshStates:
    """An array ``[M, R, ...]``, its rows split over ``data``, taken and given back one microbatch at a time.

    On the devices, where it may take that room (a CPU's is the host's). Else in pinned memory, where the devices have
    such memory and the array fits. Else as ``HiddenStates`` keeps it.

    Attributes:
      host_bytes: what lies in this process's memory.
    """

    def __init__(
        self,
        mesh: Mesh,
        num_batches: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        *,
        limit_bytes: int | None = None,
        device_bytes: int = 0,
    ):
        """Takes the space of all, or knows that it is there.

        Args:
          shape: of a microbatch's, ``(R, ...)``.
          limit_bytes: what may lie in this process's memory; None: half of what the machine has.
          device_bytes: what may lie in each device's.

        Raises:
          RequestError: they do not fit the disk either.
        """
        self.host_bytes = 0
        self._kept: _Kept
        if bytes_on_device(mesh, num_batches, shape, dtype) <= device_bytes:
            self._kept = _OnDevices(num_batches)
            return
        rows = batch_sharding(mesh).addressable_devices_indices_map(shape[:1]).values()
        num_local = shape[0] // mesh.shape["data"] * len({index[0].start for index in rows if index})
        size = num_batches * num_local * int(np.prod(shape[1:])) * dtype.itemsize
        limit = half_of_memory() if limit_bytes is None else limit_bytes
        self.host_bytes = size if size <= limit else 0
        device = mesh.local_devices[0]
        # Devices along model have the same rows: each would keep a copy of its own.
        fits_once = size <= limit and mesh.shape["model"] == 1
        if fits_once and can_pin(device):
            self._kept = _Pinned(mesh, num_batches, shape)
        elif fits_once and device.platform == "cpu":
            self._kept = _OnDevices(num_batches)
        else:
            self._kept = _OnHost(mesh, num_batches, shape, num_local, dtype, limit)

    def take(self, batch: int, states: Float[Array, "R ..."]) -> Callable[[], None]:
        """Begins to copy a microbatch's states to where they are kept; returns what waits until they are there."""
        return self._kept.take(batch, states)

    def give(self, batch: int) -> Float[Array, "R ..."]:
        """Returns a microbatch's states on the mesh; once donated, they cannot be given before others are taken."""
        return self._kept.give(batch)


class _Kept(Protocol):
    """One of the memories, as ``MeshStates`` uses it."""

    def take(self, batch: int, states: jax.Array) -> Callable[[], None]:
        """As there."""
        ...

    def give(self, batch: int) -> jax.Array:
        """As there."""
        ...


class _OnDevices:
    """Where they are computed."""

    def __init__(self, num_batches: int):
        self._batches: list[jax.Array | None] = [None] * num_batches

    def take(self, batch: int, states: jax.Array) -> Callable[[], None]:
        self._batches[batch] = states

        def wait() -> None:
            jax.block_until_ready(states)

        return wait

    def give(self, batch: int) -> jax.Array:
        states = self._batches[batch]
        assert states is not None, "nothing was taken"
        return states


class _Pinned:
    """In host memory that the devices reach by themselves."""

    def __init__(self, mesh: Mesh, num_batches: int, shape: tuple[int, ...]):
        self._mesh, self._shape = mesh, shape
        self._parts: list[list[jax.Array]] = [[] for _ in range(num_batches)]

    def take(self, batch: int, states: jax.Array) -> Callable[[], None]:
        parts = [to_memory(shard.data, PINNED) for shard in states.addressable_shards]
        self._parts[batch] = parts

        def wait() -> None:
            jax.block_until_ready(parts)

        return wait

    def give(self, batch: int) -> jax.Array:
        parts = [to_memory(part, None) for part in self._parts[batch]]
        return jax.make_array_from_single_device_arrays(self._shape, batch_sharding(self._mesh), parts)


class _OnHost:
    """In arrays of NumPy's, in memory or in a file."""

    def __init__(
        self, mesh: Mesh, num_batches: int, shape: tuple[int, ...], num_local: int, dtype: np.dtype, limit: int
    ):
        self._mesh, self._num_rows = mesh, shape[0]
        self._states = HiddenStates(num_batches, (num_local, *shape[1:]), dtype, limit_bytes=limit)

    def take(self, batch: int, states: jax.Array) -> Callable[[], None]:
        states.copy_to_host_async()

        def store() -> None:
            self._states[batch] = local_rows(states)

        return store

    def give(self, batch: int) -> jax.Array:
        return local_batch(self._mesh, self._states[batch], self._num_rows)
