"""Tables of numbers as colours, panels side by side on one scale; every cell says its number.

Numbers are in whichever of two inks is read better on the cell, and stay so on a dark page, whose cells are the same.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from jaxprune.studies.figures.files import DARK_TEXT, LIGHT_TEXT, PAPER
from jaxprune.studies.figures.heatmap import require_matplotlib

_NOTHING = "#d0d0d0"
# Inches; in narrower cells numbers would run into each other.
_LEAST_WIDTH, _MOST_WIDTH = 0.26, 14.0
# Of the figure: the scale of colours has its label along it.
_LEAST_HEIGHT = 2.6
# A letter of a label, in inches.
_LETTER = 0.085


@dataclasses.dataclass(frozen=True)
class CellPanel:
    """One table.

    Attributes:
      title: whose numbers these are.
      rows: names, from the top.
      columns: names, from the left.
      levels: what colours the cells; NaN where there is nothing.
      texts: what stands in them.
      bold: row and column of the cells whose number is set in bold.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    levels: Float64[np.ndarray, "rows columns"]
    texts: Sequence[Sequence[str]]
    bold: frozenset[tuple[int, int]] = frozenset()


def cells_figure(
    title: str,
    panels: Sequence[CellPanel],
    *,
    row_label: str,
    column_label: str,
    label: str,
    colours: str,
    norm: Any,
    size: tuple[float, float],
    abreast: int = 1,
    is_turned: bool = False,
    ticks: Sequence[float] | None = None,
) -> Any:
    """Returns a figure of matplotlib.

    Args:
      panels: of the same rows and columns.
      label: of the colours, with their unit.
      colours: a colour map of matplotlib.
      norm: what of the levels is which colour.
      size: width and height of a cell, in inches; cells are narrower where there are many.
      abreast: panels side by side.
      is_turned: whether names of columns are long, and stand aslant.
      ticks: numbers at the scale of colours; None: matplotlib's.
    """
    require_matplotlib()
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    abreast = min(abreast, len(panels))
    down = -(-len(panels) // abreast)
    first = panels[0]
    width = min(size[0], _MOST_WIDTH / (abreast * len(first.columns)))
    margin = 0.35 + _LETTER * max(map(len, first.rows))
    foot = 0.5 + (0.6 * _LETTER * max(map(len, first.columns)) if is_turned else 0.0)
    figure = Figure(
        figsize=(
            max(margin + 1.5 + abreast * (width * len(first.columns) + 0.15), 0.3 + 0.075 * len(title)),
            max(0.4 + foot + down * (size[1] * len(first.rows) + (0.3 if first.title else 0.0)), _LEAST_HEIGHT),
        ),
        layout="constrained",
    )
    grid = figure.subplots(down, abreast, squeeze=False)
    scale = colormaps[colours].with_extremes(bad=_NOTHING)
    meshes = []
    for index, axes in enumerate(grid.flat):
        if index >= len(panels):
            axes.set_axis_off()
            continue
        meshes.append(_draw(axes, panels[index], scale, norm, has_numbers=width >= _LEAST_WIDTH))
        _name(axes, panels[index], is_leftmost=index % abreast == 0, is_last=index + abreast >= len(panels))
        if is_turned:
            axes.tick_params(axis="x", rotation=35)
            for tick in axes.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
    figure.supxlabel(column_label, fontsize=10)
    figure.supylabel(row_label, fontsize=10)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    # Plain numbers: a logarithmic scale would have powers of ten.
    form = None if ticks is None else "{x:g}"
    bar: Any = figure.colorbar(meshes[0], ax=list(grid.flat), label=label, ticks=ticks, format=form)
    bar.outline.set_visible(False)
    bar.solids.set(rasterized=False, edgecolor="face")
    bar.ax.minorticks_off()
    return figure


def _draw(axes: Any, panel: CellPanel, scale: Any, norm: Any, *, has_numbers: bool) -> Any:
    height, width = panel.levels.shape
    mesh = axes.pcolormesh(
        np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5, np.ma.masked_invalid(panel.levels),
        cmap=scale, norm=norm, edgecolors=PAPER, linewidth=0.8,
    )  # fmt: skip
    axes.set_facecolor(_NOTHING)
    for (row, column), level in np.ndenumerate(panel.levels):
        if has_numbers and np.isfinite(level):
            axes.text(
                column,
                row,
                panel.texts[row][column],
                ha="center",
                va="center",
                color=_ink(scale(norm(level))),
                fontsize=9,
                fontweight="bold" if (row, column) in panel.bold else "normal",
            )
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_visible(False)
    return mesh


def _name(axes: Any, panel: CellPanel, *, is_leftmost: bool, is_last: bool) -> None:
    axes.set_xticks(range(len(panel.columns)), panel.columns if is_last else [""] * len(panel.columns))
    axes.set_yticks(range(len(panel.rows)), panel.rows if is_leftmost else [""] * len(panel.rows))
    axes.tick_params(length=0)
    if panel.title:
        axes.set_title(panel.title, fontsize=10, loc="left")


def _ink(colour: Sequence[float]) -> str:
    """Returns the ink with more contrast on a colour (red, green and blue from 0 to 1), by relative luminance.

    https://www.w3.org/TR/WCAG22/#dfn-relative-luminance.
    """
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in colour[:3]]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    # Where black and white have the same contrast: (1.05 / (x + 0.05)) = (x + 0.05) / 0.05.
    return DARK_TEXT if luminance > 0.179 else LIGHT_TEXT
