"""How much two masks agree: intersection over union (IoU), and what it would be by chance.

Of N weights one run keeps A, another B, both keep C. Then IoU of the kept weights = C / (A + B - C), and of the pruned
ones (N - A - B + C) / (N - C), as for any sets (Jaccard, 1912, https://doi.org/10.1111/j.1469-8137.1912.tb05611.x).
Which similarity the study used that this project follows is not known.

Chance: two runs that keep the same numbers of weights, but choose them independently and uniformly, have in common
C ~ Hypergeometric(N, A, B) with mean A B / N and variance A B (N - A) (N - B) / (N^2 (N - 1)). With the densities
p = A / N and q = B / N the level marked as chance is IoU at the mean of C:

    kept: p q / (p + q - p q)        pruned: (1 - p) (1 - q) / (1 - p q)

which for p = q = 1/2 is 1/3 both. The mean of IoU itself differs from it by about 1 / N. Under n:m patterns C is a sum
over N / m independent groups of Hypergeometric(m, n, n'), with mean n n' / m: the same level with p = n / m and
q = n' / m, and a smaller variance. Over several kernels N, A, B, C and the mean of C are sums, each kernel's mean from
its own densities: that two runs both spare one kernel more than another is no agreement within any kernel.

The most that IoU can be is that of one set within the other: min(A, B) / max(A, B), 1 for equal numbers.

Shapes: K kernels, R runs.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from jaxprune.analysis.packed_masks import Kernel

_MEASURES = ("kept_iou", "kept_chance", "kept_most", "pruned_iou", "pruned_chance")


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Two masks of the same weights.

    Attributes:
      weights: how many there are.
      kept: how many each of the two keeps.
      both: how many both keep.
      both_by_chance: how many two independent masks would both keep.
    """

    weights: int
    kept: tuple[int, int]
    both: int
    both_by_chance: float

    @property
    def kept_iou(self) -> float | None:
        """IoU of the kept weights; None if neither keeps any."""
        return _ratio(self.both, sum(self.kept) - self.both)

    @property
    def kept_chance(self) -> float | None:
        """What ``kept_iou`` would be by chance."""
        return _ratio(self.both_by_chance, sum(self.kept) - self.both_by_chance)

    @property
    def kept_most(self) -> float | None:
        """What ``kept_iou`` would be if the run that keeps fewer weights kept none that the other does not."""
        return _ratio(min(self.kept), max(self.kept))

    @property
    def pruned_iou(self) -> float | None:
        """IoU of the pruned weights; None if neither prunes any."""
        return _ratio(self.weights - sum(self.kept) + self.both, self.weights - self.both)

    @property
    def pruned_chance(self) -> float | None:
        """What ``pruned_iou`` would be by chance."""
        return _ratio(self.weights - sum(self.kept) + self.both_by_chance, self.weights - self.both_by_chance)

    def as_json(self) -> dict[str, float | None]:
        """Returns the measures."""
        return {name: getattr(self, name) for name in _MEASURES}


def above_chance(overlap: Mapping[str, float | None]) -> float | None:
    """Returns how far the kept weights agree, on the way from chance (0) to all that their numbers allow (1).

    It compares pairs of different sparsities, whose levels by chance differ. None where chance allows nothing else, as
    for a run that keeps everything.

    Args:
      overlap: an ``Overlap`` as JSON, or means of some.
    """
    iou, chance, most = (overlap[name] for name in ("kept_iou", "kept_chance", "kept_most"))
    # Means of equal numbers may differ in the last digit.
    if iou is None or chance is None or most is None or most - chance < 1e-9:
        return None
    return (iou - chance) / (most - chance)


def mean_overlap(overlaps: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Returns the mean of each measure over the pairs for which it is defined; None if there is no such pair."""
    means = {}
    for name in _MEASURES:
        defined = [value for overlap in overlaps if (value := overlap[name]) is not None]
        means[name] = sum(defined) / len(defined) if defined else None
    return means


@dataclasses.dataclass(frozen=True)
class CommonCounts:
    """How many weights of each kernel are kept by both of two runs, and on the diagonal by one."""

    kernels: Sequence[Kernel]
    both_KRR: Int64[np.ndarray, "K R R"]

    def overlap(self, a: int, b: int, indices: Sequence[int] | slice = slice(None)) -> Overlap:
        """Returns the overlap of runs ``a`` and ``b`` over some kernels, or all."""
        weights_K = np.array([kernel.num_weights for kernel in self.kernels], np.int64)[indices]
        kept_a_K, kept_b_K, both_K = (self.both_KRR[indices, i, j] for i, j in ((a, a), (b, b), (a, b)))
        # In this order it is exact where one run keeps everything.
        by_chance_K = np.minimum(kept_a_K, kept_b_K) * (np.maximum(kept_a_K, kept_b_K) / weights_K)
        return Overlap(
            weights=int(weights_K.sum()),
            kept=(int(kept_a_K.sum()), int(kept_b_K.sum())),
            both=int(both_K.sum()),
            both_by_chance=float(by_chance_K.sum()),
        )

    def sparsity(self, run: int, indices: Sequence[int] | slice = slice(None)) -> float:
        """Returns the fraction that a run prunes of some kernels, or of all."""
        overlap = self.overlap(run, run, indices)
        return 1 - overlap.both / overlap.weights

    def as_json(self, a: int, b: int) -> dict[str, Any]:
        """Returns the overlap of two runs over all kernels, and by block, projection and kernel."""
        blocks: dict[str, list[int]] = {}
        projections: dict[str, list[int]] = {}
        for index, kernel in enumerate(self.kernels):
            blocks.setdefault(str(kernel.block), []).append(index)
            projections.setdefault(kernel.projection, []).append(index)
        kernels = {kernel.name: [index] for index, kernel in enumerate(self.kernels)}
        parts = {"blocks": blocks, "projections": projections, "kernels": kernels}
        return {"overall": self.overlap(a, b).as_json()} | {
            part: {name: self.overlap(a, b, indices).as_json() for name, indices in groups.items()}
            for part, groups in parts.items()
        }


def _ratio(part: int | float, whole: int | float) -> float | None:
    return part / whole if whole else None
