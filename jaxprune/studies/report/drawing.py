"""Which figures a study has, with what a reader is to see in each."""

import itertools
import math
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxprune.studies.answers.effects import unit
from jaxprune.studies.figures.depth import depth_figure
from jaxprune.studies.figures.files import id_prefix, save_figure
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison
from jaxprune.studies.numbers.measured import PERPLEXITY, Measure, Setting
from jaxprune.studies.report.depth_panels import depth_panels
from jaxprune.studies.report.figures import (
    Estimate,
    Levels,
    cost_figure,
    forest_figure,
    level_figure,
)
from jaxprune.studies.report.summary import Summary
from jaxprune.studies.report.table import NOTHING
from jaxprune.studies.report.task_drawing import draw_tasks

_MOST_IN_A_GROUP = 5


class Drawn(NamedTuple):
    """A figure that was written.

    Attributes:
      section: of the page.
      path: of the SVG; a PNG lies beside it.
      caption: what it shows, and how it is read.
    """

    section: str
    path: Path
    caption: str


def draw_figures(folder: Path, summary: Summary) -> list[Drawn]:
    """Writes every figure that the study has numbers for, as PNG and SVG, into ``folder``."""
    drawn: list[Drawn] = []
    for section, name, caption, figure in _figures(summary):
        stem = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in name)
        path = _unused(folder, stem, {id_prefix(one.path) for one in drawn})
        for kind in (".png", ".svg"):
            save_figure(figure, path.with_suffix(kind))
        drawn.append(Drawn(section, path, caption))
    return drawn


def _unused(folder: Path, stem: str, taken: Set[str]) -> Path:
    """Returns a name for an SVG, numbered where names of tasks differ in letters only that no id of an SVG has."""
    path = folder / f"{stem}.svg"
    for number in itertools.count(2):
        if id_prefix(path) not in taken:
            break
        path = folder / f"{stem}-{number}.svg"
    return path


def _figures(summary: Summary) -> Iterator[tuple[str, str, str, Any]]:
    measured = summary.measured
    for setting in measured.cells:
        for measure in measured.measures:
            if measure.is_pooled:
                continue
            levels = _levels(summary, setting, measure)
            if levels is not None:
                what = measure.name if measure.name == PERPLEXITY else f"{measure.name} (points)"
                columns = "evaluated on (dense in brackets)"
                figure = level_figure(f"{setting}: {what}", levels, row_label="calibrated on", column_label=columns)
                caption = (
                    f"{setting}: {what} by calibration and evaluation language. Compare within a column: colour is "
                    f"{_meaning(levels)}, the best of each column is framed."
                )
                yield "heat maps", f"heatmap-{measure.name}-{setting}", caption, figure
        for measure in measured.measures:
            groups = _forest(summary, setting, measure)
            if groups:
                label = (
                    "change of perplexity against English calibration (%); left is better"
                    if measure.name == PERPLEXITY
                    else "difference to English calibration (points); right is better"
                )
                caption = (
                    f"{setting}: {measure.name} against English calibration ({summary.english}), 95% intervals for "
                    "other items and other seeds. Filled marks are more than chance after Holm's correction. Of a "
                    f"language {_MOST_IN_A_GROUP} calibrations at most: the pick, and what contains the language; the "
                    "tables have all."
                )
                figure = forest_figure(f"{setting}: {measure.name}", groups, label)
                yield "differences", f"differences-{measure.name}-{setting}", caption, figure
        for name, panels, caption in depth_panels(summary, setting):
            yield "depth", f"{name}-{setting}", caption, depth_figure(str(setting), panels)
        for measure in measured.measures:
            pays = None if measure.is_pooled else _who_pays(summary, setting, measure)
            if pays is not None:
                what = "change of perplexity" if measure.name == PERPLEXITY else f"difference in {measure.name}"
                unit_ = "%" if measure.name == PERPLEXITY else "points"
                caption = (
                    f"{setting}: {what} against English calibration ({unit_}): blue gains, red pays. Bold is more than "
                    "chance after Holm's correction over all cells."
                )
                title = f"{setting}: who gains, who pays in {measure.name} ({unit_})"
                figure = level_figure(title, pays, row_label="calibrated on", column_label="evaluated on")
                yield "who pays", f"who-pays-{measure.name}-{setting}", caption, figure
        yield from draw_tasks(summary, setting)
    seconds = {
        str(setting): {n: s for n, cell in cells.items() if (s := cell.average("seconds", "prune")) is not None}
        for setting, cells in measured.cells.items()
    }
    if any(seconds.values()):
        yield "cost", "cost", "Seconds of pruning by calibration.", cost_figure("What calibration costs", seconds)
    for section in summary.analyses:
        for of in section.figures:
            yield section.name, f"{section.name}-{of.name}", of.caption, of.figure


