"""How far apart units are by chance alone, where a pattern fixes how many weights of each group are pruned.

A pattern that prunes a fixed number of each output's inputs leaves chance nothing to do among outputs, and N:M nothing
among heads of whole groups: that they have lost alike says nothing of the model. Groups are rectangles of a kernel.

A unit has ``part`` of the ``whole`` weights of a group. If any choice of the pruned ones is as likely, its zeros there
are hypergeometric, of variance ``s (1 - s) part (whole - part) / (whole - 1)`` at sparsity s, and groups are
independent. All U units together lose a fixed number; so half the mean square by which two of them differ is the sum
of their variances over U - 1, as for any sample about its mean.

Shapes: G groups, P pieces of inputs that one unit and one group have in common.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Competition(NamedTuple):
    """The weights of a kernel among which a pattern prunes a fixed number, and which ones is open.

    Attributes:
      inputs: neighbouring inputs; None: all.
      is_of_one_output: whether they are of a single output, and not of all.
    """

    inputs: int | None = None
    is_of_one_output: bool = False


def outputs_variance(competition: Competition, d_out: int, d_in: int, sparsity: float, *, size: int = 1) -> float:
    """Returns half the mean square by which the zeros of two units differ; 0 where the pattern makes all even.

    Args:
      competition: what competes.
      d_out: outputs of the kernel.
      d_in: its inputs.
      sparsity: share of each group that is pruned.
      size: neighbouring outputs that make up a unit; a divisor of ``d_out``.
    """
    units = d_out // size
    if competition.is_of_one_output or units < 2:
        return 0.0
    widths_G = np.diff(_bounds(competition.inputs or d_in, d_in))
    return sparsity * (1 - sparsity) * units * _shares(size * widths_G, d_out * widths_G) / (units - 1)


def inputs_variance(competition: Competition, d_out: int, d_in: int, sparsity: float, *, size: int = 1) -> float:
    """Returns the same for units of ``size`` neighbouring inputs, a divisor of ``d_in``."""
    units = d_in // size
    return 0.0 if units < 2 else sparsity * (1 - sparsity) * _input_shares(competition, d_out, d_in, size) / (units - 1)


@functools.lru_cache(maxsize=256)
def _input_shares(competition: Competition, d_out: int, d_in: int, size: int) -> float:
    groups = _bounds(competition.inputs or d_in, d_in)
    bounds = np.union1d(_bounds(size, d_in), groups)
    pieces_P = np.diff(bounds)
    widths_P = np.diff(groups)[np.searchsorted(groups, bounds[:-1], side="right") - 1]
    if competition.is_of_one_output:
        return d_out * _shares(pieces_P, widths_P)
    return _shares(d_out * pieces_P, d_out * widths_P)


def _bounds(width: int, d_in: int) -> Int64[np.ndarray, " bounds"]:
    """Returns where pieces of ``width`` inputs begin, the last of which may be narrower, and the end."""
    return np.array([*range(0, d_in, width), d_in], np.int64)


def _shares(part: Int64[np.ndarray, " P"], whole: Int64[np.ndarray, " P"]) -> float:
    """Returns the sum of hypergeometric variances, over that of one weight."""
    return float(np.sum(part * (whole - part) / np.maximum(whole - 1, 1)))
