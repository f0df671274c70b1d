"""Which calibration for which language: the best by the criterion that holds the targets, and how sure that is."""

import dataclasses
import itertools
from collections.abc import Mapping

from jaxprune.evaluation.seed_spread import pool_spreads
from jaxprune.evaluation.seeds import SeededDifference
from jaxprune.studies.answers.criterion import (
    Criterion,
    TargetResult,
    baselines,
    check_targets,
    criterion_for,
    nothing_to_lose,
)
from jaxprune.studies.config.study import StudyConfig
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison, corrected
from jaxprune.studies.numbers.measured import PERPLEXITY, Cell, Measure, Measured, Setting, Shares
from jaxprune.studies.numbers.spreads import spread_of

# What others lose less is worth a word from here on.
_MUCH_LESS = 0.5


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A calibration that a language could have.

    Attributes:
      loss: by the criterion, against the dense model.
      targets: whether they hold.
      p_best: p-value of the hypothesis that the recommended calibration does as well by the criterion; one for the
        recommended calibration itself. Corrected over all pairs of calibrations and all languages of the setting; of a
        pair with English, over the pairs with English, which is all that is ever said of English.
      may_lose: how much more than the recommended calibration it may lose by the criterion, as far as the 95% interval
        of the two says: that none was told from the other does not show that they are equal.
    """

    calibration: str
    loss: SeededDifference
    targets: tuple[TargetResult, ...]
    p_best: float
    may_lose: float

    @property
    def holds_targets(self) -> bool:
        """Whether no target is missed, and none left open by numbers that others have and this one has not."""
        return all(result.is_met is not False and not result.without_numbers for result in self.targets)

    @property
    def misses_for_certain(self) -> bool:
        """Whether chance does not explain that a target is missed."""
        return any(result.is_met is False and result.is_certain for result in self.targets)


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


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a calibration takes, and as a ratio to what English calibration takes; None where it was not measured.

    Of memory, the ratio is of the smallest peak to English calibration's largest, or the other way round, so that what
    seeds differ by is not told as a cost; one where their ranges meet.

    Of the work, the amount of text is compared, not the seconds: these have compilation in them and whatever else the
    machine did.
    """

    seconds: float | None
    text_ratio: float | None
    peak_bytes: float | None
    peak_ratio: float | None
    model_bytes: float | None


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to do for one language in one setting.

    Attributes:
      criterion: what counted.
      english: the English baseline, if it gave numbers.
      is_english_broken: whether there is one that gave none.
      candidates: best first; those that miss a target after those that do not. Of equals, English is first.
      against_english: criterion of the recommended calibration less that of English; None if it is English, or English
        was not measured.
      p_english: its p-value, the same as English has among the candidates.
      payers: who is worse off with the recommended calibration than with English.
      gentler: a calibration to think of instead for the sake of those who pay; None where there is none.
      open_losses: for each measure, of the other languages the one that may lose most against English calibration, as
        far as the interval says; measures by which none may are left out, and languages with nothing to lose.
      cost: of the recommended calibration.
    """

    setting: Setting
    language: str
    criterion: Criterion
    english: str | None
    is_english_broken: bool
    candidates: tuple[Candidate, ...]
    against_english: SeededDifference | None
    p_english: float | None
    payers: tuple[Payment, ...]
    open_losses: tuple[Comparison, ...]
    cost: Cost
    gentler: Gentler | None = None

    @property
    def best(self) -> Candidate:
        """The recommended calibration."""
        return self.candidates[0]

    @property
    def runner_up(self) -> Candidate | None:
        """The second best."""
        return self.candidates[1] if len(self.candidates) > 1 else None

    @property
    def not_told_apart(self) -> tuple[Candidate, ...]:
        """Calibrations that chance alone could put behind the recommended one, and that hold the targets if it does.

        English is among them exactly where it is not measurably worse.
        """
        return tuple(
            candidate
            for candidate in self.candidates[1:]
            if candidate.p_best >= ALPHA and candidate.holds_targets >= self.best.holds_targets
        )

    @property
    def passed_over(self) -> tuple[Candidate, ...]:
        """Calibrations that are better by the criterion, and miss a target where the recommended one misses none."""
        return tuple(of for of in self.candidates[1:] if of.loss.value < self.best.loss.value)

    @property
    def passed_over_measurably(self) -> tuple[Candidate, ...]:
        """Those of them that are better beyond chance."""
        return tuple(of for of in self.passed_over if of.p_best < ALPHA)

    @property
    def english_holds_targets(self) -> bool:
        """Whether English calibration does."""
        return any(of.calibration == self.english and of.holds_targets for of in self.candidates)

    @property
    def beats_english(self) -> bool:
        """Whether more than chance puts the recommended calibration before English."""
        return self.p_english is not None and self.p_english < ALPHA and self.is_better_than_english

    @property
    def is_better_than_english(self) -> bool:
        """Whether it is better than English, by chance or not."""
        return self.against_english is not None and self.against_english.value < 0


def decide(config: StudyConfig, measured: Measured, comparisons: tuple[Comparison, ...]) -> tuple[Decision, ...]:
    """Returns a decision for every setting and language in which two calibrations or more can be compared."""
    return tuple(
        decision
        for setting, cells in measured.cells.items()
        for decision in _Contest(config, measured, setting, cells).decisions(comparisons)
    )


Pair = tuple[str, str, str]
"""A language and two calibrations."""


class _Contest:
    """The calibrations of one setting, each compared with each by the criterion."""

    def __init__(self, config: StudyConfig, measured: Measured, setting: Setting, cells: Mapping[str, Cell]):
        self._config = config
        self._measured = measured
        self._setting = setting
        self._cells = cells
        self._shares: dict[str, Mapping[str, Shares]] = {name: cell.scores for name, cell in cells.items()}
        self._criteria = {language: criterion_for(config, measured, language) for language in measured.languages}
        self._english = baselines(config, measured)["english"]("")
        values = [
            criterion.values((of.get(language, {}) for of in self._shares.values()), measured.dense[language])
            for language, criterion in self._criteria.items()
        ]
        self._spreads = dict(zip(self._criteria, pool_spreads(values), strict=True))
        self._losses = {language: self._losses_in(language) for language in measured.languages}
        pairs = {
            (language, first, second): difference
            for language, losses in self._losses.items()
            for first, second in itertools.combinations(losses, 2)
            if (difference := self._difference(language, first, second)) is not None
        }
        # The best is chosen for what came out: every pair could have been the one that is told of. What is said of
        # English is a claim of its own, asked beforehand, and always rests on the same correction.
        with_english = {pair: found.p_value for pair, found in pairs.items() if self._english in pair[1:]}
        self._p_pairs = corrected({pair: found.p_value for pair, found in pairs.items()}) | corrected(with_english)

    def decisions(self, comparisons: tuple[Comparison, ...]) -> list[Decision]:
        """Returns a decision for every language that has a choice."""
        return [self._decide(language, comparisons) for language, losses in self._losses.items() if len(losses) > 1]

    def _decide(self, language: str, comparisons: tuple[Comparison, ...]) -> Decision:
        losses = self._losses[language]
        targets = {name: check_targets(self._config, self._measured, self._setting, name, language) for name in losses}
        unsorted = [Candidate(name, loss, targets[name], 1.0, 0.0) for name, loss in losses.items()]
        order = sorted(unsorted, key=lambda of: (not of.holds_targets, of.loss.value, of.calibration != self._english))
        best = order[0].calibration
        candidates = (order[0], *(self._beside(best, candidate, language) for candidate in order[1:]))
        english = self._english if self._english in losses else None
        other = None if english == best else english
        decision = Decision(
            setting=self._setting,
            language=language,
            criterion=self._criteria[language],
            english=english,
            is_english_broken=english is None and self._english in self._cells,
            candidates=candidates,
            against_english=None if other is None else self._difference(language, best, other),
            p_english=None if other is None else _of_pair(self._p_pairs, language, best, other),
            payers=_payers(comparisons, self._setting, best, language),
            open_losses=self._open_losses(comparisons, best, language),
            cost=_cost(self._measured, self._cells, best, self._english),
        )
        return dataclasses.replace(decision, gentler=_gentler(comparisons, decision, self._measured.mixtures))

    def _beside(self, best: str, candidate: Candidate, language: str) -> Candidate:
        """Returns a candidate with how it compares with the recommended one."""
        name = candidate.calibration
        difference = self._difference(language, name, best)
        assert difference is not None, "of both there is a loss"
        p_best = _of_pair(self._p_pairs, language, best, name)
        return dataclasses.replace(candidate, p_best=p_best, may_lose=max(0.0, difference.interval[1]))

    def _losses_in(self, language: str) -> dict[str, SeededDifference]:
        dense = self._measured.dense[language]
        criterion = self._criteria[language]
        losses = {
            name: criterion.difference(of.get(language, {}), dense, dense, spread=self._spreads[language])
            for name, of in self._shares.items()
        }
        return {name: loss for name, loss in losses.items() if loss is not None}

    def _difference(self, language: str, first: str, second: str) -> SeededDifference | None:
        a, b = (self._shares[name].get(language, {}) for name in (first, second))
        return self._criteria[language].difference(a, b, self._measured.dense[language], spread=self._spreads[language])

    def _open_losses(
        self, comparisons: tuple[Comparison, ...], calibration: str, language: str
    ) -> tuple[Comparison, ...]:
        worst: dict[str, Comparison] = {}
        for found in _of_others(comparisons, self._setting, calibration, language):
            name = found.measure.name
            if found.largest_loss > max(0.0, worst[name].largest_loss if name in worst else 0.0):
                english = self._shares[found.baseline].get(found.language, {})
                spread = spread_of(self._measured, self._setting, found.measure, found.language)
                if nothing_to_lose(self._measured, found.measure, found.language, english, spread) is None:
                    worst[name] = found
        return tuple(worst.values())


def _of_pair(p_values: Mapping[Pair, float], language: str, first: str, second: str) -> float:
    found = p_values.get((language, first, second), p_values.get((language, second, first)))
    return 1.0 if found is None else found


def _payers(
    comparisons: tuple[Comparison, ...], setting: Setting, calibration: str, language: str
) -> tuple[Payment, ...]:
    return tuple(
        Payment(found.language, found, is_certain=bool(found.p_all < ALPHA))
        for found in _of_others(comparisons, setting, calibration, language)
        if found.gain < 0 and found.p_languages < ALPHA
    )


def _gentler(
    comparisons: tuple[Comparison, ...], decision: Decision, mixtures: Mapping[str, Mapping[str, int]]
) -> Gentler | None:
    """Returns the gentlest that has the language in its text, if one is gentle enough, and otherwise of all others."""
    if not decision.payers:
        return None
    measures = [payment.comparison.measure for payment in decision.payers]
    measure = next((of for of in measures if of.name == PERPLEXITY), measures[0])

    def most(calibration: str) -> Comparison:
        found = _of_others(comparisons, decision.setting, calibration, decision.language)
        return min((of for of in found if of.measure == measure), key=lambda of: of.gain)

    of_pick = most(decision.best.calibration)
    others = {of.calibration: of for of in decision.not_told_apart if of.calibration != decision.english}
    with_language = [name for name in others if decision.language in mixtures[name]]
    for names in (with_language, list(others)):
        gentlest = max((most(name) for name in names), key=lambda of: of.gain, default=None)
        if gentlest is not None and -gentlest.gain <= _MUCH_LESS * -of_pick.gain:
            return Gentler(others[gentlest.calibration], measure, gentlest, of_pick)
    return None


def _of_others(
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


def _cost(measured: Measured, cells: Mapping[str, Cell], name: str, english_name: str | None) -> Cost:
    cell, english = cells[name], cells.get(english_name or "")
    peak = cell.largest("peak_bytes")
    sequences = [sum(measured.mixtures[of].values()) for of in (name, english_name or "") if of in measured.mixtures]
    return Cost(
        seconds=cell.average("seconds", "prune"),
        text_ratio=sequences[0] / sequences[1] if english is not None and len(sequences) == 2 else None,
        peak_bytes=peak,
        peak_ratio=None if english is None else _ratio_beyond_seeds(cell, english, "peak_bytes"),
        model_bytes=cell.average("model_bytes"),
    )


def _ratio_beyond_seeds(first: Cell, second: Cell, *path: str) -> float | None:
    """Returns the ratio that is left of a number where its ranges over seeds are nearest; one where they meet."""
    (low, high), (low_of_second, high_of_second) = (
        (min(found, default=0.0), max(found, default=0.0)) for found in (first.every(*path), second.every(*path))
    )
    if not low or not low_of_second:
        return None
    return low / high_of_second if low > high_of_second else min(1.0, high / low_of_second)
