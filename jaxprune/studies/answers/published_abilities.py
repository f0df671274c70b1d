"""What the published study says of abilities: knowledge and reasoning are impaired, languages change places."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxprune.evaluation.behrens_fisher import Variance, behrens_fisher
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
    open_ = 0
    for measure in measured.measures:
        if measure.is_pooled or measure.ability not in _IMPAIRED:
            continue
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
    evidence = (
        f"Of pruned models, calibrations and languages, {'; '.join(told)} (Holm over {len(losses)}); a loss of "
        f"{WORTH_HAVING} points is left open (95%) in {open_}. They share items and models and are not independent."
    )
    if not worse and open_:
        return Finding(claim, "cannot be judged", evidence)
    return Finding(claim, verdict_of_share(worse, len(losses)), evidence)


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
