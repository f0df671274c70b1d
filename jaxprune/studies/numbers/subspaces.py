"""What stands in a block of ``jaxprune analyze subspaces``, brought to one number: for its figures, tables and words.

A signal-to-noise ratio that is infinite is ``null`` in the file and ``math.inf`` here.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Block = Mapping[str, Any]


def mean(values: Mapping[str, float]) -> float:
    """Returns the mean over languages."""
    return statistics.fmean(values.values())


def directions_share(block: Block, hidden_size: int) -> float:
    """Returns how much of energy that is alike in all directions the language-specific part would hold."""
    return block["rank"] / hidden_size


def snr_db(block: Block, part: str, languages: Sequence[str] | None = None) -> float | None:
    """Returns the mean ratio of a part over languages, or over some; infinite if one is; None for the first model."""
    return _ratio(block, "snr_db", part, languages)


def centred_snr_db(block: Block, part: str) -> float | None:
    """Returns the same when states lose the mean over languages; None where an older analysis has not kept it."""
    return _ratio(block, "centred_snr_db", part)


def common_share(block: Block, part: str) -> float | None:
    """Returns how much of a part's energy is a mean that all languages share; None where that was not kept."""
    found = block.get("common_share")
    return None if found is None else found[part]


def _ratio(block: Block, kind: str, part: str, languages: Sequence[str] | None = None) -> float | None:
    ratios = (block["change"] or {}).get(kind)
    if ratios is None:
        return None
    values = [ratios[language][part] for language in languages or ratios]
    return math.inf if None in values else statistics.fmean(values)


def above_if_alike(first: Block, hidden_size: int) -> float | None:
    """Returns by how many dB the specific part's ratio would exceed the agnostic's if all directions were hit alike.

    It has much energy in few directions. None where one of the parts has nothing.

    Args:
      first: the block of the first model, of whose energy and in whose split all ratios are.
    """
    shares, rank = first["specific_share"].values(), first["rank"]
    if not (all(0 < share < 1 for share in shares) and 0 < rank < hidden_size):
        return None
    each = statistics.fmean(10 * math.log10(share / (1 - share)) for share in shares)
    return each + 10 * math.log10((hidden_size - rank) / rank)


def is_specific_hit_more(block: Block, first: Block, hidden_size: int) -> bool | None:
    """Returns whether the specific part is disturbed more than the agnostic one, direction by direction.

    None if that cannot be said: nothing changed, or one of the parts has nothing.

    Args:
      first: as ``above_if_alike`` takes it.
    """
    agnostic, specific = (snr_db(block, part) for part in ("agnostic", "specific"))
    expected = above_if_alike(first, hidden_size)
    if agnostic is None or specific is None or expected is None or not math.isfinite(agnostic - specific):
        return None
    return specific - agnostic < expected


def is_unchanged(block: Block) -> bool:
    """Whether the block's hidden states are those of the first model, in every language."""
    change = block["change"]
    return change is not None and all(parts["whole"] is None for parts in change["snr_db"].values())


def squared_cosine(block: Block) -> float | None:
    """Returns that of the language-specific subspaces' angles; None for the first model, and where one is empty."""
    return None if block["change"] is None else block["change"]["squared_cosine"]


def angle(block: Block, which: int) -> float | None:
    """Returns the smallest (0) or largest (-1) principal angle to the first model's subspace, in degrees, or None."""
    angles = [] if block["change"] is None else block["change"]["angles"]
    return angles[which] if angles else None


def halves_angle(block: Block, which: int) -> float | None:
    """Returns the same between the subspaces that two halves of the text give; None if that was not measured."""
    angles = block.get("stability_angles")
    return angles[which] if angles else None


def alignment_with_first(block: Block) -> float | None:
    """Returns the mean over languages of the alignment over tokens; None for the first model."""
    if block["change"] is None:
        return None
    values = [value for value in block["change"]["alignment"].values() if value is not None]
    return statistics.fmean(values) if values else None


def alignment_between(block: Block) -> float | None:
    """Returns the mean over pairs of languages of the alignment over translations; None without sentences."""
    if not block["sentences"]:
        return None
    values = [value for value in block["sentences"]["alignment"].values() if value is not None]
    return statistics.fmean(values) if values else None


def alignment_table(block: Block, languages: Sequence[str]) -> np.ndarray:
    """Returns the alignments of languages with each other; NaN on the diagonal, and where there is none."""
    found = np.full((len(languages), len(languages)), np.nan)
    for (i, a), (j, b) in itertools.combinations(enumerate(languages), 2):
        stored = block["sentences"]["alignment"]
        value = stored[f"{a}-{b}"] if f"{a}-{b}" in stored else stored[f"{b}-{a}"]
        if value is not None:
            found[i, j] = found[j, i] = value
    return found


def check(block: Block, which: str, part: str) -> float | None:
    """Returns the mean over languages of ``retrieval`` or ``identification`` by a part; None without sentences."""
    return mean(block["sentences"][which][part]) if block["sentences"] else None


def over_blocks(blocks: Sequence[Block], value: Any) -> float | None:
    """Returns the mean of a number over blocks, infinite if one is; None if a block has none."""
    values = [value(block) for block in blocks]
    return None if not values or None in values else statistics.fmean(values)
