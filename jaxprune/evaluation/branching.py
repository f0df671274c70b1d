"""Trees on their way through a model of which one block at a time is in memory.

Shapes: N tokens of a batch (all trunks, then all branches), B trunks, T tokens of a trunk, R branches, C tokens of a
branch, P hidden states that are unembedded together, Q tokens predicted from them, V vocabulary, D hidden size.
"""

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from jaxprune.errors import RequestError
from jaxprune.evaluation.likelihood import label_log_likelihoods, words_at_a_time
from jaxprune.evaluation.packing import Batch, Chunk, Shape
from jaxprune.mesh_states import MeshStates
from jaxprune.models.cache import Cache
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.sharding import batch_sharding, place_batch, replicate
from jaxprune.sweep import IN_FLIGHT, OnTokens, what_to_do
from jaxprune.typing import Constants, Params

OnScores = Callable[[Chunk, Float[np.ndarray, " Q"], Bool[np.ndarray, " Q"]], None]
"""Told for each token of a chunk its log-likelihood in nats, and whether it is the likeliest."""


class Bucket:
    """The hidden states of the batches of one shape, on the host between two blocks."""

    def __init__(self, model: CausalLM, shape: Shape, batches: list[Batch], *, mesh: Mesh, dtype: np.dtype):
        """Starts before the embedding.

        Args:
          shape: of every batch, on one device.
          batches: one at least.
          dtype: of the hidden states and of all computation on them.
        """
        self.batches = batches
        self._model, self._shape, self._mesh, self._dtype = model, shape, mesh, dtype

    def embed(self, params: Params, *, limit_bytes: int) -> int:
        """Computes what enters the first block; returns the bytes taken of those that may lie in memory."""
        shape = (len(self.batches[0].tokens), self._model.config.hidden_size)
        self._hidden = MeshStates(self._mesh, len(self.batches), shape, self._dtype, limit_bytes=max(limit_bytes, 0))
        for i, batch in enumerate(self.batches):
            tokens_N = place_batch(self._mesh, batch.tokens)
            self._hidden.take(i, _embed(self._model, self._mesh, params, tokens_N, self._dtype))()
        return self._hidden.host_bytes

    def advance(self, index: int, params: Params, on_tokens: OnTokens) -> None:
        """Replaces the hidden states by what block ``index`` makes of them."""
        constants = replicate(self._mesh, dict(self._model.constants(index)))
        in_flight: deque[tuple[int, Array, Callable[[], None]]] = deque()

        def fetch() -> None:
            i, is_finite, wait = in_flight.popleft()
            self._check(i, np.asarray(is_finite), index)
            wait()
            on_tokens(self.batches[i].num_tokens)

        for i, batch in enumerate(self.batches):
            lengths_B, owners_R = place_batch(self._mesh, batch.lengths), place_batch(self._mesh, batch.owners)
            is_finite, y_ND = _advance(
                self._model, self._mesh, self._shape, params, constants, self._hidden.give(i), lengths_B, owners_R
            )
            in_flight.append((i, is_finite, self._hidden.take(i, y_ND)))
            del y_ND
            if len(in_flight) == IN_FLIGHT:
                fetch()
        while in_flight:
            fetch()

    def predict(self, params: Params, chunks: Sequence[Sequence[Chunk]], on_scores: OnScores) -> None:
        """Scores what is predicted from the last block's output.

        Args:
          params: of the head.
          chunks: for each batch.
        """
        for i, of_batch in enumerate(chunks):
            x_ND = self._hidden.give(i)
            for chunk in of_batch:
                sources_P, picked_Q, labels_Q = (
                    place_batch(self._mesh, array) for array in (chunk.sources, chunk.picked, chunk.labels)
                )
                x_PD = _pick(self._mesh, x_ND, sources_P)
                words = words_at_a_time(self._model, self._mesh)
                found = _predict(self._model, self._mesh, params, x_PD, picked_Q, labels_Q, words)
                on_scores(chunk, *map(np.asarray, found))

    def _check(self, i: int, is_finite: Bool[np.ndarray, " rows"], index: int) -> None:
        wrong = self.batches[i].rows[~is_finite]
        if (wrong >= 0).any():
            raise not_finite(int(wrong[wrong >= 0].min()), f"the output of {block_section(index)}", self._dtype)


def not_finite(question: int, what: str, dtype: np.dtype) -> RequestError:
    """Returns what to say of numbers that are none, of a question counted from 0."""
    return RequestError(
        f"question {question + 1}: {what} holds NaN or infinite values in {dtype}; {what_to_do(dtype)}check the "
        "checkpoint."
    )


