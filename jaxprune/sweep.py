"""Sequences on their way through a model of which one block at a time is in memory.

Shapes: B sequences in a microbatch, T tokens, D hidden size, S devices on the mesh's ``data`` axis.
"""

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from jaxprune.distributed import together
from jaxprune.errors import RequestError
from jaxprune.mesh_states import MeshStates
from jaxprune.microbatches import Microbatch
from jaxprune.models.causal_lm import EMBED, CausalLM, block_section
from jaxprune.sharding import batch_sharding, place_batch, place_param, place_params, replicate
from jaxprune.typing import Activations, Constants, Params

# Microbatches on the device at a time: while one is computed, the one before it leaves and the next one comes.
IN_FLIGHT = 2

ReadSection = Callable[[str], Params]
"""Gives the weights of a section, from a checkpoint or from memory."""

OnTokens = Callable[[int], None]
"""Told how many tokens have been computed since the last call."""


@functools.partial(jax.jit, static_argnames=("model", "dtype", "mesh"))
def embed(
    model: CausalLM, mesh: Mesh, params: Params, tokens_BT: Int[Array, "B T"], dtype: Any
) -> Float[Array, "B T D"]:
    """Returns the hidden states that enter the first block."""
    return jax.lax.with_sharding_constraint(model.embed(params, tokens_BT, dtype), batch_sharding(mesh))


Observe = Callable[[CausalLM, Params, Activations], Any]
"""Makes of a block's activations something for each sequence: arrays with a leading axis of B. Compiled with the block,
so it has to be a function of a module, and not made anew for each call."""


def observe_nothing(model: CausalLM, params: Params, activations: Activations) -> tuple[()]:
    """Returns nothing."""
    return ()


@functools.partial(jax.jit, static_argnames=("model", "mesh", "observe"), donate_argnames=("finite_S", "x_BTD"))
def advance(
    model: CausalLM,
    mesh: Mesh,
    params: Params,
    constants: Constants,
    finite_S: Bool[Array, " S"],
    x_BTD: Float[Array, "B T D"],
    observe: Observe = observe_nothing,
) -> tuple[Bool[Array, " S"], Float[Array, "B T D"], Any]:
    """Returns for each device whether all it has computed is finite, a block's output, and what is observed of it."""

    def on_device(params: Params, constants: Constants, finite_S: Array, x_BTD: Array) -> tuple[Array, Array, Any]:
        y_BTD, activations = model.block(params, constants, x_BTD)
        return finite_S & jnp.isfinite(y_BTD).all(), y_BTD, observe(model, params, activations)

    split, whole = PartitionSpec("data"), PartitionSpec()
    finite_S, y_BTD, observed = jax.shard_map(
        on_device,
        mesh=mesh,
        axis_names={"data"},
        in_specs=(whole, whole, split, split),
        out_specs=(split, split, split),
    )(params, constants, finite_S, x_BTD)
    return finite_S, jax.lax.with_sharding_constraint(y_BTD, batch_sharding(mesh)), observed


def what_to_do(dtype: Any) -> str:
    """Returns the first advice against numbers that are not finite: a wider dtype, where there is one."""
    wider = "compute in float32 (--compute-dtype float32), and if they stay, "
    return "" if dtype == jnp.float32 else wider


