"""The figures of tasks: which marks stand in them."""

from collections.abc import Iterator
from typing import Any

from jaxprune.evaluation.seed_spread import Spread
from jaxprune.studies.answers.criterion import alone
from jaxprune.studies.answers.effects import unit
from jaxprune.studies.numbers.estimates import estimate
from jaxprune.studies.numbers.measured import Measure, Scores, Setting
from jaxprune.studies.numbers.spreads import spread_of
from jaxprune.studies.report.figures import (
    AMONG_SEVERAL,
    DENSE,
    ENGLISH,
    IN_PAIR,
    OWN_LANGUAGE,
    Mark,
    TaskRow,
    task_figure,
)
from jaxprune.studies.report.summary import Summary


def draw_tasks(summary: Summary, setting: Setting) -> Iterator[tuple[str, str, str, Any]]:
    """Gives a figure for each ability: dense, English calibration, each language's own, and mixtures with it."""
    measured = summary.measured
    stored = {name: task for of in reversed(summary.study.done) for name, task in of.result.get("tasks", {}).items()}
    abilities = dict.fromkeys(measure.ability for measure in measured.measures if measure.tasks)
    for ability in abilities:
        panels: dict[str, dict[str, TaskRow]] = {}
        for measure in measured.measures:
            if measure.ability == ability and measure.tasks and not measure.is_pooled:
                rows = _task_rows(summary, setting, measure, stored[measure.name])
                if rows:
                    panels[measure.name] = rows
        if panels:
            caption = (
                f"{setting}: {ability} tasks, dense and pruned, beside what no model at all reaches: chance, the most "
                "frequent answer, and shared words. Mixtures are those that contain the language; the heat map names "
                "each."
            )
            yield "tasks", f"tasks-{ability}-{setting}", caption, task_figure(f"{setting}: {ability} tasks", panels)


def _task_rows(summary: Summary, setting: Setting, measure: Measure, stored: Any) -> dict[str, TaskRow]:
    measured = summary.measured
    rows: dict[str, TaskRow] = {}
    for language in measured.languages_of(measure.name):
        factor = unit(measured, measure, language)
        found = [
            (kind, scores)
            for kind, calibration in _shown(summary, setting, language)
            if (scores := measured.cells[setting][calibration].scores.get(language, {}).get(measure.name)) is not None
        ]
        dense = measured.dense[language].get(measure.name)
        spread = spread_of(measured, setting, measure, language)
        marks = [
            _mark(summary, measure, language, factor, kind, scores, None if kind == DENSE else spread)
            for kind, scores in ([(DENSE, dense)] if dense else []) + found
        ]
        baselines = stored["languages"].get(language, {}).get("baselines", {})
        if found:
            rows[language] = TaskRow(
                marks, {name: factor * value for name, value in baselines.items() if value is not None}
            )
    return rows


def _mark(
    summary: Summary, measure: Measure, language: str, factor: float, kind: str, scores: Scores, spread: Spread | None
) -> Mark:
    shown_as = summary.measured.reference(language, measure.name)
    found = estimate(measure, {measure.name: scores}, scores if shown_as is None else shown_as, spread)
    low, high = found.interval or (found.value, found.value)
    return Mark(kind, factor * found.value, factor * low, factor * high)


def _shown(summary: Summary, setting: Setting, language: str) -> list[tuple[str, str]]:
    """Returns kinds and names of the calibrations of a setting that concern a language."""
    measured = summary.measured
    own = alone(measured, language)
    named = {ENGLISH: summary.english, OWN_LANGUAGE: None if own == summary.english else own}
    of_language = [name for name in measured.cells[setting] if language in measured.mixtures[name]]
    mixtures = {name: len(measured.mixtures[name]) for name in of_language if name not in named.values()}
    return [
        *((kind, name) for kind, name in named.items() if name is not None and name in measured.cells[setting]),
        *((IN_PAIR, name) for name, languages in mixtures.items() if languages == 2),
        *((AMONG_SEVERAL, name) for name, languages in mixtures.items() if languages > 2),
    ]
