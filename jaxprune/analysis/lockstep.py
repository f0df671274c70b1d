"""Several models on their way through the same text side by side: after each block all can be compared with the first.

One pass of the text per model; of each model one block is in memory at a time, and one model's at that.

Shapes: N sequences, T tokens, D hidden size.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32, Int32

from jaxprune.distributed import together
from jaxprune.evaluation.retrieval import SentenceSweep, count_tokens
from jaxprune.hidden_states import half_of_memory
from jaxprune.microbatches import Microbatch, make_microbatches
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.sharding import place_params
from jaxprune.sweep import Observe, OnTokens, ReadSection, Sweep, observe_nothing

OnObserved = Callable[[int, int, Microbatch, Any], None]
"""Given the number of the model, the block, a microbatch and what was observed of it."""


class Lockstep:
    """Models, the windows of text by language, and sentences if there are any, between two blocks.

    Attributes:
      dtype: of the hidden states and of all computation on them.
      sweeps: the windows' hidden states in each model.
    """

    def __init__(
        self,
        reads: Sequence[ReadSection],
        model: CausalLM,
        windows: Mapping[str, Int32[np.ndarray, "_N T"]],
        *,
        sentences: Sequence[Int32[np.ndarray, " _T"]] = (),
        num_leading: int,
        mesh: Mesh,
        dtype: Any,
        host_bytes: int | None = None,
    ):
        """Starts before the embedding.

        Args:
          reads: each gives a section's weights of one model.
          model: what all of them are.
          windows: token ids by language; a microbatch has one language only.
          sentences: token ids of each.
          num_leading: tokens at the beginning of each sentence that are not its own (BOS).
          mesh: for all of them.
          dtype: of the hidden states and of all computation on them.
          host_bytes: hidden states of all models that may lie in memory; None: half of what the machine has.
        """
        self._reads, self._model, self._mesh, self.dtype = reads, model, mesh, np.dtype(dtype)
        of_windows = [language for language, tokens in windows.items() for _ in tokens]
        batches = make_microbatches(np.concatenate(list(windows.values())), of_windows, mesh=mesh)
        self._num_tokens = sum(tokens.size for tokens in windows.values())
        host_bytes = half_of_memory() if host_bytes is None else host_bytes
        host_bytes //= len(reads) * (1 + bool(len(sentences)))
        self.sweeps = [Sweep(model, batches, mesh=mesh, dtype=dtype, host_bytes=host_bytes) for _ in reads]
        self._sentences = [
            SentenceSweep(model, sentences, num_leading=num_leading, mesh=mesh, dtype=dtype, host_bytes=host_bytes)
            for _ in (reads if len(sentences) else ())
        ]
        if len(sentences):
            self._num_tokens += count_tokens(sentences, num_leading, mesh=mesh)

    @property
    def total_work(self) -> int:
        """The tokens that ``blocks`` will report: every one in every block of every model."""
        return self._num_tokens * self._model.num_blocks * len(self._reads)

    def blocks(
        self,
        on_tokens: OnTokens,
        *,
        observe: Observe = observe_nothing,
        on_observed: OnObserved = lambda which, index, batch, observed: None,
    ) -> Iterator[int]:
        """Yields the number of each block when all models are through it.

        Raises:
          RequestError: the output of a block is not finite.
        """
        for which, read in enumerate(self._reads):
            for sweep in (self.sweeps[which], *self._sentences[which : which + 1]):
                sweep.embed(read)
        for index in range(self._model.num_blocks):
            for which, read in enumerate(self._reads):
                with together():
                    params = place_params(self._mesh, read(block_section(index)))

                def take(batch: Microbatch, observed: Any, which: int = which, index: int = index) -> None:
                    on_observed(which, index, batch, observed)

                self.sweeps[which].advance(index, params, on_tokens, observe=observe, on_observed=take)
                for sweep in self._sentences[which : which + 1]:
                    sweep.advance(index, params, on_tokens)
            yield index

    def sentence_vectors(self) -> list[Float32[np.ndarray, "_N D"]]:
        """Returns for each model the mean hidden state of every sentence as it is now; none without sentences."""
        return [sweep.vectors() for sweep in self._sentences]
