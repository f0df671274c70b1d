"""What a study file asks a calibration for: what counts how much, what must hold, and whom others are compared with.

A loss is relative to the dense model: the logarithm of the ratio of perplexities (0.10: about a tenth higher), and the
part of a task's dense score that is gone. The criterion is the mean of the losses by their weights: less is better.

The part is of the whole score, as "5% worse than dense" in a study file reads and as anybody can check in the tables,
and not of what the dense model has above chance: that would divide by a small difference of two uncertain numbers. So
a model that falls to chance has lost less than all, the less the higher chance is. Where the dense model is not
measurably above chance and the other baselines there is nothing to lose: such a task counts neither in the criterion
nor for a target, and is told.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import Float

from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.seed_spread import Spread
from jaxprune.evaluation.seeds import Part, SeededDifference, criterion_over_seeds
from jaxprune.studies.config.study import StudyConfig, Target
from jaxprune.studies.numbers.comparisons import Against, compare
from jaxprune.studies.numbers.floors import no_room
from jaxprune.studies.numbers.measured import PERPLEXITY, Measure, Measured, Scores, Setting, Shares
from jaxprune.studies.numbers.spreads import common_seeds, spread_of
from jaxprune.studies.points.grid import DENSE


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What counts, in one language.

    Attributes:
      weights: by source, of those that were measured in the language; they add up to one.
      left_out: sources with a weight that cannot count here, and why.
    """

    weights: Mapping[str, float]
    left_out: Mapping[str, str]

    def values(self, models: Iterable[Shares], dense: Shares) -> list[Float[np.ndarray, " _S"]]:
        """Returns the criterion of every seed of each model that has all that counts."""
        values: list[np.ndarray] = []
        for shares in models:
            if self.weights and all(source in shares for source in self.weights):
                seeds = common_seeds([shares[source] for source in self.weights])
                terms = [
                    weight * unit_loss(source, dense) * shares[source].of_seeds(seeds).by_seed
                    for source, weight in self.weights.items()
                ]
                values.append(np.sum(terms, axis=0))
        return values

    def difference(
        self, first: Shares, second: Shares, dense: Shares, *, spread: Spread | None
    ) -> SeededDifference | None:
        """Returns the criterion of a first calibration less that of a second; None where one lacks what counts."""
        if not self.weights or any(source not in shares for shares in (first, second) for source in self.weights):
            return None
        seeds = [common_seeds([shares[source] for source in self.weights]) for shares in (first, second)]
        if not all(seeds):
            return None
        parts: list[Part] = []
        for source, weight in self.weights.items():
            a, b = (shares[source].of_seeds(of) for shares, of in zip((first, second), seeds, strict=True))
            parts.append(Part(weight * unit_loss(source, dense), a.totals_SN, b.totals_SN, a.counts_N))
        return criterion_over_seeds(parts, spread=spread, is_second_dense=second is dense)


def unit_loss(source: str, dense: Shares) -> float:
    """Returns the loss of one unit of a source: of a nat one, of a task's score minus a part of the dense score."""
    return 1.0 if source == PERPLEXITY else -1 / dense[source].mean


def criterion_for(config: StudyConfig, measured: Measured, language: str) -> Criterion:
    """Returns what counts in a language; without weights in the study file, every measure counts alike."""
    weights = config.decision.weights or dict.fromkeys(config.evaluation.measures, 1.0)
    dense = measured.dense[language]
    left_out: dict[str, str] = {}
    for source, weight in weights.items():
        measure = measured.measure(source)
        if weight and (measure is None or source not in dense):
            is_lost = measured.is_lost(DENSE, source, language)
            if is_lost:
                left_out[source] = "has nothing of the dense model that counts"
            elif language not in config.evaluation.languages_of(source):
                left_out[source] = "was not asked in this language"
            else:
                left_out[source] = "has no data in this language"
        elif weight and measure is not None and (why := no_room(measured, measure, language, dense)):
            left_out[source] = f"has nothing to lose ({why})"
    kept = {source: weight for source, weight in weights.items() if weight and source not in left_out}
    total = sum(kept.values())
    return Criterion({source: weight / total for source, weight in kept.items()}, left_out)


def baselines(config: StudyConfig, measured: Measured) -> dict[Against, Callable[[str], str | None]]:
    """Returns which calibration others are compared with: the English one, and that of the language alone.

    Where the file names no English baseline, that is English alone. Of several amounts of one language alone, the
    largest is the baseline.
    """
    english = config.decision.baselines.english or alone(measured, "en")
    return {"english": lambda language: english, "target": lambda language: alone(measured, language)}


def alone(measured: Measured, language: str) -> str | None:
    """Returns the calibration with one language only, the largest of several; None if there is none."""
    found = {name: mixture[language] for name, mixture in measured.mixtures.items() if [*mixture] == [language]}
    return max(found, key=lambda name: found[name]) if found else None


@dataclasses.dataclass(frozen=True)
class Loss:
    """What is lost against a reference, as a fraction of what that has: 0.05 is 5%."""

    value: float
    interval: Interval