class Sweep:
    """The hidden states of a list of microbatches, kept in host memory, in a file or on the devices between blocks."""

    def __init__(
        self,
        model: CausalLM,
        batches: Sequence[Microbatch],
        *,
        mesh: Mesh,
        dtype: Any,
        host_bytes: int | None = None,
        device_bytes: int = 0,
    ):
        """Starts before the embedding.

        Args:
          dtype: of the hidden states and of all computation on them.
          host_bytes: hidden states that may lie in this process's memory; None: half of what the machine has.
          device_bytes: hidden states that may stay in each device's memory, if all of them find room there.

        Raises:
          RequestError: they do not fit the disk either.
        """
        self.model = model
        self.batches = batches
        self.mesh = mesh
        self.dtype = jnp.dtype(dtype)
        num_rows, length = batches[0].tokens_BT.shape
        shape = (num_rows, length, model.config.hidden_size)
        self._hidden = MeshStates(
            mesh, len(batches), shape, self.dtype, limit_bytes=host_bytes, device_bytes=device_bytes
        )

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences, fillers left out."""
        return sum(batch.num_tokens for batch in self.batches)

    def embed(self, read: ReadSection) -> None:
        """Computes the hidden states that enter the first block."""
        with together():
            params = place_params(self.mesh, read(EMBED))
        for i, batch in enumerate(self.batches):
            tokens_BT = place_batch(self.mesh, batch.tokens_BT)
            self._hidden.take(i, embed(self.model, self.mesh, params, tokens_BT, self.dtype))()

    def states(self) -> Iterator[tuple[Microbatch, Float[Array, "B T D"]]]:
        """Yields each microbatch with its hidden states, on the mesh."""
        for i, batch in enumerate(self.batches):
            yield batch, self._hidden.give(i)

    def advance(
        self,
        index: int,
        params: Params,
        on_tokens: OnTokens,
        *,
        observe: Observe = observe_nothing,
        on_observed: Callable[[Microbatch, Any], None] = lambda batch, observed: None,
    ) -> None:
        """Replaces the hidden states by what block ``index`` with ``params`` (on the mesh) makes of them.

        Args:
          observe: looks at the block's activations.
          on_observed: given each microbatch and what was observed of it, on the mesh.

        Raises:
          RequestError: the block's output is not finite.
        """
        constants = replicate(self.mesh, dict(self.model.constants(index)))
        finite_S = place_batch(self.mesh, np.ones(self.mesh.shape["data"], bool))
        in_flight: deque[tuple[int, Callable[[], None], Any]] = deque()

        def fetch() -> None:
            i, wait, observed = in_flight.popleft()
            wait()
            on_observed(self.batches[i], observed)
            on_tokens(self.batches[i].num_tokens)

        for i, (_, x_BTD) in enumerate(self.states()):
            finite_S, y_BTD, observed = advance(self.model, self.mesh, params, constants, finite_S, x_BTD, observe)
            in_flight.append((i, self._hidden.take(i, y_BTD), observed))
            del y_BTD
            if len(in_flight) == IN_FLIGHT:
                fetch()
        while in_flight:
            fetch()
        if not bool(jnp.all(finite_S)):
            raise RequestError(
                f"the output of {block_section(index)} holds NaN or infinite activations in {self.dtype}; "
                f"{what_to_do(self.dtype)}check the checkpoint."
            )

    def run_all(self, read: ReadSection, on_tokens: OnTokens) -> None:
        """Embeds and goes through every block."""
        self.embed(read)
        for index, params in read_ahead(read, range(self.model.num_blocks), mesh=self.mesh):
            self.advance(index, params, on_tokens)


def read_ahead(read: ReadSection, indices: Sequence[int], *, mesh: Mesh) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yields blocks with their weights on the mesh; the next one is read while the caller works on this one."""
    with ThreadPoolExecutor(1, "read-ahead") as thread, ThreadPoolExecutor(_readers(), "read-parameter") as readers:

        def load(index: int) -> dict[str, Array]:
            params = read(block_section(index))
            return dict(
                zip(params, readers.map(lambda path: place_param(mesh, path, params[path]), params), strict=True)
            )

        coming = [thread.submit(load, index) for index in indices[:1]]
        for position, index in enumerate(indices):
            with together():
                params = coming.pop().result()
            coming = [thread.submit(load, following) for following in indices[position + 1 : position + 2]]
            yield index, params
            del params


def _readers() -> int:
    """Returns how many parameters are read at once: turning one round for the device takes a core."""
    return max(1, min(4, (os.cpu_count() or 1) // 4))
