"""Figures of ``jaxprune analyze masks``: who agrees with whom, at which depth, in which projection; where zeros gather.

Levels are in matplotlib's cividis, which is read alike with and without colour blindness, in the tables of
``jaxprune.studies.figures.cells``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxprune.analysis.overlap import above_chance
from jaxprune.studies.figures.block_lines import Panel, block_lines_figure
from jaxprune.studies.figures.cells import CellPanel, cells_figure
from jaxprune.studies.figures.files import NamedFigure
from jaxprune.studies.figures.heatmap import require_matplotlib
from jaxprune.studies.figures.line_styles import LineStyle, colourless_style
from jaxprune.studies.numbers.masks import SIDES, beyond_chance, chance_told, concentration

_CHANCE = "#999999"


class _Line(NamedTuple):
    """Values by block, and what they would be by chance."""

    name: str
    style: LineStyle
    points: Mapping[int, float]
    by_chance: Mapping[int, float]


def mask_figures(result: Mapping[str, Any]) -> list[NamedFigure]:
    """Returns the figures of what ``analyze_masks`` returned.

    ``overlap``: runs by runs. ``overlap-by-projection`` and ``overlap-by-block``: means over the pairs of runs that
    differ in the same ways. ``zeros-on-query-heads`` (where heads are known) and ``zeros-on-neurons``: concentration by
    block. ``zeros-on-channels``: how far the channels that lost most are beyond chance, by projection. None if there
    were no runs to compare.
    """
    require_matplotlib()
    if not result["runs"]:
        return []
    overlap, labels = result["overlap"], [run["label"] for run in result["runs"]]
    agreement = np.full((len(labels), len(labels)), np.nan)
    for pair in overlap["pairs"]:
        a, b = labels.index(pair["a"]), labels.index(pair["b"])
        agreement[a, b] = agreement[b, a] = _agreement(pair["overall"])
    groups = {_group_name(group): group for group in _without_seeds_beside(overlap["groups"])}
    projections = list(overlap["groups"][0]["projections"])
    levels = np.array([[_agreement(group["projections"][name]) for name in projections] for group in groups.values()])
    lines = [
        _Line(
            name,
            colourless_style(index),
            _by_block(group["blocks"], "kept_iou"),
            _by_block(group["blocks"], "kept_chance"),
        )
        for index, (name, group) in enumerate(groups.items())
    ]
    figures = [
        NamedFigure(
            "overlap",
            _level_figure("Which prunings keep the same weights", agreement, labels, labels, "run", "run"),
            "Agreement of each two prunings on the weights they keep: 0 is what chance gives at their sparsity, 1 the "
            "same weights.",
        ),
        NamedFigure(
            "overlap-by-projection",
            _level_figure(
                "Agreement by projection, mean over pairs of runs",
                levels,
                list(groups),
                projections,
                "pairs of runs that",
                "projection",
            ),
            "Agreement on kept weights by projection, mean over the pairs of prunings that differ in the same ways. "
            "What differs in the seed only shows the noise.",
        ),
        NamedFigure(
            "overlap-by-block",
            _line_figure("Overlap of kept weights by depth, mean over pairs of runs", "IoU of kept weights", lines),
            "Intersection over union of kept weights by block, for pairs of prunings that differ in the same ways; "
            "dotted, its level by chance.",
        ),
    ]
    for kind in ("query_heads", "neurons"):
        if any(run["concentration"][kind] is not None for run in result["runs"]):
            what = kind.replace("_", " ")
            title = f"Do some {what} lose more than others?"
            label = f"Gini coefficient of zeros\nover {what}"
            figure = block_lines_figure(title, label, _concentration(result, kind))
            caption = (
                f"How unevenly zeros lie on {what}, by block, mean over the prunings that differ in nothing else than "
                f"the seed or the text: 0 is alike on all; dotted, {chance_told(result)}, mean over all."
            )
            figures.append(NamedFigure(f"zeros-on-{what.replace(' ', '-')}", figure, caption))
    if any(concentration(zeros, "inputs") for zeros in result["zeros"].values()):
        figures.append(_channel_figure(result))
    return figures


def _channel_figure(result: Mapping[str, Any]) -> NamedFigure:
    from matplotlib.colors import Normalize

    panels = []
    for side in SIDES:
        levels = [beyond_chance(result, run, side) for run in result["runs"]]
        texts = [["" if level is None else f"{round(level)}" for level in of_run.values()] for of_run in levels]
        array = np.array([list(of_run.values()) for of_run in levels], np.float64)
        labels = [run["label"] for run in result["runs"]]
        panels.append(CellPanel(f"{side.removesuffix('s')} channels", labels, list(levels[0]), array, texts))
    figure = cells_figure(
        "Do some channels lose more than others? The 5% that lost most",
        panels,
        row_label="run",
        column_label="projection",
        label="sparsity beyond chance\n(percentage points)",
        colours="cividis",
        # Below: less than noise, as a pattern can make it.
        norm=Normalize(0.0, max(1.0, *(float(np.nanmax(panel.levels, initial=0.0)) for panel in panels))),
        size=(0.5, 0.36),
        abreast=2,
        is_turned=True,
    )
    caption = (
        "What the 5% of a projection's input and output channels that lost most have lost at least, in percentage "
        f"points of their weights beyond {chance_told(result)}; mean over blocks. 0: no channel stands out."
    )
    return NamedFigure("zeros-on-channels", figure, caption)


def _concentration(result: Mapping[str, Any], kind: str) -> list[Panel]:
    """Returns a panel for each method and pattern, with a line for each calibration."""
    panels: list[Panel] = []
    settings = dict.fromkeys((run["method"], run["pattern"]) for run in result["runs"])
    for setting in settings:
        lines: dict[str, list[list[float | None]]] = {}
        by_chance: list[list[float | None]] = []
        for run in result["runs"]:
            if (run["method"], run["pattern"]) != setting:
                continue
            units = [block.get(kind) for block in result["zeros"][run["label"]]["blocks"].values()]
            gini, chance = ([None if of is None else of[name] for of in units] for name in ("gini", "gini_by_chance"))
            lines.setdefault(run["languages"], []).append(gini)
            by_chance.append(chance)
        title = " ".join(setting) if len(settings) > 1 else ""
        means = {languages: _means(found) for languages, found in lines.items()}
        panels.append(Panel(title, means, {"by chance": _means(by_chance)}))
    return panels


def _means(found: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Returns the mean of several lines at each block; None where none has a value."""
    known = [[value for value in of_block if value is not None] for of_block in zip(*found, strict=True)]
    return [sum(values) / len(values) if values else None for values in known]


