"""What the neurons of several models that are specific to languages have in common, and how their LAPE has shifted.

A result is plain JSON. Sets of neurons are compared by intersection over union (IoU). Chance: two sets that have as
many neurons of each block, chosen independently and uniformly among that block's, have ``sum_n A_n B_n / F`` neurons in
common on average, and the level marked as chance is IoU at that number. Block by block, because language-specific
neurons crowd in the first and the last blocks of every model, and that is no agreement on any neuron.

Other text would choose other neurons of the very same model. How far, two halves of the windows show: the sets that
each chooses are compared as those of two models are. Each half has half as much text, so that sets of all of it are
surer than that; and what is compared between models is of one text. It says which differences between models are not
to be made much of.

Shapes: L languages, N blocks, F neurons of a block.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Selection, Thresholds, activation_probability, select
from jaxprune.analysis.mixtures import NUM_DIVISIONS, SIGNIFICANCE, chance_of
from jaxprune.analysis.overlap import Overlap

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NUM_BINS = 40


def select_counted(counts: GateCounts, thresholds: Thresholds | None = None) -> Selection:
    """Returns the neurons of one model that are specific to languages."""
    return select(activation_probability(*counts.summed()), thresholds)


def analyze_counts(
    counts_of_models: Mapping[str, GateCounts], thresholds: Thresholds | None = None
) -> dict[str, dict[str, Any]]:
    """Returns each model's language-specific neurons, and for all but the first what differs from the first's.

    Args:
      counts_of_models: by a model's label, of the same languages and text; the first is what others are compared with.
      thresholds: None: as published.
    """
    thresholds = thresholds or Thresholds()
    first: Selection | None = None
    found = {}
    for label, counts in counts_of_models.items():
        selection = select_counted(counts, thresholds)
        found[label] = _account(counts, selection) | {"halves": _halves(counts, thresholds)}
        found[label]["against_first"] = None if first is None else _compare(counts.languages, first, selection)
        first = first or selection
    return found


def set_overlap(a_NF: Bool[np.ndarray, "N F"], b_NF: Bool[np.ndarray, "N F"]) -> dict[str, float | None]:
    """Returns IoU of two sets and its level by chance; None where both are empty."""
    by_chance = float(np.sum(a_NF.sum(axis=1) * b_NF.sum(axis=1) / a_NF.shape[1]))
    found = Overlap(
        weights=a_NF.size,
        kept=(int(a_NF.sum()), int(b_NF.sum())),
        both=int((a_NF & b_NF).sum()),
        both_by_chance=by_chance,
    )
    return {"iou": found.kept_iou, "chance": found.kept_chance}


def distribution_distance(a_A: Float64[np.ndarray, " A"], b_B: Float64[np.ndarray, " B"]) -> float:
    """Returns Kolmogorov and Smirnov's distance: the largest difference of two samples' cumulative shares."""
    values = np.concatenate([a_A, b_B])
    below_a, below_b = (np.searchsorted(np.sort(of), values, side="right") / len(of) for of in (a_A, b_B))
    return float(np.max(np.abs(below_a - below_b)))


def bin_edges(num_languages: int) -> list[float]:
    """Returns the edges of the histogram of LAPE, from 0 to log L nats."""
    return np.linspace(0.0, math.log(num_languages), NUM_BINS + 1).tolist()


def _account(counts: GateCounts, selection: Selection) -> dict[str, Any]:
    entropy = _defined(selection)
    edges = bin_edges(len(counts.languages))
    return {
        "thresholds": {"filter": selection.filter, "activation_bar": selection.bar, "lape": selection.lape},
        "chosen": selection.num_chosen,
        "specific": int(selection.is_specific.sum()),
        "in_all_languages": int(selection.members_LNF.all(axis=0).sum()),
        "by_chance": _by_chance(counts, selection),
        "lape": {
            "neurons": len(entropy),
            "never_active": selection.entropy_NF.size - len(entropy),
            "quantiles": np.quantile(entropy, QUANTILES).tolist() if len(entropy) else None,
            "histogram": np.histogram(entropy, edges)[0].tolist(),
        },
        "languages": {
            language: {
                "size": int(of_NF.sum()),
                "by_block": of_NF.sum(axis=1).tolist(),
                "neurons": [np.flatnonzero(of_F).tolist() for of_F in of_NF],
            }
            for language, of_NF in zip(counts.languages, selection.members_LNF, strict=True)
        },
        "between_languages": [
            {"a": a, "b": b, **set_overlap(of_a_NF, of_b_NF)}
            for (a, of_a_NF), (b, of_b_NF) in itertools.combinations(
                zip(counts.languages, selection.members_LNF, strict=True), 2
            )
        ],
    }


def _halves(counts: GateCounts, thresholds: Thresholds) -> dict[str, Any] | None:
    """Returns how far two halves of the text choose the same neurons; None where one of them has no text."""
    halves = [counts.every_other(first) for first in (0, 1)]
    if not all(of.tokens_LGN.sum(axis=1).all() for of in halves):
        return None
    found = _compare(counts.languages, *(select_counted(of, thresholds) for of in halves))
    return {name: found[name] for name in ("languages", "specific", "lape_distance")}


def _by_chance(counts: GateCounts, selection: Selection) -> dict[str, Any] | None:
    """Returns how many neurons are below the level that chance hardly ever reaches; None if that is not known."""
    chance = chance_of(counts, selection)
    if chance is None:
        return None
    is_below_NF = selection.is_specific & (selection.entropy_NF < chance.level)
    return {
        "divisions": NUM_DIVISIONS,
        "significance": SIGNIFICANCE,
        "level": chance.level,
        "below": int(is_below_NF.sum()),
        "expected": chance.expected,
        "p_value": chance.p_value,
        "languages": {
            language: int((of_NF & is_below_NF).sum())
            for language, of_NF in zip(counts.languages, selection.members_LNF, strict=True)
        },
    }


def _compare(languages: Sequence[str], first: Selection, other: Selection) -> dict[str, Any]:
    before, after = _defined(first), _defined(other)
    has_both = len(before) and len(after)
    return {
        "languages": {
            language: set_overlap(was_NF, is_NF) | _changes(was_NF, is_NF)
            for language, was_NF, is_NF in zip(languages, first.members_LNF, other.members_LNF, strict=True)
        },
        "specific": set_overlap(first.is_specific, other.is_specific) | _changes(first.is_specific, other.is_specific),
        "lape_distance": distribution_distance(before, after) if has_both else None,
        "lape_median_shift": float(np.median(after) - np.median(before)) if has_both else None,
    }


def _changes(was_NF: Bool[np.ndarray, "N F"], is_NF: Bool[np.ndarray, "N F"]) -> dict[str, int]:
    return {"became": int((is_NF & ~was_NF).sum()), "ceased": int((was_NF & ~is_NF).sum())}


def _defined(selection: Selection) -> Float64[np.ndarray, " neurons"]:
    return selection.entropy_NF[np.isfinite(selection.entropy_NF)]
