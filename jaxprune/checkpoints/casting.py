"""From one precision to another, and the check that weights are numbers."""

import numpy as np

from jaxprune.checkpoints.tensors import BFLOAT16
from jaxprune.errors import RequestError

# A value is NaN or infinite if and only if all bits of its exponent are set.
_EXPONENTS = {
    np.dtype(np.float32): (np.uint32, 0x7F80_0000),
    np.dtype(np.float16): (np.uint16, 0x7C00),
    BFLOAT16: (np.uint16, 0x7F80),
}
# Pieces that stay in a core's cache, and for which nothing is asked of the system.
_CHUNK_VALUES = 2**16


def all_finite(array: np.ndarray) -> bool:
    """Returns whether a float32, float16 or bfloat16 array has neither NaN nor infinity."""
    unsigned, exponent = _EXPONENTS[array.dtype]
    # In pieces, because the comparison needs memory of its own; transposed arrays are walked as they lie.
    bits = (array.T if array.flags.f_contiguous else np.ascontiguousarray(array)).reshape(-1).view(unsigned)
    return all(
        not ((bits[start : start + _CHUNK_VALUES] & exponent) == exponent).any()
        for start in range(0, len(bits), _CHUNK_VALUES)
    )


def cast(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """Returns ``array`` in ``dtype``, rounded to the nearest even; the array itself if it has it already.

    Raises:
      RequestError: a value of tensor ``name`` is too large for ``dtype``.
    """
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    if not all_finite(result):
        raise RequestError(
            f"{name} has values that {dtype} cannot hold (its largest is {np.abs(array).max()}); "
            "write it in bfloat16 or float32."
        )
    return result
