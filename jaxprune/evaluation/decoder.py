"""A whole model on the mesh, and its two steps: many tokens at once for a prompt, then one at a time.

Unlike everything else here this holds all blocks at a time, because each new token needs each of them: the weights in
the dtype of the computation, and the cache, have to fit into the memory of the mesh.

Shapes: B sequences, T tokens, D hidden size, V vocabulary, K key/value heads, S slots of the cache, H head size.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxprune.evaluation.sampling import Draw, choose
from jaxprune.models.cache import Cache
from jaxprune.models.causal_lm import EMBED, HEAD, CausalLM, block_section
from jaxprune.sharding import place_batch, place_params, replicate
from jaxprune.sweep import ReadSection
from jaxprune.typing import Constants, Params

# Blocks that go to the devices in one call. A call takes the host some 0.1 ms whatever is in it, which for all blocks
# of a large model is more than the devices need; and compiling takes the longer, the more blocks are in it.
_BLOCKS_IN_A_CALL = 8


class KeysValues(NamedTuple):
    """What ``Cache`` holds of one block, without the lengths, which all blocks share."""

    keys_BKSH: Float[Array, "B K S H"]
    values_BKSH: Float[Array, "B K S H"]


class _Group(NamedTuple):
    """Blocks that follow each other."""

    params: tuple[Params, ...]
    constants: tuple[Constants, ...]


@dataclasses.dataclass(frozen=True)
class Decoding:
    """A batch on its way.

    Attributes:
      x_B1D: the last block's output for the last token of each sequence.
      kept: for each group of blocks, what each block keeps of the tokens so far. Belongs to this object alone:
        ``Decoder.extend`` overwrites it.
      lengths_B: int32; tokens so far.
    """

    x_B1D: Float[Array, "B 1 D"]
    kept: tuple[tuple[KeysValues, ...], ...]
    lengths_B: np.ndarray


class Decoder:
    """A model with its weights on the mesh."""

    def __init__(
        self,
        read: ReadSection,
        model: CausalLM,
        *,
        mesh: Mesh,
        dtype: Any,
        on_section: Callable[[str], None] = lambda section: None,
    ):
        """Reads and places all weights, a section at a time.

        Args:
          read: gives a section's weights.
          model: what they are the weights of.
          mesh: splits sequences over ``data`` and kernels over ``model``.
          dtype: of kernels, tables, hidden states and the cache; what is added up or normalised stays float32.
          on_section: called before each section is read.
        """
        self.model = model
        self.mesh = mesh
        self._dtype = jnp.dtype(dtype)

        def place(section: str) -> Params:
            on_section(section)
            placed = place_params(mesh, read(section))
            return {path: value.astype(_dtype_of(path, self._dtype)) for path, value in placed.items()}

        self._embed = place(EMBED)
        size = group_size(model.num_blocks)
        self._groups = [
            _Group(
                tuple(place(block_section(index)) for index in range(start, start + size)),
                tuple(replicate(mesh, dict(model.constants(index))) for index in range(start, start + size)),
            )
            for start in range(0, model.num_blocks, size)
        ]
        self._head = self._share_tied(place(HEAD))

    def start(self, tokens_BT: Int32[np.ndarray, "B T"], lengths_B: Int32[np.ndarray, " B"], *, slots: int) -> Decoding:
        """Returns the state after the prompts.

        Args:
          tokens_BT: prompts, each at the beginning of its row; B divides over the mesh's ``data`` axis.
          lengths_B: their lengths. What fills the rows up comes after the prompt, so that no token of it sees the
            filling and each has the position that it has alone; decoding then overwrites what the cache holds of it.
          slots: room for tokens in the cache, those of the prompt included.
        """
        x_BTD = _embed(self.model, self.mesh, self._embed, place_batch(self.mesh, tokens_BT), self._dtype)
        kept = []
        for group in self._groups:
            x_BTD, of_group = _prefill(self.model, self.mesh, group, x_BTD, slots)
            kept.append(of_group)
        last_B = place_batch(self.mesh, lengths_B - 1)
        return Decoding(_take(x_BTD, last_B), tuple(kept), lengths_B)

    def extend(self, decoding: Decoding, tokens_B1: Int[Array, "B 1"]) -> Decoding:
        """Returns the state after one more token of each sequence; ``decoding`` is not to be used any more."""
        x_B1D = _embed(self.model, self.mesh, self._embed, tokens_B1, self._dtype)
        lengths_B = place_batch(self.mesh, decoding.lengths_B)
        kept = []
        for group, of_group in zip(self._groups, decoding.kept, strict=True):
            x_B1D, of_group = _decode(self.model, self.mesh, group, x_B1D, of_group, lengths_B)
            kept.append(of_group)
        return Decoding(x_B1D, tuple(kept), decoding.lengths_B + 1)

    def choose(self, decoding: Decoding, step: int, draw: Draw | None) -> tuple[Int[Array, "B 1"], Bool[Array, " B"]]:
        """Returns the next token of each sequence, and whether its logits are finite, on all devices."""
        return _choose(self.model, self.mesh, self._head, decoding.x_B1D, np.int32(step), draw)

    def _share_tied(self, head: Params) -> Params:
        """Returns ``head`` with the embedding's table, if they are one, so that it is in memory once."""
        ours = {tensor.name: path for path, tensor in self.model.tensors(EMBED).items()}
        names = {path: tensor.name for path, tensor in self.model.tensors(HEAD).items()}
        return {path: self._embed[ours[names[path]]] if names[path] in ours else head[path] for path in head}


