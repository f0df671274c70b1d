"""Reads safetensors, one tensor at a time and nothing mapped, and writes them in any order."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.checkpoints.safetensors_header import DTYPE_NAMES, LENGTH_BYTES, read_header
from jaxprune.checkpoints.tensors import ALL_ROWS, TensorSpec, sample
from jaxprune.disk import no_room, out_of_room, take_space
from jaxprune.errors import RequestError


class SafetensorsFile:
    """One safetensors file."""

    def __init__(self, path: Path):
        """Reads and checks the header.

        Raises:
          RequestError: the file is missing, unreadable, truncated, or lies about itself.
        """
        self.path = path
        if not path.is_file():
            raise RequestError(f"{path} is needed and is not there (or is not a plain file); fetch it.")
        try:
            with path.open("rb", buffering=0) as file:
                header = read_header(file, str(path))
                self._size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise RequestError(f"{path} cannot be read: {error.strerror}; check its rights and the disk.") from error
        self.specs: Mapping[str, TensorSpec] = header.specs
        self.metadata: Mapping[str, str] = header.metadata
        self._offsets = header.offsets
        self._header = header.raw

    def read(self, name: str, rows: slice = ALL_ROWS) -> np.ndarray:
        """Returns some rows of a tensor, or all, in memory of their own; no more than them is read."""
        spec = self.specs[name]
        start, stop, _ = rows.indices(spec.shape[0]) if spec.shape else (0, 0, 1)
        shape = (stop - start, *spec.shape[1:]) if spec.shape else ()
        array = np.empty(shape, spec.dtype)
        self._fill(as_bytes(array), name, start * _row_bytes(spec))
        return array

    def read_bytes(self, name: str, start: int, stop: int) -> bytes:
        """Returns the bytes of a tensor from ``start`` to ``stop`` or its end, to compare it in pieces."""
        content = bytearray(max(0, min(stop, self.specs[name].num_bytes) - start))
        self._fill(memoryview(content), name, start)
        return bytes(content)

    def update_fingerprint(self, digest: Any) -> None:
        """Adds name, size, header and a few bytes of each tensor to ``digest``."""
        digest.update(f"{self.path.name} {self._size} {len(self._header)} ".encode())
        digest.update(self._header)
        for name, spec in self.specs.items():
            digest.update(self.read_bytes(name, *sample(spec.num_bytes)))

    def _fill(self, view: memoryview, name: str, start: int) -> None:
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self._offsets[name] + start)
                while len(view):  # one call reads at most 2 GiB
                    count = file.readinto(view)
                    if not count:
                        raise RequestError(
                            f"{self.path} ends within {name!r}; it changed while it was read: start again."
                        )
                    view = view[count:]
        except OSError as error:
            raise RequestError(f"{self.path}: {name!r} cannot be read: {error.strerror}; check the disk.") from error


class StreamedSafetensors:
    """A safetensors file whose tensors come one at a time, in any order.

    All its space is taken at the start, so that a full disk is found before any work is done. Opened again
    with the same tensors it keeps what is there; a tensor may be written more than once.
    """

    def __init__(self, path: Path, specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]):
        """Writes the header and takes the space of all tensors.

        Raises:
          RequestError: the disk is full, or ``path`` was begun for other tensors.
        """
        self._path = path
        self._specs = dict(specs)
        header, self._offsets, size = _layout(specs, metadata)
        mode = "r+b" if path.exists() else "x+b"
        try:
            with path.open(mode) as file:
                found = file.read(len(header))
                # What an interrupted run left is either this header or the beginning of it.
                if not header.startswith(found):
                    raise RequestError(
                        f"{path} was begun for other tensors than this run has; start again without --resume."
                    )
                self._is_resumed = found == header
                file.seek(0)
                file.write(header)
                file.flush()
                take_space(file.fileno(), size)
        except OSError as error:
            if no_room(error):
                raise out_of_room(error, path.parent, size) from error
            raise
        self._missing = set() if self._is_resumed else set(specs)

    def write(self, name: str, array: np.ndarray, start: int = 0) -> None:
        """Puts a tensor, or its rows from ``start`` on, in its place; in the dtype that was announced.

        Raises:
          RequestError: the disk is full.
        """
        spec = self._specs[name]
        fits = array.dtype == spec.dtype and array.shape[1:] == spec.shape[1:]
        fits &= not spec.shape or start + len(array) <= spec.shape[0]
        assert fits, f"{name}: announced {spec}, got {array.shape} {array.dtype} from row {start} on"
        view = as_bytes(np.ascontiguousarray(array))
        try:
            with self._path.open("r+b", buffering=0) as file:
                file.seek(self._offsets[name] + start * _row_bytes(spec))
                while len(view):
                    view = view[file.write(view) :]
        except OSError as error:
            if no_room(error):
                raise out_of_room(error, self._path.parent, spec.num_bytes) from error
            raise
        self._missing.discard(name)

    def sync(self) -> None:
        """Makes sure that what was written is on the disk, and not lost with a machine that stops."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Makes sure that every tensor was written and is on the disk."""
        # A file that was begun by an earlier run is known to be complete only by whoever resumed it.
        assert not self._missing, f"{self._path}: never written: {sorted(self._missing)[:3]}"
        self.sync()


def _row_bytes(spec: TensorSpec) -> int:
    return spec.num_bytes // spec.shape[0] if spec.shape and spec.shape[0] else 0


def as_bytes(array: np.ndarray) -> memoryview:
    """Returns the memory of a contiguous array."""
    # Through uint8, because Python's buffers know no bfloat16.
    return memoryview(array.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]


def _layout(specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int], int]:
    """Returns the header with its length before it, each tensor's place in the file, and the file's size."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    begins, position = {}, 0
    # Wide elements first, so that every tensor starts at a multiple of its element size.
    for name in sorted(specs, key=lambda name: -specs[name].dtype.itemsize):
        spec = specs[name]
        begins[name], position = position, position + spec.num_bytes
        entries[name] = {
            "dtype": DTYPE_NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [begins[name], position],
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    start = LENGTH_BYTES + len(text)
    header = len(text).to_bytes(LENGTH_BYTES, "little") + text
    return header, {name: start + begin for name, begin in begins.items()}, start + position
