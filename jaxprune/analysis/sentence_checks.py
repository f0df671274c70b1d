"""Does the split of hidden states mean what it says? A check from outside, on parallel sentences it was not made from.

If the language-agnostic part is what languages share, translations find each other in it better than in the whole; if
the specific part is what tells languages apart, it alone gives a sentence's language away.

Shapes: L languages, D hidden size, N sentences of each language.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64

from jaxprune.analysis.cka import centred_kernel, kernel_alignment
from jaxprune.analysis.lsar import Split
from jaxprune.evaluation.intervals import Estimate
from jaxprune.evaluation.retrieval import nearest_is_own
from jaxprune.evaluation.significance import paired_means

PARTS = ("whole", "agnostic", "specific")


@dataclasses.dataclass(frozen=True, eq=False)
class SentenceChecks:
    """What the sentences say of the split after one block; each by part.

    Attributes:
      retrieval: by language, how often a sentence's nearest neighbour in another language, by the cosine, is its
        translation: the mean over the other languages. ``1 / N`` by chance.
      retrieved: the same by sentence: the mean over all ordered pairs of languages.
      identification: by language, how often a sentence is nearest to the mean of its own language's sentences, of the
        other half of them. ``1 / L`` by chance.
      alignment: centred kernel alignment of two languages' translations; None where they do not vary.
    """

    retrieval: dict[str, dict[str, float]]
    retrieved: dict[str, Float64[np.ndarray, " N"]]
    identification: dict[str, dict[str, float]]
    alignment: dict[tuple[str, str], float | None]


def check_sentences(vectors: Mapping[str, Float[np.ndarray, "N D"]], split: Split) -> SentenceChecks:
    """Returns whether translations find each other, and whether languages are known, from each part of the vectors.

    Args:
      vectors: of sentences by language, translations of each other in the same order.
      split: made from other text.
    """
    cuts = {"whole": lambda vectors_ND: np.asarray(vectors_ND, np.float64), "agnostic": split.agnostic}
    cuts["specific"] = split.specific
    retrieval: dict[str, dict[str, float]] = {}
    retrieved: dict[str, np.ndarray] = {}
    identification: dict[str, dict[str, float]] = {}
    for part, cut in cuts.items():
        of_part = {language: cut(vectors_ND) for language, vectors_ND in vectors.items()}
        by_language = {
            language: np.mean(
                [
                    nearest_is_own(vectors_ND, other_ND, centred=False)
                    for other, other_ND in of_part.items()
                    if other != language
                ],
                axis=0,
            )
            for language, vectors_ND in of_part.items()
        }
        retrieval[part] = {language: float(found_N.mean()) for language, found_N in by_language.items()}
        retrieved[part] = np.mean(list(by_language.values()), axis=0)
        identification[part] = _identified(of_part)
    kernels = {language: centred_kernel(vectors_ND) for language, vectors_ND in vectors.items()}
    alignment = {(a, b): kernel_alignment(kernels[a], kernels[b]) for a, b in itertools.combinations(kernels, 2)}
    return SentenceChecks(retrieval, retrieved, identification, alignment)


def retrieval_gain(blocks: Sequence[SentenceChecks]) -> Estimate:
    """Estimates how much more often the agnostic part finds translations than the whole, on average over some blocks.

    Paired: both parts are asked for the same sentences. A sentence is one item with its queries in all pairs of
    languages and after all blocks, which depend on each other. Sentences are resampled as queries; among which others
    a translation is looked for stays as it is.

    Args:
      blocks: of the same sentences, one at least.
    """
    agnostic_N, whole_N = (np.mean([of.retrieved[part] for of in blocks], axis=0) for part in ("agnostic", "whole"))
    return paired_means(agnostic_N, whole_N)


def _identified(vectors: Mapping[str, Float64[np.ndarray, "N D"]]) -> dict[str, float]:
    """Returns by language how many of its sentences are nearest to its mean, taken from the other half of sentences.

    Not the means that the split was made from: those have no language left in their agnostic parts, whatever sentences
    have in theirs.
    """
    hits = dict.fromkeys(vectors, 0)
    for half in (0, 1):
        means_LD = np.stack([of_ND[1 - half :: 2].mean(axis=0) for of_ND in vectors.values()])
        for index, (language, of_ND) in enumerate(vectors.items()):
            hits[language] += int(np.count_nonzero(_nearest(of_ND[half::2], means_LD) == index))
    return {language: hits[language] / len(of_ND) for language, of_ND in vectors.items()}


def _nearest(vectors_ND: Float64[np.ndarray, "N D"], means_LD: Float64[np.ndarray, "L D"]) -> np.ndarray:
    """Returns for each vector the number of the mean that is nearest."""
    distances_NL = np.square(means_LD).sum(axis=1) - 2 * vectors_ND @ means_LD.T
    return distances_NL.argmin(axis=1)
