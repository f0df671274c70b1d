"""What the published study says of abilities: knowledge and reasoning are impaired, languages change places."""

import itertools
import statistics
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxprune.evaluation.behrens_fisher import Variance, behrens_fisher
from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.seed_spread import Spread
from jaxprune.evaluation.seeds import add_variances
from jaxprune.studies.answers.effects import unit
from jaxprune.studies.answers.verdicts import Finding, verdict_of_share
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Difference, compare, corrected
from jaxprune.studies.numbers.floors import WORTH_HAVING, no_room
from jaxprune.studies.numbers.measured import Measure, Measured, Scores
from jaxprune.studies.numbers.spreads import spread_of

_IMPAIRED = ("knowledge", "reasoning")
_FEWEST_LANGUAGES = 3
_NOT_ABILITIES = "No task asked for knowledge or reasoning where the dense model has what could be lost."


def impaired(measured: Measured) -> Finding:
    """Judges by comparisons with the dense model, in languages where that is above what is scored without a model."""
    claim = "Pruning impairs knowledge and reasoning."
    losses: dict[tuple[str, ...], Difference] = {}
    pooled: dict[str, list[_Mean]] = {}
    open_ = 0
    for measure in measured.measures:
        if measure.is_pooled or measure.ability not in _IMPAIRED:
            continue
        for language in measured.languages_of(measure.name):
            if (mean := _mean_over_prunings(measured, measure, language)) is not None:
                pooled.setdefault(measure.ability, []).append(mean)
        for setting, cells in measured.cells.items():
            for language, (name, cell) in itertools.product(measured.languages_of(measure.name), cells.items()):
                dense = measured.dense[language]
                if measure.name not in dense or no_room(measured, measure, language, dense):
                    continue
                spread = spread_of(measured, setting, measure, language)
                found = compare(cell.scores.get(language, {}), dense, measure, spread=spread, is_second_dense=True)
                if found is not None:
                    losses[measure.ability, measure.name, str(setting), name, language] = found
                    most = WORTH_HAVING / unit(measured, measure, language)
                    open_ += found.interval[0] < -most
    if not losses:
        return Finding(claim, "cannot be judged", _NOT_ABILITIES)
    p_values = corrected({key: found.p_value for key, found in losses.items()})
    told: list[str] = []
    certain = {key for key, p_value in p_values.items() if p_value < ALPHA}
    for ability in dict.fromkeys(key[0] for key in losses):
        of = [key for key in losses if key[0] == ability]
        lower = sum(losses[key].value < 0 for key in of)
        sure = sum(losses[key].value < 0 for key in certain.intersection(of))
        told.append(f"{ability} is lower than the dense model's in {lower} of {len(of)}, measurably so in {sure}")
    worse = sum(losses[key].value < 0 for key in certain)
    means = {ability: _together(of) for ability, of in pooled.items()}
    p_means = corrected({(ability,): p_value for ability, (*_, p_value) in means.items()})
    lower_on_average = [of for of, (value, *_) in means.items() if value < 0 and p_means[(of,)] < ALPHA]
    averages = [
        f"{ability} {wording.signed(value, 1)} points (95% interval {wording.signed(low, 1)} to "
        f"{wording.signed(high, 1)}, {wording.p_value(p_means[(ability,)])}{' after Holm' if len(means) > 1 else ''})"
        for ability, (value, (low, high), _) in means.items()
    ]
    evidence = (
        f"Of pruned models, calibrations and languages, {'; '.join(told)} (Holm over {len(losses)}); a loss of "
        f"{WORTH_HAVING} points is left open (95%) in {open_}. They share items and models and are not independent. On "
        f"average over all of these prunings, paired by item: {wording.names(averages)}; only tasks count that the "
        "dense model does well at, better by chance than on other items, so that the fall is overstated."
    )
    if not worse and lower_on_average:
        return Finding(claim, "partly shown", evidence)
    if not worse and open_:
        return Finding(claim, "cannot be judged", evidence)
    return Finding(claim, verdict_of_share(worse, len(losses)), evidence)


class _Mean(NamedTuple):
    """How much more all pruned models together score than the dense one, in points.

    Attributes:
      value: mean over models and items.
      error: standard error of that for other items; the models are taken as they are.
      freedom: degrees of freedom of the error.
    """

    value: float
    error: float
    freedom: int


def _mean_over_prunings(measured: Measured, measure: Measure, language: str) -> _Mean | None:
    dense = measured.dense[language]
    if measure.name not in dense or no_room(measured, measure, language, dense):
        return None
    every = [cell for cells in measured.cells.values() for cell in cells.values()]
    pruned = [of for cell in every if (of := cell.scores.get(language, {}).get(measure.name)) is not None]
    if not pruned:
        return None
    # A calibration counts once, whatever its number of seeds.
    means_N = np.mean([of.totals_SN.mean(axis=0) for of in pruned], axis=0)
    gains_N = unit(measured, measure, language) * (means_N - dense[measure.name].totals_SN.mean(axis=0))
    number = len(gains_N)
    if number < 2:
        return None
    return _Mean(float(gains_N.mean()), float(gains_N.std(ddof=1)) / number**0.5, number - 1)