def group_size(num_blocks: int) -> int:
    """Returns how many blocks to compute in one call: as many for each call, so that all share a compilation."""
    return max(size for size in range(1, _BLOCKS_IN_A_CALL + 1) if num_blocks % size == 0)


def _dtype_of(path: str, dtype: np.dtype) -> np.dtype:
    # Norms are computed in float32, from scales as exact as they are stored.
    return dtype if path.endswith(("/kernel", "/embedding")) else np.dtype(np.float32)


def _split(array: Array, mesh: Mesh, *axes: str | None) -> Array:
    return jax.lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec(*axes)))


def _split_cache(cache: Cache, mesh: Mesh) -> KeysValues:
    """Fixes where a cache lies: what goes into a step has to come out in the same place to be updated there."""
    heads = "model" if cache.keys_BKSH.shape[1] % mesh.shape["model"] == 0 else None
    return KeysValues(*(_split(array, mesh, "data", heads) for array in (cache.keys_BKSH, cache.values_BKSH)))


@functools.partial(jax.jit, static_argnames=("model", "mesh", "dtype"))
def _embed(
    model: CausalLM, mesh: Mesh, params: Params, tokens_BT: Int[Array, "B T"], dtype: Any
) -> Float[Array, "B T D"]:
    return _split(model.embed(params, tokens_BT, dtype), mesh, "data")


@functools.partial(jax.jit, static_argnames=("model", "mesh", "slots"), donate_argnames=("x_BTD",))
def _prefill(
    model: CausalLM, mesh: Mesh, group: _Group, x_BTD: Float[Array, "B T D"], slots: int
) -> tuple[Float[Array, "B T D"], tuple[KeysValues, ...]]:
    kept = []
    for params, constants in zip(*group, strict=True):
        x_BTD, cache = model.cached_block(params, constants, x_BTD, None)
        kept.append(_split_cache(cache.with_slots(slots), mesh))
    return _split(x_BTD, mesh, "data"), tuple(kept)


@functools.partial(jax.jit, static_argnames=("model", "mesh"), donate_argnames=("kept",))
def _decode(
    model: CausalLM,
    mesh: Mesh,
    group: _Group,
    x_B1D: Float[Array, "B 1 D"],
    kept: tuple[KeysValues, ...],
    lengths_B: Int[Array, " B"],
) -> tuple[Float[Array, "B 1 D"], tuple[KeysValues, ...]]:
    updated = []
    for params, constants, of_block in zip(*group, kept, strict=True):
        x_B1D, cache = model.cached_block(params, constants, x_B1D, Cache(*of_block, lengths_B))
        updated.append(_split_cache(cache, mesh))
    return _split(x_B1D, mesh, "data"), tuple(updated)


@jax.jit
def _take(x_BTD: Float[Array, "B T D"], index_B: Int[Array, " B"]) -> Float[Array, "B 1 D"]:
    return jnp.take_along_axis(x_BTD, index_B[:, None, None], axis=1)


@functools.partial(jax.jit, static_argnames=("model", "mesh"))
def _choose(
    model: CausalLM, mesh: Mesh, params: Params, x_B1D: Float[Array, "B 1 D"], step: Int[Array, ""], draw: Draw | None
) -> tuple[Int[Array, "B 1"], Bool[Array, " B"]]:
    logits_BV = model.unembed(params, x_B1D)[:, 0]
    tokens_B1 = choose(logits_BV, step, draw)[:, None]
    return _split(tokens_B1, mesh), _split(jnp.isfinite(logits_BV).all(axis=-1), mesh)
