"""Which calibration a model should have that serves all languages: the one that loses least on average over them."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from jaxprune.evaluation.behrens_fisher import Variance, behrens_fisher
from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.seed_spread import pool_spread
from jaxprune.evaluation.seeds import variance_of_difference
from jaxprune.studies.answers.criterion import Criterion
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.answers.payer_words import payment_in_words
from jaxprune.studies.answers.payments import Payment, payers_of
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import Comparison
from jaxprune.studies.numbers.measured import Cell, Measured, Setting
from jaxprune.studies.numbers.spreads import common_seeds


@dataclasses.dataclass(frozen=True)
class ForAll:
    """What is said of one setting.

    Attributes:
      languages: for which calibrations were compared.
      losses: by calibration, the mean over languages of the loss by each language's criterion; least first. Of those
        only that were measured in all.
      other: what the first is compared with: the English baseline, or the next best.
      less: how much less the first loses on average, with a 95% interval for other items and other seeds of these
        languages; None where not all calibrations have a number of each seed.
      good_in: languages for which the first is recommended, or no difference was found to what is, not even before
        correction.
      may_lose: how much more it may lose in one of them than what is recommended there, as far as 95% intervals say.
      worst: the language that loses most with it, and how much.
      fewer: languages in which fewer measures count than in others, so that their losses are of another kind.
      payers: who is worse off with the first than with English calibration.
      costs: the same in words.
      held: by calibration, in how many languages it holds the targets; empty where there are none.
    """

    setting: Setting
    languages: tuple[str, ...]
    losses: tuple[tuple[str, float], ...]
    other: str
    less: tuple[float, Interval] | None
    good_in: tuple[str, ...]
    may_lose: float
    worst: tuple[str, float]
    fewer: tuple[str, ...] = ()
    payers: tuple[Payment, ...] = ()
    costs: tuple[str, ...] = ()
    held: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        (best, loss), *_ = self.losses
        good, (language, most) = len(self.good_in), self.worst
        fewer = wording.names([language_of(name).english for name in self.fewer])
        limits = f" In {fewer} fewer measures count, so that the loss is of another kind." if fewer else ""
        if len(self.fewer) == len(self.languages):
            limits = (
                " In no language do all measures count, nor the same in each, which makes these losses of different "
                "kinds."
            )
        open_ = f" (it {wording.may_lose(self.may_lose)} there)" if self.may_lose else ""
        return (
            f"One model for all {len(self.languages)} languages: {named(best)} loses least by the criterion on average "
            f"({wording.loss(loss)} against {wording.loss(dict(self.losses)[self.other])} with "
            f"{named(self.other)}{self._how_sure}); in "
            f"{good} of them it is what is recommended, or no difference to that was found{open_}, and "
            f"{language_of(language).english} loses most ({wording.loss(most)}).{limits}{self._others}{self._targets}"
        )

    @property
    def _others(self) -> str:
        """Who pays for it beside English calibration."""
        return f" Worse off than with English calibration: {wording.names(self.costs)}." if self.costs else ""

    @property
    def _targets(self) -> str:
        """How often it holds the targets, and which calibration does more often."""
        if not self.held:
            return ""
        (best, _), *others = self.losses
        of = f"of {len(self.languages)} languages"
        # The one that loses least comes first.
        name, loss = max(others, key=lambda pair: self.held[pair[0]])
        better = f"; {named(name)}, which loses {wording.loss(loss)} on average, in {self.held[name]}"
        more = better if self.held[name] > self.held[best] else ""
        return f" By its numbers it holds the targets in {self.held[best]} {of}{more}."

    @property
    def _how_sure(self) -> str:
        if self.less is None:
            return ""
        value, (low, high) = self.less
        doubt = "" if low > 0 else ", which chance may explain"
        return (
            f": {wording.loss(value)} less, 95% interval {wording.signed(low, 2)} to {wording.signed(high, 2)}{doubt}"
        )


def for_all(
    measured: Measured, decisions: Iterable[Decision], comparisons: tuple[Comparison, ...]
) -> tuple[ForAll, ...]:
    """Returns an answer for every setting with two languages, and two calibrations that were measured in all.

    The languages are those of the study and no sample of others.

    Args:
      comparisons: all of the study.
    """
    by_setting: dict[Setting, list[Decision]] = {}
    for decision in decisions:
        by_setting.setdefault(decision.setting, []).append(decision)
    found = [_of_setting(measured, setting, of, comparisons) for setting, of in by_setting.items() if len(of) > 1]
    return tuple(of for of in found if of is not None)


def _of_setting(
    measured: Measured, setting: Setting, decisions: Sequence[Decision], comparisons: tuple[Comparison, ...]
) -> ForAll | None:
    losses = {
        decision.language: {candidate.calibration: candidate.loss.value for candidate in decision.candidates}
        for decision in decisions
    }
    in_all = set.intersection(*(set(of) for of in losses.values()))
    if len(in_all) < 2:
        return None
    english = next((decision.english for decision in decisions if decision.english in in_all), None)
    means = {name: statistics.fmean(of[name] for of in losses.values()) for name in in_all}
    # Of equals English is first, as it is for one language.
    ordered = sorted(means, key=lambda name: (means[name], name != english, name))
    best = ordered[0]
    other = ordered[1] if english is None or best == english else english
    counted = {of.language: set(of.criterion.weights) for of in decisions}
    worst = max(losses, key=lambda language: losses[language][best])
    good = {
        of.language: one.may_lose
        for of in decisions
        for one in (of.best, *of.not_told_apart)
        if one.calibration == best and not one.is_apart_alone
    }
    payers = payers_of(comparisons, setting, best)
    holding = {(of.language, one.calibration) for of in decisions for one in of.candidates if one.holds_targets}
    return ForAll(
        setting=setting,
        languages=tuple(losses),
        losses=tuple((name, means[name]) for name in ordered),
        other=other,
        less=_less(measured, setting, {of.language: of.criterion for of in decisions}, best, other),
        good_in=tuple(good),
        may_lose=max(good.values(), default=0.0),
        worst=(worst, losses[worst][best]),
        fewer=tuple(name for name, measures in counted.items() if measures < set.union(*counted.values())),
        payers=payers,
        costs=tuple(payment_in_words(measured, of) for of in payers),
        held={name: sum((language, name) in holding for language in losses) for name in ordered}
        if any(of.best.targets for of in decisions)
        else {},
    )


def _less(
    measured: Measured, setting: Setting, criteria: Mapping[str, Criterion], best: str, other: str
) -> tuple[float, Interval] | None:
    """Returns how much less the best loses than the other, mean over languages, with a 95% interval.

    A seed is one model in all languages: its average is what varies. The languages' items may be translations of one
    another, so their errors are averaged as if they all went the same way, which is the most that they can be.
    """
    cells = measured.cells[setting]
    by_seed = {name: of for name, cell in cells.items() if (of := _by_seed(measured, cell, criteria)) is not None}
    if best not in by_seed or other not in by_seed:
        return None
    errors: list[float] = []
    for language, criterion in criteria.items():
        first, second = (cells[name].scores[language] for name in (other, best))
        difference = criterion.difference(first, second, measured.dense[language], spread=None)
        assert difference is not None
        errors.append(difference.error_of_items)
    items = min(len(cells[best].scores[name][of].counts_N) for name in criteria for of in criteria[name].weights)
    of_items = Variance(statistics.fmean(errors) ** 2, items - 1)
    spread = pool_spread(by_seed.values())
    of_seeds = Variance(0.0, math.inf)
    if spread is not None:
        of_seeds = variance_of_difference([(spread.of(by_seed[name]), len(by_seed[name])) for name in (other, best)])
    value = float(by_seed[other].mean() - by_seed[best].mean())
    return value, behrens_fisher(value, of_items, of_seeds)[0]


def _by_seed(measured: Measured, cell: Cell, criteria: Mapping[str, Criterion]) -> Float[np.ndarray, " S"] | None:
    """Returns the mean loss over languages of the seeds that have all that counts in all of them; None without any."""
    wanted = [(language, source) for language, criterion in criteria.items() for source in criterion.weights]
    if any(source not in cell.scores.get(language, {}) for language, source in wanted):
        return None
    seeds = common_seeds(cell.scores[language][source] for language, source in wanted)
    if not seeds:
        return None
    values: list[Float[np.ndarray, " S"]] = []
    for language, criterion in criteria.items():
        shares = {source: cell.scores[language][source].of_seeds(seeds) for source in criterion.weights}
        values += criterion.values([shares], measured.dense[language])
    return np.mean(values, axis=0)
