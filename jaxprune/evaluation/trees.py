"""Questions as trees, so that no token goes through a block more often than it has to.

What the continuations of a question have in common, its context above all, is its *trunk*, computed once; where they
part, each goes on as a *branch*. A question with one continuation is all trunk.

Shapes: T tokens.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

# Tokens of branches that are computed together, and their attention scores, which ``cached_attention`` has in memory
# all at once.
MAX_TOKENS = 4096
MAX_SCORES = 2**27


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """What is scored.

    Attributes:
      context: int32 ``[T]``; at least one token, because the first of a continuation is predicted from it.
      continuations: int32; at least one token each.
      num_cut: tokens of the context that are left out on its left, because the model was not made for so many.
    """

    context: np.ndarray
    continuations: tuple[np.ndarray, ...]
    num_cut: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """Tokens to be predicted.

    Attributes:
      sources: where, in the tokens of a trunk, a branch or a batch, each is predicted from.
      labels: what it is.
      slots: where, among all tokens that are predicted of all questions, its score belongs.
    """

    sources: Int[np.ndarray, " targets"]
    labels: Int[np.ndarray, " targets"]
    slots: Int[np.ndarray, " targets"]

    def moved(self, offset: int) -> "Targets":
        """Returns them with tokens before those that ``sources`` counts from."""
        return Targets(self.sources + offset, self.labels, self.slots)

    @classmethod
    def joined(cls, parts: Sequence["Targets"]) -> "Targets":
        """Returns all of several."""
        none = np.zeros(0, np.int64)
        return cls(
            np.concatenate([none, *(part.sources for part in parts)]),
            np.concatenate([none, *(part.labels for part in parts)]),
            np.concatenate([none, *(part.slots for part in parts)]),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """A question, or a part of one with more branches than are computed together.

    Attributes:
      question: its index.
      trunk: int32 tokens.
      trunk_targets: what is predicted from the trunk.
      branches: int32 tokens after the trunk, at least one each, with what is predicted from them.
    """

    question: int
    trunk: np.ndarray
    trunk_targets: Targets
    branches: tuple[tuple[np.ndarray, Targets], ...]

    @property
    def widths(self) -> tuple[int, int]:
        """Tokens of the trunk, and of the longest branch."""
        return len(self.trunk), max((len(tokens) for tokens, _ in self.branches), default=0)

    @property
    def num_tokens(self) -> int:
        """Tokens of the trunk and all branches."""
        return len(self.trunk) + sum(len(tokens) for tokens, _ in self.branches)


def grow(index: int, question: Question, first_slot: int, *, num_heads: int) -> Iterator[Tree]:
    """Yields a question as a tree; as several if all branches together would take too much memory.

    Args:
      index: of the question.
      question: its continuations all unlike each other.
      first_slot: of its first continuation's first token; those after it follow.
      num_heads: query heads of the model.
    """
    if not question.continuations:
        return
    start, continuations = len(question.context), question.continuations
    # The last token of a continuation is predicted, and predicts nothing.
    shared = min(common_prefix(continuations), max(map(len, continuations)) - 1)
    trunk = np.concatenate([question.context, continuations[0][:shared]])
    of_trunk, branches = [], []
    for tokens in continuations:
        slots = np.arange(first_slot, first_slot + len(tokens))
        first_slot += len(tokens)
        on_trunk = min(shared + 1, len(tokens))
        of_trunk.append(Targets(start - 1 + np.arange(on_trunk), tokens[:on_trunk], slots[:on_trunk]))
        if len(tokens) > on_trunk:
            inputs = tokens[shared:-1]
            branches.append((inputs, Targets(np.arange(len(inputs)), tokens[on_trunk:], slots[on_trunk:])))
    targets, width = Targets.joined(of_trunk), max((len(tokens) for tokens, _ in branches), default=1)
    most = max(1, min(MAX_TOKENS // width, MAX_SCORES // (num_heads * width * (len(trunk) + width))))
    yield Tree(index, trunk, targets, tuple(branches[:most]))
    for i in range(most, len(branches), most):
        yield Tree(index, trunk, Targets.joined([]), tuple(branches[i : i + most]))


def common_prefix(sequences: Sequence[np.ndarray]) -> int:
    """Returns the number of tokens with which all begin."""
    length = min(map(len, sequences))
    differs = np.any([tokens[:length] != sequences[0][:length] for tokens in sequences], axis=0)
    return int(differs.argmax()) if differs.any() else length
