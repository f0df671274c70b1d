"""Finds translations by their hidden states: a sentence's nearest neighbour among the candidates should be its own.

A sentence's vector is the mean of its own tokens' hidden states after some block; blocks beyond the middle hold most of
what languages share. Nearness is the cosine. Causal models put all their sentences into a narrow cone, each language's
into its own; ``centred`` takes the mean of each side away first (Libovický et al., 2020,
https://aclanthology.org/2020.findings-emnlp.150).

Shapes: N sentences, B sentences in a microbatch, T tokens, D hidden size.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Float32, Float64

from jaxprune.distributed import gather_rows, together
from jaxprune.errors import RequestError
from jaxprune.hidden_states import half_of_memory
from jaxprune.microbatches import Microbatch, make_microbatches
from jaxprune.models.causal_lm import EMBED, CausalLM
from jaxprune.sharding import place_batch
from jaxprune.sweep import OnTokens, ReadSection, Sweep, read_ahead
from jaxprune.typing import Params

# Widths of batches: few, because each compiles anew; at most a third of a batch is filled up.
_WIDTHS = tuple(step * 2**power for power in range(3, 18) for step in (4, 6))


def default_block(model: CausalLM) -> int:
    """Returns the number of blocks after which two thirds of the model are done.

    There Gemma-3-270M finds most translations: of blocks 4, 6, 9, 12, 15 and 18, after the twelfth in all four
    languages that were tried but Swahili, in which it finds next to none.
    """
    return max(1, round(model.num_blocks * 2 / 3))


def check_block(model: CausalLM, block: int) -> None:
    """Checks that hidden states after so many blocks exist.

    Raises:
      RequestError: there are fewer blocks.
    """
    if not 1 <= block <= model.num_blocks:
        raise RequestError(
            f"hidden states after block {block} were asked for, and the model has {model.num_blocks} blocks; "
            f"give a number from 1 to {model.num_blocks}."
        )


@dataclasses.dataclass(frozen=True)
class _Bucket:
    """Sentences of about one length.

    Attributes:
      indices: which they are.
      batches: their tokens, filled up to one width.
      own_BT: for each batch, which tokens are a sentence's own.
    """

    indices: list[int]
    batches: list[Microbatch]
    own_BT: list[np.ndarray]


def _buckets(sentences: Sequence[np.ndarray], num_leading: int, *, mesh: Mesh) -> list[_Bucket]:
    by_width: dict[int, list[int]] = {}
    for index, tokens in enumerate(sentences):
        if len(tokens) <= num_leading:
            raise RequestError(f"sentence {index + 1} has no tokens; leave it out.")
        by_width.setdefault(next(width for width in _WIDTHS if width >= len(tokens)), []).append(index)
    buckets = []
    for width, indices in sorted(by_width.items()):
        # Attention is causal: what fills a row up stands behind its tokens, and changes none of their states.
        tokens_NT = np.stack([np.pad(sentences[index], (0, width - len(sentences[index]))) for index in indices])
        batches = make_microbatches(tokens_NT.astype(np.int32), [""] * len(indices), mesh=mesh)
        places_T = np.arange(width)
        own_NT = np.stack([(places_T >= num_leading) & (places_T < len(sentences[index])) for index in indices])
        rows = len(batches[0].tokens_BT)
        own_NT = np.pad(own_NT, ((0, rows * len(batches) - len(indices)), (0, 0)))
        buckets.append(_Bucket(indices, batches, list(own_NT.reshape(len(batches), rows, width))))
    return buckets


def total_work(sentences: Sequence[np.ndarray], num_leading: int, block: int, *, mesh: Mesh) -> int:
    """Returns the tokens that ``sentence_vectors`` will report."""
    return block * count_tokens(sentences, num_leading, mesh=mesh)


def count_tokens(sentences: Sequence[np.ndarray], num_leading: int, *, mesh: Mesh) -> int:
    """Returns the tokens that each block computes for sentences, those that fill them up among them."""
    buckets = _buckets(sentences, num_leading, mesh=mesh)
    return sum(batch.num_tokens for bucket in buckets for batch in bucket.batches)


def sentence_vectors(
    read: ReadSection,
    model: CausalLM,
    sentences: Sequence[np.ndarray],
    *,
    num_leading: int,
    block: int,
    mesh: Mesh,
    dtype: Any,
    on_tokens: OnTokens = lambda tokens: None,
) -> Float32[np.ndarray, "N D"]:
    """Returns the mean hidden state of each sentence after ``block`` blocks.

    Args:
      read: gives a section's weights; one block is held at a time.
      sentences: int32 token ids of each, one at least.
      num_leading: tokens at the beginning of each that are not its own (BOS): they are read, and not counted in the
        mean, which the huge activations of a first token would rule.
      block: how many blocks the sentences go through.
      mesh: splits sentences over ``data`` and kernels over ``model``.
      dtype: of the hidden states; means are float32.
      on_tokens: told the tokens computed, ``total_work`` in all.

    Raises:
      RequestError: a sentence has no tokens, there are fewer blocks, or the output of one is not finite.
    """
    check_block(model, block)
    sweep = SentenceSweep(model, sentences, num_leading=num_leading, mesh=mesh, dtype=dtype)
    sweep.embed(read)
    for index, params in read_ahead(read, range(block), mesh=mesh):
        sweep.advance(index, params, on_tokens)
    return sweep.vectors()


class SentenceSweep:
    """Sentences of any lengths on their way through a model, block by block."""

    def __init__(
        self,
        model: CausalLM,
        sentences: Sequence[np.ndarray],
        *,
        num_leading: int,
        mesh: Mesh,
        dtype: Any,
        host_bytes: int | None = None,
    ):
        """Starts before the embedding; arguments as in ``sentence_vectors``.

        Args:
          host_bytes: hidden states that may lie in this process's memory; None: half of what the machine has.
        """
        self._mesh, self._num_sentences = mesh, len(sentences)
        self._buckets = _buckets(sentences, num_leading, mesh=mesh)
        host_bytes = (half_of_memory() if host_bytes is None else host_bytes) // len(self._buckets)
        self._sweeps = [
            Sweep(model, bucket.batches, mesh=mesh, dtype=dtype, host_bytes=host_bytes) for bucket in self._buckets
        ]

    def embed(self, read: ReadSection) -> None:
        """Computes the hidden states that enter the first block."""
        with together():
            table = read(EMBED)
        for sweep in self._sweeps:
            sweep.embed(lambda section: table)

    def advance(self, index: int, params: Params, on_tokens: OnTokens) -> None:
        """Goes through block ``index`` with ``params`` (on the mesh)."""
        for sweep in self._sweeps:
            sweep.advance(index, params, on_tokens)

    def vectors(self) -> Float32[np.ndarray, "N D"]:
        """Returns the mean hidden state of each sentence as they are now."""
        parts = []
        for bucket, sweep in zip(self._buckets, self._sweeps, strict=True):
            parts += [
                gather_rows(_pool(x_BTD, place_batch(self._mesh, own_BT)))[: batch.num_sequences]
                for (batch, x_BTD), own_BT in zip(sweep.states(), bucket.own_BT, strict=True)
            ]
        indices = [index for bucket in self._buckets for index in bucket.indices]
        vectors_ND = np.empty((self._num_sentences, parts[0].shape[1]), np.float32)
        vectors_ND[indices] = np.concatenate(parts)
        return vectors_ND


@jax.jit
def _pool(x_BTD: Float[Array, "B T D"], own_BT: Bool[Array, "B T"]) -> Float32[Array, "B D"]:
    kept_BTD = jnp.where(own_BT[:, :, None], x_BTD.astype(jnp.float32), 0)
    return kept_BTD.sum(axis=1) / jnp.maximum(1, own_BT.sum(axis=1, keepdims=True)).astype(jnp.float32)


def nearest_is_own(
    sources_ND: Float[np.ndarray, "N D"], targets_ND: Float[np.ndarray, "N D"], *, centred: bool
) -> Float64[np.ndarray, " N"]:
    """Returns for each source 1 where the target of its own number is nearest of all, and 0 elsewhere.

    Of several targets that are equally near each is a guess, and counts as its share.

    Args:
      centred: whether the mean over all is taken away from each side first.
    """
    likeness_NN = _normalised(sources_ND, centred) @ _normalised(targets_ND, centred).T
    best_N = likeness_NN.max(axis=1)
    is_best_NN = likeness_NN >= best_N[:, None]
    return np.diagonal(is_best_NN) / is_best_NN.sum(axis=1)


def _normalised(vectors_ND: np.ndarray, centred: bool) -> Float64[np.ndarray, "N D"]:
    vectors_ND = vectors_ND.astype(np.float64)
    if centred:
        vectors_ND = vectors_ND - vectors_ND.mean(axis=0, keepdims=True)
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-30)
