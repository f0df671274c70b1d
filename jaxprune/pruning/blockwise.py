"""Prunes a model block by block, each block calibrated on what its pruned predecessors make of the text.

For every block: collect the statistics of the inputs of its linears, prune them, and recompute the block's output with
the pruned weights. The weights of one block, its statistics and one microbatch of activations are all that is on the
device.
"""

import contextlib
import dataclasses
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.pruning.method import PrunedKernel, PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.pruning.statistics import Statistic
from jaxprune.sharding import place_params, replicate
from jaxprune.sweep import ReadSection, Sweep
from jaxprune.typing import Constants, Params

Statistics = dict[str, Statistic]
"""By the name of the activation that they summarise."""


@dataclasses.dataclass(frozen=True)
class PrunedBlock:
    """One block, done.

    Attributes:
      index: which block.
      params: all its parameters, in the dtype they were read in.
      masks: for each pruned linear ``[d_in, d_out]``, True keeps.
      diagnostics: for each pruned linear what its method reports (damping used, dead inputs ...).
    """

    index: int
    params: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    diagnostics: dict[str, dict[str, float | int | bool]]


@dataclasses.dataclass
class Progress:
    """What the loop tells while it works; the library itself prints nothing.

    Attributes:
      on_phase: called with the block's index and ``collect``, ``solve`` or ``propagate``.
      on_tokens: called with the number of tokens just computed.
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


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("statistics",))
def _collect(
    model: CausalLM,
    params: Params,
    constants: Constants,
    statistics: Mapping[str, Any],
    x_BTD: Float[Array, "B T D"],
    weights_B: Float[Array, " B"],
    group: Int[Array, ""],
) -> dict[str, Any]:
    """Adds a microbatch to the statistics of every activation that a linear reads."""
    _, activations = model.block(params, constants, x_BTD)
    return {name: statistic.update(activations[name], weights_B, group) for name, statistic in statistics.items()}


@functools.partial(jax.jit, static_argnames=("method",))
def _prepare(method: PruningMethod, statistic: Any) -> tuple[Any, Bool[Array, ""]]:
    """Does what the linears that read one activation share; also returns whether its statistic is finite."""
    leaves = [leaf for leaf in jax.tree.leaves(statistic) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    finite = jnp.all(jnp.asarray([jnp.isfinite(leaf).all() for leaf in leaves])) if leaves else jnp.asarray(True)
    return method.prepare(statistic), finite


@functools.partial(jax.jit, static_argnames=("method", "pattern"))
def _prune(
    method: PruningMethod, pattern: Pattern, kernel_IO: Float[Array, "d_in d_out"], prepared: Any
) -> tuple[PrunedKernel, Bool[Array, ""]]:
    """Prunes one kernel in float32 and returns it in its own dtype; also returns whether it is finite there."""
    result = method.prune(kernel_IO.astype(jnp.float32), prepared, pattern)
    kernel_IO = result.kernel.astype(kernel_IO.dtype)
    return result._replace(kernel=kernel_IO), jnp.isfinite(kernel_IO).all()


def prune_blocks(
    read: ReadSection,
    sweep: Sweep | None,
    model: CausalLM,
    method: PruningMethod,
    pattern: Pattern,
    *,
    mesh: jax.sharding.Mesh,
    progress: Progress,
    first: int = 0,
) -> Iterator[PrunedBlock]:
    """Yields the blocks from ``first`` on, pruned.

    Args:
      read: gives a section's dense weights, in the dtype in which the result is to be kept.
      sweep: the calibration sequences with the hidden states that enter block ``first``; None for a method that needs
        none.

    Raises:
      RequestError: activations that are not finite, or a statistic that cannot be factorised.
    """
    languages = tuple(dict.fromkeys(batch.language for batch in sweep.batches)) if sweep else ()
    for index in range(first, model.num_blocks):
        with progress.phase(index, "read"):
            params = place_params(mesh, read(block_section(index)))
        statistics: Statistics = {}
        if method.statistic is not None:
            assert sweep is not None, f"{method} needs calibration"
            with progress.phase(index, "collect"):
                statistics = _statistics(sweep, index, params, method, languages, progress)
        with progress.phase(index, "solve"):
            results = _solve_block(model, index, params, statistics, method, pattern)
            params = dict(params) | {f"{linear}/kernel": result.kernel for linear, result in results.items()}
            params = place_params(mesh, params)
            masks = {linear: np.asarray(result.mask) for linear, result in results.items()}
        if sweep is not None and index + 1 < model.num_blocks:
            with progress.phase(index, "propagate"):
                sweep.advance(index, params, progress.on_tokens)
        diagnostics = {
            linear: {name: _number(value) for name, value in result.diagnostics.items()}
            for linear, result in results.items()
        }
        yield PrunedBlock(index, {p: np.asarray(v) for p, v in params.items()}, masks, diagnostics)


def _statistics(
    sweep: Sweep,
    index: int,
    params: Params,
    method: PruningMethod,
    languages: tuple[str, ...],
    progress: Progress,
) -> Statistics:
    """Runs every microbatch through the block and returns the statistics of its linears' inputs."""
    assert method.statistic is not None
    model, mesh = sweep.model, sweep.mesh
    group_of = dict(zip(languages, method.languages.group_of(languages), strict=True))
    num_groups = max(group_of.values()) + 1
    tensors = model.tensors(block_section(index))
    widths = {name: tensors[f"{linear}/kernel"].shape[1] for linear, name in model.family.reads.items()}
    statistics: Any = replicate(
        mesh, {name: method.statistic.zeros(width, num_groups) for name, width in widths.items()}
    )
    constants = replicate(mesh, dict(model.constants(index)))
    for batch, x_BTD in sweep.states():
        group = replicate(mesh, np.int32(group_of[batch.language]))
        weights_B = replicate(mesh, batch.weights_B)
        statistics = _collect(model, params, constants, statistics, x_BTD, weights_B, group)
        # Without waiting, the queue would hold every microbatch's hidden states on the device at once.
        jax.block_until_ready(statistics)
        progress.on_tokens(batch.num_tokens)
    return statistics


