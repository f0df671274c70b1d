"""Safetensors files written byte by byte, so that they can say anything."""

import json
from pathlib import Path
from typing import Any


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    """Returns a header's description of one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_raw(path: Path, header: dict[str, Any] | bytes, data: bytes, *, length: int | None = None) -> Path:
    """Writes a header (with a length that may be a lie) and data, and returns the path."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path
