"""The folder for a command's result: complete under its name, or not there at all."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from jaxprune.disk import OutOfRoomError, no_room, out_of_room
from jaxprune.errors import RequestError, refusal

_LOCK = ".lock"
# An empty file in every finished result: what lacks it is not ours to remove.
_MARK = ".jaxprune"


class OutputFolder:
    """A context manager: gives a hidden folder beside ``path``, and renames it to ``path`` at the end.

    A request that fails leaves nothing behind, except what an earlier run had done that it was to resume, and work
    that a full disk stopped. A run that is interrupted or crashes leaves the hidden folder: the next run continues it
    with ``resume``, and clears it otherwise. What ``overwrite`` replaces stays until the end.

    Attributes:
      is_resumed: inside the context, whether an earlier run left something to continue.
      holds_work: set by whoever writes, when there is work in the folder that ``resume`` can continue.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        resumed_from: str = "",
        source: str | None = None,
    ):
        """Checks the request, and touches nothing.

        Args:
          path: the folder to be; its parent exists.
          overwrite: whether it may replace an earlier result.
          resume: whether an interrupted run is continued.
          resumed_from: file in the hidden folder that a run leaves if it can be continued; what has none is cleared.
          source: reference of the model that is read, so that it cannot be written over.

        Raises:
          RequestError: ``path`` exists, cannot be created, or is or lies in the source.
        """
        self._path = Path(os.path.abspath(path))
        self._partial = self._path.with_name(f".{self._path.name}.partial") if self._path.name else self._path
        self._old = self._path.with_name(f".{self._path.name}.old") if self._path.name else self._path
        self._overwrite = overwrite
        self._resume = resume
        self._resumed_from = resumed_from
        self._source = source
        self.is_resumed = self.holds_work = False
        self._check()

    @property
    def partial(self) -> Path:
        """The hidden folder that is written to inside the context."""
        return self._partial

    def __enter__(self) -> Path:
        """Returns the hidden folder, which no other run has.

        Raises:
          RequestError: another run writes to the same folder, or it cannot be created.
        """
        self._lock = self._take()
        try:
            self._recover()
            self._check()
            found = [entry for entry in self._partial.iterdir() if entry.name != _LOCK]
            self.is_resumed = self._resume and bool(found) and (self._partial / self._resumed_from).exists()
            if not self.is_resumed:
                for entry in found:
                    _remove(entry)
        except BaseException:
            self._leave()
            raise
        return self._partial

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Renames the folder into place; or clears it away, if the request was at fault.

        Raises:
          RequestError: there was no room on the disk.
        """
        is_full = error is not None and no_room(error)
        is_kept = self.is_resumed or (self.holds_work and is_full)
        try:
            if error is None:
                self._publish()
            elif not is_kept and (isinstance(error, RequestError) or refusal(error) or is_full):
                shutil.rmtree(self._partial)
        finally:
            self._leave()
        if error is not None and is_full and (is_kept or not isinstance(error, RequestError)):
            told = error if isinstance(error, RequestError) else out_of_room(error, self._path.parent)
            kept = " What is done so far is kept: repeat the command with --resume." if is_kept else ""
            raise OutOfRoomError(f"{told}{kept}") from error

    def _check(self) -> None:
        path = self._path
        self._check_source()
        if path.is_symlink():
            raise RequestError(f"the output {path} is a symbolic link; name the folder itself.")
        if path.exists() and not path.is_dir():
            raise RequestError(f"the output {path} is a file; name a folder that does not exist yet.")
        # What an empty name is as well.
        if path == Path.cwd():
            raise RequestError(f"the output is the folder you are in, {path}; name one that does not exist yet.")
        if path.exists() and not self._overwrite:
            hint = ": it is complete, nothing is left to resume" if self._resume else ""
            raise RequestError(
                f"the output folder {path} exists{hint}; choose another name, or replace it with --overwrite."
            )
        if path.exists():
            _check_replaceable(path)
        if not path.parent.is_dir():
            raise RequestError(f"the output {path} cannot be created: {path.parent} is not a folder; make it first.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise RequestError(
                f"the output {path} cannot be created: {path.parent} is not writable for you; choose another."
            )

    def _check_source(self) -> None:
        if not self._source or not Path(self._source).expanduser().exists():
            return
        # Path.resolve raises for a link that leads to itself.
        source, out = (Path(os.path.realpath(path)) for path in (Path(self._source).expanduser(), self._path))
        if out == source or source in out.parents:
            raise RequestError(f"the output {self._path} is, or lies in, the folder that is read; choose another.")
        if out in source.parents and out.exists() and self._overwrite:
            raise RequestError(
                f"--overwrite would remove {self._path}, and with it the model that is read; choose another."
            )

    def _take(self) -> IO[bytes]:
        """Creates the hidden folder and locks it for this process."""
        try:
            self._partial.mkdir(exist_ok=True)
            if any(self._partial.iterdir()) and not (self._partial / _LOCK).is_file():
                raise RequestError(
                    f"{self._partial} is in the way, and no run of jaxprune left it; move it, or choose another output."
                )
            lock = (self._partial / _LOCK).open("ab")
        except OSError as error:
            if no_room(error):
                raise out_of_room(error, self._path.parent) from error
            raise RequestError(
                f"the output {self._path} cannot be created: {error.strerror}; choose another."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other run may have ended, and its lock file gone, between the two calls above.
            is_current = os.fstat(lock.fileno()).st_ino == (self._partial / _LOCK).stat().st_ino
        except OSError:
            is_current = False
        if not is_current:
            lock.close()
            raise RequestError(f"another run is writing to {self._path}; wait for it, or choose another folder.")
        return lock

    def _recover(self) -> None:
        """Undoes a replacement that was interrupted between its two renames."""
        if not self._old.is_dir() or not _is_result(self._old):
            return
        if self._path.exists():
            _remove(self._old)
        else:
            self._old.rename(self._path)

    def _publish(self) -> None:
        replaces = self._path.exists()
        if replaces and not self._overwrite:
            raise RequestError(
                f"the output folder {self._path} was made by something else while this ran; the result is "
                f"complete in {self._partial}: rename it."
            )
        if replaces:
            self._check()
            self._path.rename(self._old)
        (self._partial / _MARK).touch()
        try:
            self._partial.rename(self._path)
        except OSError:
            if replaces:
                self._old.rename(self._path)
            raise
        # Only now: whoever finds the hidden folder must find its lock in it.
        (self._path / _LOCK).unlink()
        if replaces:
            _remove(self._old)

    def _leave(self) -> None:
        """Gives the lock back, and takes the hidden folder away if nothing is in it."""
        if self._partial.exists() and [entry.name for entry in self._partial.iterdir()] == [_LOCK]:
            shutil.rmtree(self._partial)
        self._lock.close()


def _check_replaceable(path: Path) -> None:
    """Refuses to remove a folder that no command of this program can have written."""
    holds_us = path in (Path.home(), *Path.cwd().parents, *Path.home().parents)
    if holds_us or not _is_result(path) or (path / ".git").exists():
        raise RequestError(
            f"--overwrite would remove {path}, which does not look like a result of jaxprune; choose another "
            "folder, or remove it yourself."
        )


def _is_result(path: Path) -> bool:
    return (path / _MARK).is_file() or not any(path.iterdir())


def _remove(entry: Path) -> None:
    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
