"""Sequences on their way through a model of which one block at a time is in memory.

Shapes: B sequences in a microbatch, T tokens, D hidden size.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import EMBED, CausalLM, block_section
from jaxprune.sharding import place_batch, place_params, replicate
from jaxprune.typing import Constants, Params

# Tokens in a microbatch: enough to keep matrix products busy, few enough that activations stay small beside a block.
_TOKENS = 4096

ReadSection = Callable[[str], Params]
"""Gives the weights of a section, from a checkpoint or from memory."""

OnTokens = Callable[[int], None]
"""Told how many tokens have been computed since the last call."""


@dataclasses.dataclass(frozen=True)
class Microbatch:
    """Sequences of one language that are computed together.

    Attributes:
      tokens_BT: int32 token ids.
      weights_B: 1 for a sequence, 0 for a row that only fills the batch, so that all batches share a compilation.
      language: the language of all of them.
    """

    tokens_BT: np.ndarray
    weights_B: np.ndarray
    language: str

    @property
    def num_sequences(self) -> int:
        """Rows that are sequences."""
        return int(self.weights_B.sum())

    @property
    def num_tokens(self) -> int:
        """Tokens of those rows."""
        return self.num_sequences * self.tokens_BT.shape[1]


def make_microbatches(
    tokens_NT: Int32[np.ndarray, "N T"],
    languages: Sequence[str],
    *,
    mesh: Mesh,
    batch_size: int | None = None,
) -> list[Microbatch]:
    """Cuts sequences into microbatches of one language each, all of the same shape.

    Args:
      languages: the language of each sequence.
      batch_size: sequences in a batch; rounded up to a multiple of the mesh's ``data`` axis. None: up to 4096 tokens
        for each device on that axis, such that few rows only fill.
    """
    counts = {language: languages.count(language) for language in dict.fromkeys(languages)}
    data = mesh.shape["data"]
    if batch_size is None:
        batch_size = _choose_batch_size(list(counts.values()), max(1, _TOKENS // tokens_NT.shape[1]), data)
    size = _round_up(batch_size, data)
    batches = []
    for language in counts:
        rows = tokens_NT[[i for i, of in enumerate(languages) if of == language]]
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            fill = size - len(chunk)
            weights = np.asarray([1.0] * len(chunk) + [0.0] * fill, np.float32)
            batches.append(Microbatch(np.pad(chunk, ((0, fill), (0, 0))), weights, language))
    return batches


def _choose_batch_size(counts: Sequence[int], limit: int, data: int) -> int:
    """Returns the cheapest size up to ``limit`` for each of ``data`` devices: few rows that only fill, few batches."""

    def cost(size: int) -> float:
        rows = sum(_round_up(count, size) for count in counts)
        # Starting a batch costs about as much as a quarter of a row.
        return rows + 0.25 * data * rows / size

    return min((size * data for size in range(limit, 0, -1)), key=cost)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


@functools.partial(jax.jit, static_argnames=("model", "dtype"))
def _embed(model: CausalLM, params: Params, tokens_BT: Int[Array, "B T"], dtype: Any) -> Float[Array, "B T D"]:
    return model.embed(params, tokens_BT, dtype)


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("x_BTD",))
def _advance(
    model: CausalLM, params: Params, constants: Constants, x_BTD: Float[Array, "B T D"]
) -> tuple[Float[Array, "B T D"], Bool[Array, ""]]:
    y_BTD, _ = model.block(params, constants, x_BTD)
    return y_BTD, jnp.isfinite(y_BTD).all()


class Sweep:
    """The hidden states of a list of microbatches, kept in host memory between blocks."""

    def __init__(self, model: CausalLM, batches: Sequence[Microbatch], *, mesh: Mesh, dtype: Any):
        """Starts before the embedding; ``dtype`` is that of the hidden states and of all computation on them."""
        self.model = model
        self.batches = batches
        self.mesh = mesh
        self._dtype = jnp.dtype(dtype)
        self._hidden: list[np.ndarray] = []

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences, fillers left out."""
        return sum(batch.num_tokens for batch in self.batches)

    def embed(self, read: ReadSection) -> None:
        """Computes the hidden states that enter the first block."""
        params = replicate(self.mesh, dict(read(EMBED)))
        self._hidden = [
            np.asarray(_embed(self.model, params, place_batch(self.mesh, batch.tokens_BT), self._dtype))
            for batch in self.batches
        ]

    def states(self) -> Iterator[tuple[Microbatch, Float[Array, "B T D"]]]:
        """Yields each microbatch with its hidden states, on the mesh."""
        for batch, hidden in zip(self.batches, self._hidden, strict=True):
            yield batch, place_batch(self.mesh, hidden)

    def advance(self, index: int, params: Params, on_tokens: OnTokens) -> None:
        """Replaces the hidden states by what block ``index`` with ``params`` (on the mesh) makes of them.

        Raises:
          RequestError: the block's output is not finite.
        """
        constants = replicate(self.mesh, dict(self.model.constants(index)))
        finite = True
        for i, (batch, x_BTD) in enumerate(self.states()):
            y_BTD, is_finite = _advance(self.model, params, constants, x_BTD)
            self._hidden[i] = np.asarray(y_BTD)
            finite &= bool(is_finite)
            on_tokens(batch.num_tokens)
        if not finite:
            raise RequestError(
                f"the output of {block_section(index)} holds NaN or infinite activations in {self._dtype}; "
                "compute in float32 (--compute-dtype float32), and if they stay, check the checkpoint."
            )

    def run_all(self, read: ReadSection, on_tokens: OnTokens) -> None:
        """Embeds and goes through every block."""
        self.embed(read)
        for index in range(self.model.num_blocks):
            self.advance(index, place_params(self.mesh, read(block_section(index))), on_tokens)
