"""How signal-to-noise ratios are printed, in every table alike."""

import math

NO_CHANGE = "no change"


def decibels(value: float, unit: str = "", *, is_unchanged: bool = False) -> str:
    """Returns a ratio; of what was not changed at all, that.

    A mean or a median may be infinite though something changed, so an infinite ratio alone does not say so.

    Args:
      unit: behind the number, with its space.
      is_unchanged: whether all that the ratio is of is as it was.
    """
    if is_unchanged:
        return NO_CHANGE
    return f"{value:.2f}{unit}" if math.isfinite(value) else f"{value}{unit}"
