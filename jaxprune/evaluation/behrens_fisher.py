"""Behrens and Fisher's distribution: of an error with two parts, the variance of each known as well as its data tell.

Each part by itself is Student's t times its standard error. Their sum is not: one t with Satterthwaite's degrees of
freedom, which only match the variance's first two moments, has too light tails where one part has few degrees and
the other many.

The chi-squares behind the two variances have a sum that is independent of the first one's share B of it, and that share
is Beta(f1 / 2, f2 / 2). Given B, the error is Student's t with f1 + f2 degrees times a standard error that depends on
B; so the tail is a mean of Student's tails over B, one integral. In the log-odds of B both its factors are analytic and
its ends fall exponentially, where the trapezoid rule converges as fast as any.

Shapes: Z nodes of the integral.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special

from jaxprune.evaluation.intervals import CONFIDENCE, Interval

# Of the tail that is asked for, what the integral may miss at either end.
_MISSED = 1e-20
# The integrand is a bell of the Beta's deviation or wider, and stays small up to pi / 2 beside the real line: steps as
# long as these leave an error of the size of rounding.
_LONGEST_STEP, _STEPS_A_DEVIATION = 0.25, 2.0
# As good as infinity: a tail of 1e-9 differs from the normal one's by 3e-6 of itself.
_MOST_FREEDOM = 1e8


class Variance(NamedTuple):
    """Square of a standard error as it was estimated, with the degrees of freedom of the estimate (inf: exact)."""

    value: float
    freedom: float


def behrens_fisher(
    value: float, first: Variance, second: Variance, *, confidence: float = CONFIDENCE
) -> tuple[Interval, float]:
    """Returns interval and p-value of a normal estimate with two independent errors; Student's if one is zero."""
    half = quantile(first, second, outside=1 - confidence)
    return (value - half, value + half), two_sided_tail(value, first, second)


def two_sided_tail(distance: float, first: Variance, second: Variance) -> float:
    """Returns the probability that ``|sqrt(v1) t1 + sqrt(v2) t2|`` is at least ``|distance|``.

    Its relative error is about 1e-12, however small it is.
    """
    known = _parts(first, second)
    if not known:
        return 1.0 if distance == 0 else 0.0
    # The sum is as far out at least as often as either part alone (Anderson, 1955).
    least = max(2 * float(scipy.special.stdtr(of.freedom, -abs(distance) / math.sqrt(of.value))) for of in known)
    return least if len(known) == 1 else _tail(first, second, least)(abs(distance))


def quantile(first: Variance, second: Variance, *, outside: float) -> float:
    """Returns the distance whose ``two_sided_tail`` is ``outside``; 0 without any variance."""
    known = _parts(first, second)
    if len(known) < 2:
        return sum((_student_quantile(of, outside) for of in known), 0.0)
    tail = _tail(first, second, outside)
    # Further out than either part alone, and no further than where each has half of the probability.
    low = max(_student_quantile(of, outside) for of in known) * (1 - 1e-6)
    high = sum(_student_quantile(of, outside / 2) for of in known)
    found = scipy.optimize.root_scalar(
        lambda log_distance: math.log(tail(math.exp(log_distance)) / outside),
        method="brentq",
        bracket=(math.log(low), math.log(high)),
        xtol=1e-12,
    )
    return math.exp(found.root)


def _parts(first: Variance, second: Variance) -> list[Variance]:
    """Returns those that are more than zero; two exact ones are one."""
    if math.isinf(first.freedom) and math.isinf(second.freedom):
        first, second = Variance(first.value + second.value, math.inf), Variance(0.0, math.inf)
    return [of for of in (first, second) if of.value > 0]


def _tail(first: Variance, second: Variance, least: float) -> Callable[[float], float]:
    """Returns the two-sided tail as a function of the distance, for tails of ``least`` and more."""
    freedoms = [min(of.freedom, _MOST_FREEDOM) for of in (first, second)]
    a, b = (freedom / 2 for freedom in freedoms)
    # Beta(a, b) is below B at most B^a / (a beta(a, b)) of the time, up to what _MISSED has to spare.
    log_missed = math.log(_MISSED) + math.log(max(least, np.finfo(np.float64).tiny))
    log_beta = float(scipy.special.betaln(a, b))
    low, high = (
        log_share - math.log(-math.expm1(log_share))
        for log_share in ((log_missed + math.log(of) + log_beta) / of for of in (a, b))
    )
    step = min(_LONGEST_STEP, math.sqrt(1 / a + 1 / b) / _STEPS_A_DEVIATION)
    z_Z = np.linspace(low, -high, 2 + math.ceil((-high - low) / step))
    log_b_Z, log_rest_Z = -np.logaddexp(0, -z_Z), -np.logaddexp(0, z_Z)
    log_weights_Z = a * log_b_Z + b * log_rest_Z
    weights_Z = np.exp(log_weights_Z - log_weights_Z.max())
    weights_Z /= weights_Z.sum()
    shares = [
        math.log(freedom / sum(freedoms) * of.value) for freedom, of in zip(freedoms, (first, second), strict=True)
    ]
    inverse_errors_Z = np.exp(-0.5 * np.logaddexp(shares[0] - log_b_Z, shares[1] - log_rest_Z))
    return lambda distance: 2 * float(weights_Z @ scipy.special.stdtr(sum(freedoms), -distance * inverse_errors_Z))


def _student_quantile(of: Variance, outside: float) -> float:
    return -math.sqrt(of.value) * float(scipy.special.stdtrit(of.freedom, outside / 2))
