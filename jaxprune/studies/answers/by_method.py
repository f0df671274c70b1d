"""Which of several methods for which language, each with the calibration that is picked for it there."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jaxprune.evaluation.seed_spread import Spread, pool_spreads
from jaxprune.evaluation.seeds import SeededDifference
from jaxprune.studies.answers.candidates import Candidate
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, corrected
from jaxprune.studies.numbers.measured import PERPLEXITY, Measured, Setting


@dataclasses.dataclass(frozen=True)
class Pick:
    """A method in one language, with the calibration that is picked for it there.

    Attributes:
      calibration: its name; of a method that takes no text, how that is called.
      loss: by the criterion of the language.
      decision: what the pick was decided by; None of a method with nothing to choose from.
    """

    setting: Setting
    calibration: str
    loss: float
    decision: Decision | None


@dataclasses.dataclass(frozen=True)
class MethodChoice:
    """How the methods stand in one language.

    Attributes:
      picks: one a method, the one that loses least first.
      more: how much more the second loses than the first by the criterion.
      p_value: of the hypothesis that both do equally well, corrected over all pairs of methods in all languages (Holm),
        because the two are named for what came out.
      others: of each other language with perplexities of the first two, how many more nats a token the first has.
    """

    language: str
    picks: tuple[Pick, ...]
    more: SeededDifference
    p_value: float
    others: tuple[float, ...] = ()

    @property
    def method(self) -> str | None:
        """The method that loses measurably less than the next; None where chance may explain it."""
        return self.picks[0].setting.method if self.p_value < ALPHA else None

    @property
    def ruled_out(self) -> tuple[tuple[str, Candidate], ...]:
        """The best candidate of each method that targets alone put behind its pick, and that loses measurably less."""
        better = [(of.setting.method, of.decision.passed_over_measurably) for of in self.picks if of.decision]
        return tuple((method, of[0]) for method, of in better if of)

    @property
    def holds_alone(self) -> str | None:
        """The method whose pick alone holds the targets; None where none does, or several do."""
        holding = [of for of in self.picks if of.decision is not None and of.decision.best.holds_targets]
        return holding[0].setting.method if len(holding) == 1 else None


@dataclasses.dataclass(frozen=True)
class ByMethod:
    """What is said of several methods at one pattern."""

    pattern: str
    choices: tuple[MethodChoice, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them, by name."""
        return tuple(sorted({of.setting.method for choice in self.choices for of in choice.picks}))

    @property
    def text(self) -> str:
        """In how many languages which method is measurably better, and what the targets have to do with it."""
        where = _by_method((of.language, of.method) for of in self.choices if not of.ruled_out)
        by_targets = _by_method((of.language, of.method) for of in self.choices if of.ruled_out)
        open_ = [language_of(of.language).english for of in self.choices if of.method is None]
        number = wording.count(len(self.choices), "language")
        text = f"Of {wording.names(self.methods)} at {self.pattern}, each with its pick, "
        if where:
            told = [f"{method} in {wording.names(names)}" for method, names in where.items()]
            text += f"the one that loses measurably less by the criterion is {wording.names(told)}"
            text += f"; in {wording.names(open_)} none is for certain." if open_ else "."
        else:
            text += f"none loses measurably less than the next by the criterion in any of {number}."
        told = [
            f"in {sum(rise > 0 for rise in rises)} of {len(rises)} cases with {method} "
            f"({wording.percent(math.expm1(statistics.median(rises)))}, median)"
            for method, rises in self._others()
        ]
        if told:
            text += (
                " What others pay for that, by the numbers: their perplexity is higher than with the pick of the "
                f"method that comes second {wording.names(told)}."
            )
        for of in self.choices:
            if of.ruled_out:
                told = [
                    f"{wording.loss(candidate.loss.value)} with {named(candidate.calibration)} by {method}"
                    for method, candidate in of.ruled_out
                ]
                name = language_of(of.language).english
                text += f" But for the targets {name} would lose measurably less: {wording.names(told)}."
        text += "".join(
            f" As the targets have it, {method} loses measurably less in {wording.names(names)}."
            for method, names in by_targets.items()
        )
        if alone := _by_method((of.language, of.holds_alone) for of in self.choices):
            text += "".join(
                f" In {wording.names(names)} only the pick of {method} holds the targets by its numbers, and no other "
                "method\u2019s."
                for method, names in alone.items()
            )
        return text

    def _others(self) -> Iterator[tuple[str, list[float]]]:
        """Yields each method that is measurably better somewhere, with what its picks there do to other languages."""
        for method in self.methods:
            chosen = [of for of in self.choices if of.method == method and not of.ruled_out]
            if rises := [rise for of in chosen for rise in of.others]:
                yield method, rises


