"""Statistics of a block's inputs, summed by every device over its own sequences and added up once at the end.

Shapes: B sequences of a microbatch, T tokens, D hidden size, S devices on the mesh's ``data`` axis.
"""

import functools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Int

from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.statistics import Statistic
from jaxprune.sharding import place, place_batch, replicate, statistic_sharding
from jaxprune.sweep import IN_FLIGHT, OnTokens, Sweep
from jaxprune.typing import Constants, Params

Statistics = dict[str, Any]
"""By the name of the activation that they summarise; every array with a leading axis S, one sum a device."""

DataParallel = Literal["shard_map", "pmap"]
"""What runs the function of one device on all of them."""


@runtime_checkable
class Collect(Protocol):
    """What gives the statistics of a block: ``collect_statistics``, or something that keeps what it gave."""

    def __call__(
        self,
        sweep: Sweep,
        index: int,
        params: Params,
        method: PruningMethod,
        *,
        data_parallel: DataParallel,
        on_tokens: OnTokens,
    ) -> Statistics:
        """Returns the statistics of the inputs of block ``index``'s linears."""
        ...


def check_data_parallel(name: str, mesh: Mesh) -> DataParallel:
    """Returns the way of that name.

    Raises:
      RequestError: it is unknown, or cannot serve this mesh.
    """
    if name not in get_args(DataParallel):
        raise RequestError(f"--data-parallel {name!r} is unknown; choose {' or '.join(get_args(DataParallel))}.")
    if name == "pmap" and (mesh.shape["model"] > 1 or jax.process_count() > 1):
        raise RequestError(
            f"--data-parallel pmap splits sequences only, within one process, and the mesh is "
            f"data={mesh.shape['data']},model={mesh.shape['model']} over {jax.process_count()} process(es); use "
            "--data-parallel shard_map."
        )
    return name  # pyright: ignore[reportReturnType]


def collect_on_device(
    model: CausalLM,
    params: Params,
    constants: Constants,
    statistics: Statistics,
    x_BTD: Float[Array, "B T D"],
    weights_B: Float[Array, " B"],
    group: Int[Array, ""],
) -> tuple[Statistics, Float32[Array, ""]]:
    """Adds one device's sequences of a microbatch to its statistics of every activation that a linear reads.

    Returns also how many sequences they were: something small to wait for.
    """
    _, activations = model.block(params, constants, x_BTD)
    statistics = {name: statistic.update(activations[name], weights_B, group) for name, statistic in statistics.items()}
    return statistics, jnp.sum(weights_B)


@functools.partial(jax.jit, static_argnames=("model", "mesh"), donate_argnames=("statistics",))
def collect(
    model: CausalLM,
    mesh: Mesh,
    params: Params,
    constants: Constants,
    statistics: Statistics,
    x_BTD: Float[Array, "B T D"],
    weights_B: Float[Array, " B"],
    group: Int[Array, ""],
) -> tuple[Statistics, Float32[Array, " S"]]:
    """Runs ``collect_on_device`` on every device along ``data``; the compiler splits each one's work over ``model``."""

    def on_device(params: Params, constants: Constants, statistics: Statistics, *batch: Array) -> Any:
        statistics = jax.tree.map(lambda sums: sums[0], statistics)
        result = collect_on_device(model, params, constants, statistics, *batch)
        return jax.tree.map(lambda sums: sums[None], result)

    split, whole = PartitionSpec("data"), PartitionSpec()
    statistics, counted_S = jax.shard_map(
        on_device,
        mesh=mesh,
        axis_names={"data"},
        in_specs=(whole, whole, split, split, split, whole),
        out_specs=(split, split),
    )(params, constants, statistics, x_BTD, weights_B, group)
    shardings = jax.tree.map(lambda sums: statistic_sharding(mesh, sums.shape), statistics)
    return jax.lax.with_sharding_constraint(statistics, shardings), counted_S


@functools.lru_cache(maxsize=8)
def _collect_pmapped(model: CausalLM, mesh: Mesh) -> Callable[..., tuple[Statistics, Array]]:
    return jax.pmap(
        functools.partial(collect_on_device, model),
        in_axes=(None, None, 0, 0, 0, None),  # pyright: ignore[reportArgumentType]
        donate_argnums=(2,),
        devices=list(mesh.devices.flat),
    )


def collect_statistics(
    sweep: Sweep,
    index: int,
    params: Params,
    method: PruningMethod,
    *,
    data_parallel: DataParallel,
    on_tokens: OnTokens,
) -> Statistics:
    """Runs every microbatch through block ``index`` and returns the statistics of its linears' inputs.

    Args:
      params: the block's weights, on the mesh.
    """
    model, mesh = sweep.model, sweep.mesh
    group_of = groups_of(sweep, method)
    statistics = abstract_statistics(model, method, max(group_of.values()) + 1, mesh)
    statistics = jax.tree.map(lambda sums: _zeros(sums.shape, sums.dtype, sums.sharding), statistics)
    constants = replicate(mesh, dict(model.constants(index)))
    groups = {language: replicate(mesh, np.int32(group)) for language, group in group_of.items()}
    in_flight: deque[Array] = deque()
    for batch, x_BTD in sweep.states():
        weights_B, group = place_batch(mesh, batch.weights_B), groups[batch.language]
        if data_parallel == "pmap":
            size = mesh.shape["data"]
            x_BTD, weights_B = (array.reshape(size, -1, *array.shape[1:]) for array in (x_BTD, weights_B))
            statistics, counted_S = _collect_pmapped(model, mesh)(
                params, constants, statistics, x_BTD, weights_B, group
            )
        else:
            statistics, counted_S = collect(model, mesh, params, constants, statistics, x_BTD, weights_B, group)
        # Without waiting, the queue would hold every microbatch's hidden states on the device at once.
        in_flight.append(counted_S)
        if len(in_flight) == IN_FLIGHT:
            jax.block_until_ready(in_flight.popleft())
        on_tokens(batch.num_tokens)
    # pmap has a mesh of its own.
    statistics = jax.tree.map(lambda sums: place(sums, statistic_sharding(mesh, sums.shape)), statistics)
    return jax.block_until_ready(statistics)


def groups_of(sweep: Sweep, method: PruningMethod) -> dict[str, int]:
    """Returns for each language the group whose statistics are kept apart."""
    languages = tuple(dict.fromkeys(batch.language for batch in sweep.batches))
    return dict(zip(languages, method.languages.group_of(languages), strict=True))


def abstract_statistics(model: CausalLM, method: PruningMethod, num_groups: int, mesh: Mesh) -> Statistics:
    """Returns the shapes, dtypes and shardings of a block's statistics."""
    assert method.statistic is not None
    tensors = model.tensors(block_section(0))
    widths = {name: tensors[f"{linear}/kernel"].shape[1] for linear, name in model.family.reads.items()}

    def on_mesh(sums: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        shape = (mesh.shape["data"], *sums.shape)
        return jax.ShapeDtypeStruct(shape, sums.dtype, sharding=statistic_sharding(mesh, shape))

    zeros: Callable[[int, int], Statistic] = method.statistic.zeros
    empty: Mapping[str, Any] = {
        name: jax.eval_shape(functools.partial(zeros, width, num_groups)) for name, width in widths.items()
    }
    return jax.tree.map(on_mesh, dict(empty))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _zeros(shape: tuple[int, ...], dtype: Any, sharding: NamedSharding) -> Array:
    return jax.lax.with_sharding_constraint(jnp.zeros(shape, dtype), sharding)
