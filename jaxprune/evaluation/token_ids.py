"""Token ids that come from outside.

Shapes: T tokens.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from jaxprune.errors import RequestError


def check_ids(what: str, ids: Sequence[int] | np.ndarray, *, vocab_size: int) -> Int32[np.ndarray, " T"]:
    """Returns token ids as an array.

    Args:
      what: is asked about: ``prompt 3``.

    Raises:
      RequestError: there are none, or one is outside the vocabulary.
    """
    # Wider than int32 until they are known to fit.
    tokens_T = np.asarray(ids, np.int64)
    if tokens_T.ndim != 1 or not tokens_T.size:
        raise RequestError(f"{what} has no tokens; give at least one.")
    outside = np.flatnonzero((tokens_T < 0) | (tokens_T >= vocab_size))
    if outside.size:
        raise RequestError(
            f"{what}: token id {tokens_T[outside[0]]} (position {outside[0]}) is outside the model's vocabulary of "
            f"{vocab_size} ids; use ids of the tokenizer that belongs to the model."
        )
    return tokens_T.astype(np.int32)
