"""Where arrays live: a mesh with the axes ``data`` and ``model``, and how batches and weights are placed on it.

One code path serves one core and many chips: a laptop is the mesh ``data=1,model=1``.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxprune.errors import RequestError
from jaxprune.typing import Params

AXES = ("data", "model")


def parse_mesh(text: str | None) -> dict[str, int]:
    """Reads ``data=4,model=2``; None puts every device on ``data``.

    Raises:
      RequestError: an unknown or repeated axis, or a size that is no positive number.
    """
    if text is None:
        return {"data": jax.device_count(), "model": 1}
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


def make_mesh(sizes: Mapping[str, int]) -> Mesh:
    """Returns the mesh over the first ``data * model`` devices.

    Raises:
      RequestError: fewer devices than that.
    """
    needed = sizes["data"] * sizes["model"]
    if needed > jax.device_count():
        raise RequestError(
            f"the mesh data={sizes['data']},model={sizes['model']} needs {needed} devices, and {jax.device_count()} "
            f"({jax.default_backend()}) are here; ask for a smaller mesh."
        )
    devices = np.asarray(jax.devices()[:needed]).reshape(sizes["data"], sizes["model"])
    # Auto axes: the compiler places collectives. make_mesh's default, Explicit, would refuse x.T @ x over sharded rows.
    return Mesh(devices, AXES, axis_types=(AxisType.Auto, AxisType.Auto))


def place_batch(mesh: Mesh, array: Any) -> jax.Array:
    """Splits the leading axis (sequences) over ``data``; it must divide evenly."""
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec("data")))


def place_params(mesh: Mesh, params: Params) -> dict[str, jax.Array]:
    """Splits kernels ``[d_in, d_out]`` over ``model`` by outputs where they divide; everything else is replicated."""

    def spec(path: str, value: Any) -> PartitionSpec:
        splits = path.endswith("/kernel") and value.shape[1] % mesh.shape["model"] == 0
        return PartitionSpec(None, "model") if splits else PartitionSpec()

    return {path: jax.device_put(v, NamedSharding(mesh, spec(path, v))) for path, v in params.items()}


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Places a copy of every leaf on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
