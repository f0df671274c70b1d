"""Figures of ``jaxprune analyze subspaces``: by depth, a line for each model, which is the mean over its languages."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxprune.studies.figures.alignment import (
    between_languages_figure,
    pairs_figure,
    with_first_figure,
    with_first_on_average_figure,
)
from jaxprune.studies.figures.block_lines import Panel, block_lines_figure
from jaxprune.studies.figures.files import NamedFigure
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.model_words import first_model
from jaxprune.studies.numbers.subspaces import (
    Block,
    angle,
    centred_snr_db,
    check,
    directions_share,
    halves_angle,
    is_unchanged,
    mean,
    snr_db,
    squared_cosine,
)

_PARTS = {"whole": "whole", "agnostic": "language-agnostic part (all the rest)", "specific": "language-specific part"}


def subspace_figures(result: Mapping[str, Any]) -> list[NamedFigure]:
    """Returns the figures of what ``analyze_subspaces`` returned; those that compare, of two models and more only."""
    models, languages = result["models"], result["languages"]
    # Prunings of one model differ in it by a rounding at most.
    alike = [directions_share(block, result["hidden_size"]) for block in models[0]["blocks"]]
    share = Panel("", _lines(models, lambda block: mean(block["specific_share"])), {"alike in all directions": alike})
    figures = [
        NamedFigure(
            "specific-share",
            block_lines_figure(
                "Energy of hidden states along the directions in which language means differ",
                "share of energy, language-specific",
                [share],
            ),
            "Share of the energy of hidden states that lies in the language-specific subspace, mean over languages; "
            f"dotted, its share of the {result['hidden_size']:,} directions, which is what it would hold of energy "
            "that is alike in all of them.",
        )
    ]
    if len(models) > 1:
        figures += [
            _subspace_figure(models),
            _angles_figure(models),
            _snr_figure(models),
            *_centred_snr_figure(models),
            with_first_on_average_figure(models),
            with_first_figure(models, languages),
        ]
    if models[0]["blocks"][0]["sentences"]:
        figures += [
            between_languages_figure(models),
            pairs_figure(models, list(result["sentences"])),
            _retrieval_figure(result),
            _identification_figure(result),
        ]
    return figures


def _lines(models: Sequence[Any], value: Callable[[Block], float | None]) -> dict[str, list[float | None]]:
    return {model["label"]: [value(block) for block in model["blocks"]] for model in models}


def _subspace_figure(models: Sequence[Any]) -> NamedFigure:
    stability = [block["stability"] for block in models[0]["blocks"]]
    references = {"two halves of the text": stability} if any(value is not None for value in stability) else {}
    panel = Panel("", _lines(models[1:], squared_cosine), references)
    first = first_model(models)
    title = f"How much of the language-specific subspace of {first} is still there"
    caption = (
        f"Mean squared cosine of the principal angles between the language-specific subspace of {first} and that of "
        f"each other model, from the same text; dotted, of {first} alone, from two halves of the text: how well text "
        "of this length determines it."
    )
    return NamedFigure("subspaces", block_lines_figure(title, "mean squared cosine of the angles", [panel]), caption)


def _angles_figure(models: Sequence[Any]) -> NamedFigure:
    panels = []
    for name, which in (("smallest", 0), ("largest", -1)):
        halves = [halves_angle(block, which) for block in models[0]["blocks"]]
        references = {"two halves of the text": halves} if any(value is not None for value in halves) else {}
        panels.append(Panel(f"{name} angle", _lines(models[1:], functools.partial(angle, which=which)), references))
    first = first_model(models)
    title = f"How far the language-specific subspace turns from that of {first}"
    caption = (
        f"Principal angles between the language-specific subspace of {first} and that of each other model, from the "
        "same text: 0 degrees is a direction that both have, 90 one that the other lacks. How far text of this length "
        "determines the subspace is in the figure before"
        f"{', and dotted here' if any(panel.references for panel in panels) else ''}."
    )
    figure = block_lines_figure(title, "principal angle (degrees)", panels, limits=(0.0, 90.0))
    return NamedFigure("angles", figure, caption)


def _snr_figure(models: Sequence[Any]) -> NamedFigure:
    panels = _ratio_panels(models, snr_db)
    first = first_model(models)
    title = f"How much either part is disturbed, against {first}"
    caption = (
        f"Signal-to-noise ratio of hidden states in either part of the split of {first}, mean over languages; no "
        "point where nothing changed."
    )
    unchanged = [model["label"] for model in models[1:] if all(map(is_unchanged, model["blocks"]))]
    if unchanged:
        caption += f" Nothing changed at all in {wording.names(unchanged)}, without a line."
    return NamedFigure("snr-by-part", block_lines_figure(title, "signal-to-noise ratio (dB)", panels), caption)


def _centred_snr_figure(models: Sequence[Any]) -> list[NamedFigure]:
    """Returns the same less the mean over languages; nothing of analyses that have not kept it."""
    panels = _ratio_panels(models, centred_snr_db)
    if not any(value is not None for panel in panels for line in panel.lines.values() for value in line):
        return []
    first = first_model(models)
    title = f"How much either part is disturbed, less the mean that all languages share, against {first}"
    caption = (
        f"Signal-to-noise ratio of hidden states in either part of the split of {first} when each model's states lose "
        "the mean over all languages, which can be most of what the specific part holds; mean over languages."
    )
    return [
        NamedFigure("snr-by-part-centred", block_lines_figure(title, "signal-to-noise ratio (dB)", panels), caption)
    ]


def _ratio_panels(models: Sequence[Any], value: Callable[[Block, str], float | None]) -> list[Panel]:
    def ratio(block: Block, part: str) -> float | None:
        found = value(block, part)
        return found if found is not None and math.isfinite(found) else None

    return [
        Panel(_PARTS[part], _lines(models[1:], functools.partial(ratio, part=part)))
        for part in ("agnostic", "specific")
    ]


def _retrieval_figure(result: Mapping[str, Any]) -> NamedFigure:
    chance = 1 / min(result["sentences"].values())
    panels = [
        Panel(
            name,
            _lines(result["models"], functools.partial(check, which="retrieval", part=part)),
            {"chance": chance},
        )
        for part, name in _PARTS.items()
    ]
    title = "How often translations find each other, by the part that is compared"
    caption = (
        "How often a sentence's nearest neighbour in another language is its translation, mean over all pairs of "
        "languages, by the part of the hidden states that is compared."
    )
    return NamedFigure("retrieval", block_lines_figure(title, "accuracy of retrieval", panels), caption)


def _identification_figure(result: Mapping[str, Any]) -> NamedFigure:
    panels = [
        Panel(
            name,
            _lines(result["models"], functools.partial(check, which="identification", part=part)),
            {"chance": 1 / len(result["languages"])},
        )
        for part, name in _PARTS.items()
    ]
    caption = (
        "How often a sentence is nearest to the mean of its own language, taken from other sentences, by the part that "
        "is compared."
    )
    figure = block_lines_figure("Which part knows the language", "accuracy of identification", panels)
    return NamedFigure("identification", figure, caption)
