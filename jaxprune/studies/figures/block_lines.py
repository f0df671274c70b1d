"""Figures of values by block: a line for each model or language, panels side by side."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxprune.studies.figures.heatmap import require_matplotlib
from jaxprune.studies.figures.line_styles import calibration_of, line_styles

_REFERENCE = "#999999"
_PANELS_ABREAST = 4


@dataclasses.dataclass(frozen=True)
class Panel:
    """One part of the figure.

    Attributes:
      title: what its numbers are.
      lines: by name, the value of each block; None where there is none.
      references: by name, what to compare with: one value, or one for each block. Dotted, in grey.
    """

    title: str
    lines: Mapping[str, Sequence[float | None]]
    references: Mapping[str, float | Sequence[float | None]] = dataclasses.field(default_factory=dict)


def block_lines_figure(
    title: str, label: str, panels: Sequence[Panel], *, limits: tuple[float, float] | None = None
) -> Any:
    """Returns a figure of matplotlib, all panels on one scale; blocks are counted from 0 next to the embedding.

    The legend leaves out a line without a value.

    Args:
      title: what is seen at one glance.
      label: of the vertical axis, with its unit.
      limits: of the vertical axis; None: as values ask for.
    """
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    styles = line_styles(calibration_of(names))
    abreast = min(len(panels), _PANELS_ABREAST)
    rows = -(-len(panels) // abreast)
    figure = Figure(figsize=(2.6 + 3.6 * abreast, 0.6 + 3.3 * rows), layout="constrained")
    grid = figure.subplots(rows, abreast, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid.flat[: len(panels)], panels, strict=True):
        for name, reference in panel.references.items():
            if isinstance(reference, Sequence):
                values = _numbers(reference)
                [handles[name]] = axes.plot(range(len(values)), values, ":", color=_REFERENCE, linewidth=1.6)
            else:
                handles[name] = axes.axhline(reference, linestyle=":", color=_REFERENCE, linewidth=1.6)
        for name, of_blocks in panel.lines.items():
            values = _numbers(of_blocks)
            if np.isfinite(values).any():
                [handles[name]] = axes.plot(range(len(values)), values, **styles[name].line)
        axes.set_xlabel("block")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(panel.title, fontsize=10)
        axes.grid(alpha=0.3)
    if limits is not None:
        grid[0, 0].set_ylim(*limits)
    for row in grid:
        row[0].set_ylabel(label)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    ordered = [*(name for name in names if name in handles), *(name for name in handles if name not in names)]
    figure.legend([handles[name] for name in ordered], ordered, frameon=False, fontsize=8, loc="outside right center")
    return figure


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
