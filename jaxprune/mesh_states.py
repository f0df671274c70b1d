"""The hidden states of all sequences between two blocks: off the mesh to the host, and back onto it.

Shapes: M microbatches, R rows of a microbatch (sequences, or tokens), on all devices together.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from jaxprune.hidden_states import HiddenStates, half_of_memory
from jaxprune.sharding import PINNED, batch_sharding, can_pin, local_batch, local_rows, to_memory


class MeshStates:
    """An array ``[M, R, ...]``, its rows split over ``data``, taken and given back one microbatch at a time.

    In pinned memory, where the devices have such memory and the states fit. Else as ``HiddenStates`` keeps them.

    Attributes:
      host_bytes: what lies in this process's memory.
    """

    def __init__(
        self, mesh: Mesh, num_batches: int, shape: tuple[int, ...], dtype: np.dtype, *, limit_bytes: int | None = None
    ):
        """Takes the space of all, or knows that it is there.

        Args:
          shape: of a microbatch's, ``(R, ...)``.
          limit_bytes: what may lie in this process's memory; None: half of what the machine has.

        Raises:
          RequestError: they do not fit the disk either.
        """
        self._mesh, self._shape = mesh, shape
        rows = batch_sharding(mesh).addressable_devices_indices_map(shape[:1]).values()
        num_local = shape[0] // mesh.shape["data"] * len({index[0].start for index in rows if index})
        size = num_batches * num_local * int(np.prod(shape[1:])) * dtype.itemsize
        limit = half_of_memory() if limit_bytes is None else limit_bytes
        self._on_host: HiddenStates | None = None
        self._pinned: list[list[jax.Array]] = [[] for _ in range(num_batches)]
        # Devices along model have the same rows: each would keep a copy of its own.
        if size > limit or mesh.shape["model"] > 1 or not can_pin(mesh.local_devices[0]):
            self._on_host = HiddenStates(num_batches, (num_local, *shape[1:]), dtype, limit_bytes=limit)
        self.host_bytes = 0 if self._on_host is not None and self._on_host.is_on_disk else size

    def take(self, batch: int, states: Float[Array, "R ..."]) -> Callable[[], None]:
        """Begins to copy a microbatch's states off the mesh; returns what waits until they have gone."""
        if self._on_host is None:
            parts = [to_memory(shard.data, PINNED) for shard in states.addressable_shards]
            self._pinned[batch] = parts

            def wait() -> None:
                jax.block_until_ready(parts)

            return wait
        on_host = self._on_host
        states.copy_to_host_async()

        def store() -> None:
            on_host[batch] = local_rows(states)

        return store

    def give(self, batch: int) -> Float[Array, "R ..."]:
        """Returns a microbatch's states on the mesh."""
        if self._on_host is not None:
            return local_batch(self._mesh, self._on_host[batch], self._shape[0])
        parts = [to_memory(part, None) for part in self._pinned[batch]]
        return jax.make_array_from_single_device_arrays(self._shape, batch_sharding(self._mesh), parts)