def _together(means: list[_Mean]) -> tuple[float, Interval, float]:
    """Returns the mean over tasks and languages, its 95% interval and its p-value.

    Items of languages may be translations of one another: errors are averaged as if they all went the same way.
    """
    value = statistics.fmean(of.value for of in means)
    error = Variance(statistics.fmean(of.error for of in means) ** 2, min(of.freedom for of in means))
    interval, p_value = behrens_fisher(value, error, Variance(0.0, float("inf")))
    return value, interval, p_value


class _Change(NamedTuple):
    """Another language at the end of the order than of the dense model.

    Attributes:
      p_value: that both orders, the dense model's and the pruned one's, are as they are by chance; of the two, the
        larger, times the languages that could have taken the place.
    """

    end: str
    p_value: float


def shifted(measured: Measured) -> Finding:
    """Judges by which language scores best and which worst in tasks, whose scores are of one scale in all languages."""
    claim = "Pruning shifts in which languages a model does best or worst."
    changes: dict[tuple[str, ...], _Change] = {}
    total = 0
    for measure in measured.measures:
        languages = [] if measure.is_pooled or not measure.tasks else _asked(measured, measure)
        if len(languages) < _FEWEST_LANGUAGES:
            continue
        for setting, cells in measured.cells.items():
            spreads = {language: spread_of(measured, setting, measure, language) for language in languages}
            for name, cell in cells.items():
                scores = {of: cell.scores.get(of, {}).get(measure.name) for of in languages}
                known = {of: found for of, found in scores.items() if found is not None}
                if len(known) == len(languages):
                    total += 1
                    for change in _changes(measured, measure, known, spreads):
                        changes[measure.name, str(setting), name, change.end] = change
    if not total:
        return Finding(claim, "cannot be judged", f"No task was measured in {_FEWEST_LANGUAGES} languages or more.")
    p_values = corrected({key: change.p_value for key, change in changes.items()})
    counts = {end: sum(change.end == end for change in changes.values()) for end in ("best", "worst")}
    certain = sum(p_value < ALPHA for p_value in p_values.values())
    evidence = (
        f"Of {wording.count(total, 'pair')} of a pruning and a task, the best language is another than the dense "
        f"model's in {counts['best']} and the worst in {counts['worst']}; measurably, in both models, in "
        f"{certain} (Holm over {len(changes)}). Items of different languages are taken as independent."
    )
    if certain:
        return Finding(claim, "shown", evidence)
    return Finding(claim, "cannot be judged" if changes else "not shown", evidence)


def _asked(measured: Measured, measure: Measure) -> list[str]:
    return [of for of in measured.languages_of(measure.name) if measure.name in measured.dense[of]]


def _changes(
    measured: Measured, measure: Measure, pruned: dict[str, Scores], spreads: dict[str, Spread | None]
) -> Iterator[_Change]:
    dense = {language: measured.dense[language][measure.name] for language in pruned}
    nothing: dict[str, Spread | None] = dict.fromkeys(pruned)
    for end, pick, sign in (("best", max, 1), ("worst", min, -1)):
        was, now = (pick(of, key=lambda language: of[language].mean) for of in (dense, pruned))
        if was != now:
            ends = [_p_value(dense, nothing, was, now, sign), _p_value(pruned, spreads, now, was, sign)]
            yield _Change(end, min(1.0, max(ends) * (len(pruned) - 1)))


def _p_value(scores: dict[str, Scores], spreads: dict[str, Spread | None], first: str, second: str, sign: int) -> float:
    """Returns how likely chance alone puts one language before another; one where it does not stand before it."""
    value = sign * (scores[first].mean - scores[second].mean)
    if value <= 0:
        return 1.0
    items, seeds = [], []
    for language in (first, second):
        totals_SN, spread = scores[language].totals_SN, spreads[language]
        means_N = totals_SN.mean(axis=0)
        items.append(Variance(float(np.var(means_N, ddof=1)) / len(means_N), len(means_N) - 1))
        if spread is not None:
            of_seed = spread.of(totals_SN.mean(axis=1))
            seeds.append(Variance(of_seed.value / len(totals_SN), of_seed.freedom))
    of_seeds = add_variances(seeds) if seeds else Variance(0.0, float("inf"))
    if add_variances(items).value + of_seeds.value == 0:
        return 0.0
    return float(behrens_fisher(value, add_variances(items), of_seeds)[1])