def _levels(summary: Summary, setting: Setting, measure: Measure) -> Levels | None:
    """Returns scores by calibration and language; colour is the loss against dense, or where that has none, the best.

    In a column without dense scores beside others that have them, there is no colour.
    """
    measured, source = summary.measured, measure.sources[0]
    languages = [
        language
        for language in measured.languages_of(source)
        if any(source in cell.scores.get(language, {}) for cell in measured.cells[setting].values())
    ]
    cells = measured.cells[setting]
    if not languages:
        return None
    texts, means = [], np.full((len(cells), len(languages)), np.nan)
    for row, cell in enumerate(cells.values()):
        texts.append([""] * len(languages))
        for column, language in enumerate(languages):
            scores, shown_as = cell.scores.get(language, {}).get(source), measured.reference(language, source)
            if scores is not None and shown_as is not None:
                texts[row][column] = wording.score(measure.name, scores.mean, shown_as)
                means[row, column] = scores.mean if source == PERPLEXITY else -wording.scale(shown_as) * scores.mean
    dense = [measured.dense[language].get(source) for language in languages]
    heads = [
        f"{language}\n({NOTHING if of is None else wording.score(measure.name, of.mean, of)})"
        for language, of in zip(languages, dense, strict=True)
    ]
    if any(of is not None for of in dense):
        least = [
            np.nan if of is None else of.mean if source == PERPLEXITY else -wording.scale(of) * of.mean for of in dense
        ]
        label = "log(perplexity / dense)" if source == PERPLEXITY else "points below dense"
    else:
        least = np.nanmin(means, axis=0)
        label = "log(perplexity / best of column)" if source == PERPLEXITY else "points below best of column"
    framed = [int(np.nanargmin(column)) for column in means.T]
    return Levels(list(cells), heads, texts, means - np.asarray(least), framed, label)


def _meaning(levels: Levels) -> str:
    """Returns what the colours say."""
    if "dense" not in levels.label:
        return "what is lost against the best of the column, as nothing counts of the dense model"
    without = " (grey: nothing counts of that)" if np.isnan(levels.levels).all(axis=0).any() else ""
    return f"the loss against the dense model{without}"


def _against_english(summary: Summary, setting: Setting, measure: str) -> list[Comparison]:
    return [
        found
        for found in summary.comparisons
        if (found.setting, found.against, found.measure.name) == (setting, "english", measure)
    ]


def _forest(summary: Summary, setting: Setting, measure: Measure) -> dict[str, list[Estimate]]:
    """Returns for each language its own calibration, mixtures with it, and the recommended one."""
    chosen = {
        decision.language: decision.best.calibration for decision in summary.decisions if decision.setting == setting
    }
    groups: dict[str, list[Estimate]] = {}
    found = _against_english(summary, setting, measure.name)
    for language in summary.measured.languages:
        of_language = [one for one in found if one.language == language]
        near = [
            one
            for one in of_language
            if language in summary.measured.mixtures[one.calibration] or one.calibration == chosen.get(language)
        ]
        # The pick is among them, however many contain the language.
        near.sort(key=lambda one: one.calibration != chosen.get(language))
        for one in (near or of_language)[:_MOST_IN_A_GROUP]:
            numbers = (one.difference.value, *one.difference.interval)
            if measure.name == PERPLEXITY:
                value, low, high = (100 * math.expm1(min(nats, 20.0)) for nats in numbers)
            else:
                value, low, high = (unit(summary.measured, measure, language) * number for number in numbers)
            groups.setdefault(language, []).append(Estimate(one.calibration, value, low, high, one.p_all < ALPHA))
    return groups


def _who_pays(summary: Summary, setting: Setting, measure: Measure) -> Levels | None:
    """Returns how far each calibration is from English in each language; colours are of what is lost."""
    found = {(one.calibration, one.language): one for one in _against_english(summary, setting, measure.name)}
    names = list(dict.fromkeys(name for name, _ in found))
    languages = [name for name in summary.measured.languages if any(key[1] == name for key in found)]
    if not found:
        return None
    levels = np.full((len(names), len(languages)), np.nan)
    texts: list[Sequence[str]] = []
    marked: set[tuple[int, int]] = set()
    for row, name in enumerate(names):
        line: list[str] = []
        for column, language in enumerate(languages):
            one = found.get((name, language))
            line.append("")
            if one is not None:
                factor = unit(summary.measured, measure, language)
                is_loss = measure.name == PERPLEXITY
                levels[row, column] = one.difference.value if is_loss else -factor * one.difference.value
                line[-1] = _percent(one.difference.value) if is_loss else wording.signed(factor * one.difference.value)
                if one.p_all < ALPHA:
                    marked.add((row, column))
        texts.append(line)
    label = "change of perplexity (%)" if measure.name == PERPLEXITY else "difference (points)"
    # Colours are of losses, so that red is worse by either: of points the sign is turned round again.
    tick = _percent if measure.name == PERPLEXITY else lambda loss: wording.signed(-loss)
    return Levels(
        names, languages, texts, levels, [None] * len(languages), label, is_centred=True, marked=frozenset(marked),
        tick=tick,
    )  # fmt: skip


def _percent(nats: float) -> str:
    """Returns the change of a perplexity whose logarithm rises by so much, without the sign of percent."""
    return wording.percent(math.expm1(min(nats, 20.0))).removesuffix("%")
