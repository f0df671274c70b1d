"""Windows of attention: how a configuration spells them, and what a block is told of its own."""

import numpy as np

from jaxprune.models.fields import ConfigFields

SLIDING, FULL = "sliding_attention", "full_attention"

_UNBOUNDED = np.iinfo(np.int32).max

Windows = tuple[int | None, ...]
"""For each block, how many tokens a token sees, itself included; None for all before it."""


def read_windows(fields: ConfigFields, num_blocks: int) -> Windows:
    """Reads ``layer_types`` and ``sliding_window``, of which the latter may be absent if no block slides.

    Raises:
      RequestError: there is not one known type for each block, or the window's width is missing or impossible.
    """
    kinds = fields.take("layer_types")
    if len(kinds) != num_blocks or not {SLIDING, FULL}.issuperset(kinds):
        raise fields.unsupported(
            f"layer_types = {kinds!r}", f"{SLIDING!r} or {FULL!r} for each of {num_blocks} num_hidden_layers"
        )
    window = fields.take_size("sliding_window") if SLIDING in kinds else fields.discard("sliding_window")
    return tuple(window if kind == SLIDING else None for kind in kinds)


def window_constant(window: int | None) -> np.ndarray:
    """Returns a window as blocks take it, so that all of them have one: beyond any sequence for None."""
    return np.array(_UNBOUNDED if window is None else min(window, _UNBOUNDED), np.int32)
