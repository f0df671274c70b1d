"""How certain signal-to-noise ratios of activations are: 95 % intervals for other windows of text.

Those of weights have none: all weights are known, so their ratios are exact. Windows are drawn whole, as tokens of one
text are alike and share what came before them.

Shapes: N windows.
"""

import math

import numpy as np
from jaxtyping import Float

from jaxprune.evaluation.intervals import FEWEST_RESAMPLED, Interval, estimate_ratio


def energy_interval_db(signal_N: Float[np.ndarray, " N"], noise_N: Float[np.ndarray, " _N"]) -> Interval | None:
    """Returns that of ``10 log10(sum(signal) / sum(noise))``, in dB.

    From 16 windows on it is the bootstrap's of the ratio; of fewer Student's, of the linearised logarithm, for the
    ratio itself can be no less than zero and Student's interval does not know that.

    Args:
      signal_N: energy of each window in the dense model.
      noise_N: energy of what changed.

    Returns:
      None where there is none: of one window, and where no interval of dB is finite (nothing changed, or in so few
      windows that others may show no change at all).
    """
    if len(signal_N) < 2 or not noise_N.sum() > 0 or not signal_N.sum() > 0:
        return None
    if len(signal_N) < FEWEST_RESAMPLED:
        return mean_interval(linearised_db(signal_N, noise_N))
    # Noise over signal: some windows may have no noise.
    found = estimate_ratio(noise_N, signal_N).interval
    if found is None or found[0] <= 0:
        return None
    return -10 * math.log10(found[1]), -10 * math.log10(found[0])


def mean_interval(values_N: Float[np.ndarray, " N"]) -> Interval | None:
    """Returns that of a mean over windows; None of one window, and of windows that are not all finite."""
    if not np.isfinite(values_N).all():
        return None
    return estimate_ratio(values_N, np.ones(len(values_N))).interval


def linearised_db(signal_N: Float[np.ndarray, " N"], noise_N: Float[np.ndarray, " _N"]) -> Float[np.ndarray, " N"]:
    """Returns a number for each window whose mean is the ratio of all together in dB, and whose spread is its error's.

    The ratio of two sums is no mean over windows; its first-order expansion around them is (the delta method).

    Args:
      signal_N: energy of each window in the dense model; not all zero.
      noise_N: energy of what changed; not all zero.
    """
    change_N = signal_N / signal_N.mean() - noise_N / noise_N.mean()
    return 10 * (math.log10(signal_N.sum() / noise_N.sum()) + change_N / math.log(10))
