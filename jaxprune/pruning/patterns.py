"""Where zeros may go, and how many.

A mask has its kernel's shape ``[d_in, d_out]``; True keeps a weight.
"""

import dataclasses
import fractions
import re
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

from jaxprune.errors import RequestError
from jaxprune.pruning.selection import select_lowest, select_lowest_of_few

Scope = Literal["output", "kernel", "block"]
"""Which weights compete: the inputs of one output, a whole kernel, or a block of inputs of all outputs."""

# SparseGPT's; a method that works in blocks of its own passes their width.
_BLOCK_WIDTH = 128


@dataclasses.dataclass(frozen=True)
class Unstructured:
    """A fraction of the weights, wherever they score lowest.

    Attributes:
      sparsity: fraction pruned, in [0, 1).
      within: which weights compete, a ``Scope``.
    """

    sparsity: float
    within: str

    def __post_init__(self) -> None:
        """Raises RequestError for a sparsity or a scope that does not exist."""
        if not 0 <= self.sparsity < 1:
            raise RequestError(f"sparsity {self.sparsity:g} is not in [0, 1); give the fraction to prune: 0.5 is half.")
        if self.within not in get_args(Scope):
            raise RequestError(f"--within {self.within!r} is unknown; choose {', '.join(get_args(Scope))}.")

    def __str__(self) -> str:
        """Returns what a user types."""
        return str(self.sparsity)

    def check_width(self, d_in: int) -> None:
        """Accepts every number of inputs."""

    def num_pruned(self, size: int) -> int:
        """Returns how many of ``size`` weights are pruned, rounded down."""
        # The decimal that was typed, exactly: 0.29 * 100 is 28.999999999999996 in floating point.
        return int(fractions.Fraction(str(self.sparsity)) * size)

    def block_counts(self, d_in: int, d_out: int, width: int) -> Int32[np.ndarray, " blocks"]:
        """Returns how many weights to prune in each block of ``width`` inputs.

        Counted for each output or for all outputs together, as the scope says. All blocks together have
        as many as ``num_pruned`` says of the whole.
        """
        weights_per_input = 1 if self.within == "output" else d_out
        ends = [min(end, d_in) * weights_per_input for end in range(width, d_in + width, width)]
        return np.diff([self.num_pruned(end) for end in [0, *ends]]).astype(np.int32)

    def keep(self, scores_IO: Float32[Array, "d_in d_out"], num: Int32[Array, ""]) -> Bool[Array, "d_in d_out"]:
        """Returns the mask that prunes the ``num`` lowest scores, of each output or of all."""
        d_in, _ = scores_IO.shape
        inputs_IO = jax.lax.broadcasted_iota(jnp.int32, scores_IO.shape, 0)
        outputs_IO = jax.lax.broadcasted_iota(jnp.int32, scores_IO.shape, 1)
        if self.within == "output":
            return ~select_lowest(scores_IO, num, axes=(0,), position=inputs_IO)
        # Output by output, as published kernels [d_out, d_in] lie in memory.
        return ~select_lowest(scores_IO, num, axes=(0, 1), position=outputs_IO * d_in + inputs_IO)

    def mask(self, scores_IO: Float32[Array, "d_in d_out"]) -> Bool[Array, "d_in d_out"]:
        """Returns the mask of a whole kernel."""
        d_in, d_out = scores_IO.shape
        width = min(_BLOCK_WIDTH, d_in) if self.within == "block" else d_in
        counts = jnp.asarray(self.block_counts(d_in, d_out, width))
        padding = ((0, len(counts) * width - d_in), (0, 0))
        blocks = jnp.pad(scores_IO, padding, constant_values=jnp.inf).reshape(-1, width, d_out)
        mask_IO = jax.lax.map(lambda block: self.keep(*block), (blocks, counts))
        return mask_IO.reshape(-1, d_out)[:d_in]


@dataclasses.dataclass(frozen=True)
class NM:
    """The best n of every m neighbours along the input axis.

    Attributes:
      n: how many are kept.
      m: of how many.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        """Raises RequestError for numbers that make no pattern."""
        if self.m < 2 or not 1 <= self.n <= self.m:
            raise RequestError(
                f"pattern {self} is not possible: N:M keeps N of every M weights, M at least 2, "
                "N from 1 to M, for example 2:4."
            )

    def __str__(self) -> str:
        """Returns what a user types."""
        return f"{self.n}:{self.m}"

    def check_width(self, d_in: int) -> None:
        """Raises RequestError if groups of m do not fill ``d_in`` inputs."""
        if d_in % self.m:
            raise RequestError(
                f"pattern {self} needs a number of inputs that {self.m} divides, and there are {d_in}; "
                "choose another M or a fraction such as 0.5."
            )

    def mask(self, scores_IO: Float32[Array, "d_in d_out"]) -> Bool[Array, "d_in d_out"]:
        """Returns the mask of a kernel, or of any whole groups of its inputs."""
        d_in, d_out = scores_IO.shape
        self.check_width(d_in)
        scores_GMO = scores_IO.reshape(d_in // self.m, self.m, d_out)
        return ~select_lowest_of_few(scores_GMO, self.m - self.n).reshape(d_in, d_out)


Pattern = Unstructured | NM


def parse_pattern(text: str, within: str | None, default_scope: Scope) -> Pattern:
    """Reads ``0.5`` or ``2:4``.

    Args:
      text: the pattern.
      within: the scope asked for; None: ``default_scope``.
      default_scope: that of the method.

    Raises:
      RequestError: neither of the two, numbers that make no pattern, or a scope for N:M.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,9}:\d{1,9}", text, re.ASCII):
        if within is not None:
            raise RequestError(f"--within {within} has no meaning for {text}, where neighbours compete; leave it out.")
        n, _, m = text.partition(":")
        return NM(int(n), int(m))
    try:
        sparsity = float(text)
    except ValueError:
        raise RequestError(
            f"pattern {text!r} cannot be read; write the fraction to prune, for example 0.5, "
            "or N:M for N weights kept of every M, for example 2:4."
        ) from None
    return Unstructured(sparsity, default_scope if within is None else within)
