"""What LAPE would be by chance: that of random mixtures of all languages, which differ in nothing but their windows.

The windows of L languages, all together, are divided anew at random among L mixtures of the languages' sizes. Where
languages do not differ, theirs is one more such division, so it has the lowest LAPE of any neuron among 100 divisions
with a probability of 0.01: a permutation test of the lowest (Westfall and Young, 1993), exact however many neurons
there are, however much they depend on each other, and however unlike a language's windows are. What is divided are the
groups of windows that ``GateCounts`` keeps, only among groups of as many tokens, for larger ones have less noise.

Where a few neurons do serve one language, they have a low LAPE in mixtures too, if not as low, for some mixture has
more of that language than others; and less specific neurons would pass for chance beside them. So neurons below the
level that chance hardly reaches are taken out of the divisions and the level is found again, until no more are below it
(the step-down of Westfall and Young): the level is that of the neurons that are left, and the probability that any
neuron is below it by chance stays at 0.05.

Windows count as independent. Those of one long document are not; and the texts of two languages may differ in their
subjects, which no division of their windows can tell from the languages.

Shapes: R divisions, L languages or mixtures, G groups of a language's windows, U groups of all languages, F neurons of
a block, K neurons that are specific to a language, M others.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Selection, language_entropy

NUM_DIVISIONS = 99
SIGNIFICANCE = 0.05
# With the languages' own, that share of all divisions.
_RANK = round(SIGNIFICANCE * (NUM_DIVISIONS + 1))
# Languages that are by themselves in a division: were that frequent, neurons of one alone would pass for chance.
_MOST_PURE = SIGNIFICANCE / 2
# Beside the specific neurons that many of lowest LAPE are remembered of each division; seldom is any below a level.
_REMEMBERED = 1000
# Equal windows in all languages leave all at log L, but for the last digit.
_EQUAL = 1e-9


class Chance(NamedTuple):
    """What is found without any difference between languages.

    Attributes:
      level: LAPE in nats; neurons that are not below it are that low in one division of twenty at most.
      expected: of these neurons, how many are below such a level in a division, on average.
      p_value: of the lowest LAPE of any neuron: probability of one as low where languages do not differ.
    """

    level: float
    expected: float
    p_value: float


def draw_divisions(tokens_LG: Int64[np.ndarray, "L G"], *, num: int, seed: int = 0) -> Int64[np.ndarray, "R L G"]:
    """Returns the mixture of each group, for each division: of each size as many as the language of that number has."""
    rng = np.random.default_rng(seed)
    mixture_RLG = np.broadcast_to(np.arange(len(tokens_LG))[:, None], (num, *tokens_LG.shape)).copy()
    for of_division in mixture_RLG:
        for size in np.unique(tokens_LG):
            is_as_large = tokens_LG == size
            of_division[is_as_large] = rng.permutation(of_division[is_as_large])
    return mixture_RLG


def expected_pure(tokens_LG: Int64[np.ndarray, "L G"]) -> float:
    """Returns how many languages have all their groups in one mixture, and so it for themselves, in a mean division."""
    sizes = np.unique(tokens_LG[tokens_LG > 0])
    groups_LS = [[int(np.count_nonzero(of_G == size)) for size in sizes] for of_G in tokens_LG]
    all_S = [sum(of) for of in zip(*groups_LS, strict=True)]
    return sum(
        math.prod(math.comb(b, a) / math.comb(ab, a) for a, b, ab in zip(language_S, mixture_S, all_S, strict=True))
        for language_S in groups_LS
        for mixture_S in groups_LS
    )


def chance_of(counts: GateCounts, selection: Selection) -> Chance | None:
    """Returns what is found among divisions; None where there are too few windows to divide."""
    tokens_LG = counts.tokens_LGN[:, :, 0]
    if expected_pure(tokens_LG) > _MOST_PURE:
        return None
    highest = math.log(len(counts.languages))
    specific_RK, others_RM = _entropies(counts, selection, draw_divisions(tokens_LG, num=NUM_DIVISIONS))
    own_K = selection.entropy_NF[selection.is_specific]
    lowest_R = np.minimum(specific_RK.min(axis=1, initial=highest), others_RM.min(axis=1))
    as_low = int(np.count_nonzero(lowest_R <= own_K.min(initial=np.inf) + _EQUAL))
    is_left_K = np.ones(len(own_K), bool)
    while True:
        left = np.concatenate([specific_RK[:, is_left_K], others_RM], axis=1)
        level, next_level = (np.sort(left.min(axis=1, initial=highest)) - _EQUAL)[_RANK - 1 : _RANK + 1].tolist()
        if not np.any(own_K[is_left_K] < level):
            break
        is_left_K &= own_K >= level
    # A division that helps to set the level is compared with what the others set.
    expected = int(np.count_nonzero(left < next_level)) / NUM_DIVISIONS
    return Chance(level, expected, (1 + as_low) / (NUM_DIVISIONS + 1))


def _entropies(
    counts: GateCounts, selection: Selection, mixture_RLG: Int64[np.ndarray, "R L G"]
) -> tuple[Float64[np.ndarray, "R K"], Float64[np.ndarray, "R M"]]:
    """Returns LAPE in nats in each division: of the specific neurons, and the lowest of others.

    Counted are neurons that pass the languages' own filter in the division. Rarely active neurons have the most noise,
    so those that passed it on their language's account count too.
    """
    mixtures = np.arange(len(counts.languages))[:, None]
    is_in_RLU = (mixture_RLG.reshape(len(mixture_RLG), 1, -1) == mixtures).astype(np.float64)
    specific: list[list[np.ndarray]] = [[] for _ in mixture_RLG]
    others_RM = np.full((len(mixture_RLG), _REMEMBERED), np.inf)
    for block, (is_kept_F, is_specific_F) in enumerate(zip(selection.is_kept_NF, selection.is_specific, strict=True)):
        # Exact: sums of whole numbers far below 2**53.
        opened_UF = counts.opened_LGNF[:, :, block].reshape(-1, len(is_kept_F)).astype(np.float64)
        tokens_L = counts.tokens_LGN[:, :, block].sum(axis=1)
        for index, is_in_LU in enumerate(is_in_RLU):
            p_LF = is_in_LU @ opened_UF / tokens_L[:, None]
            is_counted_F = is_kept_F | (p_LF > selection.filter).any(axis=0)
            entropy = language_entropy(p_LF[:, None, is_counted_F])[0]
            is_specific = is_specific_F[is_counted_F]
            specific[index].append(entropy[is_specific])
            others = np.concatenate([others_RM[index], entropy[~is_specific]])
            others_RM[index] = np.partition(others, _REMEMBERED - 1)[:_REMEMBERED]
    return np.array([np.concatenate(of) for of in specific]), others_RM
