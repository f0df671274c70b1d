"""Figures of ``jaxprune analyze neurons``: where a language's neurons are, how even they are, what silencing them does.

Changes of perplexity are in matplotlib's PuOr, orange above and purple below zero, which colour-blind readers tell
apart too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxprune.studies.figures.cells import CellPanel, cells_figure
from jaxprune.studies.figures.files import NamedFigure
from jaxprune.studies.figures.heatmap import require_matplotlib
from jaxprune.studies.figures.line_styles import calibration_of, line_styles
from jaxprune.studies.numbers import wording

# Nats a token. Up to here colours are linear, beyond logarithmic: one language's loss of two would else make all
# others' losses of a tenth look like none.
_LINEAR = 0.1
# Of the colours on either side of zero, beside those of a factor of ten.
_LINEAR_SHARE = 0.25
# More blocks abreast would be too narrow for numbers; few panels are compared more easily one above the other.
_MOST_BLOCKS_ABREAST = 40
_MOST_IN_A_COLUMN = 3
# More numbers of blocks would run into each other.
_MOST_NUMBERED = 40


def neuron_figures(result: Mapping[str, Any]) -> list[NamedFigure]:
    """Returns the figures of what ``analyze_neurons`` returned.

    ``neurons-by-block``: how many neurons each language has in each block, a panel a model. ``lape``: the
    distribution of LAPE, and its shifts. ``silencing-MODEL``, if that was measured: languages silenced by languages
    evaluated.
    """
    figures = [
        NamedFigure(
            "neurons-by-block",
            blocks_figure(result),
            f"How many of {result['neurons_per_block']:,} MLP neurons of each block are specific to a language (by "
            "LAPE), a panel for each model, all on one scale; an empty cell is none.",
        ),
        NamedFigure(
            "lape",
            lape_figure(result),
            "Distribution of LAPE, the entropy over languages of how often a neuron is active: left are those that "
            "serve few languages, right those that serve all alike; and by how many percentage points more neurons of "
            "other models lie below each value: above zero they serve languages less evenly. The distance is the "
            "largest such shift, as a fraction.",
        ),
    ]
    silencing = result["silencing"] or {}
    highest = largest_change(silencing)
    for label, effects in silencing.items():
        name = re.sub(r"[^\w.+-]+", "-", label).strip("-")
        caption = (
            f"{label}: change of log perplexity when the neurons of a language are silent, and when as many others are "
            f"(orange: worse; grey: it has none). They were chosen on every other window and judged on the rest. "
            f"Bold: the interval leaves zero out. Colours are linear up to {_LINEAR:g} nats a token and "
            "logarithmic beyond, the same for all models."
        )
        figures.append(NamedFigure(f"silencing-{name}", silencing_figure(label, effects, highest), caption))
    return figures


def blocks_figure(result: Mapping[str, Any]) -> Any:
    """Returns the figure of how many neurons are specific to each language, by block."""
    require_matplotlib()
    from matplotlib.colors import Normalize

    models, languages, blocks = result["neurons"], list(result["languages"]), result["blocks"]
    counts = {
        label: np.array([of["languages"][language]["by_block"] for language in languages], np.float64)
        for label, of in models.items()
    }
    step = -(-blocks // _MOST_NUMBERED)
    names = [str(block) if block % step == 0 else "" for block in range(blocks)]
    panels = [
        CellPanel(label, languages, names, of_model, [[f"{of:.0f}" if of else "" for of in row] for row in of_model])
        for label, of_model in counts.items()
    ]
    return cells_figure(
        "At which depth each language has neurons of its own",
        panels,
        row_label="language",
        column_label="block (0 is next to the embedding)",
        label=f"language-specific neurons\n(number, of {result['neurons_per_block']:,})",
        colours="YlOrBr",
        norm=Normalize(0.0, max(1.0, *(float(of.max()) for of in counts.values()))),
        size=(0.34, 0.3),
        abreast=2 if 2 * blocks <= _MOST_BLOCKS_ABREAST and len(panels) > _MOST_IN_A_COLUMN else 1,
    )


def lape_figure(result: Mapping[str, Any]) -> Any:
    """Returns the figure of the distribution of LAPE in the first model, and of how those of others are shifted.

    The shift is how many more neurons lie below, in points of those that are ever active: a line that stays above zero
    is of neurons that serve languages less evenly, and how far it goes is the distance (Kolmogorov and Smirnov's, which
    counts between the bins' edges as well).
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    first, *others = result["neurons"]
    edges = np.asarray(result["lape"]["edges"])
    figure = Figure(figsize=(9.6, 5.6 if others else 3.2), layout="constrained")
    panels = figure.subplots(2 if others else 1, 1, sharex=True, squeeze=False)[:, 0]
    styles = line_styles(calibration_of(list(result["neurons"])))
    shares = {label: _shares(of["lape"]["histogram"]) for label, of in result["neurons"].items()}
    panels[0].stairs(shares[first], edges, color=styles[first].colour, linewidth=1.6, label=first)
    panels[0].set_yscale("log")
    # A whole power of ten above one bin with all neurons would be more of them than there are.
    panels[0].set_ylim(top=min(panels[0].get_ylim()[1], 100.0))
    panels[0].set_xlim(0.0, edges[-1])
    panels[0].set_ylabel("neurons that are\never active (%)")
    panels[0].set_title(f"How evenly neurons serve the languages in {first}", fontsize=10, loc="left")
    for index, label in enumerate(others):
        shift = result["neurons"][label]["against_first"]["lape_distance"]
        # Marks of lines that run together stand beside each other.
        panels[1].plot(
            edges,
            np.concatenate([[0.0], np.cumsum(shares[label] - shares[first])]),
            markevery=(1 + index, len(styles)),
            label=label if shift is None else f"{label} (distance {shift:.3f})",
            **styles[label].line,
        )
    if others:
        panels[1].axhline(0.0, color=styles[first].colour, linewidth=1.0)
        panels[1].set_ylabel("more neurons below\n(percentage points)")
        panels[1].set_title(f"Shift against {first}: above zero, less evenly", fontsize=10, loc="left")
    panels[-1].set_xlabel("LAPE (nats; 0: active in one language only, right edge: in all alike)")
    for axes in panels:
        axes.grid(alpha=0.3)
    if others:
        figure.legend(*panels[1].get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside right upper")
    return figure


def _in_a_cell(change: Mapping[str, Any]) -> str:
    """Returns a change with two decimals; one that is sure has a sign, however small it is."""
    text = wording.signed(change["value"], 2)
    sign = "+" if change["value"] > 0 else "\u2212"
    return sign + text if text == "0.00" and _is_sure(change) else text


def _shares(histogram: Sequence[int]) -> np.ndarray:
    """Returns percentages of the sum."""
    counts = np.asarray(histogram, np.float64)
    return 100 * counts / max(counts.sum(), 1.0)


def largest_change(silencing: Mapping[str, Any]) -> float:
    """Returns the largest change of any model, either way, in nats a token; where colours turn logarithmic at least."""
    changes = [
        abs(change["value"])
        for effects in silencing.values()
        for of in effects.values()
        if of is not None
        for which in (of["own"], of["others"])
        for change in which["change"].values()
    ]
    return max([_LINEAR, *changes])


def silencing_figure(label: str, effects: Mapping[str, Any], highest: float) -> Any:
    """Returns the figure of one model's causal test: each language's own neurons, and as many others.

    Numbers in bold have an interval that leaves zero out. The row of a language without neurons is empty.

    Args:
      highest: change at the end of the colours, either way; see ``largest_change``.
    """
    require_matplotlib()
    from matplotlib.colors import SymLogNorm

    languages = list(effects)
    titles = {"own": "that language's own neurons", "others": "as many others, drawn at random"}
    panels = []
    for which, title in titles.items():
        changes = [[None if of is None else of[which]["change"][read] for read in languages] for of in effects.values()]
        panels.append(
            CellPanel(
                title,
                languages,
                languages,
                np.array([[np.nan if of is None else of["value"] for of in row] for row in changes], np.float64),
                [["" if of is None else _in_a_cell(of) for of in row] for row in changes],
                frozenset((y, x) for y, row in enumerate(changes) for x, of in enumerate(row) if of and _is_sure(of)),
            )
        )
    steps = [step for step in (0.1, 0.3, 1.0, 3.0, 10.0) if step <= highest]
    return cells_figure(
        f"Whose text suffers when a language's neurons are silent: {label} (bold: interval without 0)",
        panels,
        row_label="language silenced",
        column_label="language of the text",
        label="change of log perplexity\n(nats a token,\nlogarithmic scale)",
        colours="PuOr_r",
        norm=SymLogNorm(_LINEAR, linscale=_LINEAR_SHARE, vmin=-highest, vmax=highest, base=10),
        size=(0.75, 0.45),
        abreast=2,
        ticks=[*(-step for step in reversed(steps)), 0.0, *steps],
    )


def _is_sure(change: Mapping[str, Any]) -> bool:
    interval = change["interval"]
    return interval is not None and not interval[0] <= 0 <= interval[1]
