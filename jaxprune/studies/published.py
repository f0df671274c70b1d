"""Which of the published findings a study shows (Kurz et al., 2024, https://arxiv.org/abs/2408.14398), and which not.

Every verdict rests on tests of the study's own numbers: of calibrations that are all alike, none is shown. What was not
measured, or too little to tell, is not judged.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import scipy.stats

from jaxprune.studies import wording
from jaxprune.studies.comparisons import ALPHA, Comparison, compare, corrected, spread_among
from jaxprune.studies.criterion import alone
from jaxprune.studies.findings import unit
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.measured import PERPLEXITY, Cell, Measured, Setting

Verdict = Literal["shown", "partly shown", "not shown", "cannot be judged"]
_MOST = 0.75

# A gain that is worth having, in points of a hundred.
_WORTH_HAVING = 5


@dataclasses.dataclass(frozen=True)
class Finding:
    """A published finding, and what this study has to say of it.

    Attributes:
      claim: as it was published, in our words.
      verdict: of this study.
      evidence: what the verdict was counted from.
    """

    claim: str
    verdict: Verdict
    evidence: str


def published_findings(measured: Measured, comparisons: tuple[Comparison, ...]) -> tuple[Finding, ...]:
    """Judges the published findings by a study."""
    return (
        _best_for_itself(
            measured,
            "Calibrating on the target language gives the lowest perplexity.",
            lambda cell, language: _perplexity(cell, language),
            comparisons,
        ),
        _best_for_itself(
            measured,
            "Calibrating on the target language gives the highest signal-to-noise ratio.",
            lambda cell, language: _negative(cell.average("snr", "languages", language, "overall")),
            (),
        ),
        *_carries_over(measured, comparisons),
        _mixtures(comparisons, measured),
        _methods(measured),
    )


def _perplexity(cell: Cell, language: str) -> float | None:
    scores = cell.scores.get(language, {}).get(PERPLEXITY)
    return None if scores is None else scores.mean


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _best_for_itself(
    measured: Measured, claim: str, loss: Callable[[Cell, str], float | None], comparisons: tuple[Comparison, ...]
) -> Finding:
    """Counts in how many languages the target language alone loses least of all languages alone."""
    best: list[str] = []
    exceptions: list[str] = []
    chances: list[float] = []
    for setting, cells in measured.cells.items():
        single = {name: cell for name, cell in cells.items() if len(measured.mixtures[name]) == 1}
        for language in measured.languages:
            found = {name: value for name, cell in single.items() if (value := loss(cell, language)) is not None}
            own = alone(measured, language)
            if own not in found or len({next(iter(measured.mixtures[name])) for name in found}) < 2:
                continue
            chances.append(1 / len(found))
            others = {name: value for name, value in found.items() if name != own}
            least = min(others, key=lambda name: others[name])
            if found[own] < others[least]:
                best.append(language)
            else:
                exceptions.append(f"{language_of(language).english} ({setting}: {least})")
    total = len(best) + len(exceptions)
    if not total:
        return Finding(claim, "cannot be judged", "No language was measured under its own calibration and another one.")
    chance = statistics.fmean(chances)
    evidence = (
        f"Best among single languages in {len(best)} of {wording.count(total, 'case')} (by chance in "
        f"{chance * total:.1f})"
    )
    if exceptions:
        evidence = f"{evidence}; not for {wording.names(exceptions)}"
    against = _target_against_english(comparisons, measured, PERPLEXITY)
    if against:
        better, worse = _significant(against)
        evidence = (
            f"{evidence}. Against English, {better} of {len(against)} are measurably better and {worse} measurably "
            "worse "
            "(Holm over the languages)"
        )
    return Finding(claim, _verdict_by_chance(len(best), total, chance), f"{evidence}.")


def _verdict_by_chance(best: int, total: int, chance: float) -> Verdict:
    """Returns the verdict of a count that could have come out by chance, by the binomial test."""
    if chance**total >= ALPHA:
        return "cannot be judged"
    if scipy.stats.binomtest(best, total, chance, alternative="greater").pvalue >= ALPHA:
        return "not shown"
    return "shown" if best >= _MOST * total else "partly shown"


def _target_against_english(comparisons: Iterable[Comparison], measured: Measured, measure: str) -> list[Comparison]:
    return [
        found
        for found in comparisons
        if found.against == "english"
        and found.measure.name == measure
        and found.calibration == alone(measured, found.language)
    ]


def _significant(found: Iterable[Comparison]) -> tuple[int, int]:
    certain = [comparison.gain for comparison in found if comparison.p_languages < ALPHA]
    return sum(gain > 0 for gain in certain), sum(gain < 0 for gain in certain)


def _carries_over(measured: Measured, comparisons: tuple[Comparison, ...]) -> Iterator[Finding]:
    """Judges, by ability, that a gain in perplexity need not be one in tasks."""
    pooled = {measure.ability for measure in measured.measures if measure.is_pooled}
    abilities = [m for m in measured.measures if m.tasks and (m.is_pooled or m.ability not in pooled)]
    if not abilities:
        claim = "What the target language gains in perplexity does not carry over to downstream tasks."
        yield Finding(claim, "cannot be judged", "No task was measured.")
    for measure in abilities:
        claim = f"What the target language gains in perplexity does not carry over to {measure.ability} tasks."
        in_perplexity = {
            (found.setting, found.language)
            for found in _target_against_english(comparisons, measured, PERPLEXITY)
            if found.gain > 0 and found.p_languages < ALPHA
        }
        of_tasks = _target_against_english(comparisons, measured, measure.name)
        both = [found for found in of_tasks if (found.setting, found.language) in in_perplexity]
        if not both:
            yield Finding(
                claim, "cannot be judged", "In no language is the gain in perplexity measurable, and the tasks too."
            )
            continue
        better, worse = _significant(both)
        excluded = [
            found
            for found in both
            if found.difference.interval[1] < _WORTH_HAVING / unit(measured, measure, found.language)
            and not (found.gain > 0 and found.p_languages < ALPHA)
        ]
        evidence = (
            f"Of {wording.count(len(both), 'case')} with a measurable gain in perplexity over English, the tasks are "
            f"measurably better in {better} and measurably worse in {worse}; a gain of "
            f"{_WORTH_HAVING} points is ruled out (95 %) in {len(excluded)}, the others are open."
        )
        decided = better + len(excluded)
        if not decided:
            yield Finding(claim, "cannot be judged", evidence)
        else:
            yield Finding(claim, _share(len(excluded), decided), evidence)


def _share(shown: int, total: int) -> Verdict:
    if shown >= _MOST * total:
        return "shown"
    return "partly shown" if shown else "not shown"


def _mixtures(comparisons: Iterable[Comparison], measured: Measured) -> Finding:
    claim = "Bilingual and multilingual calibration now and then improves tasks over the target language alone."
    of_mixtures = [
        found
        for found in comparisons
        if found.against == "target"
        and found.measure.tasks
        and not found.measure.is_pooled
        and len(measured.mixtures[found.calibration]) > 1
        and found.language in measured.mixtures[found.calibration]
    ]
    if not of_mixtures:
        return Finding(claim, "cannot be judged", "No mixture was measured by tasks beside its languages alone.")
    certain = [found.gain for found in of_mixtures if found.p_all < ALPHA]
    better, worse = sum(gain > 0 for gain in certain), sum(gain < 0 for gain in certain)
    evidence = (
        f"Of {wording.count(len(of_mixtures), 'comparison')}, {better} are measurably better and {worse} measurably "
        "worse "
        "(Holm over languages and calibrations)."
    )
    return Finding(claim, "shown" if better else "not shown", evidence)


def _methods(measured: Measured) -> Finding:
    """Counts where one method is measurably better than another at one pattern, calibration, language and measure."""
    claim = "No pruning method is best throughout."
    pairs = [
        (first, second)
        for first, second in itertools.combinations(measured.cells, 2)
        if first.pattern == second.pattern and first.method != second.method
    ]
    found: dict[tuple[str, ...], tuple[Setting, Setting, float, float]] = {}
    for measure in measured.measures:
        if measure.is_pooled:
            continue
        for (first, second), language in itertools.product(pairs, measured.languages):
            cells = measured.cells[first], measured.cells[second]
            spread = spread_among((cell.scores.get(language, {}) for of in cells for cell in of.values()), measure)
            for name in cells[0].keys() & cells[1].keys():
                shares = [of[name].scores.get(language, {}) for of in cells]
                difference = compare(shares[0], shares[1], measure, spread=spread)
                if difference is not None:
                    gain = difference.value if measure.tasks else -difference.value
                    key = (str(first), str(second), measure.name, language, name)
                    found[key] = (first, second, gain, difference.p_value)
    if not found:
        return Finding(claim, "cannot be judged", "One method was measured.")
    p_values = corrected({key: p_value for key, (*_, p_value) in found.items()})
    wins: dict[str, int] = {}
    for key, (first, second, gain, _) in found.items():
        if p_values[key] < ALPHA:
            winner = (first if gain > 0 else second).method
            wins[winner] = wins.get(winner, 0) + 1
    told = [f"{method} in {won}" for method, won in sorted(wins.items(), key=lambda item: -item[1])]
    evidence = (
        f"Measurably better (Holm over all) at one pattern, calibration, language and measure: "
        f"{wording.names(told) if told else 'none'} of {wording.count(len(found), 'case')}."
    )
    if not wins:
        return Finding(claim, "cannot be judged", evidence)
    return Finding(claim, "shown" if len(wins) > 1 else "not shown", evidence)
