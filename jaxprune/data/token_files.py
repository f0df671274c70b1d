"""``tokens:FILE.npy``: token ids that are used exactly as they are.

Shapes: N sequences, T tokens in each.
"""

import tokenize
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from jaxprune.data.sequences import Calibration, make_calibration
from jaxprune.errors import RequestError

LANGUAGE = "tokens"
"""What stands where a language would, since ids do not tell theirs."""

TOKENS = "tokens:"


def load_tokens(path: Path | str, *, samples: int | None) -> Calibration:
    """Reads calibration sequences: the first ``samples`` rows, or all.

    Raises:
      RequestError: see ``read_tokens``.
    """
    tokens_NT = read_tokens(Path(path), rows=samples)
    return make_calibration(
        {LANGUAGE: tokens_NT}, texts=f"{TOKENS}{path}", documents={LANGUAGE: None}, fill=None, seed=None
    )


def check_token_file(path: Path) -> None:
    """Raises RequestError if there is no such file."""
    if not path.expanduser().is_file():
        raise RequestError(f"{TOKENS}{path}: there is no such file; check the path.")


def read_tokens(path: Path, *, rows: int | None) -> Int32[np.ndarray, "N T"]:
    """Reads integer ids ``[sequences, length]`` of any width that fit int32.

    Raises:
      RequestError: no such file, no ``.npy`` file or a damaged one, pickled objects, another rank or dtype,
        no element, ids that are negative or past int32, or fewer rows than asked for.
    """
    path = path.expanduser()
    asked = f"{TOKENS}{path}"
    expected = "give an int32 .npy file [sequences, length]"
    check_token_file(path)
    try:
        # Mapped first, because a header that lies about its shape is then refused before memory is taken.
        # This way of opening knows no pickles and no archives.
        stored = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise RequestError(f"{asked} cannot be read ({reason}); {expected}.") from error
    if stored.dtype.kind not in "iu":
        raise RequestError(f"{asked} holds {stored.dtype}; {expected}.")
    if stored.ndim != 2 or not stored.size:
        raise RequestError(f"{asked} has the shape {list(stored.shape)}; {expected}, neither of them 0.")
    if rows is not None and rows > len(stored):
        raise RequestError(
            f"{asked} has {len(stored)} rows, but {rows} were asked for; ask for {len(stored)} or fewer."
        )
    wanted = stored[:rows]
    low, high = int(wanted.min()), int(wanted.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise RequestError(f"{asked} holds {low if low < 0 else high}, which is no token id; ids are 0 to 2^31 - 1.")
    # A copy of its own: pages of a mapped file would count as resident memory for as long as they are held.
    return np.array(wanted, dtype=np.int32, order="C", subok=False)
