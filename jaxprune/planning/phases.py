"""Compiles every step of a prune for given devices and says what each takes of one of them.

The programs are those that run (``sweep``, ``pruning.collecting``, ``pruning.solving``), lowered from shapes alone.

Shapes: B sequences of a microbatch on all devices, T tokens, D hidden size, S devices on ``data``.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxprune.mesh_states import bytes_on_device
from jaxprune.models.causal_lm import EMBED, CausalLM, block_section
from jaxprune.planning.program import Costs, program_costs
from jaxprune.planning.source import Source
from jaxprune.planning.topologies import Chip, compile_anew
from jaxprune.pruning.collecting import abstract_statistics, collect
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.pruning.solving import prepare, prune
from jaxprune.sharding import batch_sharding, param_sharding, solve_sharding
from jaxprune.sweep import IN_FLIGHT, advance, embed

Report = Callable[[str], None]
"""Told what is about to be compiled."""


class Work(NamedTuple):
    """What is to be pruned, on what.

    Attributes:
      source: the model, as it is stored.
      dtype: in which the weights are kept and written; None: as they are stored.
      num_groups: of languages whose statistics are kept apart.
      num_passes: microbatches.
      num_rows: B.
      length: T.
      compute_dtype: of the forward passes.
      device_bytes: hidden states that may stay in each device's memory.
    """

    source: Source
    dtype: np.dtype | None
    method: PruningMethod
    pattern: Pattern
    mesh: Mesh
    num_groups: int
    num_passes: int
    num_rows: int
    length: int
    compute_dtype: np.dtype
    device_bytes: int = 0

    @property
    def states_on_device(self) -> int:
        """Bytes of hidden states that stay on each device between blocks: all of them, or none."""
        if self.method.statistic is None:
            return 0
        shape = (self.num_rows, self.length, self.model.config.hidden_size)
        size = bytes_on_device(self.mesh, self.num_passes, shape, np.dtype(self.compute_dtype))
        return size if size <= self.device_bytes else 0

    @property
    def model(self) -> CausalLM:
        """What is pruned."""
        return self.source.model

    @property
    def kept(self) -> Source:
        """The model with its weights as they are kept."""
        return self.source.with_dtype(self.dtype)


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the loop over blocks, on one device.

    Attributes:
      peak_bytes: memory while it runs, with all else that is there meanwhile.
      costs: of the whole prune.
      lower_bound: seconds of the whole prune that the chip needs at least; None where its rates are not known.
      bound_by: ``products``, ``memory`` or ``links``: what takes so long.
      programs: how many different ones were compiled.
      overflow: what the compiler said if it found no room.
    """

    peak_bytes: int
    costs: Costs
    lower_bound: float | None
    bound_by: str | None
    programs: int
    overflow: str | None = None


class _Program(NamedTuple):
    peak_bytes: int
    costs: Costs
    overflow: str | None


def plan_phases(work: Work, chip: Chip | None, report: Report) -> dict[str, Phase]:
    """Returns the phases ``embed``, ``collect``, ``prepare``, ``solve`` and ``propagate``, those that there are."""
    return _Planner(work, chip, report).phases()


