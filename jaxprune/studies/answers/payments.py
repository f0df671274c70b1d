"""Who pays for a calibration that is picked for one language, and with which one others would pay less."""

import dataclasses
from collections.abc import Iterable, Sequence

from jaxprune.studies.answers.candidates import Candidate
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison
from jaxprune.studies.numbers.measured import PERPLEXITY, Measure, Setting

# What others lose less is worth a word from here on.
_MUCH_LESS = 0.5


@dataclasses.dataclass(frozen=True)
class Payment:
    """Another language that is worse off than under English calibration.

    Attributes:
      is_certain: whether beyond chance after the correction over all calibrations. Otherwise after that over the
        languages alone: how many other calibrations were tried must not hide harm.
    """

    language: str
    comparison: Comparison
    is_certain: bool


@dataclasses.dataclass(frozen=True)
class Gentler:
    """A calibration that was not told from the recommended one, and from which other languages lose much less.

    Attributes:
      measure: by which others pay for the recommended one.
      most: what the language that loses most with this calibration loses, beside English.
      most_of_pick: the same of the recommended one.
      payers: who pays for this calibration.
    """

    candidate: Candidate
    measure: Measure
    most: Comparison
    most_of_pick: Comparison
    payers: tuple[Payment, ...] = ()


def payers_of(
    comparisons: tuple[Comparison, ...], setting: Setting, calibration: str, language: str | None = None
) -> tuple[Payment, ...]:
    """Returns who is worse off with a calibration, by each measure alone; not the language that it is picked for."""
    return tuple(
        Payment(found.language, found, is_certain=bool(found.p_all < ALPHA))
        for found in found_in_others(comparisons, setting, calibration, language)
        if found.gain < 0 and found.p_languages < ALPHA
    )


def gentler_of(
    comparisons: tuple[Comparison, ...], payers: Sequence[Payment], candidates: Iterable[Candidate], language: str
) -> Gentler | None:
    """Returns the candidate that others lose least with, if that is much less than with the pick.

    It is judged by each measure that somebody pays by, the surest first and perplexity before others as sure, until one
    is found; by no other of these may others lose more than with the pick.

    Args:
      payers: who pays for the pick.
      candidates: those that have the language in their text and were not told from the pick.
    """
    if not payers:
        return None
    surest = sorted(payers, key=lambda of: (not of.is_certain, of.comparison.measure.name != PERPLEXITY))
    measures = dict.fromkeys(of.comparison.measure for of in surest)
    pick, by_name = payers[0].comparison, {of.calibration: of for of in candidates}

    def most(calibration: str, measure: Measure) -> Comparison:
        found = found_in_others(comparisons, pick.setting, calibration, language)
        return min((of for of in found if of.measure == measure), key=lambda of: of.gain)

    of_pick = {measure: most(pick.calibration, measure) for measure in measures}
    for measure in measures:
        others = [of for of in measures if of != measure]
        known = [
            most(name, measure)
            for name in by_name
            if all(most(name, other).gain >= of_pick[other].gain for other in others)
        ]
        gentlest = max(known, key=lambda of: of.gain, default=None)
        if gentlest is not None and -gentlest.gain <= _MUCH_LESS * -of_pick[measure].gain:
            still = payers_of(comparisons, pick.setting, gentlest.calibration, language)
            return Gentler(by_name[gentlest.calibration], measure, gentlest, of_pick[measure], still)
    return None


def found_in_others(
    comparisons: tuple[Comparison, ...], setting: Setting, calibration: str, language: str | None
) -> list[Comparison]:
    """Returns what a calibration does to languages but one, if any, beside English, by each measure alone."""
    return [
        found
        for found in comparisons
        if (found.setting, found.calibration, found.against) == (setting, calibration, "english")
        and found.language != language
        and not found.measure.is_pooled
    ]
