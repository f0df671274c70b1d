"""Is one calibration better than another, whatever text is drawn for it? Paired by item, with several seeds each.

Two models that were calibrated on two draws from the same language differ a little, and enough windows show it: tests
that only know items (``jaxprune.evaluation.significance``) call that significant. Here the spread between the seeds of
a calibration counts as well.

Shapes: S seeds of a calibration, N items, the same for all models and in the same order.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

from jaxprune.errors import RequestError
from jaxprune.evaluation.behrens_fisher import Variance, behrens_fisher
from jaxprune.evaluation.intervals import Interval, standard_error
from jaxprune.evaluation.seed_spread import Spread
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


@dataclasses.dataclass(frozen=True)
class Part:
    """What one measure adds to a criterion: ``weight`` times its difference.

    Attributes:
      weight: of a unit of the measure (a nat a token, a point of accuracy).
      first_SN: totals (nats of a window, score of an answer) of the first calibration. A single seed counts as a model
        without any (dense, or pruned by magnitude), whose spread is zero.
      second_RN: the same of the second.
      counts_N: tokens of each window; ones for a plain mean.
    """

    weight: float
    first_SN: Num[np.ndarray, "S N"]
    second_RN: Num[np.ndarray, "R N"]
    counts_N: Num[np.ndarray, " N"]


def difference_over_seeds(
    first_SN: Num[np.ndarray, "S N"], second_SN: Num[np.ndarray, "R _N"], counts_N: Num[np.ndarray, " _N"]
) -> SeededDifference:
    """Compares two calibrations with the errors of items and of seeds added up as Behrens and Fisher have it.

    Where all the error is the items', it is the paired t-test; where all is the seeds', Welch's. Two seeds are the
    fewest that show a spread, and show it poorly: the interval is then wide, as it should be. What a seed does to
    single items is part of both variances, so the test is a careful one: of equal calibrations it finds 0 to 4 in 100
    different at p < 0.05, if seeds matter alike in both.

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
    return criterion_over_seeds([Part(1.0, first_SN, second_SN, counts_N)])


def criterion_over_seeds(
    parts: Sequence[Part], *, spread: Spread | None = None, is_second_dense: bool = False
) -> SeededDifference:
    """Compares two calibrations by a weighted sum of measures, as ``difference_over_seeds`` does by one.

    Items of different measures are drawn independently of each other, so their variances add up. A seed is one model,
    whatever it is measured by: what it does to the whole sum is its spread.

    Args:
      parts: the same seeds in all of them, in the same order.
      spread: of the whole sum, from more calibrations than these two; None: from their own seeds.
      is_second_dense: whether the second has no seeds; matters with ``spread``.

    Raises:
      RequestError: as ``difference_over_seeds``.
    """
    value, items = 0.0, 0
    of_items: list[Variance] = []
    of_seeds: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for part in parts:
        items += _check(part)
        counts_N = part.counts_N.astype(np.float64)
        totals = [totals.astype(np.float64) for totals in (part.first_SN, part.second_RN)]
        differences_N = totals[0].mean(axis=0) - totals[1].mean(axis=0)
        error = part.weight * standard_error(differences_N, counts_N)
        of_items.append(Variance(error**2, len(counts_N) - 1))
        value += part.weight * float(differences_N.sum() / counts_N.sum())
        for means, totals_SN in zip(of_seeds, totals, strict=True):
            means.append(part.weight * totals_SN.sum(axis=1) / counts_N.sum())
    seeds = (len(parts[0].first_SN), len(parts[0].second_RN))
    values = [np.sum(means, axis=0) for means in of_seeds]
    if spread is not None:
        known = values[: 1 if is_second_dense else 2]
        seed_variance = variance_of_difference([(spread.of(values_S), len(values_S)) for values_S in known])
    else:
        several = [values_S for values_S in values if len(values_S) > 1]
        seed_variance = add_variances(
            [Variance(float(np.var(values_S, ddof=1)) / len(values_S), len(values_S) - 1) for values_S in several]
        )
    item_variance = add_variances(of_items)
    interval, p_value = behrens_fisher(value, item_variance, seed_variance)
    return SeededDifference(
        value=value,
        interval=interval,
        p_value=p_value,
        error_of_items=item_variance.value**0.5,
        error_of_seeds=seed_variance.value**0.5,
        items=items,
        seeds=seeds,
    )


def variance_of_difference(known: Sequence[tuple[Variance, int]]) -> Variance:
    """Returns the variance of a difference of means over seeds.

    Each mean has the variance of one seed, as ``Spread.of`` knows it, and its number of seeds. Both lean on the same
    calibrations and are not independent. It has the fewer degrees of freedom of the two, with which Student's t never
    promises too light tails (Mickey and Brown, 1966).
    """
    return Variance(sum(of.value / seeds for of, seeds in known), min(of.freedom for of, _ in known))


def add_variances(variances: Sequence[Variance]) -> Variance:
    """Returns the sum of independent variances with Satterthwaite's degrees of freedom: for parts that are alike.

    Where one part has few degrees and another many it promises too light tails; ``behrens_fisher`` does not. Without
    any variance, where every number of degrees says the same, it is the sum of theirs.
    """
    total = sum(of.value for of in variances)
    if total == 0:
        return Variance(0.0, sum(of.freedom for of in variances))
    return Variance(total, total**2 / sum(of.value**2 / of.freedom for of in variances))


def _check(part: Part) -> int:
    """Returns the number of a part's items.

    Raises:
      RequestError: there are fewer than two, or one is not finite.
    """
    items = len(part.counts_N)
    if items < 2 or not (np.isfinite(part.first_SN).all() and np.isfinite(part.second_RN).all()):
        raise RequestError(
            f"a difference over seeds needs two items at least, all of them finite, and got {items}; evaluate on more, "
            "and leave out points that failed."
        )
    return items
