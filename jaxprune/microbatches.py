"""Sequences in the groups in which they are computed.

Shapes: N sequences, B sequences in a microbatch, T tokens.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

# Tokens in a microbatch: enough to keep matrix products busy, few enough that activations stay small beside a block.
_TOKENS = 4096


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
    data: int,
    batch_size: int | None = None,
) -> list[Microbatch]:
    """Cuts sequences into microbatches of one language each, all of the same shape.

    Args:
      languages: the language of each sequence.
      data: devices that share a batch's sequences.
      batch_size: sequences in a batch; rounded up to a multiple of ``data``. None: up to 4096 tokens for each of
        these devices, such that few rows only fill.
    """
    counts = {language: languages.count(language) for language in dict.fromkeys(languages)}
    size = batch_rows(list(counts.values()), tokens_NT.shape[1], data=data, batch_size=batch_size)
    batches = []
    for language in counts:
        rows = tokens_NT[[i for i, of in enumerate(languages) if of == language]]
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            fill = size - len(chunk)
            weights = np.asarray([1.0] * len(chunk) + [0.0] * fill, np.float32)
            batches.append(Microbatch(np.pad(chunk, ((0, fill), (0, 0))), weights, language))
    return batches


def batch_rows(counts: Sequence[int], length: int, *, data: int, batch_size: int | None = None) -> int:
    """Returns the rows of a microbatch for so many sequences of each language, of ``length`` tokens each."""
    if batch_size is not None:
        return _round_up(batch_size, data)
    limit = max(1, _TOKENS // length)

    def cost(size: int) -> float:
        rows = sum(_round_up(count, size) for count in counts)
        # Starting a batch costs about as much as a quarter of a row.
        return rows + 0.25 * data * rows / size

    return min((size * data for size in range(limit, 0, -1)), key=cost)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
