"""JSON from files that others wrote: bounded, without duplicates, and never a traceback."""

import json
from pathlib import Path
from typing import Any

from jaxprune.errors import RequestError

# A published index or config is at most a few hundred kilobytes.
MAX_BYTES = 32 * 2**20


def parse_object(text: bytes, what: str, *, advice: str = "fetch or export the file again") -> dict[str, Any]:
    """Returns the JSON object that ``text`` holds; ``what`` names it in messages, which end in ``advice``.

    Raises:
      RequestError: it is not valid UTF-8, not valid JSON, no object, or names a key twice.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
        # Half of a surrogate pair is valid JSON, and a name that could be neither printed nor written again.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise RequestError(f"{what} is not valid JSON ({error}); {advice}.") from error
    if not isinstance(value, dict):
        raise RequestError(f"{what} should hold a JSON object and holds {type(value).__name__}; {advice}.")
    return value


def read_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object in the file ``path``.

    Raises:
      RequestError: it is missing, too large, or not a JSON object.
    """
    return parse_object(read_small(path), str(path))


def read_small(path: Path, *, advice: str = "fetch it") -> bytes:
    """Returns the bytes of a file that must not be large; ``advice`` says what to do if it is missing.

    Raises:
      RequestError: it is missing, not a plain file, unreadable, or larger than 32 MiB.
    """
    if not path.is_file():
        raise RequestError(f"{path} is needed and is not there (or is not a plain file); {advice}.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}; check its rights and the disk.") from error
    if len(content) > MAX_BYTES:
        raise RequestError(
            f"{path} is larger than {MAX_BYTES >> 20} MiB, too much for a file of its kind; fetch or export it again."
        )
    return content


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {repeated!r} occurs twice")
    return result