@dataclasses.dataclass(frozen=True)
class TargetResult:
    """Whether a target of the study file holds.

    Attributes:
      target: as the file has it.
      language: in which most is lost; one without numbers, if that leaves it open.
      loss: there; None where there are none.
      is_certain: whether the intervals of all languages say the same.
      without_numbers: languages in which the dense model was measured, and the calibration or its reference gave none.
      nothing_to_lose: languages that are left out, as what is to be kept is no more than there is without a model, and
        why.
      is_asked: whether the study asks the measure in any of the languages that the target is of.
      is_by_definition: whether it holds because the calibration is the one that the target compares others with.
    """

    target: Target
    language: str
    loss: Loss | None
    is_certain: bool = False
    without_numbers: tuple[str, ...] = ()
    nothing_to_lose: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_asked: bool = True
    is_by_definition: bool = False

    @property
    def limit(self) -> float:
        """The most that may be lost."""
        limits = (self.target.worse_than_dense_at_most, self.target.other_languages_lose_at_most)
        return next(limit for limit in limits if limit is not None)

    @property
    def is_met(self) -> bool | None:
        """Whether the measured loss is within the limit; None where nothing was measured."""
        return None if self.loss is None else self.loss.value <= self.limit


def loss_of(
    measured: Measured,
    name: str,
    shares: Shares,
    reference: Shares,
    *,
    spread: Spread | None,
    is_second_dense: bool = False,
) -> Loss | None:
    """Returns what ``shares`` lose against ``reference`` by the measure ``name``; None where that was not measured.

    The reference is taken as it is: its own uncertainty counts in the difference, not in what that is a fraction of.

    Args:
      spread: what ``spreads.spread_of`` says of the setting.
    """
    measure = measured.measure(name)
    if measure is None:
        return None
    if shares is reference and name in shares:
        # The same models: whatever a seed changes, it changes on both sides.
        return Loss(0.0, (0.0, 0.0))
    difference = compare(shares, reference, measure, spread=spread, is_second_dense=is_second_dense)
    if difference is None:
        return None
    low, high = difference.interval
    if name == PERPLEXITY:
        return Loss(_rise(difference.value), (_rise(low), _rise(high)))
    of: Scores = reference[name]
    if of.mean <= 0:
        return None
    return Loss(-difference.value / of.mean, (-high / of.mean, -low / of.mean))


def check_targets(
    config: StudyConfig, measured: Measured, setting: Setting, calibration: str, language: str
) -> tuple[TargetResult, ...]:
    """Returns whether the targets hold for a calibration of a setting that serves ``language``."""
    cells = measured.cells[setting]
    english = cells.get(baselines(config, measured)["english"](language) or "")
    results: list[TargetResult] = []
    for target in config.decision.targets:
        is_of_dense = target.worse_than_dense_at_most is not None
        losses: dict[str, Loss | None] = {}
        floored: dict[str, str] = {}
        languages = [language] if is_of_dense else [name for name in measured.languages if name != language]
        is_asked = not set(languages).isdisjoint(config.evaluation.languages_of(target.measure))
        for other in languages:
            measure = measured.measure(target.measure)
            spread = None if measure is None else spread_of(measured, setting, measure, other)
            of_english = {} if english is None else english.scores.get(other, {})
            if why := nothing_to_lose(measured, measure, other, None if is_of_dense else of_english, spread):
                floored[other] = why
                continue
            losses[other] = loss_of(
                measured,
                target.measure,
                cells[calibration].scores.get(other, {}),
                measured.dense[other] if is_of_dense else of_english,
                spread=spread,
                is_second_dense=is_of_dense,
            )
        judged = _judge(target, language, losses, measured)
        is_own = not is_of_dense and cells[calibration] is english and judged.is_met is True
        results.append(dataclasses.replace(judged, nothing_to_lose=floored, is_asked=is_asked, is_by_definition=is_own))
    return tuple(results)


def nothing_to_lose(
    measured: Measured, measure: Measure | None, language: str, english: Shares | None, spread: Spread | None
) -> str | None:
    """Returns why neither the dense model nor, if given, English calibration can be lost from; None if both can."""
    if measure is None:
        return None
    why = no_room(measured, measure, language, measured.dense[language])
    if why is None and english is not None:
        why = no_room(measured, measure, language, english, spread, who="the model calibrated on English")
    return why


def _judge(target: Target, language: str, losses: Mapping[str, Loss | None], measured: Measured) -> TargetResult:
    """Returns what the losses in all languages together say of a target."""
    known = {name: loss for name, loss in losses.items() if loss is not None}
    missing = tuple(name for name in losses if name not in known and target.measure in measured.dense[name])
    worst = max(known, key=lambda name: known[name].value) if known else language
    result = TargetResult(target, worst, known.get(worst), without_numbers=missing)
    if result.is_met is False:
        is_certain = any(loss.interval[0] > result.limit for loss in known.values())
        return dataclasses.replace(result, is_certain=is_certain)
    if missing:
        return TargetResult(target, missing[0], None, without_numbers=missing)
    is_certain = bool(known) and all(loss.interval[1] <= result.limit for loss in known.values())
    return dataclasses.replace(result, is_certain=is_certain)


def _rise(nats: float) -> float:
    return math.exp(min(nats, 700.0)) - 1  # more is no float
