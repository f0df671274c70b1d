"""Which of the published findings a study shows (Kurz et al., 2024, https://arxiv.org/abs/2408.14398), and which not.

Every verdict is counted from the study's own numbers; what was not measured is not judged.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from jaxprune.studies import wording
from jaxprune.studies.comparisons import ALPHA, Comparison
from jaxprune.studies.criterion import alone
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.measured import PERPLEXITY, Cell, Measured, Scores, Setting

Verdict = Literal["shown", "partly shown", "not shown", "cannot be judged"]
_MOST = 0.75


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
    for setting, cells in measured.cells.items():
        single = {name: cell for name, cell in cells.items() if len(measured.mixtures[name]) == 1}
        for language in measured.languages:
            found = {name: value for name, cell in single.items() if (value := loss(cell, language)) is not None}
            own = alone(measured, language)
            if own not in found or len({next(iter(measured.mixtures[name])) for name in found}) < 2:
                continue
            least = min(found, key=lambda name: found[name])
            if [*measured.mixtures[least]] == [language]:
                best.append(language)
            else:
                exceptions.append(f"{language_of(language).english} ({setting}: {least})")
    total = len(best) + len(exceptions)
    if not total:
        return Finding(claim, "cannot be judged", "No language was measured under its own calibration and another one.")
    evidence = f"Best among single languages in {len(best)} of {wording.count(total, 'case')}"
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
    return Finding(claim, _verdict(len(best), total), f"{evidence}.")


def _verdict(shown: int, total: int) -> Verdict:
    if shown >= _MOST * total:
        return "shown"
    return "partly shown" if shown else "not shown"


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
        evidence = (
            f"Of {wording.count(len(both), 'case')} with a measurable gain in perplexity over English, the tasks are "
            f"measurably better in {better}, measurably worse in {worse}, and without a measurable difference in "
            f"{len(both) - better - worse}."
        )
        yield Finding(claim, _verdict(len(both) - better, len(both)), evidence)


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
    """Counts which method has the better value at one pattern, calibration, language and measure."""
    claim = "No pruning method is best throughout."
    wins: dict[str, int] = {}
    for first, cells in measured.cells.items():
        rivals = [s for s in measured.cells if s.pattern == first.pattern and s != first]
        for calibration, cell in cells.items():
            for language, of in cell.scores.items():
                for source, scores in of.items():
                    others = [
                        measured.cells[rival][calibration].scores[language][source].mean
                        for rival in rivals
                        if source in _scores(measured, rival, calibration, language)
                    ]
                    sign = 1 if source == PERPLEXITY else -1
                    if others and all(sign * scores.mean < sign * other for other in others):
                        wins[first.method] = wins.get(first.method, 0) + 1
    if len({setting.method for setting in measured.cells}) < 2 or not wins:
        return Finding(claim, "cannot be judged", "One method was measured.")
    total = sum(wins.values())
    told = [f"{method} in {won}" for method, won in sorted(wins.items(), key=lambda item: -item[1])]
    evidence = f"Best of its pattern: {wording.names(told)} of {wording.count(total, 'case')}, chance not counted out."
    return Finding(claim, "shown" if max(wins.values()) < total else "not shown", evidence)


def _scores(measured: Measured, setting: Setting, calibration: str, language: str) -> Mapping[str, Scores]:
    cell = measured.cells[setting].get(calibration)
    return {} if cell is None else cell.scores.get(language, {})
