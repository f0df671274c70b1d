"""A language that calibrates itself, alone: in how many cases that is best of single languages, and against English."""

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jaxprune.studies.answers.criterion import alone
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison, corrected
from jaxprune.studies.numbers.measured import Cell, Measured, Setting


class Case(NamedTuple):
    """A language in a setting.

    Attributes:
      other: the calibration that is best of all that are not its own.
      is_own_best: whether its own is better than that.
      chance: of its own being best if all calibrations were alike.
    """

    setting: Setting
    language: str
    other: str
    is_own_best: bool
    chance: float


def own_cases(measured: Measured, loss: Callable[[Cell, str], float | None]) -> list[Case]:
    """Returns the cases in which a language's own calibration and another one were measured.

    Args:
      loss: of a cell in a language, less is better; None where it was not measured.
    """
    cases: list[Case] = []
    for setting, cells in measured.cells.items():
        single = {name: cell for name, cell in cells.items() if len(measured.mixtures[name]) == 1}
        for language in measured.languages:
            found = {name: value for name, cell in single.items() if (value := loss(cell, language)) is not None}
            own = alone(measured, language)
            # Another amount of the language itself is no other language.
            others = {name: value for name, value in found.items() if language not in measured.mixtures[name]}
            if own not in found or not others:
                continue
            least = min(others, key=lambda name: others[name])
            cases.append(Case(setting, language, least, found[own] < others[least], 1 / (1 + len(others))))
    return cases


def count_cases(cases: Sequence[Case]) -> str:
    """Returns ``best among single languages in 3 of 4 cases``, with chance, and where it is not so."""
    chance = statistics.fmean(case.chance for case in cases)
    best = sum(case.is_own_best for case in cases)
    told = (
        f"best among single languages in {best} of {wording.count(len(cases), 'case')} (by chance in "
        f"{chance * len(cases):.1f})"
    )
    exceptions = name_cases(case for case in cases if not case.is_own_best)
    return f"{told}; not for {exceptions}" if exceptions else told


def name_cases(cases: Iterable[Case]) -> str:
    """Returns ``German (wanda 0.5: en) and Swahili (wanda 0.5: de)``: language, setting, best other calibration."""
    return wording.names([f"{language_of(of.language).english} ({of.setting}: {of.other})" for of in cases])


def name_settings(cases: Iterable[Case]) -> str:
    """Returns ``German (wanda 0.5)``: language and setting."""
    return wording.names([f"{language_of(of.language).english} ({of.setting})" for of in cases])


@dataclasses.dataclass(frozen=True)
class OwnAgainstEnglish:
    """A language's own calibration against English.

    Attributes:
      p_value: corrected over all that are compared so by the measure, in all settings (Holm).
    """

    comparison: Comparison
    p_value: float

    @property
    def case(self) -> tuple[Setting, str]:
        """The setting and the language."""
        return self.comparison.setting, self.comparison.language

    @property
    def is_better(self) -> bool:
        """Whether it is, beyond chance."""
        return self.comparison.gain > 0 and self.p_value < ALPHA


def own_against_english(comparisons: Iterable[Comparison], measured: Measured, measure: str) -> list[OwnAgainstEnglish]:
    """Returns the comparisons of languages' own calibrations with English by one measure, in all settings."""
    chosen = {
        (str(found.setting), found.language): found
        for found in comparisons
        if found.against == "english"
        and found.measure.name == measure
        and found.calibration == alone(measured, found.language)
    }
    p_values = corrected({key: found.difference.p_value for key, found in chosen.items()})
    return [OwnAgainstEnglish(found, p_values[key]) for key, found in chosen.items()]


def count_certain(found: Iterable[OwnAgainstEnglish]) -> tuple[int, int]:
    """Returns how many are measurably better, and how many measurably worse."""
    certain = [one.comparison.gain for one in found if one.p_value < ALPHA]
    return sum(gain > 0 for gain in certain), sum(gain < 0 for gain in certain)
