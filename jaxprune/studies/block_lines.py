"""Figures of values by block: a line for each model or language, panels side by side."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxprune.studies.colours import language_colours
from jaxprune.studies.figure_files import INK
from jaxprune.studies.heatmap import require_matplotlib

# Lines of one colour get other strokes, and every line its own marks.
_STROKES = ("-", "--", ":", "-.")
_MARKS = "osD^vPX*"
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


def line_styles(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Returns colour, stroke and mark by name: the colour of what stands before `` · ``, which is a language.

    ``dense`` is in the colour of the text.
    """
    first = {name: name.split(" · ")[0] for name in names}
    colours = language_colours(key for key in first.values() if key != "dense") | {"dense": INK}
    styles = {}
    for index, name in enumerate(names):
        alike = [other for other in names[:index] if first[other] == first[name]]
        styles[name] = (colours[first[name]], _STROKES[len(alike) % len(_STROKES)], _MARKS[index % len(_MARKS)])
    return styles


def block_lines_figure(title: str, label: str, panels: Sequence[Panel], *, share_y: bool = True) -> Any:
    """Returns a figure of matplotlib; blocks are counted from 0 next to the embedding.

    Args:
      title: what is seen at one glance.
      label: of the vertical axis, with its unit.
      share_y: whether all panels have one scale.
    """
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    styles = line_styles(names)
    abreast = min(len(panels), _PANELS_ABREAST)
    rows = -(-len(panels) // abreast)
    figure = Figure(figsize=(2.6 + 3.6 * abreast, 0.6 + 3.3 * rows), layout="constrained")
    grid = figure.subplots(rows, abreast, sharey=share_y, squeeze=False)
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
            colour, stroke, mark = styles[name]
            values = _numbers(of_blocks)
            [handles[name]] = axes.plot(
                range(len(values)), values, color=colour, linestyle=stroke, marker=mark, markersize=4, linewidth=1.4
            )
        axes.set_xlabel("block")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(panel.title, fontsize=10)
        axes.grid(alpha=0.3)
    for row in grid:
        row[0].set_ylabel(label)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    ordered = [*names, *(name for name in handles if name not in names)]
    figure.legend([handles[name] for name in ordered], ordered, frameon=False, fontsize=8, loc="outside right center")
    return figure


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
