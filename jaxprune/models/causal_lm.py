"""What a causal language model is here: three pure functions over weights that come and go by section.

A model is cut into *sections*: ``embed``, ``blocks/0`` ... ``blocks/N-1``, ``head``. No object holds weights;
each function takes the flat parameters of its section: a caller decides how many are in memory at once.

Shapes: B sequences, T tokens, D hidden size, V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxprune.models.cache import Cache
from jaxprune.typing import Activations, Constants, Params

EMBED = "embed"
HEAD = "head"
_BLOCK = "blocks/"

# Where an output layer's words are.
_WORD_AXES = {"output/embedding": 0, "output/kernel": 1}


def block_section(index: int) -> str:
    """Returns the section name of block ``index``."""
    return f"{_BLOCK}{index}"


class Tensor(NamedTuple):
    """Where one parameter stands in a Hugging Face checkpoint, and how."""

    name: str
    shape: tuple[int, ...]  # as stored there
    is_kernel: bool  # stored [d_out, d_in] there, [d_in, d_out] here


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """One architecture. Adding one is a file that makes this value, and a line in ``FAMILIES``.

    Attributes:
      model_type: Hugging Face's name for it.
      read_config: reads the ``config.json`` values into the family's frozen config, refusing what it cannot
        honour. The config has ``num_hidden_layers``, ``hidden_size`` and ``vocab_size`` at least.
      embedder: module class, built as ``embedder(config, rngs=...)``; ``(tokens_BT, dtype) -> x_BTD``.
      block: module class; ``(x_BTD, constants, cache=None) -> (x_BTD, activations, cache)``. It hands the cache to
        ``rotate`` and ``cached_attention`` and has no other use for it.
      head: module class; ``x_BTD -> logits_BTV``, the last of it an ``OutputLayer`` called ``output`` and functions of
        single logits. With tied embeddings it has the table as a parameter of its own.
      constants: ``(config, block index) -> constants`` of that block: same tree and shapes for every block,
        so that all blocks share one compilation.
      reads: for each linear of a block, the name of the activation that it multiplies. These linears are what
        is pruned; those that read the same activation share its statistics.
      names: Hugging Face's tensor name for every parameter, ``{}`` standing for the block's index:
        ``"block/q_proj/kernel": "model.layers.{}.self_attn.q_proj.weight"``. May name more than a config has.
    """

    model_type: str
    read_config: Callable[[Mapping[str, Any]], Any]
    embedder: type[nnx.Module]
    block: type[nnx.Module]
    head: type[nnx.Module]
    constants: Callable[[Any, int], Constants]
    reads: Mapping[str, str]
    names: Mapping[str, str]


def linear_names(where: str, linears: Iterable[str]) -> dict[str, str]:
    """Returns what ``Family.names`` says of linears that Hugging Face keeps in a block's module ``where``."""
    return {
        f"block/{linear}/{ours}": f"model.layers.{{}}.{where}.{linear}.{theirs}"
        for linear in linears
        for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
    }


@dataclasses.dataclass(frozen=True)
class CausalLM:
    """A family with a config: hashable, so that it can be a static argument of ``jax.jit``."""

    family: Family
    config: Any

    @property
    def num_blocks(self) -> int:
        """Number of transformer blocks."""
        return self.config.num_hidden_layers

    @property
    def sections(self) -> tuple[str, ...]:
        """Section names, in the order of the forward pass."""
        return (EMBED, *(block_section(i) for i in range(self.num_blocks)), HEAD)

    def tensors(self, section: str) -> dict[str, Tensor]:
        """Returns where each parameter of ``section`` stands in a Hugging Face checkpoint."""
        kind, index = ("block", section.removeprefix(_BLOCK)) if section.startswith(_BLOCK) else (section, "")
        tensors = {}
        for path, value in self._abstract(kind).items():
            is_kernel = path.endswith("/kernel")
            shape = tuple(value.shape[::-1] if is_kernel else value.shape)
            tensors[path] = Tensor(self.family.names[f"{kind}/{path}"].format(index), shape, is_kernel)
        return tensors

    def owned_tensors(self, section: str) -> dict[str, Tensor]:
        """Returns ``tensors(section)`` without an earlier section's (a tied table is the embedding's)."""
        tensors = self.tensors(section)
        if section != HEAD:
            return tensors
        earlier = {tensor.name for tensor in self.tensors(EMBED).values()}
        return {path: tensor for path, tensor in tensors.items() if tensor.name not in earlier}

    def constants(self, index: int) -> Constants:
        """Returns what block ``index`` has of its own besides weights."""
        return self.family.constants(self.config, index)

    def embed(self, params: Params, tokens_BT: Int[Array | np.ndarray, "B T"], dtype: Any) -> Float[Array, "B T D"]:
        """Returns the hidden states that enter the first block, in ``dtype``; what follows keeps it."""
        return self._module(EMBED, params)(tokens_BT, dtype)

    def block(
        self, params: Params, constants: Constants, x_BTD: Float[Array, "B T D"]
    ) -> tuple[Float[Array, "B T D"], Activations]:
        """Returns a block's output and its named activations.

        Activations that the caller drops cost nothing under ``jit``: XLA removes what is not used.
        """
        y_BTD, activations, _ = self._module("block", params)(x_BTD, constants)
        return y_BTD, activations

    def cached_block(
        self, params: Params, constants: Constants, x_BTD: Float[Array, "B T D"], cache: Cache | None
    ) -> tuple[Float[Array, "B T D"], Cache]:
        """Returns a block's output for tokens that follow those in ``cache``, and the cache with them in it."""
        y_BTD, _, extended = self._module("block", params)(x_BTD, constants, cache)
        return y_BTD, extended

    def unembed(self, params: Params, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns float32 logits from the last block's output."""
        return self._module(HEAD, params)(x_BTD).astype(jnp.float32)

    def unembed_words(
        self, params: Params, x_BTD: Float[Array, "B T D"], start: Int[Array, ""] | int, size: int
    ) -> Float[Array, "B T W"]:
        """Returns the logits of ``size`` words from ``start`` on."""
        if size == self.config.vocab_size:
            return self.unembed(params, x_BTD)
        of_words = {
            path: jax.lax.dynamic_slice_in_dim(jnp.asarray(params[path]), start, size, axis)
            for path, axis in _WORD_AXES.items()
            if path in params
        }
        return self.unembed({**params, **of_words}, x_BTD)

    def _module(self, kind: str, params: Params) -> Any:
        graph, _ = _split(self, kind)
        return nnx.merge(graph, _nested(params))

    def _abstract(self, kind: str) -> dict[str, jax.ShapeDtypeStruct]:
        _, state = _split(self, kind)
        return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


@functools.lru_cache(maxsize=64)
def _split(model: CausalLM, kind: str) -> tuple[nnx.GraphDef, nnx.State]:
    """Returns the structure of one kind of section, without weights."""
    module: Any = {EMBED: model.family.embedder, "block": model.family.block, HEAD: model.family.head}[kind]
    return nnx.split(nnx.eval_shape(lambda: module(model.config, rngs=nnx.Rngs(0))))


def _nested(params: Params) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in params.items():
        *parents, leaf = path.split("/")
        functools.reduce(lambda node, key: node.setdefault(key, {}), parents, tree)[leaf] = value
    return tree
