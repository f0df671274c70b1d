"""Files of a study that several processes may read while one writes: whole under their names, or not there."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxprune.disk import no_room, out_of_room
from jaxprune.json_values import storable

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
    text = json.dumps(storable(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, compressed."""
    # The names hold slashes; savez takes names as keywords, among which is "file".
    write_whole(path, lambda file: np.savez_compressed(file, **dict(arrays)))  # pyright: ignore[reportArgumentType]


def digest_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
