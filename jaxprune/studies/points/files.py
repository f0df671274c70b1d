"""Files of a study that several processes may read while one writes: whole under their names, or not there."""

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxprune.disk import no_room, out_of_room

_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.new")


def unfinished_files(folder: Path) -> Iterator[Path]:
    """Yields files that a process was writing into ``folder`` when it was killed, or is just writing."""
    yield from (path for path in folder.iterdir() if _UNFINISHED.fullmatch(path.name))


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file beside ``path`` and puts it in its place.

    Raises:
      RequestError: the disk is full.
    """
    # Two machines may have processes of one number.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and no_room(error):
            raise out_of_room(error, path.parent) from error
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes an object; numbers that JSON cannot hold (an infinite perplexity) become null."""
    text = json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, compressed."""
    # The names hold slashes; savez takes names as keywords, among which is "file".
    write_whole(path, lambda file: np.savez_compressed(file, **dict(arrays)))  # pyright: ignore[reportArgumentType]


def digest_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
