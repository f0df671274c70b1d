"""How much another seed changes a value, where no calibration has seeds enough to say so by itself.

Two seeds alone know their spread so badly that a lucky pair looks certain: among a hundred tests some always do, and no
correction of p-values makes up for that. All calibrations of a setting know it together; but seeds do not matter alike
in all of them (draws from one language resemble each other more, or less, than draws from eight), so that a test with
one variance for all finds too much where they matter most. Between the two lies the empirical Bayes estimate of Smyth
(2004, "Linear models and empirical Bayes methods for assessing differential expression"): the variances of calibrations
scatter around a common one as a scaled inverse chi-square has it, and how closely they do is found from the data. A few
dozen variances of two seeds each do not tell it well, so it is not the likeliest number that is taken, which too often
is infinity, but the mean of its inverse; and that the common variance is an estimate counts as well.

Shapes: S seeds of a calibration, C calibrations, K candidates.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Num
from scipy.special import gammaln

from jaxprune.evaluation.behrens_fisher import Variance

# Inverses of the degrees of freedom of the common variance; near zero is one variance for all. Beforehand, small ones
# are likelier, with a mean of 1/5: so it is in the study of Gemma-3-270M.
_INVERSES_K = (np.arange(50) + 0.5) / 50
_LOG_PRIOR_K = 3 * np.log(1 - _INVERSES_K)
_BISECTIONS = 32


@dataclasses.dataclass(frozen=True)
class Spread:
    """What another seed changes, known from several calibrations together.

    Attributes:
      variance: of the value that one seed gives; that around which the calibrations' own variances scatter.
      freedom: how many degrees of freedom of its own a calibration must have to be believed as much as that; infinite
        if seeds matter alike in all.
      known: degrees of freedom with which the common variance itself is known.
    """

    variance: float
    freedom: float
    known: float

    def of(self, values_S: Num[np.ndarray, " S"]) -> Variance:
        """Returns the variance that seeds have in a calibration with these values.

        A single value says nothing of its own.
        """
        own = len(values_S) - 1
        weight = 1 / (1 + own / self.freedom)
        of_own = float(np.var(values_S, ddof=1)) if own else 0.0
        # The relative variances of both, of which either is two over its degrees, add up.
        freedom = 1 / (1 / (self.freedom + own) + weight**2 / self.known)
        return Variance(weight * self.variance + (1 - weight) * of_own, freedom)


def pool_spread(values: Iterable[Num[np.ndarray, " _S"]]) -> Spread | None:
    """Returns the spread of calibrations, each given by its seeds' values; None if none has two seeds."""
    return pool_spreads([values])[0]


def pool_spreads(families: Sequence[Iterable[Num[np.ndarray, " _S"]]]) -> list[Spread | None]:
    """Returns the spread of several families of calibrations, as of one measure in several languages.

    Each has a common variance of its own; how closely its calibrations keep to it is taken to be alike in all families,
    since one alone is too small to tell.
    """
    several = [[values_S for values_S in values if len(values_S) > 1] for values in families]
    variances = [np.asarray([np.var(values_S, ddof=1) for values_S in family], np.float64) for family in several]
    freedoms = [np.asarray([len(values_S) - 1 for values_S in family], np.float64) for family in several]
    # A single calibration is unlike nobody.
    informative = [(s2_C, d_C) for s2_C, d_C in zip(variances, freedoms, strict=True) if s2_C.any()]
    inverse = _mean_inverse(informative) if sum(len(s2_C) for s2_C, _ in informative) > 1 else 0.0
    spreads: list[Spread | None] = []
    for s2_C, d_C in zip(variances, freedoms, strict=True):
        common = float(_common_variances(s2_C, d_C, np.asarray([inverse]))[0]) if s2_C.any() else 0.0
        # Fisher's information on the logarithm of the common variance, twice.
        known = float(np.sum(d_C / (1 + inverse * (d_C + 2))))
        spreads.append(Spread(common, 1 / inverse if inverse else np.inf, known) if len(d_C) else None)
    return spreads


def _mean_inverse(families: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Returns the mean inverse of the degrees of freedom, with the common variance of each family at its likeliest."""
    logs_K = _LOG_PRIOR_K + np.sum([_log_likelihoods(s2_C, d_C) for s2_C, d_C in families], axis=0)
    weights_K = np.exp(logs_K - logs_K.max())
    return float(_INVERSES_K @ weights_K / weights_K.sum())


def _log_likelihoods(s2_C: Float[np.ndarray, " C"], d_C: Float[np.ndarray, " C"]) -> Float[np.ndarray, " K"]:
    """Returns log-likelihoods of variances that are the common one times an F variable each, with d and 1 / K degrees.

    Less what does not depend on the latter.
    """
    common_K = _common_variances(s2_C, d_C, _INVERSES_K)
    is_known_K = common_K > 0
    d0_K1 = 1 / _INVERSES_K[:, None]
    scale_K1 = d0_K1 * np.where(is_known_K, common_K, 1.0)[:, None]
    terms_KC = (
        gammaln((d_C + d0_K1) / 2)
        - gammaln(d0_K1 / 2)
        - d_C / 2 * np.log(scale_K1)
        - (d_C + d0_K1) / 2 * np.log1p(d_C * s2_C / scale_K1)
    )
    return np.where(is_known_K, terms_KC.sum(axis=1), -np.inf)


def _common_variances(
    s2_C: Float[np.ndarray, " C"], d_C: Float[np.ndarray, " C"], inverses_K: Float[np.ndarray, " K"]
) -> Float[np.ndarray, " K"]:
    """Returns the likeliest common variance for each inverse of the degrees of freedom; zero where there is none.

    There the slope of the likelihood is zero, which falls as the variance grows. Where most calibrations have seeds
    that agree to the last digit, as of few answers, and the degrees are few, it never is.
    """
    is_positive_C = s2_C > 0
    is_known_K = is_positive_C.sum() > inverses_K * d_C[~is_positive_C].sum()
    low_K = np.full(len(inverses_K), np.log(s2_C[is_positive_C].min()) - 40)
    high_K = np.full(len(inverses_K), np.log(s2_C.max()) + 1)
    for _ in range(_BISECTIONS):
        middle_K = (low_K + high_K) / 2
        inverses_K1, squares_C = inverses_K[:, None], d_C * s2_C
        weights_KC = (inverses_K1 * d_C + 1) / (np.exp(middle_K)[:, None] + inverses_K1 * squares_C)
        slope_K = np.sum(weights_KC * squares_C - d_C, axis=1)
        low_K, high_K = np.where(slope_K > 0, middle_K, low_K), np.where(slope_K > 0, high_K, middle_K)
    return np.where(is_known_K, np.exp((low_K + high_K) / 2), 0.0)
