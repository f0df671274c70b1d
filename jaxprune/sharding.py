"""Where arrays live: a mesh with the axes ``data`` and ``model``, and how arrays get onto it and off it again.

One code path serves one core, many chips and several processes: a laptop is the mesh ``data=1,model=1``. A process
only ever puts onto its own devices, and takes from them, what these hold of an array.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxprune.errors import RequestError
from jaxprune.typing import Params

AXES = ("data", "model")

Index = tuple[slice, ...]
"""A part of an array: one slice an axis."""


def parse_mesh(text: str | None) -> dict[str, int] | None:
    """Reads ``data=4,model=2``; None, for ``default_mesh`` to decide, stays None.

    Raises:
      RequestError: an unknown or repeated axis, or a size that is no positive number.
    """
    if text is None:
        return None
    sizes: dict[str, int] = dict.fromkeys(AXES, 1)
    seen = set()
    for part in text.split(","):
        axis, _, size = part.strip().partition("=")
        if axis not in AXES or axis in seen or not (size.isdecimal() and len(size) < 10) or int(size) < 1:
            raise RequestError(
                f"--mesh {text!r}: cannot read {part.strip()!r}; write data=N,model=M, each axis at most once."
            )
        seen.add(axis)
        sizes[axis] = int(size)
    return sizes


def default_mesh(num_devices: int, num_sequences: int | None) -> dict[str, int]:
    """Returns the mesh of all devices: as many on ``data`` as have a sequence to work on, the others on ``model``.

    Args:
      num_sequences: those that are worked on together; None without text, when weights are all there is to split.
    """
    wanted = num_sequences or 1
    data = max(size for size in range(1, num_devices + 1) if num_devices % size == 0 and size <= max(wanted, 1))
    return {"data": data, "model": num_devices // data}


def make_mesh(sizes: Mapping[str, int] | None, num_sequences: int | None = None) -> Mesh:
    """Returns the mesh over the first ``data * model`` devices.

    Args:
      sizes: of the axes; None: as ``default_mesh`` has it for ``num_sequences`` and all devices.

    Raises:
      RequestError: fewer devices than that, or a process without any.
    """
    sizes = default_mesh(jax.device_count(), num_sequences) if sizes is None else sizes
    needed = sizes["data"] * sizes["model"]
    if needed > jax.device_count():
        raise RequestError(
            f"the mesh data={sizes['data']},model={sizes['model']} needs {needed} devices, and {jax.device_count()} "
            f"({jax.default_backend()}) are here; ask for a smaller mesh."
        )
    devices = jax.devices()[:needed]
    if len({device.process_index for device in devices}) < jax.process_count():
        raise RequestError(
            f"the mesh data={sizes['data']},model={sizes['model']} leaves some of the {jax.process_count()} processes "
            f"without a device; {jax.device_count()} devices are here: use all of them, or fewer processes."
        )
    return lay_out(devices, sizes)


def lay_out(devices: list[Any], sizes: Mapping[str, int]) -> Mesh:
    """Returns the mesh over exactly these devices, neighbours along ``model`` where their network knows any."""
    shape = (sizes["data"], sizes["model"])
    if devices[0].platform == "tpu":
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    else:
        grid = np.asarray(devices).reshape(shape)
    # Auto axes: the compiler places collectives. make_mesh's default, Explicit, would refuse x.T @ x over sharded rows.
    return Mesh(grid, AXES, axis_types=(AxisType.Auto, AxisType.Auto))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Splits the leading axis (sequences) over ``data``; it must divide evenly."""
    return NamedSharding(mesh, PartitionSpec("data"))


def param_sharding(mesh: Mesh, path: str, shape: tuple[int, ...]) -> NamedSharding:
    """Splits kernels ``[d_in, d_out]`` by outputs and tables ``[V, D]`` by words over ``model`` where they divide.

    Everything else is replicated.
    """
    axis = {"kernel": 1, "embedding": 0}.get(path.rpartition("/")[2])
    if axis is None or shape[axis] % mesh.shape["model"]:
        return NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "model"))


