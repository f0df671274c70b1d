"""Continues prompts, many at a time.

Shapes: B sequences, T tokens.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int32

from jaxprune.errors import RequestError
from jaxprune.evaluation.decoder import Decoder
from jaxprune.evaluation.sampling import GREEDY, Sampling, make_draw
from jaxprune.evaluation.token_ids import check_ids
from jaxprune.models.causal_lm import CausalLM
from jaxprune.sharding import replicate
from jaxprune.sweep import OnTokens, ReadSection

# Tokens of prompts that go through the model together, for each device on the mesh's data axis: what is in memory of
# them between two products is several times as wide as a hidden state.
_PROMPT_TOKENS = 8192
_SMALLEST_BUCKET = 16

IsComplete = Callable[[Sequence[int]], bool]
"""Told the tokens of a continuation so far; whether it is to end here (stop strings, for example)."""


@dataclasses.dataclass(frozen=True)
class Completion:
    """How one prompt goes on.

    Attributes:
      tokens_T: int32; the prompt left out, a stop token that ended it left in.
      is_stopped: whether it came to an end of its own; otherwise it was cut off.
    """

    tokens_T: np.ndarray
    is_stopped: bool


@dataclasses.dataclass(frozen=True)
class Generated:
    """What became of several prompts.

    Attributes:
      completions: in the order of the prompts.
      tokens_per_second: of all continuations together while tokens were made one after the other; what comes before
        a batch's second token, the prompts and all compiling, is left out. None if nothing came after it.
    """

    completions: list[Completion]
    tokens_per_second: float | None


class Generator:
    """A model that continues prompts. Calls share compilations: lengths and batches are rounded up to few sizes."""

    def __init__(
        self,
        read: ReadSection,
        model: CausalLM,
        *,
        mesh: Mesh,
        dtype: Any,
        batch_size: int = 8,
        on_section: Callable[[str], None] = lambda section: None,
    ):
        """Reads and places all weights; the whole model has to fit into the memory of the mesh.

        Args:
          read: gives a section's weights.
          model: what they are the weights of.
          mesh: splits sequences over ``data`` and kernels over ``model``.
          dtype: of the weights, all computation and the cache.
          batch_size: sequences at a time for each device on ``data``, at most.
          on_section: called before each section is read.
        """
        self._decoder = Decoder(read, model, mesh=mesh, dtype=dtype, on_section=on_section)
        self._batch_size = batch_size

    def generate(
        self,
        prompts: Sequence[Sequence[int] | np.ndarray],
        *,
        max_new_tokens: int,
        stop_tokens: Collection[int] = (),
        sampling: Sampling = GREEDY,
        is_complete: IsComplete = lambda tokens: False,
        on_tokens: OnTokens = lambda tokens: None,
    ) -> Generated:
        """Continues each prompt as if it were alone.

        What a prompt becomes depends on the others only as far as rounding does: sums over more rows may be added up
        in another order.

        Args:
          prompts: token ids, at least one each.
          max_new_tokens: at most so many are made for each.
          stop_tokens: a continuation ends with the first of these.
          sampling: how tokens are chosen.
          is_complete: asked after every token.
          on_tokens: told how many of the ``len(prompts) * max_new_tokens`` are made or not needed any more.

        Raises:
          RequestError: a prompt is empty or holds an id outside the vocabulary, or logits are not finite.
        """
        vocab_size = self._decoder.model.config.vocab_size
        arrays = [
            check_ids(f"prompt {index + 1}", prompt, vocab_size=vocab_size) for index, prompt in enumerate(prompts)
        ]
        if max_new_tokens < 1:
            raise RequestError(f"{max_new_tokens} new tokens were asked for; ask for 1 or more.")
        completions: dict[int, Completion] = {}
        clock = _Clock()
        for indices, width in self._batches(arrays):
            batch = _Batch(indices, max_new_tokens, frozenset(stop_tokens), is_complete, on_tokens)
            self._run([arrays[index] for index in indices], width, batch, sampling, clock)
            completions |= batch.completions()
        return Generated([completions[index] for index in range(len(arrays))], clock.tokens_per_second)

    def _batches(self, prompts: Sequence[np.ndarray]) -> Iterator[tuple[list[int], int]]:
        """Yields the indices of prompts that go together, the longest first, and the width of their batch."""
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        while order:
            width = round_up_length(len(prompts[order[0]]))
            size = self._data * max(1, min(self._batch_size, _PROMPT_TOKENS // width))
            yield order[:size], width
            order = order[size:]

    @property
    def _data(self) -> int:
        return self._decoder.mesh.shape["data"]

    def _run(self, prompts: list[np.ndarray], width: int, batch: "_Batch", sampling: Sampling, clock: "_Clock") -> None:
        decoder = self._decoder
        rows = self._data * round_up_batch(-(-len(prompts) // self._data), self._batch_size)
        prompts = prompts + [np.zeros(1, np.int32)] * (rows - len(prompts))
        tokens_BT = np.stack([np.pad(prompt, (0, width - len(prompt))) for prompt in prompts])
        lengths_B = np.asarray([len(prompt) for prompt in prompts], np.int32)
        draw = replicate(decoder.mesh, make_draw(sampling, prompts, vocab_size=decoder.model.config.vocab_size))
        decoding = decoder.start(tokens_BT, lengths_B, slots=round_up_length(width + batch.max_new_tokens))
        for step in range(batch.max_new_tokens):
            tokens_B1, is_finite_B = decoder.choose(decoding, step, draw)
            if step + 1 < batch.max_new_tokens:
                # Begun before the token is looked at, so that the devices do not wait for the host.
                decoding = decoder.extend(decoding, tokens_B1)
            made = batch.take(np.asarray(tokens_B1)[:, 0], np.asarray(is_finite_B))
            clock.tick(step, made)
            if batch.is_done:
                break


class _Batch:
    """The continuations of one batch; rows behind them only fill."""

    def __init__(
        self,
        indices: Sequence[int],
        max_new_tokens: int,
        stop_tokens: frozenset[int],
        is_complete: IsComplete,
        on_tokens: OnTokens,
    ):
        self.max_new_tokens = max_new_tokens
        self._indices = indices
        self._stop_tokens = stop_tokens
        self._is_complete = is_complete
        self._on_tokens = on_tokens
        self._tokens: list[list[int]] = [[] for _ in indices]
        self._is_stopped = [False] * len(indices)

    def take(self, tokens_B: Int32[np.ndarray, " B"], is_finite_B: np.ndarray) -> int:
        """Appends a token to each continuation that has not come to its end; returns how many these are."""
        rows = [row for row, is_stopped in enumerate(self._is_stopped) if not is_stopped]
        for row in rows:
            if not is_finite_B[row]:
                raise RequestError(
                    f"the logits after prompt {self._indices[row] + 1} hold NaN or infinite values; compute in float32 "
                    "(--dtype float32), and if they stay, check the checkpoint."
                )
            continuation, token = self._tokens[row], int(tokens_B[row])
            continuation.append(token)
            self._is_stopped[row] = token in self._stop_tokens or self._is_complete(continuation)
            left = self.max_new_tokens - len(continuation)
            self._on_tokens(1 + left if self._is_stopped[row] else 1)
        return len(rows)

    @property
    def is_done(self) -> bool:
        """Whether all have come to their end."""
        return all(self._is_stopped)

    def completions(self) -> dict[int, Completion]:
        """Returns them by the index of their prompt."""
        return {
            index: Completion(np.asarray(tokens, np.int32), is_stopped)
            for index, tokens, is_stopped in zip(self._indices, self._tokens, self._is_stopped, strict=True)
        }


class _Clock:
    """Seconds and tokens of all steps but the first of each batch."""

    def __init__(self):
        self._tokens, self._seconds, self._last = 0, 0.0, 0.0

    def tick(self, step: int, tokens: int) -> None:
        """Counts a step that has just ended."""
        now = time.perf_counter()
        if step > 0:
            self._tokens += tokens
            self._seconds += now - self._last
        self._last = now

    @property
    def tokens_per_second(self) -> float | None:
        """The speed, if anything was counted."""
        return self._tokens / self._seconds if self._tokens else None


def round_up_length(length: int) -> int:
    """Returns the next of few lengths: 16, 32, ... 128, then four to each doubling, so at most a quarter more."""
    step = max(_SMALLEST_BUCKET, 2 ** ((length - 1).bit_length() - 3))
    return -(-length // step) * step


def round_up_batch(size: int, limit: int) -> int:
    """Returns the next power of two, or ``limit`` if that is smaller."""
    return min(limit, 2 ** (size - 1).bit_length())
