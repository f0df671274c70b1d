"""The 95 % interval that fits a task's metric: Wilson's for right and wrong answers, Student's or bootstrap for grades.

Over seeds, that of items and of seeds added up as Behrens and Fisher have it.

Which of both it is the metric's name says and not the scores alone: a chrF of 0 on every item is no proportion of none,
and nothing is known of how such grades scatter.

Shapes: S seeds of a calibration, N items.
"""

import math
import re

import numpy as np
from jaxtyping import Num

from jaxprune.evaluation.behrens_fisher import Variance, quantile
from jaxprune.evaluation.intervals import CONFIDENCE, Interval, estimate_ratio, proportion_interval, standard_error
from jaxprune.evaluation.seed_spread import Spread, pool_spread
from jaxprune.evaluation.seeds import variance_of_difference

# Metrics of right and wrong answers, and of grades, begin so, here and in lm-evaluation-harness: acc_norm, rougeL.
_RIGHT_OR_WRONG = re.compile(r"(acc|exact_match|em)(_|$)")
_GRADED = re.compile(r"chrf|rouge|bleu|ter|f1")


def is_right_or_wrong(metric: str, scores: Num[np.ndarray, "..."]) -> bool:
    """Returns whether scores are answers that are right (1) or wrong (0).

    Of metrics whose names say nothing, those are whose scores have both numbers and no other.
    """
    values = set(np.unique(scores).tolist())
    if _GRADED.match(metric):
        return False
    return values <= {0.0, 1.0} if _RIGHT_OR_WRONG.match(metric) else values == {0.0, 1.0}


def score_interval(
    metric: str, scores_SN: Num[np.ndarray, "S N"], *, spread: Spread | None = None, most: float | None = None
) -> Interval | None:
    """Returns where the mean is for other items and, with seeds, for other seeds; within what an item can have.

    Of right and wrong answers over seeds it is Wilson's, with the variance of seeds added to that of items by the mean
    in question, and with the quantile of Behrens and Fisher: near 0 and 1 it stays inside and has a width.

    Args:
      spread: what a seed changes, from more calibrations than this one; None: from its own seeds.
      most: the most that an item can score; None: 1 if no score is above that, else not known.

    Returns:
      the interval; None with one item, and where all grades are the same: they say nothing of how others would scatter.
    """
    seeds, items = scores_SN.shape
    scores_SN = scores_SN.astype(np.float64)
    if spread is None:
        spread = pool_spread([scores_SN.mean(axis=1)])
    if is_right_or_wrong(metric, scores_SN):
        if spread is None and seeds == 1:
            return proportion_interval(int(scores_SN.sum()), items)
        return _wilson(scores_SN, spread)
    if items < 2:
        return None
    if spread is None and seeds == 1:
        found = estimate_ratio(scores_SN[0], np.ones(items)).interval if np.ptp(scores_SN) > 0 else None
    else:
        of_items = Variance(standard_error(scores_SN.mean(axis=0), np.ones(items)) ** 2, items - 1)
        half = quantile(of_items, _of_seeds(scores_SN, spread), outside=1 - CONFIDENCE)
        found = (float(scores_SN.mean()) - half, float(scores_SN.mean()) + half) if half > 0 else None
    if most is None and scores_SN.max() <= 1:
        most = 1.0
    if found is None or scores_SN.min() < 0:
        return found
    # No item scores outside, whatever few of them suggest of their mean.
    return max(0.0, found[0]), found[1] if most is None else min(most, found[1])


def _wilson(scores_SN: np.ndarray, spread: Spread | None) -> Interval:
    """Solves ``(mean - m)^2 = q^2 (m (1 - m) / items + variance of seeds)`` for m."""
    items, mean = scores_SN.shape[1], float(scores_SN.mean())
    # Items that are all right or all wrong show no variance; two more of either kind do (Agresti and Coull, 1998).
    inside = mean if 0 < mean < 1 else (items * mean + 2) / (items + 4)
    of_items = Variance(inside * (1 - inside) / items, max(1, items - 1))
    of_seeds = _of_seeds(scores_SN, spread)
    # In standard errors, as Student's quantile is.
    q2 = quantile(of_items, of_seeds, outside=1 - CONFIDENCE) ** 2 / (of_items.value + of_seeds.value)
    a, b, c = 1 + q2 / items, 2 * mean + q2 / items, mean**2 - q2 * of_seeds.value
    half = math.sqrt(b**2 - 4 * a * c)
    low, high = (b - half) / (2 * a), (b + half) / (2 * a)
    # Exactly there, whatever rounding makes of it.
    return 0.0 if mean == 0 else max(0.0, low), 1.0 if mean == 1 else min(1.0, high)


def _of_seeds(scores_SN: np.ndarray, spread: Spread | None) -> Variance:
    """Returns what other seeds make of the mean."""
    if spread is None:
        return Variance(0.0, math.inf)
    return variance_of_difference([(spread.of(scores_SN.mean(axis=1)), len(scores_SN))])
