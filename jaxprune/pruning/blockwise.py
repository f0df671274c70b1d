"""Prunes a model block by block, each block calibrated on what its pruned predecessors make of the text.

For every block: collect the statistics of the inputs of its linears, prune them, and recompute the block's output with
the pruned weights. The weights of one block, its statistics, a few microbatches of activations, and the weights of the
next block, which are read meanwhile, are all that is on the device.
"""

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from jaxprune.models.causal_lm import CausalLM
from jaxprune.pruning.collecting import Collect, DataParallel, Statistics, collect_statistics, groups_of
from jaxprune.pruning.compiling import CompiledAhead
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.pruning.solving import solve_block
from jaxprune.sharding import param_sharding, place
from jaxprune.sweep import ReadSection, Sweep, read_ahead


@dataclasses.dataclass(frozen=True)
class PrunedBlock:
    """One block, done; its arrays are on the mesh.

    Attributes:
      index: which block.
      params: all its parameters, in the dtype they were read in.
      masks: for each pruned linear ``[d_in, d_out]``, True keeps.
      num_kept: for each pruned linear how many weights that are.
      diagnostics: for each pruned linear what its method reports (damping used, dead inputs ...).
    """

    index: int
    params: dict[str, jax.Array]
    masks: dict[str, jax.Array]
    num_kept: dict[str, int]
    diagnostics: dict[str, dict[str, float | int | bool]]


@dataclasses.dataclass
class Progress:
    """What the loop tells while it works; the library itself prints nothing.

    Attributes:
      on_phase: called with the block's index and ``read``, ``collect``, ``solve`` or ``propagate``.
      on_tokens: called with the number of tokens just computed; of a method that needs no text with 1 a block.
      seconds: wall time by phase, added up.
    """

    on_phase: Callable[[int, str], None] = lambda index, phase: None
    on_tokens: Callable[[int], None] = lambda tokens: None
    seconds: dict[str, float] = dataclasses.field(default_factory=lambda: defaultdict(float))

    @contextlib.contextmanager
    def phase(self, index: int, name: str) -> Iterator[None]:
        """Announces a phase and times it."""
        self.on_phase(index, name)
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


def prune_blocks(
    read: ReadSection,
    sweep: Sweep | None,
    model: CausalLM,
    method: PruningMethod,
    pattern: Pattern,
    *,
    mesh: Mesh,
    progress: Progress,
    first: int = 0,
    data_parallel: DataParallel = "shard_map",
    collect: Collect = collect_statistics,
) -> Iterator[PrunedBlock]:
    """Yields the blocks from ``first`` on, pruned.

    Args:
      read: gives a section's dense weights, in the dtype in which the result is to be kept.
      sweep: the calibration sequences with the hidden states that enter block ``first``; None for a method that needs
        none.
      data_parallel: what runs the scoring of one device on all of them.
      collect: what gives the statistics.

    Raises:
      RequestError: activations that are not finite, or a statistic that cannot be factorised.
    """
    blocks = read_ahead(read, range(first, model.num_blocks), mesh=mesh)
    ahead: CompiledAhead | None = None
    for index in range(first, model.num_blocks):
        with progress.phase(index, "read"):
            _, params = next(blocks)
        # Several processes would have to compile in the same order.
        if index == first and jax.process_count() == 1:
            num_groups = 1 if sweep is None else max(groups_of(sweep, method).values()) + 1
            ahead = CompiledAhead(model, params, method, pattern, mesh, num_groups=num_groups)
        statistics: Statistics = {}
        if method.statistic is not None:
            assert sweep is not None, f"{method} needs calibration"
            with progress.phase(index, "collect"):
                statistics = collect(
                    sweep, index, params, method, data_parallel=data_parallel, on_tokens=progress.on_tokens
                )
        with progress.phase(index, "solve"):
            dtype = np.dtype(np.float32) if sweep is None else sweep.dtype
            solved = solve_block(
                model,
                index,
                params,
                statistics,
                method,
                pattern,
                mesh=mesh,
                compute_dtype=dtype,
                wait=(lambda shape: None) if ahead is None else ahead.wait,
            )
            for linear, result in solved.items():
                path = f"{linear}/kernel"
                params[path] = place(result.kernel, param_sharding(mesh, path, result.kernel.shape))
        if sweep is None:
            progress.on_tokens(1)
        elif index + 1 < model.num_blocks:
            with progress.phase(index, "propagate"):
                sweep.advance(index, params, progress.on_tokens)
        yield PrunedBlock(
            index,
            params | {f"{linear}/kernel": result.kernel for linear, result in solved.items()},
            {linear: result.mask for linear, result in solved.items()},
            {linear: result.num_kept for linear, result in solved.items()},
            {linear: result.diagnostics for linear, result in solved.items()},
        )
        # Off the devices before the next block is scored.
        del params, solved, result
