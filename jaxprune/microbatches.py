"""Sequences in the groups in which they are computed.

Shapes: N sequences, B sequences in a microbatch, T tokens.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int32

# Tokens of a microbatch on one device: enough to keep matrix products busy, few enough that activations stay small
# beside a block. Two cores take a block of SmolLM2-135M in 0.87 s at 1024 of 16,384 tokens and in 1.08 s at 4096, where
# the activations do not fit their caches. A GPU adds up the Gram matrix of Llama-3-8B's widest activation nearly twice
# as fast from 16,384 tokens at a time as from 4096.
_TOKENS = {"cpu": 1024, "gpu": 16384}
_TOKENS_OF_ACCELERATORS = 4096


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
      mesh: devices on ``data`` share a batch's sequences.
      batch_size: sequences in a batch; rounded up to a multiple of these devices. None: up to 4096 tokens for each of
        them (1024 on CPUs, 16,384 on GPUs), such that few rows only fill.
    """
    counts = {language: languages.count(language) for language in dict.fromkeys(languages)}
    size = batch_rows(list(counts.values()), tokens_NT.shape[1], mesh=mesh, batch_size=batch_size)
    batches = []
    for language in counts:
        rows = tokens_NT[[i for i, of in enumerate(languages) if of == language]]
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            fill = size - len(chunk)
            weights = np.asarray([1.0] * len(chunk) + [0.0] * fill, np.float32)
            batches.append(Microbatch(np.pad(chunk, ((0, fill), (0, 0))), weights, language))
    return batches


def batch_rows(counts: Sequence[int], length: int, *, mesh: Mesh, batch_size: int | None = None) -> int:
    """Returns the rows of a microbatch for so many sequences of each language, of ``length`` tokens each."""
    data = mesh.shape["data"]
    if batch_size is not None:
        return _round_up(batch_size, data)
    limit = max(1, most_tokens(mesh.devices.flat[0].platform) // length)

    def cost(size: int) -> float:
        rows = sum(_round_up(count, size) for count in counts)
        # Starting a batch costs about as much as a quarter of a row.
        return rows + 0.25 * data * rows / size

    return min((size * data for size in range(limit, 0, -1)), key=cost)


def most_tokens(platform: str) -> int:
    """Returns how many tokens of a microbatch a device takes, unless one sequence has more."""
    return _TOKENS.get(platform, _TOKENS_OF_ACCELERATORS)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
