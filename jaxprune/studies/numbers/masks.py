"""What ``jaxprune analyze masks`` found of channels, brought to few numbers: for its figures, tables and words."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jaxprune.analysis.packed_masks import parse_name

SIDES = ("inputs", "outputs")
"""Of a kernel, whose channels they are."""

UPPER = 0.95
# Of a normal distribution, in standard deviations.
_UPPER_BY_CHANCE = statistics.NormalDist().inv_cdf(UPPER)


class Channel(NamedTuple):
    """An input or output of one kernel, and the share of its weights that is pruned."""

    block: int
    projection: str
    channel: int
    sparsity: float


def chance_told(result: Mapping[str, Any]) -> str:
    """Returns what the level by chance is the level of."""
    if all("competition" in run for run in result["runs"]):
        return "what chance gives as far as the pattern leaves it a choice"
    return "what zeros give that fall independently, whatever the pattern"


def concentration(zeros: Mapping[str, Any], side: str) -> dict[str, float] | None:
    """Returns the mean over kernels of the Gini coefficient over channels, and by chance; None without zeros."""
    found = [of for _, of in _channels(zeros, side) if of["gini"] is not None]
    if not found:
        return None
    return {
        "gini": statistics.fmean(of["gini"] for of in found),
        "by_chance": statistics.fmean(of["gini_by_chance"] for of in found),
    }


def most_pruned(zeros: Mapping[str, Any], side: str) -> Channel | None:
    """Returns the channel of all kernels that has lost most; None where every kernel has lost as much on each."""
    found = [Channel(*_place(name), *of["most"][0]) for name, of in _channels(zeros, side) if of["most"]]
    return max(found, key=lambda one: one.sparsity, default=None)


def beyond_chance(result: Mapping[str, Any], run: Mapping[str, Any], side: str) -> dict[str, float | None]:
    """Returns by projection how much more the twentieth of channels that lost most has lost at least than by chance.

    In percentage points of sparsity, mean over blocks; None without zeros. Chance puts the 95% quantile 1.645 standard
    deviations above the mean, and Gini's coefficient of U normal values is their standard deviation over their mean,
    times (U - 1) / (U sqrt(pi)).
    """
    upper = result["quantiles"].index(UPPER)
    found: dict[str, list[float]] = {}
    for name, of in _channels(result["zeros"][run["label"]], side):
        values = found.setdefault(_place(name)[1], [])
        if of["gini"] is not None:
            deviation = of["gini_by_chance"] * math.sqrt(math.pi) * of["units"] / (of["units"] - 1)
            values.append(100 * (of["quantiles"][upper] - run["sparsity"] * (1 + _UPPER_BY_CHANCE * deviation)))
    return {projection: statistics.fmean(values) if values else None for projection, values in found.items()}


def hidden_by_method(result: Mapping[str, Any]) -> dict[str, tuple[Counter[int], int]]:
    """Returns for each method how often hidden channels are among those that lost most, and of how many prunings."""
    found: dict[str, tuple[Counter[int], int]] = {}
    for run in result["runs"]:
        hidden = result["zeros"][run["label"]]["hidden_channels"]
        if hidden is not None and hidden["most"]:
            times, runs = found.get(run["method"], (Counter(), 0))
            times.update(channel for channel, _ in hidden["most"])
            found[run["method"]] = (times, runs + 1)
    return found


def _channels(zeros: Mapping[str, Any], side: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, kernel in zeros["kernels"].items():
        yield name, kernel[side]


def _place(name: str) -> tuple[int, str]:
    place = parse_name(name)
    if place is None:
        raise ValueError(f"{name} is no weight of a block")
    return place
