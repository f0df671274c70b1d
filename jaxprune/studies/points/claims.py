"""Work that one process takes and no other, on any machine, with nothing but a folder that all of them see.

Whoever creates a claim's file has it; creating fails where it exists. While it is held, a thread renews the file's
time. A claim is abandoned if its process is gone, which is known at once on the machine that it ran on, or if nothing
has renewed it for ``ABANDONED_SECONDS``. To take it over is to create the file of the next generation: of several
that try, one succeeds, and none ever removes what another has just created. The highest generation holds.
"""

import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RENEWED_SECONDS = 15.0
ABANDONED_SECONDS = 180.0
"""Network file systems may show a file's time a minute late."""

WHOLE_FOLDER = ".claim"
"""Name of the claim to all that is done in a folder."""


class Claim:
    """A context manager: held from ``take`` on, given back at the end."""

    def __init__(self, folder: Path, name: str, generation: int, *, renewed_seconds: float):
        """Begins to renew a claim whose file this process has created."""
        self._folder = folder
        self._name = name
        self._generation = generation
        self._path = _path(folder, name, generation)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._renew, args=(renewed_seconds,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "Claim":
        """Does nothing more."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Gives the claim back, if it is still held."""
        self._is_over.set()
        self._thread.join()
        if self.is_held():
            # The newest last: until then it holds.
            for generation in sorted(_generations(self._folder, self._name)):
                _path(self._folder, self._name, generation).unlink(missing_ok=True)

    def is_held(self) -> bool:
        """Returns whether nobody has taken it over; that happens to a process that was stopped for long."""
        return max(_generations(self._folder, self._name), default=0) == self._generation

    def _renew(self, seconds: float) -> None:
        while not self._is_over.wait(seconds):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return
            except OSError:
                continue  # A server that is away for a moment.


def take(
    folder: Path,
    name: str = WHOLE_FOLDER,
    *,
    renewed_seconds: float = RENEWED_SECONDS,
    abandoned_seconds: float = ABANDONED_SECONDS,
) -> Claim | None:
    """Returns the claim of that name in ``folder``; None if another process has it.

    Whether the work is done has to be looked up after this, not only before.

    Args:
      folder: exists.
      name: of the file.
      renewed_seconds: between two renewals.
      abandoned_seconds: without one, after which a claim from another machine counts for nothing.
    """
    newest = max(_generations(folder, name), default=0)
    if newest and not _is_abandoned(_path(folder, name, newest), abandoned_seconds):
        return None
    path = _path(folder, name, newest + 1)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(_this_process(), file)
    claim = Claim(folder, name, newest + 1, renewed_seconds=renewed_seconds)
    if not claim.is_held():
        # The generations before were given back, and taken anew from the first on, between two lines above.
        claim.__exit__()
        path.unlink(missing_ok=True)
        return None
    return claim


def holder(folder: Path, name: str = WHOLE_FOLDER) -> str | None:
    """Returns who has the claim, ``process 12 on HOST``; None if nobody has."""
    newest = max(_generations(folder, name), default=0)
    if not newest:
        return None
    found = _read(_path(folder, name, newest))
    return f"process {found.get('pid', '?')} on {found.get('host', 'an unknown machine')}"


def _path(folder: Path, name: str, generation: int) -> Path:
    return folder / (name if generation == 1 else f"{name}.{generation}")


def _generations(folder: Path, name: str) -> Iterator[int]:
    pattern = re.compile(re.escape(name) + r"(?:\.(\d{1,9}))?")
    for entry in os.listdir(folder):
        found = pattern.fullmatch(entry)
        if found:
            yield int(found[1] or 1)


def _is_abandoned(path: Path, abandoned_seconds: float) -> bool:
    found, here = _read(path), _this_process()
    if here["machine"] and found.get("machine") == here["machine"] and isinstance(found.get("pid"), int):
        return _started(found["pid"]) != found.get("started")
    try:
        renewed = path.stat().st_mtime
    except FileNotFoundError:
        return False  # Given back this moment.
    return _now(path.parent) - renewed > abandoned_seconds


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # Created and not yet written, or given back this moment.
    return found if isinstance(found, dict) else {}


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()), "machine": _machine()}


def _machine() -> str | None:
    """Returns what processes have in common that can look each other up by number; None where that is not known.

    The name of a host is not enough: containers may share it, on one machine or several.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Returns when a process began, in the clock ticks of its machine; None if there is none of that number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold anything.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _now(folder: Path) -> float:
    """Returns the time by the clock that also gives the claims theirs, which may be a file server's."""
    probe = folder / f".clock.{secrets.token_hex(6)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
