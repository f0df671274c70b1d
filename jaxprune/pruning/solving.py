"""Prunes the linears of one block, given the statistics of their inputs; outputs are independent, each device has some.

Shapes: S devices on the mesh's ``data`` axis.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int32

from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.pruning.method import PrunedKernel, PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.sharding import place, solve_sharding
from jaxprune.sweep import what_to_do
from jaxprune.typing import Params


@dataclasses.dataclass(frozen=True)
class SolvedKernel:
    """One pruned linear, on the mesh.

    Attributes:
      kernel: ``[d_in, d_out]``, in the dtype it had.
      mask: same shape; True keeps.
      num_kept: how many weights that are.
      diagnostics: what the method reports, as numbers.
    """

    kernel: jax.Array
    mask: jax.Array
    num_kept: int
    diagnostics: dict[str, float | int | bool]


@functools.partial(jax.jit, static_argnames=("method", "mesh"))
def prepare(method: PruningMethod, mesh: Mesh, statistic: Any) -> tuple[Any, Bool[Array, ""]]:
    """Adds up what the devices have summed, and does what the linears that read one activation share.

    Args:
      statistic: with a leading axis S; None for a method that needs none.

    Returns:
      What ``method.prepare`` does, on every device, and whether the statistic is finite.
    """
    statistic = jax.tree.map(lambda sums: jnp.sum(sums, axis=0, dtype=sums.dtype), statistic)
    # Here the devices talk, once a block and activation.
    whole = PartitionSpec()
    statistic = jax.lax.with_sharding_constraint(statistic, NamedSharding(mesh, whole))
    leaves = [leaf for leaf in jax.tree.leaves(statistic) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    finite = jnp.all(jnp.asarray([jnp.isfinite(leaf).all() for leaf in leaves])) if leaves else jnp.asarray(True)
    # On every device, which may share work out by hand. What they exchange is the same everywhere: not checked, since
    # no type says so.
    prepared = jax.shard_map(method.prepare, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False)(statistic)
    return prepared, finite


@functools.partial(jax.jit, static_argnames=("method", "pattern", "mesh"))
def prune(
    method: PruningMethod, pattern: Pattern, mesh: Mesh, kernel_IO: Float[Array, "d_in d_out"], prepared: Any
) -> tuple[PrunedKernel, Int32[Array, ""], Bool[Array, ""]]:
    """Prunes one kernel in float32 and returns it in its own dtype, how many weights it keeps, and if it is finite.

    Thresholds of scopes that span devices are exact: all that their search shares is a count, added up over devices.
    """
    by_outputs = solve_sharding(mesh, kernel_IO.shape)
    result = method.prune(kernel_IO.astype(jnp.float32), prepared, pattern)
    kernel_IO = jax.lax.with_sharding_constraint(result.kernel.astype(kernel_IO.dtype), by_outputs)
    mask_IO = jax.lax.with_sharding_constraint(result.mask, by_outputs)
    num_kept = jnp.sum(mask_IO, dtype=jnp.int32)
    return PrunedKernel(kernel_IO, mask_IO, result.diagnostics), num_kept, jnp.isfinite(kernel_IO).all()


def solve_block(
    model: CausalLM,
    index: int,
    params: Params,
    statistics: dict[str, Any],
    method: PruningMethod,
    pattern: Pattern,
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    wait: Callable[[tuple[int, ...]], None] = lambda shape: None,
) -> dict[str, SolvedKernel]:
    """Returns the linears of block ``index``, pruned.

    Args:
      statistics: by activation; those that have been used are taken out, to give their memory back.
      compute_dtype: in which the activations were computed.
      wait: called with the shape of a kernel before it is pruned.

    Raises:
      RequestError: a statistic is not finite or cannot be factorised, or a weight leaves the range of its dtype.
    """
    results: dict[str, SolvedKernel] = {}
    tensors = model.tensors(block_section(index))
    for activation in dict.fromkeys(model.family.reads.values()):
        linears = [linear for linear, name in model.family.reads.items() if name == activation]
        prepared, finite = prepare(method, mesh, statistics.pop(activation, None))
        if not bool(finite):
            names = ", ".join(tensors[f"{linear}/kernel"].name for linear in linears)
            raise RequestError(
                f"the calibration activations that enter {names} are NaN or infinite in {compute_dtype}; "
                f"{what_to_do(compute_dtype)}check the checkpoint and the calibration text."
            )
        for linear in linears:
            kernel_IO = params[f"{linear}/kernel"]
            kernel_IO = place(kernel_IO, solve_sharding(mesh, kernel_IO.shape))
            wait(kernel_IO.shape)
            result, num_kept, finite = prune(method, pattern, mesh, kernel_IO, prepared)
            diagnostics = {name: _number(value) for name, value in result.diagnostics.items()}
            _check(tensors[f"{linear}/kernel"].name, method, diagnostics, bool(finite), kernel_IO.dtype)
            results[linear] = SolvedKernel(result.kernel, result.mask, int(num_kept), diagnostics)
        del prepared
    return results


def _check(
    name: str, method: PruningMethod, diagnostics: Mapping[str, float | int | bool], finite: bool, dtype: np.dtype
) -> None:
    if not diagnostics.get("factorised", True):
        raise RequestError(
            f"the input statistics of {name} cannot be factorised, even with damping {diagnostics['damping']} times "
            "their mean; calibrate on more text, or choose --method wanda, which needs no factorisation."
        )
    if not finite:
        raise RequestError(
            f"the weights that {method.name} moves in {name} leave the range of {dtype}; write them in another "
            "(--dtype bfloat16 or float32)."
        )


def _number(value: Array) -> float | int | bool:
    """Returns a scalar as Python has it; a float32 as the shortest decimal it stands for: 0.1, not 0.10000000149."""
    scalar = np.asarray(value)[()]
    return float(str(scalar)) if isinstance(scalar, np.floating) else scalar.item()
