"""The hidden states of all sequences between two blocks, on the host: in memory, or past a limit in a file.

Shapes: M microbatches, B sequences of a microbatch that this process has, T tokens, D hidden size.
"""

import contextlib
import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxprune.disk import no_room, out_of_room, take_space


class HiddenStates:
    """An array ``[M, *shape]``, read and written one microbatch at a time."""

    def __init__(self, num_batches: int, shape: tuple[int, ...], dtype: np.dtype, *, limit_bytes: int):
        """Takes the space of all.

        Args:
          num_batches: M.
          shape: of a microbatch's: ``(B, T, D)``, or ``(B T, D)``.
          limit_bytes: what may lie in memory. More than that lies in a mapped file without a name, in the folder for
            temporary files (``TMPDIR``), that is gone with the process.

        Raises:
          RequestError: the disk that holds temporary files is full.
        """
        self._shape, self._dtype = shape, dtype
        self._row_bytes = int(np.prod(shape)) * dtype.itemsize
        # Whole pages, so that those of one microbatch can be given back alone.
        self._stride = -(-self._row_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        size = self._stride * num_batches
        self.is_on_disk = size > limit_bytes
        self._map = _map_file(size) if self.is_on_disk else mmap.mmap(-1, size)

    def __getitem__(self, batch: int) -> Float[np.ndarray, "*shape"]:
        """Returns a microbatch's states where they lie."""
        return np.frombuffer(self._map, self._dtype, int(np.prod(self._shape)), batch * self._stride).reshape(
            self._shape
        )

    def __setitem__(self, batch: int, states: Float[np.ndarray, "*shape"]) -> None:
        """Replaces a microbatch's states."""
        self[batch][...] = states
        if self.is_on_disk:
            # Out of this process's memory; the system writes it when it likes.
            self._map.madvise(mmap.MADV_DONTNEED, batch * self._stride, self._stride)


# Where Linux says what a container may take: control groups of the second version, and of the first.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def half_of_memory() -> int:
    """Returns half of the bytes of memory that the machine has, or of what its container may take of them."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # not there, or without a limit: "max"
            sizes.append(int(path.read_text(encoding="ascii")))
    return min(sizes) // 2


def _map_file(size: int) -> mmap.mmap:
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # Taken now: a disk that fills up under a mapped file ends the process without a word.
            take_space(file.fileno(), size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        if no_room(error):
            raise out_of_room(error, folder, size) from error
        raise