def _spread(mesh: Mesh, array: Array) -> Array:
    """Gives every device all of an array."""
    return jax.lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec()))


@functools.partial(jax.jit, static_argnames=("model", "mesh", "dtype"))
def _embed(model: CausalLM, mesh: Mesh, params: Params, tokens_N: Int[Array, " N"], dtype: Any) -> Float[Array, "N D"]:
    # One token a sequence: before the first block, none looks at another.
    x_N1D = model.embed(params, tokens_N[:, None], dtype)
    return jax.lax.with_sharding_constraint(x_N1D[:, 0], batch_sharding(mesh))


@functools.partial(jax.jit, static_argnames=("model", "mesh", "shape"), donate_argnames=("x_ND",))
def _advance(
    model: CausalLM,
    mesh: Mesh,
    shape: Shape,
    params: Params,
    constants: Constants,
    x_ND: Float[Array, "N D"],
    lengths_B: Int[Array, " B"],
    owners_R: Int[Array, " R"],
) -> tuple[Bool[Array, " rows"], Float[Array, "N D"]]:
    """Returns for each row, trunks before branches on each device, whether a block's output is finite, and that."""

    def on_device(params: Params, constants: Constants, x_ND: Array, lengths_B: Array, owners_R: Array):
        trunk_tokens, width = shape.trunks * shape.trunk_width, x_ND.shape[1]
        x_BTD = x_ND[:trunk_tokens].reshape(shape.trunks, shape.trunk_width, width)
        y_BTD, cache = model.cached_block(params, constants, x_BTD, None)
        outputs = [y_BTD]
        if shape.branches:
            # What fills a trunk up comes after it: there its branches write, or see nothing.
            cache = cache._replace(lengths_B=lengths_B)
            of_branches = Cache(*(kept[owners_R] for kept in cache)).with_slots(shape.trunk_width + shape.branch_width)
            x_RCD = x_ND[trunk_tokens:].reshape(shape.branches, shape.branch_width, width)
            outputs.append(model.cached_block(params, constants, x_RCD, of_branches)[0])
        is_finite = jnp.concatenate([jnp.isfinite(y).all(axis=(1, 2)) for y in outputs])
        return is_finite, jnp.concatenate([y.reshape(-1, width) for y in outputs])

    split, whole = PartitionSpec("data"), PartitionSpec()
    is_finite, y_ND = jax.shard_map(
        on_device,
        mesh=mesh,
        axis_names={"data"},
        in_specs=(whole, whole, split, split, split),
        out_specs=(split, split),
    )(params, constants, x_ND, lengths_B, owners_R)
    return _spread(mesh, is_finite), jax.lax.with_sharding_constraint(y_ND, batch_sharding(mesh))


@functools.partial(jax.jit, static_argnames=("mesh",))
def _pick(mesh: Mesh, x_ND: Float[Array, "N D"], sources_P: Int[Array, " P"]) -> Float[Array, "P D"]:
    """Returns some of the hidden states of each device. Apart from what follows, which then has one shape."""
    split = PartitionSpec("data")
    return jax.shard_map(
        lambda x_ND, sources_P: x_ND[sources_P],
        mesh=mesh,
        axis_names={"data"},
        in_specs=(split, split),
        out_specs=split,
    )(x_ND, sources_P)


@functools.partial(jax.jit, static_argnames=("model", "mesh", "words"))
def _predict(
    model: CausalLM,
    mesh: Mesh,
    params: Params,
    x_PD: Float[Array, "P D"],
    picked_Q: Int[Array, " Q"],
    labels_Q: Int[Array, " Q"],
    words: int,
) -> tuple[Float[Array, " Q"], Bool[Array, " Q"]]:
    """Returns the log-likelihood of each label after the hidden state picked for it, and whether it is the likeliest.

    Args:
      picked_Q: indices among the P of the same device.
      words: of which logits are made at a time.
    """

    def on_device(params: Params, x_PD: Array, picked_Q: Array, labels_Q: Array):
        return label_log_likelihoods(model, params, x_PD, picked_Q, labels_Q, words=words)

    split, whole = PartitionSpec("data"), PartitionSpec()
    nats_Q, is_likeliest_Q = jax.shard_map(
        on_device,
        mesh=mesh,
        axis_names={"data"},
        in_specs=(whole, split, split, split),
        out_specs=(split, split),
    )(params, x_PD, picked_Q, labels_Q)
    return _spread(mesh, nats_Q), _spread(mesh, is_likeliest_Q)
