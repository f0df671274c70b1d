"""How evenly zeros fall on channels, attention heads or neurons.

Shapes: U units of the same number of weights each.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Int64

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclasses.dataclass(frozen=True)
class Spread:
    """The sparsities of a group of units.

    The Gini coefficient measures concentration: 0 if all units have lost the same share, 1 - sparsity if those that
    have lost anything have lost everything. Of the measures that Hurley and Rickard (2009,
    https://arxiv.org/abs/0811.4706) compare it is the one that meets all their criteria, and unlike the share of the
    top decile it has no threshold to choose, and serves six heads as well as thousands of neurons.

    Attributes:
      units: how many there are.
      quantiles: sparsity at each of ``QUANTILES``.
      gini: of the numbers of zeros; None if there are none, or only one unit.
      gini_by_chance: what it would be if chance alone chose, as far as the pattern leaves it a choice; 0 if the pattern
        makes all units even.
      most: units that have lost most, with their sparsity, most first; empty if all have lost the same.
    """

    units: int
    quantiles: tuple[float, ...]
    gini: float | None
    gini_by_chance: float | None
    most: tuple[tuple[int, float], ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the attributes, ``most`` as pairs."""
        return {**dataclasses.asdict(self), "quantiles": list(self.quantiles), "most": [list(one) for one in self.most]}


def spread(kept_U: Int64[np.ndarray, " U"], num_weights: int, *, top: int, variance: float) -> Spread:
    """Summarises units of ``num_weights`` weights each.

    Args:
      kept_U: how many are kept of each.
      top: how many units ``most`` names.
      variance: half the mean square by which the zeros of two units would differ by chance.
    """
    kept_first_U = np.argsort(kept_U, kind="stable")
    zeros_U = num_weights - kept_U[kept_first_U[::-1]]  # ascending
    quantiles = np.quantile(zeros_U, QUANTILES) / num_weights
    is_even = zeros_U[0] == zeros_U[-1]
    most = [] if is_even else kept_first_U[:top]
    return Spread(
        units=len(kept_U),
        quantiles=tuple(map(float, quantiles)),
        gini=_gini(zeros_U),
        gini_by_chance=_gini_by_chance(float(zeros_U.mean()), variance, len(kept_U)),
        most=tuple((int(unit), 1 - int(kept_U[unit]) / num_weights) for unit in most),
    )


def _gini(ascending_U: Int64[np.ndarray, " U"]) -> float | None:
    """Returns the mean absolute difference of all ordered pairs, over twice the mean."""
    num_units, total = len(ascending_U), int(ascending_U.sum())
    if not total or num_units < 2:
        return None
    ranks_U = np.arange(1, num_units + 1, dtype=np.int64)
    return 2 * int(ranks_U @ ascending_U) / (num_units * total) - (num_units + 1) / num_units


def _gini_by_chance(mean: float, variance: float, num_units: int) -> float | None:
    """Returns the mean Gini coefficient of counts whose differences are taken as normal.

    Normal values whose difference has the variance 2 v differ by 2 sqrt(v / pi) on average. Of U^2 ordered pairs U
    are a unit with itself.
    """
    if not mean or num_units < 2:
        return None
    return math.sqrt(variance / math.pi) / mean * (num_units - 1) / num_units
