"""The figure of error by depth: how the signal-to-noise ratio falls from block to block, one line a language."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import Interval
from jaxprune.studies.figures.colours import PALETTE, language_colours
from jaxprune.studies.figures.files import KINDS, save_figure
from jaxprune.studies.figures.heatmap import require_matplotlib

# More lines than colours get other strokes, and every line its own marks.
_STROKES = ("-", "--", ":")
_MARKS = "osD^vPX*"


def check_figure(path: Path, *, overwrite: bool) -> None:
    """Checks, before any work is done, that a figure can be drawn to ``path``.

    Raises:
      RequestError: matplotlib is missing, the name ends otherwise than in .png or .svg, or the file exists.
    """
    require_matplotlib()
    if path.suffix.lower() not in KINDS:
        raise RequestError(f"the figure {path} ends in {path.suffix!r}; name it FILE.png or FILE.svg.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise RequestError(f"the figure {path} exists; choose another name, or replace the file with --overwrite.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise RequestError(f"the figure {path} cannot be written: {path.parent} is no folder that you may write to.")


@dataclasses.dataclass(frozen=True)
class Panel:
    """One half of the figure.

    Attributes:
      title: what its numbers are.
      decibels: by language, of each block; infinite where nothing changed.
      intervals: by language, of each block, drawn as a band; None where there is none.
    """

    title: str
    decibels: Mapping[str, Sequence[float]]
    intervals: Mapping[str, Sequence[Interval | None]] = dataclasses.field(default_factory=dict)


def draw_depth(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draws signal-to-noise ratios by block, panels side by side on one scale; equal input gives an equal file.

    Where nothing changed there is no point; the legend says for how many blocks of the first panel that is so.

    Args:
      path: PNG or SVG to write; it is complete or not there.
    """
    save_figure(depth_figure(title, panels), path)


def depth_figure(title: str, panels: Sequence[Panel]) -> Any:
    """Returns the figure that ``draw_depth`` writes."""
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(1.6 + 4.2 * len(panels), 4.2), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    colours = language_colours(language for panel in panels for language in panel.decibels)
    for axes, panel in zip(grid, panels, strict=True):
        for i, (language, of_blocks) in enumerate(panel.decibels.items()):
            values = np.where(np.isfinite(of_blocks), of_blocks, np.nan)
            unchanged = int(np.count_nonzero(np.isposinf(of_blocks)))
            axes.plot(
                range(len(values)),
                values,
                label=f"{language} (no change in {unchanged} of {len(values)})" if unchanged else language,
                color=colours[language],
                linestyle=_STROKES[i // len(PALETTE) % len(_STROKES)],
                marker=_MARKS[i % len(_MARKS)],
                markersize=4,
                linewidth=1.4,
            )
            ends = [interval or (np.nan, np.nan) for interval in panel.intervals.get(language, ())]
            if ends:
                low, high = np.transpose(ends)
                axes.fill_between(range(len(ends)), low, high, color=colours[language], alpha=0.15, linewidth=0.5)
        axes.set_xlabel("block")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(panel.title, fontsize=10)
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("signal-to-noise ratio of the block's output (dB)")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.legend(handles=grid[0].get_lines(), frameon=False, fontsize=9, loc="outside right center")
    return figure
