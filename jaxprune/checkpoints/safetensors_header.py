"""The header of a safetensors file, believed only after it has been checked.

Layout: 8 bytes with the header's length (little-endian), the header (JSON), the tensors' bytes without gaps.
Format: https://github.com/huggingface/safetensors#format
"""

import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import ml_dtypes
import numpy as np

from jaxprune.checkpoints.json_file import MAX_BYTES, parse_object
from jaxprune.checkpoints.tensors import TensorSpec
from jaxprune.errors import RequestError

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "BOOL": np.bool_,
        "U8": np.uint8,
        "I8": np.int8,
        "F8_E5M2": ml_dtypes.float8_e5m2,
        "F8_E4M3": ml_dtypes.float8_e4m3fn,
        "F8_E8M0": ml_dtypes.float8_e8m0fnu,
        "I16": np.int16,
        "U16": np.uint16,
        "F16": np.float16,
        "BF16": ml_dtypes.bfloat16,
        "I32": np.int32,
        "U32": np.uint32,
        "F32": np.float32,
        "C64": np.complex64,
        "I64": np.int64,
        "U64": np.uint64,
        "F64": np.float64,
    }.items()
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

LENGTH_BYTES = 8


class Header(NamedTuple):
    """A header that has been found consistent with its file."""

    specs: dict[str, TensorSpec]  # in the order of the tensors' bytes
    offsets: dict[str, int]  # from the start of the file
    metadata: dict[str, str]
    raw: bytes


def read_header(file: BinaryIO, what: str) -> Header:
    """Reads and checks the header of an open safetensors file; ``what`` names it in messages.

    Raises:
      RequestError: it contradicts itself or the size of the file.
    """
    file_size = os.fstat(file.fileno()).st_size
    prefix = file.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        raise RequestError(f"{what} has {file_size} bytes, too few for a safetensors file; fetch it again.")
    length = int.from_bytes(prefix, "little")
    if length > file_size - LENGTH_BYTES:
        raise RequestError(
            f"{what}: its header should have {length} bytes, but the file has {file_size}: it is truncated, "
            "or not a safetensors file; fetch it again."
        )
    if length > MAX_BYTES:
        raise RequestError(f"{what}: a header of {length} bytes is refused, the limit is {MAX_BYTES}; fetch it again.")
    raw = file.read(length)
    if not raw.startswith(b"{"):
        raise RequestError(f"{what}: its header does not start with '{{'; it is no safetensors file; fetch it again.")
    entries = parse_object(raw, f"the header of {what}")
    metadata = _metadata(entries.pop("__metadata__", {}), what)
    start = LENGTH_BYTES + length
    return _locate(entries, start, file_size - start, metadata, raw, what)


def _locate(
    entries: Mapping[str, Any], start: int, size: int, metadata: dict[str, str], raw: bytes, what: str
) -> Header:
    tensors = {name: _entry(entry, f"{what}: tensor {name!r}") for name, entry in entries.items()}
    position = 0
    specs, offsets = {}, {}
    for name, (spec, begin, end) in sorted(tensors.items(), key=lambda item: item[1][1:]):
        if begin != position:
            problem = "overlap" if begin < position else "leave a hole"
            raise RequestError(f"{what}: its tensors {problem} before {name!r}; the file is damaged; fetch it again.")
        if end > size:
            raise RequestError(
                f"{what} is truncated: {name!r} ends at byte {start + end}, the file at {start + size}; fetch it again."
            )
        specs[name], offsets[name] = spec, start + begin
        position = end
    if position != size:
        raise RequestError(
            f"{what} has {size - position} bytes after its last tensor; the file is damaged; fetch it again."
        )
    return Header(specs, offsets, metadata, raw)


def _metadata(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise RequestError(f"{what}: its __metadata__ should map names to texts; the file is damaged; fetch it again.")
    return value


def _entry(entry: Any, what: str) -> tuple[TensorSpec, int, int]:
    """Returns one tensor's spec and byte range."""
    if not isinstance(entry, dict):
        raise RequestError(f"{what} is not described by an object; the file is damaged; fetch it again.")
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise RequestError(
            f"{what} is stored as {dtype!r}, which is not supported; give a checkpoint in F32, BF16 or F16."
        )
    if not _are_sizes(shape) or not _are_sizes(span) or len(span) != 2:
        raise RequestError(f"{what} has shape {shape!r} and range {span!r}; the file is damaged; fetch it again.")
    spec = TensorSpec(tuple(shape), DTYPES[dtype])
    if spec.num_bytes != span[1] - span[0]:
        raise RequestError(
            f"{what}: {dtype} {shape} takes {spec.num_bytes} bytes, but its range has {span[1] - span[0]}; "
            "the file is damaged; fetch it again."
        )
    return spec, span[0], span[1]


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    # NumPy has at most 64 axes and counts in int64. In Python, True is an integer too.
    return (
        isinstance(value, list) and len(value) <= 64 and all(type(item) is int and 0 <= item < 2**63 for item in value)
    )
