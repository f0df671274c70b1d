"""Figures of ``jaxprune analyze neurons``: where a language's neurons are, how even they are, what silencing them does.

Changes of perplexity are in matplotlib's PuOr, orange above and purple below zero, which colour-blind readers tell
apart too.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxprune.studies.block_lines import line_styles
from jaxprune.studies.colours import PALETTE, language_colours
from jaxprune.studies.figure_files import DARK_TEXT, LIGHT_TEXT, NamedFigure
from jaxprune.studies.heatmap import require_matplotlib

_STROKES = ("-", "--", "-.", ":")
_MARKS = "osD^vPX*"
# Smaller changes are not made to look large.
_LEAST_RANGE = 0.05
_PANELS_ABREAST = 4


def neuron_figures(result: Mapping[str, Any]) -> list[NamedFigure]:
    """Returns the figures of what ``analyze_neurons`` returned.

    ``neurons-by-block``: how many neurons each language has in each block, a panel a model. ``lape``: the
    distributions of LAPE. ``silencing-MODEL``, if that was measured: languages silenced by languages evaluated.
    """
    figures = [
        NamedFigure(
            "neurons-by-block",
            blocks_figure(result),
            "Neurons that are specific to each language (by LAPE), by block, a panel for each model.",
        ),
        NamedFigure(
            "lape",
            lape_figure(result),
            "Distribution of LAPE, the entropy over languages of how often a neuron is active: left are those that "
            "serve few languages, right those that serve all alike.",
        ),
    ]
    for label, effects in (result["silencing"] or {}).items():
        name = re.sub(r"[^\w.+-]+", "-", label).strip("-")
        caption = (
            f"{label}: change of log perplexity when the neurons of a language are silent, and when as many others are "
            "(orange: worse). Bold: the interval leaves zero out."
        )
        figures.append(NamedFigure(f"silencing-{name}", silencing_figure(label, effects), caption))
    return figures


def blocks_figure(result: Mapping[str, Any]) -> Any:
    """Returns the figure of how many neurons are specific to each language, by block."""
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    models = result["neurons"]
    columns = min(len(models), _PANELS_ABREAST)
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(1.6 + 12.6 / max(columns, 3) * columns, 0.8 + 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = grid.flat[: len(models)]
    for axes in grid.flat[len(models) :]:
        axes.set_axis_off()
    colours = language_colours(result["languages"])
    for axes, (label, of_model) in zip(panels, models.items(), strict=True):
        for index, (language, of_language) in enumerate(of_model["languages"].items()):
            axes.plot(
                range(result["blocks"]),
                of_language["by_block"],
                label=language,
                color=colours[language],
                linestyle=_STROKES[index // len(PALETTE) % len(_STROKES)],
                marker=_MARKS[index % len(_MARKS)],
                markersize=4,
                linewidth=1.4,
            )
        axes.set_xlabel("block (0 is next to the embedding)")
        axes.tick_params(labelbottom=True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(label, fontsize=10)
        axes.grid(alpha=0.3)
    # Panels share it, and a limit that is set while some are empty does not grow.
    panels[0].set_ylim(bottom=0)
    for row in grid:
        row[0].set_ylabel(f"own neurons (of {result['neurons_per_block']:,})")
    figure.suptitle("At which depth each language has neurons of its own", fontsize=10, x=0.01, ha="left")
    figure.legend(handles=panels[0].get_lines(), frameon=False, fontsize=9, loc="outside right center")
    return figure


def lape_figure(result: Mapping[str, Any]) -> Any:
    """Returns the figure of the distribution of LAPE in each model, its rare low values on a scale of their own."""
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    edges = result["lape"]["edges"]
    styles = line_styles(list(result["neurons"]))
    for label, of_model in result["neurons"].items():
        counts = np.asarray(of_model["lape"]["histogram"], float)
        shift = of_model["against_first"]
        distance = None if shift is None else shift["lape_distance"]
        axes.stairs(
            100 * counts / max(counts.sum(), 1.0),
            edges,
            label=label if distance is None else f"{label} (distance {distance:.3f})",
            color=styles[label][0],
            linestyle=styles[label][1],
            linewidth=1.5,
        )
    axes.set_yscale("log")
    axes.set_xlim(0.0, edges[-1])
    axes.set_xlabel("LAPE (nats; 0: active in one language only, right edge: in all alike)")
    axes.set_ylabel("neurons that are ever active (%)")
    axes.grid(alpha=0.3)
    axes.set_title("How evenly neurons serve the languages, in each model", fontsize=10, loc="left")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    return figure


def silencing_figure(label: str, effects: Mapping[str, Any]) -> Any:
    """Returns the figure of one model's causal test: each language's own neurons, and as many others.

    Numbers in bold have an interval that leaves zero out.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    languages = list(effects)
    figure = Figure(figsize=(2.6 + 1.5 * len(languages), 1.9 + 0.45 * len(languages)), layout="constrained")
    grid = figure.subplots(1, 2, sharey=True)
    changes = {
        which: [[effects[silenced][which]["change"][read] for read in languages] for silenced in languages]
        for which in ("own", "others")
    }
    levels = {which: np.array([[of["value"] for of in row] for row in rows]) for which, rows in changes.items()}
    highest = max(_LEAST_RANGE, *(float(np.abs(of_which).max()) for of_which in levels.values()))
    titles = {"own": "that language's own neurons", "others": "as many others, drawn at random"}
    for axes, which in zip(grid, levels, strict=True):
        axes.imshow(levels[which], cmap="PuOr_r", vmin=-highest, vmax=highest, aspect="auto")
        for (y, x), level in np.ndenumerate(levels[which]):
            interval = changes[which][y][x]["interval"]
            is_sure = interval is not None and not interval[0] <= 0 <= interval[1]
            axes.text(
                x,
                y,
                f"{level:+.2f}",
                ha="center",
                va="center",
                color=LIGHT_TEXT if abs(level) > 0.6 * highest else DARK_TEXT,
                fontweight="bold" if is_sure else "normal",
                fontsize=9,
            )
        axes.set_xticks(range(len(languages)), languages)
        axes.set_yticks(range(len(languages)), languages)
        axes.tick_params(length=0)
        axes.set_xlabel("language of the text")
        axes.set_title(titles[which], fontsize=10)
    grid[0].set_ylabel("language silenced")
    figure.suptitle(
        f"Whose text suffers when a language's neurons are silent: {label} (bold: interval without 0)",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    figure.colorbar(grid[0].images[0], ax=list(grid), label="log of perplexity,\nchange (nats a token)")
    return figure
