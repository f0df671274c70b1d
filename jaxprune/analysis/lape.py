"""Language activation probability entropy (LAPE; Tang et al., ACL 2024, https://arxiv.org/abs/2402.16438).

Neuron f of block n is active for a fraction p^l of the tokens of language l (``jaxprune.analysis.gates``). Its LAPE is
the entropy, in nats, of these fractions made to sum to one over L languages: 0 where it is active in one language only,
log L where it is equally active in all. A neuron that is never active has none.

Neurons are chosen as published (official code, RUCAIBox/Language-Specific-Neurons):

1. Kept are neurons of which some p^l is above the ``filter_rate`` quantile of all p, of all neurons and languages.
2. Of these, the ``top_rate`` of *all* neurons, kept or not, that have the lowest LAPE: 1 % of the model's neurons, not
   of the kept ones. Where fewer are kept than that, all of them are chosen; the official code fills up with others,
   which at its rates the next step takes away again.
3. A chosen neuron belongs to every language whose p^l is above the ``activation_bar`` quantile of all p: to several, if
   it is active in several; to none, if its bar is above the filter's.

A quantile is the ``round(rate * count)``-th smallest value, and "above" excludes it. Of neurons with equal LAPE at the
edge the official code leaves the choice to its sort; here it is the first by block and index. How many are chosen does
not depend on whether languages differ at all: what their LAPE would be by chance has to be looked at beside it.

The study that this project follows used LAPE; with which thresholds, how much text and which blocks is not known. The
defaults are those of the official code, over all blocks together.

Shapes: L languages, N blocks, F neurons of a block.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxprune.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What makes a neuron specific to a language; the defaults are as published.

    Attributes:
      filter_rate: a chosen neuron is more active in some language than this share of all activation probabilities.
      top_rate: share of all neurons that are chosen at most.
      activation_bar: a chosen neuron belongs to languages in which it is more active than this share of them.
    """

    filter_rate: float = 0.95
    top_rate: float = 0.01
    activation_bar: float = 0.95

    def __post_init__(self):
        """Checks the numbers.

        Raises:
          RequestError: one of them is no share.
        """
        for name, published in (("filter_rate", 0.95), ("activation_bar", 0.95)):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise RequestError(
                    f"--{name.replace('_', '-')} is {value}; give 0 or more and less than 1 (published: {published})."
                )
        if not 0 < self.top_rate <= 1:
            raise RequestError(f"--top-rate is {self.top_rate}; give more than 0 and 1 at most (published: 0.01).")


class Selection(NamedTuple):
    """Neurons that are specific to languages.

    Attributes:
      entropy_NF: LAPE of every neuron, in nats; NaN where it has none.
      is_kept_NF: whether it passed the filter.
      members_LNF: whether it belongs to a language.
      filter: activation probability that the filter asks to exceed.
      bar: activation probability that a language's own neurons exceed in it.
      lape: highest of a chosen neuron, in nats; None if none was chosen.
      num_chosen: neurons of the second step.
    """

    entropy_NF: Float64[np.ndarray, "N F"]
    is_kept_NF: Bool[np.ndarray, "N F"]
    members_LNF: Bool[np.ndarray, "L N F"]
    filter: float
    bar: float
    lape: float | None
    num_chosen: int

    @property
    def is_specific(self) -> Bool[np.ndarray, "N F"]:
        """Whether it belongs to any language."""
        return np.asarray(self.members_LNF.any(axis=0))


def activation_probability(
    opened_LNF: Int64[np.ndarray, "L N F"], tokens_LN: Int64[np.ndarray, "L N"]
) -> Float64[np.ndarray, "L N F"]:
    """Returns the fraction of each language's tokens for which a neuron's gate is open."""
    return opened_LNF / tokens_LN[:, :, None]


def language_entropy(probability_LNF: Float64[np.ndarray, "L N F"]) -> Float64[np.ndarray, "N F"]:
    """Returns LAPE in nats; NaN for neurons that are never active."""
    total_NF = probability_LNF.sum(axis=0)
    share_LNF = np.divide(probability_LNF, total_NF, where=total_NF > 0, out=np.full_like(probability_LNF, np.nan))
    # The logarithm of zero is never asked for; zero times it is zero here.
    log_LNF = np.log(share_LNF, where=share_LNF > 0, out=np.zeros_like(share_LNF))
    # Equal shares may come out above log L in the last digit.
    return np.minimum(np.maximum(-np.sum(share_LNF * log_LNF, axis=0), 0.0), math.log(len(probability_LNF)))


def kth_smallest(values: Float64[np.ndarray, "..."], rate: float) -> float:
    """Returns the ``round(rate * count)``-th smallest value, the first at least: ``torch.kthvalue`` as published."""
    k = max(1, round(values.size * rate))
    return float(np.partition(values, k - 1, axis=None)[k - 1])


def select(probability_LNF: Float64[np.ndarray, "L N F"], thresholds: Thresholds | None = None) -> Selection:
    """Returns the neurons that are specific to languages; see the module for how they are chosen.

    Args:
      thresholds: None: as published.
    """
    thresholds = thresholds or Thresholds()
    entropy_NF = language_entropy(probability_LNF)
    lowest = kth_smallest(probability_LNF, thresholds.filter_rate)
    bar = kth_smallest(probability_LNF, thresholds.activation_bar)
    is_kept_NF = np.asarray((probability_LNF > lowest).any(axis=0))
    # Infinities come last, and a stable sort leaves equals in their order.
    order = np.argsort(np.where(is_kept_NF, entropy_NF, np.inf), axis=None, kind="stable")
    count = min(round(entropy_NF.size * thresholds.top_rate), int(np.count_nonzero(is_kept_NF)))
    chosen = order[:count]
    is_chosen_NF = np.zeros(entropy_NF.shape, bool)
    is_chosen_NF.flat[chosen] = True
    return Selection(
        entropy_NF=entropy_NF,
        is_kept_NF=is_kept_NF,
        members_LNF=(probability_LNF > bar) & is_chosen_NF[None],
        filter=lowest,
        bar=bar,
        lape=float(entropy_NF.flat[chosen[-1]]) if count else None,
        num_chosen=count,
    )
