"""What ``jaxprune analyze neurons`` found by chance, in short, for its tables and words."""

from collections.abc import Mapping
from typing import Any


def p_value_of_divisions(found: Mapping[str, Any]) -> str:
    """Returns the p-value of the lowest LAPE, counted among random divisions of the windows.

    One of ``n`` divisions is at least 1 / (n + 1): where it is that, it may be as much less as more would show.

    Args:
      found: of a model by chance, as ``jaxprune analyze neurons`` writes it.
    """
    least = 1 / (found["divisions"] + 1)
    if found["p_value"] <= least * (1 + 1e-9):
        return f"\u2264 {least:.2g}"
    return f"{found['p_value']:.2f}"
