"""Is one calibration better than another, whatever text is drawn for it? Paired by item, with several seeds each.

Two models that were calibrated on two draws from the same language differ a little, and enough windows show it: tests
that only know items (``jaxprune.evaluation.significance``) call that significant. Here the spread between the seeds of
a calibration counts as well.

Shapes: S seeds of a calibration, N items, the same for all models and in the same order.
"""

import dataclasses

import numpy as np
from jaxtyping import Num

from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import Interval, standard_error, student
from jaxprune.evaluation.significance import check_pairs


@dataclasses.dataclass(frozen=True)
class SeededDifference:
    """What one calibration has over another.

    Attributes:
      value: mean over seeds and items of the first less the second.
      interval: where that is for other seeds and other items, 95 %.
      p_value: two-sided, of the hypothesis that the calibrations do equally well.
      error_of_items: standard error that is due to the items.
      error_of_seeds: standard error that is due to the seeds; zero if both have one.
      items: how many.
      seeds: of the first and of the second.
    """

    value: float
    interval: Interval
    p_value: float
    error_of_items: float
    error_of_seeds: float
    items: int
    seeds: tuple[int, int]


def difference_over_seeds(
    first_SN: Num[np.ndarray, "S N"], second_SN: Num[np.ndarray, "R _N"], counts_N: Num[np.ndarray, " _N"]
) -> SeededDifference:
    """Compares two calibrations by Student's t with the variances of items and of seeds added up.

    Degrees of freedom are Welch's and Satterthwaite's: near S + R - 2 where seeds matter most, near N - 1 where items
    do. Two seeds are the fewest that show a spread, and show it poorly: the interval is then wide, as it should be.
    What a seed does to single items is part of both variances, so the test is a careful one: of equal calibrations it
    finds 1 to 6 in 100 different at p < 0.05.

    Args:
      first_SN: totals (nats of a window, score of an answer) of the first calibration. A single seed counts as a
        model without any (dense, or pruned by magnitude), whose spread is zero.
      second_SN: the same of the second.
      counts_N: tokens of each window; ones for a plain mean.

    Raises:
      RequestError: items that are not the same, fewer than two, or totals that are not finite.
    """
    check_pairs(first_SN, second_SN)
    check_pairs(first_SN, counts_N)
    items = len(counts_N)
    if items < 2 or not (np.isfinite(first_SN).all() and np.isfinite(second_SN).all()):
        raise RequestError(
            f"a difference over seeds needs two items at least, all of them finite, and got {items}; evaluate on more, "
            "and leave out points that failed."
        )
    counts_N = counts_N.astype(np.float64)
    differences_N = first_SN.mean(axis=0, dtype=np.float64) - second_SN.mean(axis=0, dtype=np.float64)
    of_items = standard_error(differences_N, counts_N) ** 2
    variances = [(of_items, items - 1)]
    for totals_SN in (first_SN, second_SN):
        seeds = len(totals_SN)
        if seeds > 1:
            means_S = totals_SN.sum(axis=1, dtype=np.float64) / counts_N.sum()
            variances.append((float(np.var(means_S, ddof=1)) / seeds, seeds - 1))
    total = sum(variance for variance, _ in variances)
    # Without any variance the models agree on all items, and every number of degrees says the same.
    freedom = total**2 / sum(variance**2 / of for variance, of in variances) if total > 0 else items - 1
    value = float(differences_N.sum() / counts_N.sum())
    interval, p_value = student(value, total**0.5, freedom)
    return SeededDifference(
        value=value,
        interval=interval,
        p_value=p_value,
        error_of_items=of_items**0.5,
        error_of_seeds=max(0.0, total - of_items) ** 0.5,
        items=items,
        seeds=(len(first_SN), len(second_SN)),
    )
