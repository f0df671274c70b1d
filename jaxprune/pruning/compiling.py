"""Compiles the pruning of every shape of kernel while the first block's statistics are collected."""

import os
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from jaxprune.models.causal_lm import CausalLM
from jaxprune.pruning.collecting import abstract_statistics
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.pruning.solving import prepare, prune
from jaxprune.sharding import solve_sharding

_MOST_AT_ONCE = 4

# What this process has compiled: to ask for it again would not find it, but compile it again.
_done: set[Hashable] = set()


class CompiledAhead:
    """Compilations that have begun, one a shape of kernel; what they give, JAX itself keeps for who calls ``prune``."""

    def __init__(
        self,
        model: CausalLM,
        params: Mapping[str, Array],
        method: PruningMethod,
        pattern: Pattern,
        mesh: Mesh,
        *,
        num_groups: int,
    ):
        """Begins.

        Args:
          params: of a block, of which no more than shapes and dtypes are looked at.
          num_groups: of languages whose statistics are kept apart.
        """
        statistics = {} if method.statistic is None else abstract_statistics(model, method, num_groups, mesh)
        self._threads = ThreadPoolExecutor(max(1, min(_MOST_AT_ONCE, (os.cpu_count() or 1) // 2)), "compile")
        self._running: dict[tuple[int, ...], Future[None]] = {}
        for linear, activation in model.family.reads.items():
            kernel = params[f"{linear}/kernel"]
            key = method, pattern, mesh, kernel.shape, kernel.dtype, num_groups
            if key not in _done:
                _done.add(key)
                step = _compilation(method, pattern, mesh, kernel, statistics.get(activation))
                self._running[kernel.shape] = self._threads.submit(step)
        self._threads.shutdown(wait=False)

    def wait(self, shape: tuple[int, ...]) -> None:
        """Waits for the compilation of that shape; what went wrong there, its use will tell."""
        if shape in self._running:
            self._running.pop(shape).exception()


def _compilation(
    method: PruningMethod, pattern: Pattern, mesh: Mesh, kernel: Array, statistic: Any
) -> Callable[[], None]:
    prepared = jax.eval_shape(lambda sums: prepare(method, mesh, sums)[0], statistic)
    whole = NamedSharding(mesh, PartitionSpec())

    def on_mesh(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    kernel_IO = on_mesh(kernel, solve_sharding(mesh, kernel.shape))
    prepared = jax.tree.map(lambda leaf: on_mesh(leaf, whole), prepared)

    def compile() -> None:
        prune.lower(method, pattern, mesh, kernel_IO, prepared).compile()

    return compile
