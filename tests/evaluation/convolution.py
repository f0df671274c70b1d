"""The distribution of a sum of two Student's t, each times a standard error, by its textbook convolution."""

import math

import numpy as np
import scipy.optimize
import scipy.stats


def two_sided_tail(distance, first, second):
    """Returns the probability that the sum is further than a distance from zero; each part is variance and degrees.

    What is wanted of the part with more variance is a tail of scipy's, integrated over the density of the other: panel
    by panel of the inverse hyperbolic sine, which makes heavy tails short, by Gauss and Legendre's rule; panels end
    where the sum is at the distance.
    """
    (v1, f1), (v2, f2) = sorted((first, second))
    s1, s2 = math.sqrt(v1), math.sqrt(v2)

    def integrand(u):
        t = np.sinh(u)
        beyond = sum(scipy.stats.t.sf((distance + sign * s1 * t) / s2, f2) for sign in (-1, 1))
        return 2 * scipy.stats.t.pdf(t, f1) * np.cosh(u) * beyond

    steps = s2 * 2.0 ** np.arange(-2, 60)
    ends = np.asinh(np.concatenate([[0, distance], distance + steps, distance - steps]) / s1)
    ends = np.unique(np.concatenate([ends, np.linspace(0, 100, 201)]).clip(0, 100))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    halves = np.diff(ends)[:, None] / 2
    return float(np.sum(weights * halves * integrand(ends[:-1, None] + halves * (1 + nodes))))


def quantile(first, second, outside=0.05):
    """Returns the distance that the sum is beyond with a probability of ``outside``."""
    error = math.sqrt(first[0] + second[0])
    return scipy.optimize.brentq(lambda d: two_sided_tail(d, first, second) - outside, error, 1000 * error, rtol=1e-9)
