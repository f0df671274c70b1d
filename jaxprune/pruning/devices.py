"""What array maths can know of the devices that run it together, and do with them, whatever mesh that is.

It is asked while a step is traced; a step of one device alone, or of none yet, is given the same answers as one.
"""

import jax
from jaxtyping import Array, Shaped


def devices_that_share_weights() -> int:
    """Returns how many devices the compiler splits weights over (the axis ``model``)."""
    return jax.sharding.get_abstract_mesh().shape.get("model", 1)


def device_of_all() -> tuple[Array | int, int]:
    """Returns, inside of a ``shard_map``, which of its devices this is, and how many they are."""
    axes = jax.sharding.get_abstract_mesh().manual_axes
    return (jax.lax.axis_index(axes), jax.lax.axis_size(axes)) if axes else (0, 1)


def from_all_devices(rows: Shaped[Array, "rows ..."]) -> Shaped[Array, "all_rows ..."]:
    """Returns the rows of every device of a ``shard_map``, one device's after the other's."""
    axes = jax.sharding.get_abstract_mesh().manual_axes
    return jax.lax.all_gather(rows, axes, tiled=True) if axes else rows
