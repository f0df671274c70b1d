"""How likely a model finds continuations of contexts: what multiple choice is answered with.

Shapes: T tokens of a context or a continuation, Q tokens that are predicted.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int32

from jaxprune.distributed import together
from jaxprune.evaluation.branching import Bucket, not_finite
from jaxprune.evaluation.likelihood import words_at_a_time
from jaxprune.evaluation.packing import Chunk, cut_chunks, make_batches, sort_into_buckets
from jaxprune.evaluation.token_ids import check_ids
from jaxprune.evaluation.trees import Question, Tree, grow
from jaxprune.hidden_states import half_of_memory
from jaxprune.models.causal_lm import EMBED, HEAD, CausalLM, block_section
from jaxprune.sharding import place_params
from jaxprune.sweep import OnTokens, ReadSection, read_ahead

__all__ = ["ContinuationScore", "Question", "count_tokens", "score_continuations", "total_work"]

# Hidden states of each device that are unembedded together: enough for the head's weights not to be what is waited for,
# few enough that a batch's last ones do not fill up many.
_UNEMBEDDED = 256

# Logits in memory at a time, in numbers.
_LOGITS = 2**27

# What could be computed in the time that compiling for one more shape takes, some two seconds, in floating point
# operations of one device.
_COMPILING = {"cpu": 1e11}
_COMPILING_ELSEWHERE = 2e14


class ContinuationScore(NamedTuple):
    """How likely one continuation is.

    Attributes:
      nats: its log-likelihood, so never above zero: the natural logarithm of its probability after the context.
      is_greedy: whether each of its tokens is the likeliest one where it stands.
    """

    nats: float
    is_greedy: bool


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Questions without what is there twice.

    Attributes:
      trees: of the distinct questions.
      slots: for each question as asked, and each of its continuations: the range of its tokens' slots.
      num_slots: of all distinct continuations.
    """

    trees: list[Tree]
    slots: list[tuple[tuple[int, int], ...]]
    num_slots: int


def count_tokens(model: CausalLM, questions: Sequence[Question]) -> int:
    """Returns the tokens that each block computes for ``score_continuations``, what is there twice once."""
    return sum(tree.num_tokens for tree in _make_plan(model, questions).trees)


def total_work(model: CausalLM, questions: Sequence[Question]) -> int:
    """Returns the tokens that ``score_continuations`` will report.

    Those of a context count once, however many continuations it has: once a block. What is the same, of two questions
    or within one, is computed once. For the head, tokens that are predicted count, and no others.
    """
    plan = _make_plan(model, questions)
    return sum(tree.num_tokens for tree in plan.trees) * model.num_blocks + plan.num_slots


