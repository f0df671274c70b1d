"""Estimates with 95 % intervals: proportions (Wilson, 1927) and ratios of sums, such as means and nats a token.

Shapes: N items (windows, questions, documents), drawn independently of each other.
"""

import dataclasses
import math

import numpy as np
import scipy.stats
from jaxtyping import Num

from jaxprune.errors import RequestError

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0

Interval = tuple[float, float]

# Below this many items Student's t stands in for the bootstrap: so few have too few different resamples for its tails
# (four normal items are missed by a percentile interval in 20 of 100 cases, by Student's in 5).
FEWEST_RESAMPLED = 16
# Numbers drawn at a time: they stay in the processor's cache.
_BATCH = 2**16


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean that other items would have given otherwise.

    Attributes:
      value: of the items at hand.
      interval: where the mean of all such items is, with a confidence of 95 %; None with one item.
      p_value: two-sided, of the hypothesis that that mean is zero; below 0.05 exactly where the interval leaves zero
        out, up to the ties of small samples. None with one item.
      items: how many.
    """

    value: float
    interval: Interval | None
    p_value: float | None
    items: int


def proportion_interval(successes: int, trials: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Returns Wilson's score interval, which is right for few trials and for proportions near zero and one too."""
    found = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def estimate_ratio(
    totals_N: Num[np.ndarray, " N"],
    counts_N: Num[np.ndarray, " _N"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """Returns ``sum(totals) / sum(counts)``: with the nats and tokens of windows, nats a token.

    Items are resampled whole. The bootstrap's percentile interval is that of a normal approximation whose spread
    divides by N; it is widened to what Student's t with N - 1 degrees of freedom would make of it (Hesterberg, 2015,
    https://doi.org/10.1080/00031305.2015.1089789). The p-value is what the same intervals
    leave out; where no resample is beyond zero, it is Student's. Equal input gives
    equal output: ``seed`` draws the resamples, not the items.

    Args:
      totals_N: what is summed, by item.
      counts_N: how much each item weighs: its tokens; ones for a plain mean.

    Raises:
      RequestError: no item, another number of counts than of totals, or totals that are not finite.
    """
    _check(totals_N, counts_N)
    totals_N, counts_N = totals_N.astype(np.float64), counts_N.astype(np.float64)
    items = len(totals_N)
    value = float(totals_N.sum() / counts_N.sum())
    if items == 1:
        return Estimate(value, None, None, items)
    if items < FEWEST_RESAMPLED:
        error = standard_error(totals_N, counts_N)
        return Estimate(value, *student(value, error, items - 1, confidence=confidence), items)
    # What a tail of Student's t is among the resamples: z = t * sqrt(N / (N - 1)).
    widening = math.sqrt(items / (items - 1))
    quantile = float(scipy.stats.t.ppf((1 + confidence) / 2, items - 1))
    outside = 2 * float(scipy.stats.norm.sf(widening * quantile))
    found = scipy.stats.bootstrap(
        (totals_N, counts_N),
        _ratio,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // items),
        confidence_level=1 - outside,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = (float(found.confidence_interval.low), float(found.confidence_interval.high))
    drawn = found.bootstrap_distribution
    beyond = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    # The items at hand count as a resample, so that no p-value is zero.
    tail = (1 + beyond) / (1 + resamples)
    p_value = 2 * float(scipy.stats.t.sf(scipy.stats.norm.isf(tail) / widening, items - 1))
    if not beyond:
        # Resamples see no further, and a correction for many tests would take what they see for chance.
        error = standard_error(totals_N, counts_N)
        p_value = min(p_value, max(student(value, error, items - 1)[1], np.finfo(np.float64).tiny))
    return Estimate(value, interval, min(1.0, p_value), items)


def standard_error(totals_N: np.ndarray, counts_N: np.ndarray) -> float:
    """Returns that of ``sum(totals) / sum(counts)``, linearised; of a mean it is the textbook's."""
    items = len(totals_N)
    left_N = totals_N - counts_N * (totals_N.sum() / counts_N.sum())
    return math.sqrt(items / (items - 1) * float(np.sum(np.square(left_N)))) / float(counts_N.sum())


def student(
    value: float, error: float, freedom: int | float, *, confidence: float = CONFIDENCE
) -> tuple[Interval, float]:
    """Returns interval and p-value of a normal estimate whose standard error has ``freedom`` degrees of freedom."""
    if error == 0:  # every item says exactly the same
        return (value, value), 1.0 if value == 0 else 0.0
    half = error * float(scipy.stats.t.ppf((1 + confidence) / 2, freedom))
    return (value - half, value + half), 2 * float(scipy.stats.t.sf(abs(value) / error, freedom))


def _ratio(totals: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
    return totals.sum(axis) / counts.sum(axis)


def _check(totals_N: np.ndarray, counts_N: np.ndarray) -> None:
    if not len(totals_N) or len(totals_N) != len(counts_N):
        raise RequestError(
            f"a mean of {len(totals_N)} items with {len(counts_N)} weights was asked for; give one weight an item, and "
            "one item at least."
        )
    wrong = int(np.count_nonzero(~np.isfinite(totals_N)))
    if wrong:
        raise RequestError(
            f"{wrong} of {len(totals_N)} items are NaN or infinite, so their mean says nothing; leave the point out, "
            "or measure it again in float32 (--compute-dtype float32)."
        )
