"""Which calibration for which language: the best by the criterion that holds the targets, and how sure that is."""

import dataclasses
import itertools
from collections.abc import Mapping

from jaxprune.evaluation.seed_spread import pool_spreads
from jaxprune.evaluation.seeds import SeededDifference
from jaxprune.studies.answers.candidates import Candidate
from jaxprune.studies.answers.costs import Cost, cost_of
from jaxprune.studies.answers.criterion import (
    Criterion,
    baselines,
    check_targets,
    criterion_for,
    nothing_to_lose,
)
from jaxprune.studies.answers.payments import Gentler, Payment, found_in_others, gentler_of, payers_of
from jaxprune.studies.config.study import StudyConfig
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison, corrected
from jaxprune.studies.numbers.measured import Cell, Measured, Setting, Shares
from jaxprune.studies.numbers.spreads import spread_of


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
            payers=payers_of(comparisons, self._setting, best, language),
            open_losses=self._open_losses(comparisons, best, language),
            cost=cost_of(self._measured, self._cells, best, self._english),
        )
        # Where English does as well, it is the one that nobody pays for.
        others = [of for of in decision.not_told_apart if language in self._measured.mixtures[of.calibration]]
        gentler = gentler_of(comparisons, decision.payers, others, language) if decision.beats_english else None
        return dataclasses.replace(decision, gentler=gentler)

    def _beside(self, best: str, candidate: Candidate, language: str) -> Candidate:
        """Returns a candidate with how it compares with the recommended one."""
        name = candidate.calibration
        difference = self._difference(language, name, best)
        assert difference is not None, "of both there is a loss"
        p_best = _of_pair(self._p_pairs, language, best, name)
        low, high = (max(0.0, end) for end in difference.interval)
        return dataclasses.replace(candidate, p_best=p_best, may_lose=high, loses_at_least=low)

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
        for found in found_in_others(comparisons, self._setting, calibration, language):
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
