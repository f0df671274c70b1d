"""Is one model better than another on these items, or would other items have said the opposite? Paired, by item.

The models are taken as given: a p-value here speaks of other items, not of other calibration text. What another
calibration seed would change is asked in ``jaxprune.evaluation.seeds``.

Shapes: N items, the same for both models and in the same order.
"""

import dataclasses
import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
import scipy.stats
from jaxtyping import Bool, Num

from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import CONFIDENCE, RESAMPLES, SEED, Estimate, Interval, estimate_ratio


@dataclasses.dataclass(frozen=True)
class McNemar:
    """Two models' right and wrong answers to the same questions.

    Attributes:
      only_first: questions that only the first model answered right.
      only_second: questions that only the second did.
      difference: accuracy of the first less that of the second.
      interval: of the difference, 95 %.
      p_value: two-sided, of the hypothesis that neither is better.
      items: questions.
    """

    only_first: int
    only_second: int
    difference: float
    interval: Interval
    p_value: float
    items: int


def mcnemar(first_N: Bool[np.ndarray, " N"], second_N: Bool[np.ndarray, " _N"]) -> McNemar:
    """Compares two accuracies by the exact test of McNemar (1947).

    Questions that both answer alike say nothing; among the others each model is as often the better one as a coin
    shows heads, if neither is better. The interval is Agresti and Min's (2005, https://doi.org/10.1002/sim.1781), half
    an item added to each of the four kinds; being approximate, it may disagree with the exact test where p is near
    0.05.

    Raises:
      RequestError: no items, or not the same number of both.
    """
    check_pairs(first_N, second_N)
    items = len(first_N)
    first, second = int(np.count_nonzero(first_N & ~second_N)), int(np.count_nonzero(second_N & ~first_N))
    p_value = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
    more = items + 2
    centre = (first - second) / more
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt((first + second + 1) / more - centre**2)
    half /= math.sqrt(more)
    interval = (max(-1.0, centre - half), min(1.0, centre + half))
    return McNemar(first, second, (first - second) / items, interval, float(p_value), items)


def paired_means(
    first_N: Num[np.ndarray, " N"], second_N: Num[np.ndarray, " _N"], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """Estimates the mean of ``first - second`` (chrF, accuracy over several seeds ...) by a paired bootstrap.

    Raises:
      RequestError: no items, not the same number of both, or values that are not finite.
    """
    check_pairs(first_N, second_N)
    differences_N = first_N.astype(np.float64) - second_N
    return estimate_ratio(differences_N, np.ones(len(differences_N)), resamples=resamples, seed=seed)


def paired_perplexity(
    first_N: Num[np.ndarray, " N"],
    second_N: Num[np.ndarray, " _N"],
    tokens_N: Num[np.ndarray, " N"],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """Estimates the difference in nats a token by a paired bootstrap over windows, long ones weighing more.

    ``exp`` of value and interval are the ratio of the perplexities, first by second.

    Args:
      first_N: total nats of each window under the first model.
      second_N: the same under the second.
      tokens_N: tokens predicted in each window.

    Raises:
      RequestError: no windows, not the same number of both, or nats that are not finite.
    """
    check_pairs(first_N, second_N)
    return estimate_ratio(first_N.astype(np.float64) - second_N, tokens_N, resamples=resamples, seed=seed)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p-values corrected for a family of tests (Holm, 1979, https://www.jstor.org/stable/4615733).

    Of all that are below 0.05 afterwards, the probability that any is an accident is at most 0.05, however the tests
    depend on each other. A family is one question asked in several languages.
    """
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in p_values}


def check_pairs(first: np.ndarray, second: np.ndarray) -> None:
    """Refuses what cannot be compared item by item.

    Raises:
      RequestError: the last axes differ in length, or are empty.
    """
    if first.shape[-1] != second.shape[-1] or not first.shape[-1]:
        raise RequestError(
            f"a paired test needs the same items for both models, and got {first.shape[-1]} and {second.shape[-1]}; "
            "evaluate both on the same windows or questions."
        )
