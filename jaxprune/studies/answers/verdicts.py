"""A published finding and what a study says of it, from a count or by chance."""

import dataclasses
from typing import Literal

import scipy.stats

from jaxprune.studies.numbers.comparisons import ALPHA

Verdict = Literal["shown", "partly shown", "not shown", "cannot be judged"]
_MOST = 0.75


@dataclasses.dataclass(frozen=True)
class Finding:
    """A published finding, and what this study has to say of it.

    Attributes:
      claim: as it was published, in our words.
      verdict: of this study.
      evidence: what the verdict was counted from.
    """

    claim: str
    verdict: Verdict
    evidence: str


def verdict_by_chance(best: int, total: int, chance: float) -> Verdict:
    """Returns the verdict of a count that could have come out by chance, by the binomial test."""
    if chance**total >= ALPHA:
        return "cannot be judged"
    if scipy.stats.binomtest(best, total, chance, alternative="greater").pvalue >= ALPHA:
        return "not shown"
    return "shown" if best >= _MOST * total else "partly shown"


def verdict_of_share(shown: int, total: int) -> Verdict:
    """Returns the verdict of a count of cases that say so, among those that say anything."""
    if shown >= _MOST * total:
        return "shown"
    return "partly shown" if shown else "not shown"
