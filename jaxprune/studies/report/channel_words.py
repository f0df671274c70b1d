"""What the masks of prunings show of channels, in words."""

import statistics
from collections.abc import Mapping
from typing import Any

from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.masks import SIDES, beyond_chance, hidden_by_method

# Percentage points of sparsity; less is hardly more than chance.
_LEAST = 1.0
# Hidden channels of a method that are named.
_MOST = 3


def channel_words(result: Mapping[str, Any]) -> str:
    """Returns where channels stand out, and which hidden ones do in most prunings of a method; or nothing."""
    return _projections(result) + _hidden(result)


def _projections(result: Mapping[str, Any]) -> str:
    told = []
    for side in SIDES:
        found = [beyond_chance(result, run, side) for run in result["runs"]]
        means = {
            projection: statistics.fmean(values)
            for projection in found[0]
            if (values := [points for of in found if (points := of[projection]) is not None])
        }
        most = max(means, key=means.__getitem__, default=None)
        if most is not None and means[most] >= _LEAST:
            told.append(f"the {side} of {most} ({means[most]:.0f})")
    if not told:
        return ""
    return (
        f" Single channels stand out most among {wording.names(told)}: in brackets, by how many percentage points the "
        "sparsity of the 5% that lost most exceeds its level by chance, at least, mean over prunings."
    )


def _hidden(result: Mapping[str, Any]) -> str:
    often = []
    for method, (times, runs) in hidden_by_method(result).items():
        common = [f"{channel} ({number} of {runs})" for channel, number in times.most_common() if number > runs / 2]
        if runs > 1 and common:
            more = [f"{len(common) - _MOST} more"] if len(common) > _MOST else []
            often.append(f"{method} {wording.names([*common[:_MOST], *more])}")
    if not often:
        return ""
    hidden = [zeros["hidden_channels"] for zeros in result["zeros"].values()]
    named = max(len(of["most"]) for of in hidden if of is not None)
    return (
        f" Of the hidden channels, all blocks together, the same are among the {named} that lost most in more than "
        f"half of a method’s prunings: {'; '.join(often)}."
    )
