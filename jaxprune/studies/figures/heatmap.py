"""The figure of the field: calibration language by evaluation language, to be compared within a column."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxprune.errors import RequestError
from jaxprune.studies.figures.files import save_figure

_MISSING = "they need matplotlib, and it is not installed: pip install 'jaxprune[figures]'"

_logger = logging.getLogger(__name__)


def require_matplotlib() -> None:
    """Raises RequestError, before any work is done, if figures cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise RequestError(f"figures were asked for; {_MISSING}.") from None


def can_draw() -> bool:
    """Returns whether figures can be drawn; if not, says in the log that they are left out, and how to get them."""
    try:
        require_matplotlib()
    except RequestError:
        _logger.warning("figures are left out: %s", _MISSING)
        return False
    return True


def draw_heatmap(path: Path, title: str, dense: Mapping[str, float], pruned: Mapping[str, Mapping[str, float]]) -> None:
    """Draws perplexities as numbers, coloured by what pruning cost the column's language: ``log(pruned / dense)``.

    Perplexities of different languages are not comparable (another text, other tokens), the cost against the same
    model unpruned is. The lowest of each column is framed.

    Args:
      path: PNG to write; it is complete or not there.
      dense: perplexity of the unpruned model by language.
      pruned: the same for each calibration mixture.
    """
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    languages, mixtures = list(dense), list(pruned)
    values = np.array([[pruned[mixture][language] for language in languages] for mixture in mixtures])
    cost = np.log(values / np.array([dense[language] for language in languages]))
    size = (max(1.6 + 0.95 * len(languages), 6.5), 1.9 + 0.55 * len(mixtures))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    highest = max(float(cost.max()), 0.1)
    image = axes.imshow(cost, cmap="YlOrRd", aspect="auto", vmin=0.0, vmax=highest)
    dark = cost > 0.6 * highest
    for row, column in np.ndindex(*values.shape):
        colour = "white" if dark[row, column] else "black"
        axes.text(column, row, f"{values[row, column]:.4g}", ha="center", va="center", color=colour, fontsize=9)
    for column, row in enumerate(values.argmin(axis=0)):
        axes.add_patch(Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, fill=False, edgecolor="black", linewidth=1.6))
    axes.set_xticks(range(len(languages)), [f"{language}\n({dense[language]:.4g})" for language in languages])
    axes.set_yticks(range(len(mixtures)), mixtures)
    axes.set_xlabel("evaluated on (dense perplexity)")
    axes.set_ylabel("calibrated on")
    axes.set_title(f"{title}\nperplexity; lowest of each column framed", fontsize=10, loc="left")
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="log(pruned / dense)")
    save_figure(figure, path)
