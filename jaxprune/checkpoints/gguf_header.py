"""Reads the header of a GGUF file that may be damaged or hostile.

The layout is that of GGUF versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Every
count and length in it is compared with the bytes that are left before anything of that size is read or
allocated, because the reader of the ``gguf`` package believes them.
"""

import hashlib
import io
import math
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from jaxprune.errors import RequestError

# Vocabularies of 262144 tokens with their merges take 25 MB; a claim beyond these limits is a lie or a
# mistake.
_MAX_HEADER_BYTES = 2**27
_MAX_ARRAY_LENGTH = 2**22
_MAX_ENTRIES = 2**16
_MAX_DIMENSIONS = 4

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING = 8
_ARRAY = 9


class TensorRecord(NamedTuple):
    """Where one tensor stands in the file."""

    shape: tuple[int, ...]  # row-major: the axis that is contiguous comes last
    kind: GGMLQuantizationType
    offset: int  # from the start of the file
    num_bytes: int


class Header(NamedTuple):
    """What a GGUF file says about itself; numeric arrays are NumPy arrays, those of strings are lists."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorRecord]
    sha256: str  # of the header and the file's size


def damaged(path: Path, found: str) -> RequestError:
    """Returns the error for a file that is not what its name promises."""
    return RequestError(f"{path} is not a GGUF file that can be read: {found}. Download or convert it again.")


def read_header(path: Path) -> Header:
    """Reads metadata and tensor records of the file at ``path``.

    Raises:
      RequestError: there is no such file, or what it says is not consistent with itself or with its size.
    """
    try:
        with path.open("rb") as file:
            return _Reader(path, file).header()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}; check the path.") from error


class _Reader:
    """A cursor that refuses to pass the end of the file."""

    def __init__(self, path: Path, file: io.BufferedReader):
        self._path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._end = min(self._size, _MAX_HEADER_BYTES)
        self._position = 0
        self._alignment = 32

    def header(self) -> Header:
        self._check_version()
        num_tensors = self._count("tensors", _MAX_ENTRIES)
        num_entries = self._count("metadata entries", _MAX_ENTRIES)
        metadata: dict[str, Any] = {}
        for _ in range(num_entries):
            key = self._string("a metadata key")
            if key in metadata:
                raise self._damaged(f"metadata key {key!r} occurs twice")
            metadata[key] = self._value(self._scalar("<I"), key)
        tensors: dict[str, TensorRecord] = {}
        for _ in range(num_tensors):
            name = self._string("a tensor name")
            if name in tensors:
                raise self._damaged(f"tensor {name!r} occurs twice")
            tensors[name] = self._tensor(name)
        start = self._data_start(metadata)
        tensors = {name: self._placed(name, tensor, start) for name, tensor in tensors.items()}
        self._check_apart(tensors)
        return Header(metadata, tensors, self._digest())

    def _check_version(self) -> None:
        if self._take(4, "its first bytes") != b"GGUF":
            raise self._damaged("it does not begin with the letters GGUF")
        version = self._scalar("<I")
        if version not in (2, 3):
            big_endian = version and version % 2**16 == 0
            found = "it is big-endian" if big_endian else f"its version is {version}"
            raise RequestError(
                f"{self._path}: {found}; little-endian GGUF files of version 2 and 3 are supported. "
                "Convert the model again with a current llama.cpp."
            )

    def _value(self, kind: int, key: str) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string(f"metadata {key!r}")
        if kind == _ARRAY:
            return self._array(key)
        raise self._damaged(f"metadata {key!r} has the unknown type {kind}")

    def _array(self, key: str) -> Any:
        kind = self._scalar("<I")
        length = self._count(f"elements of metadata {key!r}", _MAX_ARRAY_LENGTH)
        what = f"metadata {key!r}"
        if kind in _SCALARS:
            dtype = np.dtype(_SCALARS[kind])
            return np.frombuffer(self._take(length * dtype.itemsize, what), dtype)
        if kind == _STRING:
            return self._strings(length, what)
        # Nothing that a language model needs is an array of arrays, and llama.cpp reads none either.
        raise self._damaged(f"metadata {key!r} is an array of the unknown type {kind}")

    def _tensor(self, name: str) -> TensorRecord:
        num_dimensions = self._scalar("<I")
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise self._damaged(f"tensor {name!r} has {num_dimensions} dimensions")
        shape = struct.unpack(f"<{num_dimensions}Q", self._take(8 * num_dimensions, f"tensor {name!r}"))[::-1]
        kind, offset = struct.unpack("<IQ", self._take(12, f"tensor {name!r}"))
        try:
            kind = GGMLQuantizationType(kind)
            block, block_bytes = GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError):
            raise self._damaged(f"tensor {name!r} has the unknown type {kind}") from None
        if min(shape) == 0 or shape[-1] % block:
            raise self._damaged(f"tensor {name!r} of type {kind.name} has the shape {shape}")
        return TensorRecord(shape, kind, offset, math.prod(shape) // block * block_bytes)

    def _data_start(self, metadata: dict[str, Any]) -> int:
        self._alignment = metadata.get("general.alignment", self._alignment)
        if type(self._alignment) is not int or self._alignment < 1 or self._alignment & (self._alignment - 1):
            raise self._damaged(f"general.alignment is {self._alignment!r}, and should be a power of two")
        return -(-self._position // self._alignment) * self._alignment

    def _placed(self, name: str, tensor: TensorRecord, start: int) -> TensorRecord:
        offset = start + tensor.offset
        if tensor.offset % self._alignment or offset + tensor.num_bytes > self._size:
            raise self._damaged(
                f"tensor {name!r} should stand at bytes {offset} to {offset + tensor.num_bytes}, "
                f"and the file has {self._size}"
            )
        return tensor._replace(offset=offset)

    def _check_apart(self, tensors: dict[str, TensorRecord]) -> None:
        before, end = "", 0
        for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
            if tensor.offset < end:
                raise self._damaged(f"its tensors {before!r} and {name!r} overlap")
            before, end = name, tensor.offset + tensor.num_bytes

    def _digest(self) -> str:
        end = self._position
        self._file.seek(0)
        return hashlib.sha256(self._file.read(end) + self._size.to_bytes(8, "little")).hexdigest()

    def _scalar(self, code: str) -> Any:
        return struct.unpack(code, self._take(struct.calcsize(code), "its header"))[0]

    def _count(self, what: str, limit: int) -> int:
        count = self._scalar("<Q")
        # Whatever is counted here takes at least one byte.
        if count > min(limit, self._end - self._position):
            raise self._damaged(f"it claims {count} {what}")
        return count

    def _string(self, what: str) -> str:
        length = struct.unpack("<Q", self._take(8, what))[0]
        try:
            return self._take(length, what).decode()
        except UnicodeDecodeError:
            raise self._damaged(f"{what} is not UTF-8") from None

    def _strings(self, length: int, what: str) -> list[str]:
        # As ``_string``, without a call for each: vocabularies have hundreds of thousands.
        if length > (self._end - self._position) // 8:
            raise self._damaged(f"it claims {length} strings in {what}")
        read, unpack, end, strings = self._file.read, struct.Struct("<Q").unpack, self._end, []
        try:
            for _ in range(length):
                count = unpack(read(8))[0]
                self._position += 8 + count
                if self._position > end:
                    raise self._damaged(f"it ends within {what}")
                strings.append(read(count).decode())
        except UnicodeDecodeError:
            raise self._damaged(f"{what} is not UTF-8") from None
        except struct.error:
            raise self._damaged(f"it ends within {what}") from None
        return strings

    def _take(self, count: int, what: str) -> bytes:
        self._position += count
        if self._position > self._end:
            raise self._damaged(f"it ends, or its header exceeds {_MAX_HEADER_BYTES} bytes, within {what}")
        data = self._file.read(count)
        if len(data) != count:
            raise self._damaged(f"it ends within {what}")
        return data

    def _damaged(self, found: str) -> RequestError:
        return damaged(self._path, found)
