"""Which token comes next: the likeliest, or one drawn from the model's distribution, cut off or not.

Shapes: B sequences, V vocabulary.
"""

import dataclasses
import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32

from jaxprune.errors import RequestError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
      temperature: divides the logits; 0: the likeliest token, always.
      top_p: draws among the likeliest tokens that together have at least this probability; 1: among all.
      top_k: draws among this many likeliest tokens, before ``top_p``; 0: among all.
      seed: of the draws. What is drawn for a prompt depends on its tokens and this alone, so that neither its place
        nor its neighbours matter; the same prompt twice is continued twice in the same way.

    Raises:
      RequestError: one of them makes no sense.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self):
        """Checks all of them."""
        if not 0 <= self.temperature < math.inf:
            raise RequestError(
                f"the temperature is {self.temperature}; give 0 (the likeliest token) or a number above it."
            )
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top-p is {self.top_p}; give a probability above 0, 1 for no cut-off.")
        if self.top_k < 0:
            raise RequestError(f"top-k is {self.top_k}; give a number of tokens, 0 for no cut-off.")
        if not 0 <= self.seed < 2**32:
            raise RequestError(f"the seed is {self.seed}; give a number from 0 to {2**32 - 1}.")


GREEDY = Sampling()


class Draw(NamedTuple):
    """The same as arrays, for one batch: other values need no other compilation.

    Attributes:
      seed: uint32.
      hashes_B: uint32; of the tokens of each prompt.
      temperature: float32, above 0.
      cut: (top-p, top-k), or None if neither cuts anything off: sorting the vocabulary takes time.
    """

    seed: Array | np.ndarray
    hashes_B: Array | np.ndarray
    temperature: Array | np.ndarray
    cut: tuple[Array | np.ndarray, Array | np.ndarray] | None


def make_draw(sampling: Sampling, prompts: Sequence[Int32[np.ndarray, " _"]], *, vocab_size: int) -> Draw | None:
    """Returns how to draw for each prompt; None for the likeliest token."""
    if sampling.temperature == 0:
        return None
    hashes_B = np.asarray([zlib.crc32(prompt.astype("<i4").tobytes()) for prompt in prompts], np.uint32)
    top_k = min(sampling.top_k or vocab_size, vocab_size)
    cuts = sampling.top_p < 1 or top_k < vocab_size
    return Draw(
        seed=np.asarray(sampling.seed, np.uint32),
        hashes_B=hashes_B,
        temperature=np.maximum(np.asarray(sampling.temperature, np.float32), np.finfo(np.float32).tiny),
        cut=(np.asarray(sampling.top_p, np.float32), np.asarray(top_k, np.int32)) if cuts else None,
    )


def choose(logits_BV: Float[Array, "B V"], step: Int[Array, ""], draw: Draw | None) -> Int[Array, " B"]:
    """Returns each sequence's next token, its ``step``-th."""
    if draw is None:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)
    # Relative to the largest, so that a temperature near 0 makes the others -inf and that one no inf.
    logits_BV = (logits_BV - jnp.max(logits_BV, axis=-1, keepdims=True)) / draw.temperature
    if draw.cut is not None:
        logits_BV = jnp.where(logits_BV >= _lowest_kept(logits_BV, *draw.cut), logits_BV, -jnp.inf)

    def sample(prompt_hash: Array | np.ndarray, logits_V: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(draw.seed), prompt_hash), step)
        return jax.random.categorical(key, logits_V)

    return jax.vmap(sample)(draw.hashes_B, logits_BV).astype(jnp.int32)


def _lowest_kept(
    logits_BV: Float[Array, "B V"], top_p: Float[Array | np.ndarray, ""], top_k: Int[Array | np.ndarray, ""]
) -> Float[Array, "B 1"]:
    """Returns the logit of the least likely token that may be drawn; tokens as likely as it may be drawn too."""
    sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
    sorted_BV = jnp.where(jnp.arange(sorted_BV.shape[1])[None, :] < top_k, sorted_BV, -jnp.inf)
    probabilities_BV = jax.nn.softmax(sorted_BV, axis=-1)
    before_BV = jnp.cumsum(probabilities_BV, axis=-1) - probabilities_BV
    is_kept_BV = (before_BV < top_p) & (sorted_BV > -jnp.inf)
    return jnp.min(jnp.where(is_kept_BV, sorted_BV, jnp.inf), axis=-1, keepdims=True)