def solve_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Splits a kernel by outputs, which are pruned independently, over as many devices as divide them."""
    for axes in (AXES, ("model",), ("data",)):
        if shape[1] % np.prod([mesh.shape[axis] for axis in axes]) == 0:
            return NamedSharding(mesh, PartitionSpec(None, axes))
    return NamedSharding(mesh, PartitionSpec())


def statistic_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Gives each device on ``data`` its own sums, along a leading axis of theirs; the last axis goes over ``model``."""
    splits = len(shape) > 2 and shape[-1] % mesh.shape["model"] == 0
    return NamedSharding(mesh, PartitionSpec("data", *[None] * (len(shape) - 2), "model" if splits else None))


def place(value: Any, sharding: NamedSharding) -> jax.Array:
    """Puts an array onto the mesh.

    Args:
      value: a JAX array, moved as it is; or anything with a shape and parts to be had by index, of which a process
        reads only what its devices are to hold, and that once.
    """
    if isinstance(value, jax.Array):
        return jax.device_put(value, sharding)
    parts: dict[tuple[tuple[Any, Any], ...], np.ndarray] = {}

    def part(index: Index | None) -> np.ndarray:
        index = index or ()
        key = tuple((along.start, along.stop) for along in index)
        if key not in parts:
            parts[key] = np.asarray(value[index])
        return parts[key]

    return jax.make_array_from_callback(tuple(value.shape), sharding, part)


def place_batch(mesh: Mesh, array: Any) -> jax.Array:
    """Splits sequences, of which every process has all, over ``data``."""
    return place(array, batch_sharding(mesh))


def place_param(mesh: Mesh, path: str, value: Any) -> jax.Array:
    """Places a weight as ``param_sharding`` says."""
    return place(value, param_sharding(mesh, path, tuple(value.shape)))


def place_params(mesh: Mesh, params: Params) -> dict[str, jax.Array]:
    """Places a section's weights."""
    return {path: place_param(mesh, path, value) for path, value in params.items()}


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Places a copy of every leaf on every device."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: place(leaf if isinstance(leaf, jax.Array) else np.asarray(leaf), everywhere), tree)


def local_batch(mesh: Mesh, rows: np.ndarray, num_rows: int) -> jax.Array:
    """Puts ``num_rows`` sequences onto the mesh, of which this process has those that its devices are to hold."""
    return jax.make_array_from_process_local_data(batch_sharding(mesh), rows, (num_rows, *rows.shape[1:]))


def local_rows(array: jax.Array) -> np.ndarray:
    """Returns the sequences of a batch that this process's devices hold, each once, in order."""
    if array.is_fully_addressable and len(array.sharding.device_set) == 1:
        return np.asarray(array)
    shards = {shard.index[0].start or 0: shard for shard in array.addressable_shards}
    return np.concatenate([np.asarray(shards[start].data) for start in sorted(shards)])


def own_shards(array: Any) -> Iterator[tuple[Index, Any]]:
    """Yields the parts of an array that this process answers for, with their places, on their way to the host.

    Those of all processes together are the array, each part once. An array that is not on a mesh is the first's.
    """
    if not isinstance(array, jax.Array):
        if jax.process_index() == 0:
            yield (), array
        return
    for shard in array.addressable_shards:
        if shard.replica_id == 0:
            yield shard.index, to_memory(shard.data, PINNED) if can_pin(shard.device) else shard.data


def own_parts(array: Any) -> Iterator[tuple[Index, np.ndarray]]:
    """Yields what ``own_shards`` does, on the host."""
    for index, part in own_shards(array):
        yield index, np.asarray(part)


PINNED = "pinned_host"
"""The host's memory that a device reaches by itself, thirty times as fast as it copies to an array of NumPy's."""


def can_pin(device: Any) -> bool:
    """Returns whether ``device`` is an accelerator that has ``PINNED`` memory beside its own."""
    return device.platform != "cpu" and PINNED in {memory.kind for memory in device.addressable_memories()}


def to_memory(part: jax.Array, kind: str | None) -> jax.Array:
    """Moves what one device has to another of its memories; None: its own."""
    (device,) = part.devices()
    return jax.device_put(part, SingleDeviceSharding(device, memory_kind=kind))
