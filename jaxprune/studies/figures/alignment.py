"""Figures of centred kernel alignment: of models with the first one, and of languages with each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxprune.studies.figures.block_lines import Panel, block_lines_figure
from jaxprune.studies.figures.cells import CellPanel, cells_figure
from jaxprune.studies.figures.files import NamedFigure
from jaxprune.studies.numbers.model_words import first_model
from jaxprune.studies.numbers.subspaces import alignment_between, alignment_table, alignment_with_first

_PANELS_ABREAST = 4


def with_first_figure(models: Sequence[Any], languages: Sequence[str]) -> NamedFigure:
    """Returns the figure of each language's alignment with the first model's states, mean over halves of the depth."""
    from matplotlib.colors import Normalize

    first, others = first_model(models), models[1:]
    half = -(-len(others[0]["blocks"]) // 2)
    panels = []
    for title, which in (("first half of the blocks", slice(half)), ("later half", slice(half, None))):
        if not others[0]["blocks"][which]:
            continue
        levels = np.array([[_over(model["blocks"][which], language) for language in languages] for model in others])
        texts = [["" if np.isnan(level) else f"{level:.2f}" for level in row] for row in levels]
        panels.append(CellPanel(title, [model["label"] for model in others], languages, levels, texts))
    figure = cells_figure(
        f"How alike hidden states are to those of {first}, by language",
        panels,
        row_label="model",
        column_label="language",
        label="centred kernel alignment",
        colours="cividis",
        norm=Normalize(0.0, 1.0),
        size=(0.5, 0.36),
    )
    caption = (
        f"Centred kernel alignment (debiased) of hidden states with those of {first} over tokens, by language, mean "
        "over blocks: 1 is the same up to rotation and scale, 0 nothing in common."
    )
    return NamedFigure("alignment-by-language", figure, caption)


def _over(blocks: Sequence[Any], language: str) -> float:
    """Returns the mean over blocks in which states vary; NaN without any."""
    found = [value for block in blocks if (value := block["change"]["alignment"][language]) is not None]
    return float(np.mean(found)) if found else float("nan")


def with_first_on_average_figure(models: Sequence[Any]) -> NamedFigure:
    """Returns the figure of the mean over languages of the alignment with the first model's states, by depth."""
    first, others = first_model(models), models[1:]
    panel = Panel("", {model["label"]: [alignment_with_first(block) for block in model["blocks"]] for model in others})
    title = f"How alike hidden states are to those of {first}"
    caption = (
        f"Centred kernel alignment (debiased) of hidden states with those of {first} over tokens, mean over languages: "
        "1 is the same up to rotation and scale, 0 nothing in common."
    )
    return NamedFigure("alignment", block_lines_figure(title, "centred kernel alignment", [panel]), caption)


def between_languages_figure(models: Sequence[Any]) -> NamedFigure:
    """Returns the figure of how alike languages are in each model, by depth."""
    panel = Panel("", {model["label"]: [alignment_between(block) for block in model["blocks"]] for model in models})
    title = "How alike languages are to each other, in each model"
    caption = (
        "Centred kernel alignment (debiased) of two languages' hidden states over translations of the same sentences, "
        "mean over all pairs of languages: 1 is the same up to rotation and scale, 0 nothing in common."
    )
    figure = block_lines_figure(title, "centred kernel alignment\nbetween languages", [panel])
    return NamedFigure("alignment-between-languages", figure, caption)


def closest_block(model: Mapping[str, Any]) -> int:
    """Returns the block after which a model's languages are most alike."""
    values = [alignment_between(block) for block in model["blocks"]]
    return int(np.argmax([-np.inf if value is None else value for value in values]))


def pairs_figure(models: Sequence[Any], languages: Sequence[str]) -> NamedFigure:
    """Returns the figure of each two languages' alignment, after the block at which the first model's is highest.

    Args:
      languages: those that have sentences, two at least.
    """
    from matplotlib.colors import Normalize

    block = closest_block(models[0])
    panels = []
    for model in models:
        levels = alignment_table(model["blocks"][block], languages)
        texts = [["" if np.isnan(level) else f"{level:.2f}" for level in row] for row in levels]
        panels.append(CellPanel(model["label"], languages, languages, levels, texts))
    defined = np.concatenate([panel.levels[np.isfinite(panel.levels)] for panel in panels])
    figure = cells_figure(
        f"Which languages are alike after block {block}",
        panels,
        row_label="language",
        column_label="language",
        label="centred kernel alignment\nof translations",
        colours="cividis",
        norm=Normalize(min(0.0, defined.min(initial=0.0)), max(defined.max(initial=0.0), 0.05)),
        size=(0.5, 0.36),
        abreast=_PANELS_ABREAST,
    )
    caption = (
        f"Centred kernel alignment (debiased) of each two languages' translations after block {block}, where it is "
        f"highest in {models[0]['label']}, a panel for each model, all on one scale."
    )
    return NamedFigure("alignment-of-pairs", figure, caption)
