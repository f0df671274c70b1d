"""The report's figures: each says one thing at a glance; languages keep their colours, calibrations their marks."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxprune.studies.figures.colours import language_colours
from jaxprune.studies.figures.files import DARK_TEXT, INK, LIGHT_TEXT, PAPER

_GREY = "#808080"
# Neither a language's nor the page's, and read on either ground.
_GREYS = ("#4d4d4d", "#9a9a9a", "#c4c4c4")
_HATCHES = ("", "///", "...")

DENSE, ENGLISH, OWN_LANGUAGE = "dense", "calibrated on English", "calibrated on own language"
IN_PAIR, AMONG_SEVERAL = "own language and another", "own language and several others"
"""Kinds of a ``Mark``."""

# How a kind is drawn: matplotlib's mark, whether in the language's colour, and whether filled.
_KINDS = {
    DENSE: ("o", False, True),
    ENGLISH: ("s", False, False),
    OWN_LANGUAGE: ("D", True, True),
    IN_PAIR: ("^", True, False),
    AMONG_SEVERAL: ("v", True, False),
}


class Levels(NamedTuple):
    r"""A table of numbers as colours.

    Attributes:
      rows: from the top.
      columns: each with what stands beneath it, ``de\n(20.1)``.
      texts: what stands in the cells, row by row; empty where there is nothing.
      levels: what colours them; NaN where there is nothing.
      framed: row of the best cell of each column; None for none.
      label: of the colours, with their unit.
      tick: how a number is written beside the colours, if not as it is.
      is_centred: whether zero is the middle, and both sides have a colour.
      marked: cells whose number is set in bold.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    texts: Sequence[Sequence[str]]
    levels: np.ndarray
    framed: Sequence[int | None]
    label: str
    is_centred: bool = False
    marked: frozenset[tuple[int, int]] = frozenset()
    tick: Callable[[float], str] | None = None


