"""Statistics of the first block, kept for the next prune of the same tokens: nothing that differs comes before it."""

import hashlib
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

from jaxprune.pruning.collecting import DataParallel, Statistics, collect_statistics
from jaxprune.pruning.method import PruningMethod
from jaxprune.sharding import place, statistic_sharding
from jaxprune.sweep import OnTokens, Sweep
from jaxprune.typing import Params


class FirstBlockStatistics:
    """What ``collect_statistics`` last returned for the first block of one model, in host memory.

    One serves one checkpoint, read in one dtype. Methods that collect the same share it, whatever their pattern; other
    tokens, another statistic or another mesh replace it.
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._key: Hashable = None
        self._kept: Any = None

    def collect(
        self,
        sweep: Sweep,
        index: int,
        params: Params,
        method: PruningMethod,
        *,
        data_parallel: DataParallel,
        on_tokens: OnTokens,
    ) -> Statistics:
        """Does what ``collect_statistics`` does, bit for bit; for the first block only if it has not done so before."""
        if index > 0 or jax.process_count() > 1:
            return collect_statistics(sweep, index, params, method, data_parallel=data_parallel, on_tokens=on_tokens)
        key = (_tokens(sweep), sweep.model, sweep.mesh, sweep.dtype, method.statistic, method.languages, data_parallel)
        if self._key == key:
            on_tokens(sweep.num_tokens)
            return jax.tree.map(lambda sums: place(sums, statistic_sharding(sweep.mesh, sums.shape)), self._kept)
        # First, so that two are never held.
        self._key = self._kept = None
        statistics = collect_statistics(sweep, index, params, method, data_parallel=data_parallel, on_tokens=on_tokens)
        # A copy: an array of a CPU device is a view of memory that pruning gives back.
        self._kept = jax.tree.map(lambda sums: np.array(sums), statistics)
        self._key = key
        return statistics


def _tokens(sweep: Sweep) -> str:
    digest = hashlib.sha256()
    for batch in sweep.batches:
        digest.update(f"{batch.language} {batch.tokens_BT.shape}".encode())
        digest.update(np.ascontiguousarray(batch.tokens_BT).tobytes())
        digest.update(np.ascontiguousarray(batch.weights_B).tobytes())
    return digest.hexdigest()
