"""What a computation may use, given as words: its precision, and memory."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxprune.errors import RequestError

_COMPUTE_DTYPES = ("float32", "bfloat16")


def parse_compute_dtype(name: str | None, *, option: str = "--compute-dtype", platform: str | None = None) -> np.dtype:
    """Returns the dtype of the forward passes; None: float32 on a CPU, bfloat16 on an accelerator.

    Args:
      platform: of the devices; None: of those that are here.
    """
    if name is None:
        return jnp.dtype("float32" if (platform or jax.default_backend()) == "cpu" else "bfloat16")
    if name not in _COMPUTE_DTYPES:
        raise RequestError(f"{option} {name!r} is unknown; choose {', '.join(_COMPUTE_DTYPES)}.")
    return jnp.dtype(name)


def parse_gigabytes(number: float | None, *, option: str = "--host-memory") -> int | None:
    """Returns the bytes that ``--host-memory`` or another ``option`` names in gigabytes; None stays None."""
    if number is None:
        return None
    if not 0 <= number < 1e9:
        raise RequestError(f"{option} {number} is no number of gigabytes; give 0 or more, for example 16.")
    return int(number * 1e9)
