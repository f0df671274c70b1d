"""Centred kernel alignment (Kornblith et al., 2019, https://arxiv.org/abs/1905.00414) of two views of the same things.

Linear kernels, and the unbiased estimator of HSIC (Song et al., 2012, https://jmlr.org/papers/v13/song12a.html), with
which views that have nothing in common give 0 whatever their number and width (Nguyen et al., 2021,
https://arxiv.org/abs/2010.15327). The plain estimator is far above 0 where there are fewer things than widths. 1: the
same up to rotation and scale.

Whether the study that this project follows compared representations so is not known; kernel, estimator and the things
that are compared (tokens of one text in two models, translations in two languages) are choices of this project.

Shapes: N things, D and E widths of the two views.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

FEWEST = 4
"""Of fewer things nothing can be said."""


class Moments(NamedTuple):
    """Of two views whose means are zero, which may be one view twice; those of disjoint things add up, given the means.

    Attributes:
      products: squared Frobenius norm of the D x E sum of outer products.
      norms: sum of the products of squared lengths.
      squares: sums of the squared lengths of each view.
    """

    products: float
    norms: float
    squares: tuple[float, float]


def unbiased_hsic(moments: Moments, count: int) -> float:
    """Returns the estimate for ``count`` things, four at least.

    Equation 5 of Song et al. for linear kernels: with centred views, rows of the kernels sum to zero, so that without
    their diagonals they sum to less the squared lengths.
    """
    products, norms, (a, b) = moments
    n = count
    return (products - norms + a * b / ((n - 1) * (n - 2)) - 2 * norms / (n - 2)) / (n * (n - 3))


def alignment(across: float, of_a: float, of_b: float) -> float | None:
    """Returns the alignment, given estimates of HSIC; None where a view does not vary."""
    return across / math.sqrt(of_a * of_b) if of_a > 0 and of_b > 0 else None


def centred_kernel(vectors_ND: Float[np.ndarray, "N D"]) -> Float64[np.ndarray, "N N"]:
    """Returns the linear kernel of vectors less their mean."""
    vectors_ND = vectors_ND.astype(np.float64)
    vectors_ND = vectors_ND - vectors_ND.mean(axis=0, keepdims=True)
    return vectors_ND @ vectors_ND.T


def kernel_alignment(a_NN: Float64[np.ndarray, "N N"], b_NN: Float64[np.ndarray, "N N"]) -> float | None:
    """Returns the alignment of two views, given the ``centred_kernel`` of each."""

    def hsic(a_NN: np.ndarray, b_NN: np.ndarray) -> float:
        a_N, b_N = np.diagonal(a_NN), np.diagonal(b_NN)
        moments = Moments(float(np.vdot(a_NN, b_NN)), float(a_N @ b_N), (float(a_N.sum()), float(b_N.sum())))
        return unbiased_hsic(moments, len(a_NN))

    return alignment(hsic(a_NN, b_NN), hsic(a_NN, a_NN), hsic(b_NN, b_NN))
