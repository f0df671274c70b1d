"""Room on a disk: taken at once, and what to say when there is none left."""

import errno
import os
import shutil
from pathlib import Path

from jaxprune.errors import RequestError


def is_full(error: BaseException) -> bool:
    """Returns whether ``error`` means that a disk or a quota is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # TensorStore, which writes for Orbax, reports through exceptions of its own.
    return os.strerror(errno.ENOSPC) in str(error)


def full_disk(folder: Path, needed: int | None = None) -> RequestError:
    """Returns the error to raise: what was needed, what is free, what to do."""
    asked = f"{needed:,} bytes were needed" if needed is not None else "more was needed"
    return RequestError(
        f"the disk that holds {folder} is full: {asked}, {_free(folder):,} bytes are free; make room, or "
        "write elsewhere."
    )


def require_space(folder: Path, needed: int) -> None:
    """Raises unless ``needed`` bytes are free where ``folder`` is.

    Raises:
      RequestError: they are not.
    """
    if needed > _free(folder):
        raise full_disk(folder, needed)


def take_space(descriptor: int, size: int) -> None:
    """Makes an open file ``size`` bytes long, with all its space taken where the system can do that."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def _free(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
