"""What every source of weights looks like from inside this package: named tensors, read one at a time."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
WEIGHT_DTYPES = (np.dtype(np.float32), BFLOAT16, np.dtype(np.float16))
"""What weights may be stored as, here and in what is read."""

# Of each tensor this many bytes from its middle go into a fingerprint: two models of one architecture have the same
# headers and sizes, but not the same weights.
_SAMPLE_BYTES = 256

ALL_ROWS = slice(None)
"""Along the first axis: everything."""


class TensorSpec(NamedTuple):
    """Shape and dtype of a stored tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes."""
        size = self.dtype.itemsize
        for dim in self.shape:  # Python integers: a product in int64 could wrap around
            size *= dim
        return size


def sample(num_bytes: int) -> tuple[int, int]:
    """Returns where in a tensor of that many stored bytes those of the fingerprint begin and end."""
    middle = num_bytes // 2
    return middle, min(middle + _SAMPLE_BYTES, num_bytes)


@runtime_checkable
class TensorReader(Protocol):
    """Tensors with Hugging Face names and shapes."""

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Every tensor that is stored."""
        ...

    def read(self, name: str, rows: slice = ALL_ROWS) -> np.ndarray:
        """Returns some rows of a tensor, or all, in memory of their own.

        Nothing may stay mapped: the pages of a mapped file count as resident memory. Where a format allows it, no more
        than the rows is read.
        """
        ...


@runtime_checkable
class TensorStore(TensorReader, Protocol):
    """All the tensors of a model."""

    @property
    def fingerprint(self) -> str:
        """A sha256 that identifies the weights without reading all of them; the same on every run."""
        ...
