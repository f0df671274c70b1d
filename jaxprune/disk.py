"""Room on a disk: taken at once, and what to say when there is none left."""

import errno
import os
import resource
import shutil
from pathlib import Path

from jaxprune.errors import RequestError


class OutOfRoomError(RequestError):
    """A disk is full, or a file may not grow further."""


def no_room(error: BaseException) -> bool:
    """Returns whether ``error`` means that a disk or a quota is full, or a file may not grow further."""
    if isinstance(error, OutOfRoomError):
        return True
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    # TensorStore, which writes for Orbax, reports through exceptions of its own.
    return os.strerror(errno.ENOSPC) in str(error) or _is_too_large(error)


def out_of_room(error: BaseException, folder: Path, needed: int | None = None) -> OutOfRoomError:
    """Returns the error to raise for one that ``no_room`` knows: what was needed, what there is, what to do."""
    return _too_large(folder, needed) if _is_too_large(error) else _full_disk(folder, needed)


def require_space(folder: Path, needed: int) -> None:
    """Raises unless ``needed`` bytes are free where ``folder`` is.

    Raises:
      OutOfRoomError: they are not.
    """
    if needed > _free(folder):
        raise _full_disk(folder, needed)


def take_space(descriptor: int, size: int) -> None:
    """Makes an open file ``size`` bytes long, with all its space taken where the system can do that."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def _is_too_large(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno == errno.EFBIG) or os.strerror(errno.EFBIG) in str(error)


def _full_disk(folder: Path, needed: int | None) -> OutOfRoomError:
    asked = f"{needed:,} bytes were needed" if needed is not None else "more was needed"
    return OutOfRoomError(
        f"the disk that holds {folder} is full: {asked}, {_free(folder):,} bytes are free; make room, or "
        "write elsewhere."
    )


def _too_large(folder: Path, needed: int | None) -> OutOfRoomError:
    asked = f"{needed:,} bytes were to be written to one" if needed is not None else "one was to become larger"
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return OutOfRoomError(
            f"the file system of {folder} holds no file so large: {asked}; write to another file system."
        )
    return OutOfRoomError(
        f"files in {folder} may have at most {limit:,} bytes (ulimit -f), and {asked}; raise that limit."
    )


def _free(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