class _Planner:
    def __init__(self, work: Work, chip: Chip | None, report: Report):
        self._work, self._chip, self._report = work, chip, report
        self._programs: dict[Any, _Program] = {}
        self._params = _weights(work, block_section(0))
        self._block_bytes = _bytes(self._params.values())
        self._batch_bytes = _bytes([self._states()])
        self._solved_bytes = _bytes(self._kernels().values()) + _bytes(self._kernels(jnp.bool_).values())

    def phases(self) -> dict[str, Phase]:
        work, blocks = self._work, self._work.model.num_blocks
        if work.method.statistic is None:
            return self._solving()
        # Read ahead is the block after this one. Waiting are all microbatches but the one that is computed where they
        # stay; else, of those that come and of those that go, one more than is computed.
        ahead, staying = self._block_bytes, work.states_on_device
        coming = going = (IN_FLIGHT - 1) * self._batch_bytes
        if staying:
            coming, going = staying - self._batch_bytes, 0
        return {
            "embed": self._phase([(self._embed(), coming)], work.num_passes),
            "collect": self._phase([(self._collect(), ahead + coming)], work.num_passes * blocks),
            **self._solving(),
            "propagate": self._phase(
                [(self._advance(), ahead + self._solved_bytes + coming + going)], work.num_passes * (blocks - 1)
            ),
        }

    def _solving(self) -> dict[str, Phase]:
        work, blocks = self._work, self._work.model.num_blocks
        statistics = {} if work.method.statistic is None else self._statistics()
        # This block, the next one, what is done of this one, and states that stay.
        beside = 2 * self._block_bytes + self._solved_bytes + work.states_on_device
        preparing, pruning = [], []
        for activation in dict.fromkeys(work.model.family.reads.values()):
            statistic = statistics.pop(activation, None)
            uncollected = beside + _bytes(jax.tree.leaves(statistics))
            if statistic is not None:
                arguments = (work.method, work.mesh, statistic)
                preparing.append(
                    (
                        self._compile(
                            f"prepare {activation}",
                            prepare,
                            arguments,
                            open_trips=_mean_trips(max(leaf.shape[-1] for leaf in jax.tree.leaves(statistic))),
                            apart=statistic,
                        ),
                        uncollected,
                    )
                )
            prepared = jax.eval_shape(lambda sums: prepare(work.method, work.mesh, sums)[0], statistic)
            for linear, name in work.model.family.reads.items():
                if name == activation:
                    pruning.append((self._prune(linear, _everywhere(work.mesh, prepared)), uncollected))
        phases = {"prepare": self._phase(preparing, blocks)} if preparing else {}
        return phases | {"solve": self._phase(pruning, blocks)}

    def _embed(self) -> _Program:
        work = self._work
        tokens_BT = self._struct((work.num_rows, work.length), jnp.int32, batch_sharding(work.mesh))
        params = _weights(work, EMBED)
        return self._compile("embed", embed, (work.model, work.mesh, params, tokens_BT, work.compute_dtype))

    def _collect(self) -> _Program:
        work = self._work
        weights_B = self._struct((work.num_rows,), jnp.float32, batch_sharding(work.mesh))
        group = self._struct((), jnp.int32, NamedSharding(work.mesh, PartitionSpec()))
        arguments = (
            *(work.model, work.mesh, self._params, self._constants(), self._statistics()),
            *(self._states(), weights_B, group),
        )
        return self._compile("collect", collect, arguments)

    def _advance(self) -> _Program:
        work = self._work
        finite_S = self._struct((work.mesh.shape["data"],), jnp.bool_, batch_sharding(work.mesh))
        arguments = (work.model, work.mesh, self._params, self._constants(), finite_S, self._states())
        return self._compile("propagate", advance, arguments)

    def _prune(self, linear: str, prepared: Any) -> _Program:
        work = self._work
        kernel_IO = self._kernels()[linear]
        arguments = (work.method, work.pattern, work.mesh, kernel_IO, prepared)
        return self._compile(
            f"prune {linear}", prune, arguments, open_trips=_mean_trips(kernel_IO.shape[0]), apart=(kernel_IO, prepared)
        )

    def _compile(
        self, name: str, step: Any, arguments: tuple[Any, ...], *, open_trips: float = 1.0, apart: Any = None
    ) -> _Program:
        """Compiles a step, once for each set of shapes."""
        shapes = tuple((leaf.shape, leaf.dtype, leaf.sharding) for leaf in jax.tree.leaves(apart))
        key = (step, shapes)
        if key not in self._programs:
            self._report(name)
            self._programs[key] = _compiled(step, arguments, open_trips)
        return self._programs[key]

    def _phase(self, programs: list[tuple[_Program, int]], times: int) -> Phase:
        """Returns what programs, each run so many times beside so many bytes of other things, come to."""
        costs = sum((program.costs for program, _ in programs), Costs()) * times
        seconds, bound_by = _lower_bound(costs, self._chip)
        return Phase(
            max(program.peak_bytes + beside for program, beside in programs),
            costs,
            seconds,
            bound_by,
            len({id(program) for program, _ in programs}),
            next((program.overflow for program, _ in programs if program.overflow), None),
        )

    def _states(self) -> jax.ShapeDtypeStruct:
        work = self._work
        shape = (work.num_rows, work.length, work.model.config.hidden_size)
        return self._struct(shape, work.compute_dtype, batch_sharding(work.mesh))

    def _constants(self) -> dict[str, jax.ShapeDtypeStruct]:
        everywhere = NamedSharding(self._work.mesh, PartitionSpec())
        constants = {name: np.asarray(value) for name, value in self._work.model.constants(0).items()}
        return {name: self._struct(value.shape, value.dtype, everywhere) for name, value in constants.items()}

    def _statistics(self) -> dict[str, Any]:
        work = self._work
        return abstract_statistics(work.model, work.method, work.num_groups, work.mesh)

    def _kernels(self, dtype: Any = None) -> dict[str, jax.ShapeDtypeStruct]:
        found = {}
        for linear in self._work.model.family.reads:
            shape = self._params[f"{linear}/kernel"].shape
            kept = self._params[f"{linear}/kernel"].dtype
            found[linear] = self._struct(shape, dtype or kept, solve_sharding(self._work.mesh, shape))
        return found

    @staticmethod
    def _struct(shape: tuple[int, ...], dtype: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def _mean_trips(width: int) -> float:
    """Returns how often the loops over what is done already run: of chunks of 512 inputs, on average half."""
    return (-(-width // 512) + 1) / 2


def _weights(work: Work, section: str) -> dict[str, jax.ShapeDtypeStruct]:
    found = {}
    dtypes = work.kept.dtypes(section)
    for path, tensor in work.model.tensors(section).items():
        shape = tensor.shape[::-1] if tensor.is_kernel else tensor.shape
        found[path] = jax.ShapeDtypeStruct(shape, dtypes[path], sharding=param_sharding(work.mesh, path, shape))
    return found


def _everywhere(mesh: Mesh, tree: Any) -> Any:
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def _bytes(structs: Iterable[Any]) -> int:
    """Returns what one device holds of these."""
    return sum(
        int(np.prod(struct.sharding.shard_shape(struct.shape))) * np.dtype(struct.dtype).itemsize for struct in structs
    )


def _compiled(step: Any, arguments: tuple[Any, ...], open_trips: float) -> _Program:
    lowered = step.lower(*arguments)
    try:
        compiled = compile_anew(lowered)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        message = str(error).splitlines()[0].partition("RESOURCE_EXHAUSTED: ")[2]
        return _Program(_needed(str(error)), Costs(), message)
    memory = compiled.memory_analysis()
    own = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    peak = max(own + memory.temp_size_in_bytes, getattr(memory, "peak_memory_in_bytes", 0))
    return _Program(peak, program_costs(compiled.as_text(), open_trips=open_trips), None)


def _needed(message: str) -> int:
    """Returns the bytes that a program that does not fit would take, as the compiler says."""
    found = re.search(r"(?:[Uu]sed|temporaries \(|would need) ?\(?([\d.]+)([KMGT])", message)
    if found is None:
        return 0
    return int(float(found[1]) * {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[found[2]])


def _lower_bound(costs: Costs, chip: Chip | None) -> tuple[float | None, str | None]:
    if chip is None:
        return None, None
    seconds: Mapping[str, float] = {
        "products": (costs.flops + chip.passes * costs.wide_flops) / chip.flops,
        "memory": costs.bytes / chip.memory_rate,
        "links": costs.link_bytes / chip.link_rate,
    }
    slowest = max(seconds, key=seconds.__getitem__)
    return seconds[slowest], slowest