def by_method(measured: Measured, decisions: Iterable[Decision]) -> tuple[ByMethod, ...]:
    """Returns an answer for every pattern that several methods were tried at."""
    by_pattern: dict[str, dict[str, list[Decision]]] = {}
    for decision in decisions:
        by_pattern.setdefault(decision.setting.pattern, {}).setdefault(decision.language, []).append(decision)
    found = [ByMethod(name, tuple(_choices(measured, name, of))) for name, of in by_pattern.items()]
    return tuple(of for of in found if of.choices)


def _by_method(pairs: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """Returns the languages, in English, of each method that there is one of."""
    found: dict[str, list[str]] = {}
    for language, method in pairs:
        if method is not None:
            found.setdefault(method, []).append(language_of(language).english)
    return found


def _choices(measured: Measured, pattern: str, decisions: Mapping[str, Sequence[Decision]]) -> Iterator[MethodChoice]:
    spreads = _spreads(measured, pattern, decisions)
    ordered = {
        language: sorted(_picks(measured, pattern, of, spreads[language]), key=lambda pick: pick.loss)
        for language, of in decisions.items()
    }
    differences = {
        (language, str(first.setting), str(second.setting)): difference
        for language, picks in ordered.items()
        for first, second in itertools.combinations(picks, 2)
        if (difference := _difference(measured, decisions[language][0], first, second, spreads[language])) is not None
    }
    p_values = corrected({pair: found.p_value for pair, found in differences.items()})
    for language, picks in ordered.items():
        if len(picks) > 1:
            pair = (language, str(picks[0].setting), str(picks[1].setting))
            if pair in differences:
                others = _perplexities_of_others(measured, language, picks[0], picks[1])
                rises = tuple(first - second for first, second in others)
                yield MethodChoice(language, tuple(picks), differences[pair], p_values[pair], rises)


def _perplexities_of_others(measured: Measured, language: str, first: Pick, second: Pick) -> list[tuple[float, float]]:
    """Returns nats a token of both in each other language that has them of both."""
    cells = [measured.cells[of.setting][of.calibration] for of in (first, second)]
    scores = [
        [cell.scores.get(other, {}).get(PERPLEXITY) for cell in cells]
        for other in measured.languages
        if other != language
    ]
    return [(a.mean, b.mean) for a, b in scores if a is not None and b is not None]


def _picks(measured: Measured, pattern: str, decisions: Sequence[Decision], spread: Spread | None) -> Iterator[Pick]:
    """Yields the pick of each method in a language; of one with a single calibration, or without text, that."""
    for of in decisions:
        yield Pick(of.setting, of.best.calibration, of.best.loss.value, of)
    any_, decided = decisions[0], {of.setting for of in decisions}
    dense = measured.dense[any_.language]
    for setting, cells in measured.cells.items():
        if setting.pattern == pattern and setting not in decided and len(cells) == 1:
            [(name, cell)] = cells.items()
            shares = cell.scores.get(any_.language, {})
            loss = any_.criterion.difference(shares, dense, dense, spread=spread)
            if loss is not None:
                yield Pick(setting, name, loss.value, None)


def _spreads(measured: Measured, pattern: str, decisions: Mapping[str, Sequence[Decision]]) -> dict[str, Spread | None]:
    """Returns what a seed changes in the criterion of a language, from all calibrations of all methods."""
    cells = [cell for setting, of in measured.cells.items() if setting.pattern == pattern for cell in of.values()]
    values = [
        of[0].criterion.values((cell.scores.get(name, {}) for cell in cells), measured.dense[name])
        for name, of in decisions.items()
    ]
    return dict(zip(decisions, pool_spreads(values), strict=True))


def _difference(
    measured: Measured, decision: Decision, first: Pick, second: Pick, spread: Spread | None
) -> SeededDifference | None:
    """Returns how much more the second loses; the criterion is of the language, so that any decision has it."""
    language = decision.language
    more, less = (measured.cells[of.setting][of.calibration].scores.get(language, {}) for of in (second, first))
    return decision.criterion.difference(more, less, measured.dense[language], spread=spread)