def level_figure(title: str, table: Levels, *, row_label: str, column_label: str) -> Any:
    """Draws calibrations by evaluation languages, a number in each cell."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    height, width = table.levels.shape
    figure = Figure(
        # Of few rows the names of the axes need the height.
        figsize=(2.6 + 0.09 * max(map(len, table.rows)) + 0.72 * width, max(2.9, 1.7 + 0.36 * height)),
        layout="constrained",
    )
    axes = figure.add_subplot()
    defined = table.levels[np.isfinite(table.levels)]
    highest = max(float(np.abs(defined).max(initial=0.0)), 0.02)
    lowest = -highest if table.is_centred else min(0.0, float(defined.min(initial=0.0)))
    # Both are read alike with and without colour blindness: blue is better, red worse; bright is little, dark much.
    colours = colormaps["RdBu_r" if table.is_centred else "YlOrBr"].with_extremes(bad="#d0d0d0")
    mesh = axes.pcolormesh(
        np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5, np.ma.masked_invalid(table.levels),
        cmap=colours, vmin=lowest, vmax=highest, edgecolors=PAPER, linewidth=1.0,
    )  # fmt: skip
    axes.set_facecolor("#d0d0d0")
    for row, column in np.ndindex(height, width):
        level, cell = float(table.levels[row, column]), str(table.texts[row][column])
        share = (level - lowest) / (highest - lowest) if math.isfinite(level) else 0.0
        is_dark = abs(share - 0.5) > 0.34 if table.is_centred else share > 0.62
        ink = LIGHT_TEXT if is_dark else DARK_TEXT
        weight = "bold" if table.framed[column] == row or (row, column) in table.marked else "normal"
        axes.text(column, row, cell, ha="center", va="center", color=ink, fontsize=9, weight=weight)
        if table.framed[column] == row:
            axes.add_patch(Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, fill=False, edgecolor=ink, linewidth=1.6))
    axes.set_xticks(range(width), table.columns)
    axes.set_yticks(range(height), table.rows)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(column_label)
    axes.set_ylabel(row_label)
    axes.set_title(title, fontsize=10, loc="left")
    tick = table.tick
    bar: Any = figure.colorbar(
        mesh, ax=axes, label=table.label, format=None if tick is None else lambda value, _: tick(value)
    )
    bar.outline.set_visible(False)
    bar.solids.set(rasterized=False, edgecolor="face")
    return figure


class Estimate(NamedTuple):
    """A dot with its interval, in the unit of the axis.

    Attributes:
      calibration: gives the mark.
      is_certain: filled if more than chance is behind it.
    """

    calibration: str
    value: float
    low: float
    high: float
    is_certain: bool


def forest_figure(title: str, estimates: Mapping[str, Sequence[Estimate]], label: str) -> Any:
    """Draws differences with intervals, a group of rows a language, around a line at zero; a row ends in its name."""
    from matplotlib.figure import Figure

    total = sum(len(of) for of in estimates.values())
    figure = Figure(figsize=(7.4, 1.5 + 0.2 * total + 0.12 * len(estimates)), layout="constrained")
    axes = figure.add_subplot()
    colours = language_colours(estimates)
    ticks: list[float] = []
    rows: dict[float, str] = {}
    y = 0.0
    for language, of in estimates.items():
        start = y
        for one in of:
            rows[y] = one.calibration
            face = colours[language] if one.is_certain else PAPER
            axes.plot([one.low, one.high], [y, y], color=colours[language], linewidth=1.6, solid_capstyle="butt")
            axes.plot([one.value], [y], "o", color=colours[language], markerfacecolor=face, markersize=6.5, zorder=3)
            y += 1.0
        ticks.append((start + y - 1.0) / 2)
        y += 0.6
    axes.axvline(0.0, color=INK, linewidth=1.0)
    axes.set_yticks(ticks, list(estimates))
    axes.set_ylim(y - 0.6, -1.0)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_ylabel("evaluated on")
    axes.set_xlabel(label)
    axes.set_title(title, fontsize=10, loc="left")
    for spine in ("top", "right", "left"):
        axes.spines[spine].set_visible(False)
    names = axes.secondary_yaxis("right")
    names.set_yticks(list(rows), list(rows.values()), fontsize=7.5)
    names.tick_params(length=0)
    names.spines["right"].set_visible(False)
    names.set_ylabel("calibrated on")
    handle = axes.plot(
        [], [], "o", color=INK, markerfacecolor=PAPER, label="hollow: not certain after Holm's correction"
    )
    figure.legend(handles=handle, frameon=False, fontsize=9, loc="outside lower left")
    return figure


class Mark(NamedTuple):
    """A model's score with its interval, in points.

    Attributes:
      kind: of model.
    """

    kind: str
    value: float
    low: float
    high: float


class TaskRow(NamedTuple):
    """One language's scores in one task.

    Attributes:
      marks: from the top.
      baselines: scores without any model, by name, in points.
    """

    marks: Sequence[Mark]
    baselines: Mapping[str, float]


def task_figure(title: str, tasks: Mapping[str, Mapping[str, TaskRow]]) -> Any:
    """Draws scores by task and language, beside what no model at all reaches."""
    from matplotlib.figure import Figure

    languages = list(dict.fromkeys(language for rows in tasks.values() for language in rows))
    lines = {name: max(len(rows[name].marks) for rows in tasks.values() if name in rows) for name in languages}
    # A line a mark, and one between languages.
    tops = dict(zip(languages, np.cumsum([0, *(lines[name] + 1 for name in languages)]).tolist(), strict=False))
    total = sum(lines.values()) + len(languages)
    figure = Figure(figsize=(1.9 + 3.6 * len(tasks), 1.4 + 0.13 * total), layout="constrained")
    grid = figure.subplots(1, len(tasks), squeeze=False)[0]
    strokes = {"chance": ":", "majority": "--", "overlap": "-."}
    handles: dict[str, Any] = {}
    colours = language_colours(languages)
    for axes, (task, rows) in zip(grid, tasks.items(), strict=True):
        for language, row in rows.items():
            top, bottom = tops[language] - 0.5, tops[language] + lines[language] - 0.5
            for baseline, value in row.baselines.items():
                stroke = strokes.get(baseline, "-")
                handles[baseline] = axes.plot(
                    [value, value], [top, bottom], stroke, color=_GREY, linewidth=1.6, label=baseline
                )[0]
            for y, one in enumerate(row.marks, start=tops[language]):
                mark, is_coloured, is_filled = _KINDS[one.kind]
                colour = colours[language] if is_coloured else INK
                axes.plot([one.low, one.high], [y, y], color=colour, linewidth=1.2)
                face = colour if is_filled else PAPER
                axes.plot([one.value], [y], mark, color=colour, markerfacecolor=face, markersize=5)
                face = INK if is_filled else PAPER
                handles[one.kind] = axes.plot(
                    [], [], mark, color=INK, markerfacecolor=face, markersize=5, label=one.kind
                )[0]
        axes.set_yticks([tops[name] + (lines[name] - 1) / 2 for name in languages], languages)
        axes.set_ylim(total - 1, -1)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(task, fontsize=10)
        axes.set_xlabel("points of a hundred, 95% interval")
        for spine in ("top", "right", "left"):
            axes.spines[spine].set_visible(False)
    grid[0].set_ylabel("evaluated on")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    order = [*(kind for kind in _KINDS if kind in handles), *(name for name in handles if name not in _KINDS)]
    figure.legend(handles=[handles[name] for name in order], frameon=False, fontsize=9, loc="outside right upper")
    return figure


def cost_figure(title: str, seconds: Mapping[str, Mapping[str, float]]) -> Any:
    """Draws seconds of pruning by calibration, a group of bars a setting."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for of in seconds.values() for name in of))
    figure = Figure(figsize=(6.6, 1.3 + 0.24 * len(names) * len(seconds)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(seconds)
    for index, (setting, of) in enumerate(seconds.items()):
        at = [names.index(name) + (index - (len(seconds) - 1) / 2) * height for name in of]
        grey, hatch = _GREYS[index % len(_GREYS)], _HATCHES[index // len(_GREYS) % len(_HATCHES)]
        axes.barh(at, list(of.values()), height=0.9 * height, color=grey, hatch=hatch, edgecolor=PAPER, label=setting)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("seconds of pruning, mean over seeds")
    axes.set_ylabel("calibrated on")
    axes.set_title(title, fontsize=10, loc="left")
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    figure.legend(frameon=False, fontsize=9, loc="outside right upper")
    return figure
