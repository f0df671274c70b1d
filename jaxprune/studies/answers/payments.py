"""Who pays for a calibration that is picked for one language, and with which one others would pay less."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

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
      measure: by which the most is lost with the recommended one; perplexity, if anybody pays by that.
      most: what the language that loses most with this calibration loses, beside English.
      most_of_pick: the same of the recommended one.
    """

    candidate: Candidate
    measure: Measure
    most: Comparison
    most_of_pick: Comparison


def payers_of(
    comparisons: tuple[Comparison, ...], setting: Setting, calibration: str, language: str
) -> tuple[Payment, ...]:
    """Returns who is worse off with a calibration that is picked for ``language``, by each measure alone."""
    return tuple(
        Payment(found.language, found, is_certain=bool(found.p_all < ALPHA))
        for found in found_in_others(comparisons, setting, calibration, language)
        if found.gain < 0 and found.p_languages < ALPHA
    )


def gentler_of(
    comparisons: tuple[Comparison, ...],
    payers: Sequence[Payment],
    candidates: Iterable[Candidate],
    mixtures: Mapping[str, Mapping[str, int]],
    pick: str,
    language: str,
) -> Gentler | None:
    """Returns the gentlest that has the language in its text, if one is gentle enough, and otherwise of all others.

    Args:
      payers: who pays for the pick.
      candidates: those that were not told from it.
      mixtures: what is in the text of every calibration.
    """
    if not payers:
        return None
    measures = [payment.comparison.measure for payment in payers]
    measure = next((of for of in measures if of.name == PERPLEXITY), measures[0])
    setting = payers[0].comparison.setting

    def most(calibration: str) -> Comparison:
        found = found_in_others(comparisons, setting, calibration, language)
        return min((of for of in found if of.measure == measure), key=lambda of: of.gain)

    of_pick = most(pick)
    others = {of.calibration: of for of in candidates}
    with_language = [name for name in others if language in mixtures[name]]
    for names in (with_language, list(others)):
        gentlest = max((most(name) for name in names), key=lambda of: of.gain, default=None)
        if gentlest is not None and -gentlest.gain <= _MUCH_LESS * -of_pick.gain:
            return Gentler(others[gentlest.calibration], measure, gentlest, of_pick)
    return None


def found_in_others(
    comparisons: tuple[Comparison, ...], setting: Setting, calibration: str, language: str
) -> list[Comparison]:
    """Returns what a calibration does to other languages, beside English, by each measure alone."""
    return [
        found
        for found in comparisons
        if (found.setting, found.calibration, found.against) == (setting, calibration, "english")
        and found.language != language
        and not found.measure.is_pooled
    ]
