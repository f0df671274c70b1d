"""Which of several methods for which language, each with the calibration that is picked for it there."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jaxprune.evaluation.seed_spread import Spread, pool_spreads
from jaxprune.evaluation.seeds import SeededDifference
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, corrected
from jaxprune.studies.numbers.measured import Measured


@dataclasses.dataclass(frozen=True)
class MethodChoice:
    """How the methods stand in one language.

    Attributes:
      decisions: one a method, the least loss of its pick first.
      more: how much more the second loses than the first by the criterion.
      p_value: of the hypothesis that both do equally well, corrected over all pairs of methods in all languages (Holm),
        because the two are named for what came out.
    """

    decisions: tuple[Decision, ...]
    more: SeededDifference
    p_value: float

    @property
    def language(self) -> str:
        """The language that all of them are for."""
        return self.decisions[0].language

    @property
    def is_by_targets(self) -> bool:
        """Whether a method has a pick only because targets rule out what is measurably better."""
        return any(of.passed_over_measurably for of in self.decisions)

    @property
    def method(self) -> str | None:
        """The method that loses measurably less than the next; None where chance may explain it."""
        return self.decisions[0].setting.method if self.p_value < ALPHA else None


@dataclasses.dataclass(frozen=True)
class ByMethod:
    """What is said of several methods at one pattern."""

    pattern: str
    choices: tuple[MethodChoice, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them, in the order of the study."""
        found = {of.setting: of.setting.method for choice in self.choices for of in choice.decisions}
        return tuple(sorted(set(found.values())))

    @property
    def text(self) -> str:
        """In how many languages which method is measurably better, in a sentence."""
        where: dict[str, list[str]] = {}
        for choice in self.choices:
            if choice.method is not None:
                decided = ", by what the targets leave" if choice.is_by_targets else ""
                where.setdefault(choice.method, []).append(f"{language_of(choice.language).english}{decided}")
        told = [f"{method} in {wording.names(names)}" for method, names in where.items()]
        open_ = [language_of(of.language).english for of in self.choices if of.method is None]
        number = wording.count(len(self.choices), "language")
        start = f"Of {wording.names(self.methods)} at {self.pattern}, each with its pick, "
        if not told:
            return f"{start}none loses measurably less than the next by the criterion in any of {number}."
        rest = f"; no difference was found in {wording.names(open_)}" if open_ else ""
        return f"{start}the one that loses measurably less by the criterion is {wording.names(told)}{rest}."


def by_method(measured: Measured, decisions: Iterable[Decision]) -> tuple[ByMethod, ...]:
    """Returns an answer for every pattern that several methods were tried at."""
    by_pattern: dict[str, dict[str, list[Decision]]] = {}
    for decision in decisions:
        by_pattern.setdefault(decision.setting.pattern, {}).setdefault(decision.language, []).append(decision)
    found = [ByMethod(name, tuple(_choices(measured, name, of))) for name, of in by_pattern.items()]
    return tuple(of for of in found if of.choices)


def _choices(measured: Measured, pattern: str, decisions: Mapping[str, Sequence[Decision]]) -> Iterator[MethodChoice]:
    several = {language: of for language, of in decisions.items() if len(of) > 1}
    spreads = _spreads(measured, pattern, several)
    ordered = {name: sorted(of, key=lambda one: one.best.loss.value) for name, of in several.items()}
    differences = {
        (language, str(first.setting), str(second.setting)): difference
        for language, of in ordered.items()
        for first, second in itertools.combinations(of, 2)
        if (difference := _difference(measured, first, second, spreads[language])) is not None
    }
    p_values = corrected({pair: found.p_value for pair, found in differences.items()})
    for language, of in ordered.items():
        pair = (language, str(of[0].setting), str(of[1].setting))
        if pair in differences:
            yield MethodChoice(tuple(of), differences[pair], p_values[pair])


def _spreads(measured: Measured, pattern: str, decisions: Mapping[str, Sequence[Decision]]) -> dict[str, Spread | None]:
    """Returns what a seed changes in the criterion of a language, from all calibrations of all methods."""
    cells = [cell for setting, of in measured.cells.items() if setting.pattern == pattern for cell in of.values()]
    values = [
        of[0].criterion.values((cell.scores.get(name, {}) for cell in cells), measured.dense[name])
        for name, of in decisions.items()
    ]
    return dict(zip(decisions, pool_spreads(values), strict=True))


def _difference(
    measured: Measured, first: Decision, second: Decision, spread: Spread | None
) -> SeededDifference | None:
    language = first.language
    more, less = (measured.cells[of.setting][of.best.calibration].scores.get(language, {}) for of in (second, first))
    return first.criterion.difference(more, less, measured.dense[language], spread=spread)
