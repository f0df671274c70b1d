"""How numbers are put into words: percent with a sign, intervals, p-values, lists."""

import math
from collections.abc import Sequence

from jaxprune.evaluation.intervals import Interval
from jaxprune.studies.numbers.comparisons import ALPHA, Difference
from jaxprune.studies.numbers.measured import PERPLEXITY, Measure, Scores

_MINUS = "\u2212"
_LEAST_P = 0.001


def names(items: Sequence[str]) -> str:
    """Returns ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def count(number: int, noun: str) -> str:
    """Returns ``1 seed``, ``3 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def signed(value: float, decimals: int = 1) -> str:
    """Returns a number with its sign; zero has none."""
    text = f"{abs(value):,.{decimals}f}"
    is_zero = not any(digit in text for digit in "123456789")
    return text if is_zero else f"{_MINUS if value < 0 else '+'}{text}"


def loss(value: float) -> str:
    """Returns a loss by the criterion, ``0.48``; below zero, of what pruning made better, with a sign."""
    return signed(value, 2).removeprefix("+")


def percent(fraction: float) -> str:
    """Returns a change in percent, ``+12%``, ``−0.4%``."""
    return f"{_percent(fraction)}%"


def _percent(fraction: float) -> str:
    if not math.isfinite(fraction) or abs(fraction) >= 100:  # ten thousand percent: "how often" says more
        return f"{_MINUS if fraction < 0 else '+'}over 9,999"
    return signed(100 * fraction, 0 if abs(fraction) >= 0.0995 else 1)


def percent_interval(interval: Interval) -> str:
    """Returns ``95% interval −15 to −11%``."""
    return f"95% interval {_percent(interval[0])} to {_percent(interval[1])}%"


def p_value(value: float) -> str:
    """Returns ``p < 0.001`` or ``p = 0.03``; what is said of 0.05 is never rounded to the other side."""
    if value < _LEAST_P:
        return f"p < {_LEAST_P}"
    shown = f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
    if (float(shown) < ALPHA) != (value < ALPHA):
        shown = f"{value:.4f}"
    return f"p = {shown}"


def number(value: float) -> str:
    """Returns a perplexity or a score with three digits."""
    if value >= 1000:
        return f"{value:,.0f}" if value < 1e7 else f"{value:.2e}"
    return f"{value:#.3g}".removesuffix(".")


def scale(dense: Scores) -> float:
    """Returns by what a task's scores are multiplied to be points of a hundred."""
    return 100.0 if dense.totals_SN.max() <= 1 else 1.0


def score(measure: str, mean: float, dense: Scores) -> str:
    """Returns a perplexity from its nats a token, or a task's score."""
    if measure == PERPLEXITY:
        return number(math.exp(min(mean, 700.0)))
    return f"{scale(dense) * mean:.1f}"


def change(measure: Measure, difference: Difference, factor: float) -> tuple[str, str]:
    """Returns a difference and its interval: of perplexities in percent, of tasks in points, ``factor`` a unit.

    Where no item differs there is nothing to resample: an interval from 0 to 0 would read as certain.
    """
    low, high = difference.interval
    if measure.name == PERPLEXITY:
        rises = [math.expm1(min(nats, 700.0)) for nats in (difference.value, low, high)]
        size, interval = percent(rises[0]), percent_interval((rises[1], rises[2]))
    else:
        size = f"{signed(factor * difference.value)} points"
        interval = f"95% interval {signed(factor * low)} to {signed(factor * high)}"
    return size, "every item the same" if low == high == 0 else interval


def worst(measure: Measure, difference: Difference, factor: float) -> str:
    """Returns the end of an interval where the first is worst, ``+17%`` or ``−3.2 points``, rounded away from zero."""
    low, high = difference.interval
    if measure.name == PERPLEXITY:
        rise = math.expm1(min(high, 700.0))
        digits = 2 if abs(rise) >= 0.0995 else 3
        return percent(_outwards(rise, digits)) if rise < 100 else percent(rise)
    return f"{signed(_outwards(factor * low, 1))} points"


def _outwards(value: float, decimals: int) -> float:
    """Returns a number with so many decimals, rounded away from zero: what is left open is the most there is."""
    # The digits that are taken off first are those by which a product of a float is wrong.
    return math.copysign(math.ceil(round(10**decimals * abs(value), 6)) / 10**decimals, value)


def may_lose(more: float) -> str:
    """Returns ``may lose up to 0.03 more``, rounded upwards."""
    return f"may lose up to {_outwards(more, 2):.2f} more"


def seconds(value: float) -> str:
    """Returns ``45 s``, ``12 min`` or ``3.5 h``."""
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def size(number_of_bytes: float) -> str:
    """Returns gigabytes, ``1.07 GB``."""
    return f"{number_of_bytes / 1e9:.2f} GB"


def flat(value: object) -> str:
    """Returns what a result has recorded of versions or devices on one line; empty if it has nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
