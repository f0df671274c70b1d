"""What languages share and what tells them apart, in the space of a block's hidden states (Xie et al., EMNLP 2022).

https://aclanthology.org/2022.emnlp-main.379. LSAR takes the mean hidden state of each language and looks for one vector
that all means have in common and a few directions, orthogonal to it, along which they differ. What a hidden state has
along these directions is its language-specific part; the rest is language-agnostic.

By which method the study that this project follows split its latent subspaces, with how many directions and after which
blocks, is not known. LSAR is what is taken here, by default with the most directions that it allows, which is one less
than there are languages, and after every block; its publication gives it sentence embeddings, and here it gets hidden
states of tokens.

Shapes: D hidden size, L languages, R rank, N vectors.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Float64

from jaxprune.errors import RequestError

# Directions along which means differ by less than this share of their size are rounding.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A space cut in two.

    Attributes:
      shared_D: the vector that all language means have in common.
      specific_DR: orthonormal directions along which they differ; R is less than was asked for where they differ along
        fewer, and 0 where all means are the same.
    """

    shared_D: Float64[np.ndarray, " D"]
    specific_DR: Float64[np.ndarray, "D R"]

    @property
    def rank(self) -> int:
        """R."""
        return self.specific_DR.shape[1]

    def specific(self, vectors_ND: Float[np.ndarray, "N D"]) -> Float64[np.ndarray, "N D"]:
        """Returns the language-specific part of each vector."""
        return vectors_ND.astype(np.float64) @ self.specific_DR @ self.specific_DR.T

    def agnostic(self, vectors_ND: Float[np.ndarray, "N D"]) -> Float64[np.ndarray, "N D"]:
        """Returns the language-agnostic part of each vector: all the rest."""
        return vectors_ND.astype(np.float64) - self.specific(vectors_ND)


def check_rank(rank: int | None, num_languages: int) -> int:
    """Returns the rank to use: as published at most one less than there are languages, which is the default.

    Raises:
      RequestError: there is one language, or no such rank.
    """
    if num_languages < 2:
        raise RequestError(
            f"subspaces of languages were asked for with {num_languages} language; name two or more with --languages."
        )
    if rank is None:
        return num_languages - 1
    if not 1 <= rank < num_languages:
        most = num_languages - 1
        raise RequestError(
            f"--rank {rank} was asked for with {num_languages} languages, whose means differ along "
            f"{most} direction{'s' * (most > 1)} at most; "
            + (f"give --rank a number from 1 to {most}." if most > 1 else "leave --rank out, or give --rank 1.")
        )
    return rank


def split_languages(means_LD: Float[np.ndarray, "L D"], rank: int) -> Split:
    """Returns the split of Algorithm 1, in float64.

    Args:
      means_LD: mean hidden state of each language.
      rank: directions to keep at most, less than L.
    """
    means_DL = means_LD.T.astype(np.float64)
    centre_D1 = means_DL.mean(axis=1, keepdims=True)
    fitted_DL = centre_D1 + _best_fit(means_DL - centre_D1, rank)
    # The shortest vector with the same product with every mean; scaled so that it is their common component.
    shared_D = np.linalg.pinv(fitted_DL).T.sum(axis=1)
    shared_D = shared_D / max(shared_D @ shared_D, np.finfo(np.float64).tiny)
    directions_DL, sizes_L, _ = np.linalg.svd(fitted_DL - shared_D[:, None], full_matrices=False)
    found = min(rank, int(np.count_nonzero(sizes_L > _ROUNDING * np.linalg.norm(fitted_DL, axis=0).max())))
    return Split(shared_D, directions_DL[:, :found])


def _best_fit(matrix_DL: Float64[np.ndarray, "D L"], rank: int) -> Float64[np.ndarray, "D L"]:
    """Returns the nearest matrix of a rank."""
    left_DL, sizes_L, right_LL = np.linalg.svd(matrix_DL, full_matrices=False)
    return (left_DL[:, :rank] * sizes_L[:rank]) @ right_LL[:rank]


def squared_cosines(a: Split, b: Split) -> float | None:
    """Returns how much two specific subspaces have in common: the mean squared cosine of their principal angles.

    1: the smaller one lies in the other; ``max(ranks) / D``: what two random ones have in common. None if one is empty.
    """
    smaller = min(a.rank, b.rank)
    if not smaller:
        return None
    return float(np.sum(np.square(a.specific_DR.T @ b.specific_DR)) / smaller)


def principal_angles(a: Split, b: Split) -> Float64[np.ndarray, " R"]:
    """Returns the principal angles between two specific subspaces in degrees, smallest first; none if one is empty."""
    import scipy.linalg  # a quarter of a second, that a command's --help would wait for

    if not min(a.rank, b.rank):
        return np.zeros(0)
    return np.sort(np.degrees(scipy.linalg.subspace_angles(a.specific_DR, b.specific_DR)))


def angle_between(a_D: Float[np.ndarray, " D"], b_D: Float[np.ndarray, " D"]) -> float:
    """Returns the angle between two vectors in degrees, exact where it is small too."""
    a_D, b_D = (vector / np.linalg.norm(vector) for vector in (a_D.astype(np.float64), b_D.astype(np.float64)))
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a_D - b_D), np.linalg.norm(a_D + b_D))))
