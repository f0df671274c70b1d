"""The cache folder, and what can go wrong while something is written into it."""

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jaxprune.errors import RequestError

MEGABYTE = 10**6


def cache_folder() -> Path:
    """Returns where what was downloaded is kept; it need not exist."""
    if chosen := os.environ.get("JAXPRUNE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jaxprune"


@contextlib.contextmanager
def using(folder: Path, name: str, needed: int) -> Iterator[None]:
    """Puts what the operating system has against a use of the cache folder into words.

    Args:
      name: of what is fetched.
      needed: bytes that it takes while it is fetched.

    Raises:
      RequestError: the folder cannot be written to, or is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder, name, needed) from error
        raise RequestError(
            f"the cache folder {folder} cannot be used: {error.strerror or error}; "
            "set JAXPRUNE_CACHE to a folder that you may write to."
        ) from error


@contextlib.contextmanager
def scratch(folder: Path, name: str, needed: int) -> Iterator[Path]:
    """Makes a folder for half-done work in the cache folder, which has to have room for it; it is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < needed:
        raise _full(folder, name, needed)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as made:
        yield Path(made)


def _full(folder: Path, name: str, needed: int) -> RequestError:
    free = shutil.disk_usage(folder).free
    return RequestError(
        f"the disk of the cache folder {folder} is full: {name} needs {needed // MEGABYTE} MB while it is fetched, "
        f"{free // MEGABYTE} MB are free; make room, or set JAXPRUNE_CACHE to a folder on another disk."
    )