def _without_seeds_beside(groups: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns groups of pairs, without those that differ in the seed beside something else if that is there alone."""
    told = {tuple(group["differ"]) for group in groups}
    return [
        group
        for group in groups
        if group["differ"] == ["seed"] or tuple(of for of in group["differ"] if of != "seed") == tuple(group["differ"])
        or tuple(of for of in group["differ"] if of != "seed") not in told
    ]  # fmt: skip


def _group_name(group: Mapping[str, Any]) -> str:
    pairs = group["pairs"]
    return f"differ in {', '.join(group['differ']) or 'nothing'} ({pairs} pair{'s' * (pairs > 1)})"


def _agreement(overlap: Mapping[str, float | None]) -> float:
    found = above_chance(overlap)
    return np.nan if found is None else found


def _by_block(blocks: Mapping[str, Mapping[str, Any]], measure: str) -> dict[int, float]:
    return {int(index): found[measure] for index, found in blocks.items() if found[measure] is not None}


def _level_figure(
    title: str, levels: np.ndarray, rows: Sequence[str], columns: Sequence[str], row: str, column: str
) -> Any:
    """Returns a table of agreements, each a number in its cell; a cell without one is grey."""
    from matplotlib.colors import Normalize

    defined = levels[np.isfinite(levels)]
    texts = [["" if np.isnan(level) else f"{level:.2f}" for level in of_row] for of_row in levels]
    return cells_figure(
        title,
        [CellPanel("", rows, columns, levels, texts)],
        row_label=row,
        column_label=column,
        label="agreement on kept weights\n(0: chance, 1: identical)",
        colours="cividis",
        norm=Normalize(min(0.0, defined.min(initial=0.0)), max(defined.max(initial=0.0), 0.05)),
        size=(0.62, 0.42),
        is_turned=True,
    )


def _line_figure(title: str, label: str, lines: Sequence[_Line]) -> Any:
    """Returns values by block, and dotted in grey what they would be by chance."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        axes.plot(list(line.by_chance), list(line.by_chance.values()), ":", color=_CHANCE, linewidth=1.2)
    for line in lines:
        axes.plot(list(line.points), list(line.points.values()), label=line.name, **line.style.line)
    axes.plot([], [], ":", color=_CHANCE, linewidth=1.2, label="by chance")
    axes.set_xlabel("block (0 is next to the embedding)")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, fontsize=10, loc="left")
    figure.legend(fontsize=8, frameon=False, loc="outside right upper")
    return figure