def _solve_block(
    model: CausalLM,
    index: int,
    params: Params,
    statistics: Statistics,
    method: PruningMethod,
    pattern: Pattern,
) -> dict[str, PrunedKernel]:
    results: dict[str, PrunedKernel] = {}
    tensors = model.tensors(block_section(index))
    for activation in dict.fromkeys(model.family.reads.values()):
        linears = [linear for linear, name in model.family.reads.items() if name == activation]
        prepared, finite = _prepare(method, statistics.pop(activation, None))
        if not bool(finite):
            names = ", ".join(tensors[f"{linear}/kernel"].name for linear in linears)
            raise RequestError(
                f"the calibration activations that enter {names} are NaN or infinite; compute in float32 "
                "(--compute-dtype float32), and if they stay, check the checkpoint and the calibration text."
            )
        for linear in linears:
            kernel_IO = params[f"{linear}/kernel"]
            result, finite = _prune(method, pattern, kernel_IO, prepared)
            if not bool(result.diagnostics.get("factorised", True)):
                raise RequestError(
                    f"the input statistics of {tensors[f'{linear}/kernel'].name} cannot be factorised, even with "
                    f"damping {_number(result.diagnostics['damping'])} times their mean; calibrate on more text, or "
                    "choose --method wanda, which needs no factorisation."
                )
            if not bool(finite):
                raise RequestError(
                    f"the weights that {method.name} moves in {tensors[f'{linear}/kernel'].name} leave the range of "
                    f"{kernel_IO.dtype}; write them in another (--dtype bfloat16 or float32)."
                )
            results[linear] = result
    return results


def _number(value: Array) -> float | int | bool:
    """Returns a scalar as Python has it; a float32 as the shortest decimal it stands for: 0.1, not 0.10000000149."""
    scalar = np.asarray(value)[()]
    return float(str(scalar)) if isinstance(scalar, np.floating) else scalar.item()
