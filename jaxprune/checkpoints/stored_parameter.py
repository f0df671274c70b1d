"""A parameter that is still on the disk, and is read as far as it is indexed."""

import math
from typing import Any

import numpy as np

from jaxprune.checkpoints.casting import all_finite, cast
from jaxprune.checkpoints.tensors import ALL_ROWS, TensorReader
from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import Tensor


class StoredParameter:
    """One parameter of a checkpoint, with the shape that the model knows: kernels are ``[d_in, d_out]``.

    Rows of what is stored are outputs of a kernel: a device that has some outputs reads these and no others.
    """

    def __init__(self, store: TensorReader, tensor: Tensor, dtype: np.dtype | None, reference: str):
        """Reads nothing yet.

        Args:
          store: where it lies.
          tensor: its name there.
          dtype: what it is cast to; None: as it is stored.
          reference: names the checkpoint in messages.
        """
        self._store, self._tensor, self._reference = store, tensor, reference
        self.shape = tensor.shape[::-1] if tensor.is_kernel else tensor.shape
        self.dtype = store.specs[tensor.name].dtype if dtype is None else dtype

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Returns a part: one slice for each of the first axes, or ``()`` for all.

        Raises:
          RequestError: it cannot be read, holds NaN or infinity, or values that the dtype cannot hold.
        """
        along = [*index, *[ALL_ROWS] * (len(self.shape) - len(index))]
        rows, *rest = along[::-1] if self._tensor.is_kernel else along
        name = self._tensor.name
        array = self._store.read(name, rows)
        if not all_finite(array):
            count = int(np.count_nonzero(~np.isfinite(array)))
            raise RequestError(
                f"{self._reference}: tensor {name} holds {count} NaN or infinite values; the checkpoint is damaged or "
                "its training diverged: fetch it again, or choose another."
            )
        array = cast(array[(ALL_ROWS, *rest)], self.dtype, name)
        return array.T if self._tensor.is_kernel else array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns all of it."""
        return np.asarray(self[()], dtype, copy=copy)