def score_continuations(
    read: ReadSection,
    model: CausalLM,
    questions: Sequence[Question],
    *,
    mesh: Mesh,
    dtype: Any,
    host_bytes: int | None = None,
    on_tokens: OnTokens = lambda tokens: None,
) -> list[tuple[ContinuationScore, ...]]:
    """Returns the score of every continuation of every question, in their order.

    Args:
      read: gives a section's weights; at most one block is held at a time.
      model: what they are the weights of.
      questions: of any lengths; they are computed in batches of similar ones.
      mesh: splits questions over ``data`` and kernels over ``model``.
      dtype: of the hidden states and of all computation on them.
      host_bytes: hidden states that may lie in this process's memory; None: half of what the machine has.
      on_tokens: told the tokens computed, ``total_work`` in all.

    Raises:
      RequestError: a context or a continuation is empty or holds an id outside the vocabulary, or what the model makes
        of one is not finite. Names the question, counted from 1.
    """
    plan = _make_plan(model, questions)
    if not plan.trees:
        return [() for _ in questions]
    compiling = _COMPILING.get(mesh.devices.flat[0].platform, _COMPILING_ELSEWHERE) * mesh.size
    compiling /= 2 * model.num_blocks * sum(math.prod(of.shape) for of in model.tensors(block_section(0)).values())
    buckets = [
        Bucket(model, *made, mesh=mesh, dtype=jnp.dtype(dtype))
        for widths, trees in sort_into_buckets(plan.trees, compiling=compiling)
        for made in [make_batches(widths, trees, data=mesh.shape["data"], num_heads=model.config.num_attention_heads)]
    ]
    left = half_of_memory() if host_bytes is None else host_bytes
    with together():
        params = place_params(mesh, read(EMBED))
    for bucket in buckets:
        left -= bucket.embed(params, limit_bytes=left)
    del params
    for index, params in read_ahead(read, range(model.num_blocks), mesh=mesh):
        for bucket in buckets:
            bucket.advance(index, params, on_tokens)
    with together():
        params = place_params(mesh, read(HEAD))
    scores = _Scores(plan, jnp.dtype(dtype), on_tokens)
    size = min(_UNEMBEDDED, max(1, _LOGITS // words_at_a_time(model, mesh)))
    chunks = cut_chunks([bucket.batches for bucket in buckets], size)
    for bucket, of_bucket in zip(buckets, chunks, strict=True):
        bucket.predict(params, of_bucket, scores.take)
    return scores.of_questions()


def _make_plan(model: CausalLM, questions: Sequence[Question]) -> _Plan:
    trees: list[Tree] = []
    slots: list[tuple[tuple[int, int], ...]] = []
    known: dict[tuple[bytes, ...], tuple[tuple[int, int], ...]] = {}
    num_slots = 0
    for index, question in enumerate(questions):
        question = _checked(index, question, vocab_size=model.config.vocab_size)
        names = [tokens.tobytes() for tokens in question.continuations]
        key = (question.context.tobytes(), *names)
        if key not in known:
            distinct = dict(zip(names, question.continuations, strict=True))
            asked = Question(question.context, tuple(distinct.values()))
            trees += grow(index, asked, num_slots, num_heads=model.config.num_attention_heads)
            ranges = {}
            for name, tokens in distinct.items():
                ranges[name] = (num_slots, num_slots + len(tokens))
                num_slots += len(tokens)
            known[key] = tuple(ranges[name] for name in names)
        slots.append(known[key])
    return _Plan(trees, slots, num_slots)


def _checked(index: int, question: Question, *, vocab_size: int) -> Question:
    def check(tokens: np.ndarray, what: str) -> Int32[np.ndarray, " T"]:
        return check_ids(f"question {index + 1}: {what}", tokens, vocab_size=vocab_size)

    continuations = tuple(check(tokens, f"continuation {i + 1}") for i, tokens in enumerate(question.continuations))
    return Question(check(question.context, "the context"), continuations)


class _Scores:
    """What has been found out about each token that is predicted."""

    def __init__(self, plan: _Plan, dtype: np.dtype, on_tokens: OnTokens):
        self._plan, self._dtype, self._on_tokens = plan, dtype, on_tokens
        self._nats = np.zeros(plan.num_slots, np.float32)
        self._is_likeliest = np.zeros(plan.num_slots, bool)

    def take(self, chunk: Chunk, nats_Q: Float[np.ndarray, " Q"], is_likeliest_Q: Bool[np.ndarray, " Q"]) -> None:
        """Takes the results of a chunk."""
        is_target = chunk.slots >= 0
        slots = chunk.slots[is_target]
        self._nats[slots], self._is_likeliest[slots] = nats_Q[is_target], is_likeliest_Q[is_target]
        self._on_tokens(slots.size)

    def of_questions(self) -> list[tuple[ContinuationScore, ...]]:
        """Returns those of all continuations, once all tokens are there."""
        if not np.isfinite(self._nats).all():
            first = int(np.isfinite(self._nats).argmin())
            question = next(i for i, ranges in enumerate(self._plan.slots) if any(b <= first < e for b, e in ranges))
            raise not_finite(question, "the distribution of what comes next", self._dtype)
        return [
            tuple(
                ContinuationScore(float(self._nats[b:e].sum(dtype=np.float64)), bool(self._is_likeliest[b:e].all()))
                for b, e in ranges
            )
            for ranges in self._plan.slots
        ]
