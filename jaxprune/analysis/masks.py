"""Compares the masks of several prunings of one model, a piece of one kernel at a time.

Shapes: R runs, O outputs, I inputs of a kernel.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from jaxprune.analysis.bit_counts import BitCounts, CountBits, choose_counter
from jaxprune.analysis.packed_masks import Kernel, PackedMasks, check_comparable

# Of all runs together, for each thread: small enough for its share of a processor's cache, and large enough that NumPy
# works longer than Python between two of its calls.
_PIECE_BYTES = 16 * 2**20
# More would wait for the disk.
_MAX_THREADS = 8

_Piece = tuple[Kernel, int, int]


class KernelCounts(NamedTuple):
    """How many weights of a kernel the runs keep."""

    kernel: Kernel
    both_RR: Int64[np.ndarray, "R R"]  # by each of two runs; on the diagonal by one
    outputs_RO: Int64[np.ndarray, "R O"]
    inputs_RI: Int64[np.ndarray, "R I"]


def count_masks(
    runs: Sequence[PackedMasks],
    *,
    count_bits: CountBits | None = None,
    num_threads: int | None = None,
    piece_bytes: int = _PIECE_BYTES,
) -> Iterator[KernelCounts]:
    """Gives the counts of each kernel, block by block.

    Args:
      count_bits: None: on an accelerator if there is one, else on the CPU.
      num_threads: None: one for each processor, at most 8.
      piece_bytes: what is read at a time from all runs together; each thread holds a few times as much.

    Raises:
      RequestError: the runs have masks of different weights, or one of them is damaged.
    """
    check_comparable(runs)
    count_bits = count_bits or choose_counter()
    num_threads = num_threads or min(os.cpu_count() or 1, _MAX_THREADS)

    def count(piece: _Piece) -> BitCounts:
        return count_bits([run.read(*piece) for run in runs])

    pieces = [
        (kernel, start, min(start + rows, kernel.d_out))
        for kernel in runs[0].kernels
        for rows in [max(1, piece_bytes // (len(runs) * -(-kernel.d_in // 8)))]
        for start in range(0, kernel.d_out, rows)
    ]
    of_kernel: list[BitCounts] = []
    for (kernel, _, stop), counts in zip(pieces, _map_ahead(count, pieces, num_threads), strict=True):
        of_kernel.append(counts)
        if stop == kernel.d_out:
            yield KernelCounts(
                kernel,
                np.sum([counts.both_RR for counts in of_kernel], axis=0),
                np.concatenate([counts.outputs_RO for counts in of_kernel], axis=1),
                np.sum([counts.inputs_RI for counts in of_kernel], axis=0)[:, : kernel.d_in],
            )
            of_kernel = []


def _map_ahead(count: Callable[[_Piece], BitCounts], pieces: Sequence[_Piece], num_threads: int) -> Iterator[BitCounts]:
    """Gives the counts of each piece in order; the threads are at most a few pieces ahead."""
    waiting: deque[Future[BitCounts]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(count, piece))
                if len(waiting) > 2 * num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
