"""Reads models from GGUF files, one tensor at a time (format: gguf.md in the documentation of ggml)."""

import contextlib
import functools
import hashlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import transformers
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from jaxprune.checkpoints.gguf_config import ROPE_FACTORS, build_config
from jaxprune.checkpoints.gguf_header import TensorRecord, damaged, read_header
from jaxprune.checkpoints.gguf_names import BLOCK_TENSORS, Restore, huggingface_name, restoration
from jaxprune.checkpoints.gguf_tokenizer import build_tokenizer
from jaxprune.checkpoints.tensors import ALL_ROWS, TensorSpec, sample
from jaxprune.errors import RequestError

_AS_STORED = {
    GGMLQuantizationType.F32: np.dtype(np.float32),
    GGMLQuantizationType.F16: np.dtype(np.float16),
    GGMLQuantizationType.BF16: np.dtype(ml_dtypes.bfloat16),
}
# Values that are dequantized at once: the temporary arrays of ``gguf`` are several times as large as its
# result.
_CHUNK_VALUES = 2**21
_GIVE_SOURCE = "give the Hugging Face folder that the file was made from."


class _Stored(NamedTuple):
    record: TensorRecord
    restore: Restore


class GGUFFile:
    """A ``TensorStore`` over a ``.gguf`` file, with the names, order and values of a Hugging Face checkpoint.

    Quantized tensors become float32; those stored as float32, float16 or bfloat16 stay what they are.
    """

    def __init__(self, path: Path):
        """Reads the header only.

        Raises:
          RequestError: the file is damaged, or its architecture, a type or its layout is not supported.
        """
        self._path = path
        self._header = read_header(path)
        metadata = self._header.metadata
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or architecture not in BLOCK_TENSORS:
            raise RequestError(
                f"{path} holds a model of architecture {architecture!r}; supported in GGUF files: "
                f"{', '.join(sorted(BLOCK_TENSORS))}; give a model of one of these."
            )
        num_parts = metadata.get("split.count", 1)
        if type(num_parts) is not int or num_parts > 1:
            raise RequestError(
                f"{path} is one of {num_parts} parts of a model; join them with `llama-gguf-split --merge` "
                "and give the result."
            )
        self._architecture = architecture
        self._config = build_config(path, architecture, metadata, self._header.tensors, self._rope_factors())
        self._tensors = self._restorable()
        self.specs = {name: self._spec(stored) for name, stored in self._tensors.items()}

    @property
    def fingerprint(self) -> str:
        """A sha256 over the header (all metadata, names, shapes, positions), size, and a few bytes of every tensor."""
        digest = hashlib.sha256(self._header.sha256.encode())
        with self._opened() as file:
            for record in self._header.tensors.values():
                begin, end = sample(record.num_bytes)
                stored = np.empty(end - begin, np.uint8)
                file.seek(record.offset + begin)
                self._fill(file, stored)
                digest.update(stored.data)
        return digest.hexdigest()

    def config(self) -> dict[str, Any]:
        """Returns what the model's ``config.json`` says, as far as it matters to what the model computes."""
        return {**self._config, "dtype": self._common_dtype()}

    def end_tokens(self) -> list[int]:
        """Returns the ids of the tokens with which a text, a turn or a message ends, of those that the file names."""
        ids = (self._header.metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom"))
        return sorted({token for token in ids if type(token) is int})

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Builds the tokenizer.

        Raises:
          RequestError: there is none in the file, or it is of an unknown kind.
        """
        return build_tokenizer(self._path, self._architecture, self._header.metadata)

    def read(self, name: str, rows: slice = ALL_ROWS) -> np.ndarray:
        """Returns some rows of tensor ``name``, or all, in memory of their own; reads and dequantizes all of it."""
        record, restore = self._tensors[name]
        return restore(self._read_record(record))[rows]

    def _rope_factors(self) -> np.ndarray | None:
        record = self._header.tensors.get(ROPE_FACTORS)
        if record is None:
            return None
        if record.kind != GGMLQuantizationType.F32 or len(record.shape) != 1:
            raise damaged(self._path, f"tensor {ROPE_FACTORS!r} is {record.kind.name} of shape {record.shape}")
        return self._read_record(record)

    def _restorable(self) -> dict[str, _Stored]:
        num_heads, num_kv_heads = self._config["num_attention_heads"], self._config["num_key_value_heads"]
        tensors, unknown = {}, []
        for stored_name, record in self._header.tensors.items():
            if stored_name == ROPE_FACTORS:
                continue  # a part of the configuration
            name = huggingface_name(self._architecture, stored_name)
            if name is None:
                unknown.append(stored_name)
                continue
            if not _can_dequantize(record.kind):
                raise RequestError(
                    f"{self._path}: type {record.kind.name} of tensor {stored_name!r} is not supported; {_GIVE_SOURCE}"
                )
            restore, row_multiple = restoration(self._architecture, stored_name, num_heads, num_kv_heads)
            if record.shape[0] % row_multiple:
                raise damaged(
                    self._path,
                    f"tensor {stored_name!r} has {record.shape[0]} rows, not a multiple of {row_multiple}",
                )
            tensors[name] = _Stored(record, restore)
        if unknown:
            raise RequestError(
                f"{self._path}: found {len(unknown)} tensors that no {self._architecture} model has that "
                f"jaxprune knows: {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}; {_GIVE_SOURCE}"
            )
        return tensors

    def _spec(self, stored: _Stored) -> TensorSpec:
        as_stored = _AS_STORED.get(stored.record.kind, np.dtype(np.float32))
        return TensorSpec(stored.record.shape, stored.restore(np.empty(0, as_stored)).dtype)

    def _common_dtype(self) -> str:
        dtypes = {spec.dtype.name for spec in self.specs.values()}
        return dtypes.pop() if len(dtypes) == 1 else "float32"

    def _read_record(self, record: TensorRecord) -> np.ndarray:
        with self._opened() as file:
            file.seek(record.offset)
            if record.kind in _AS_STORED:
                values = np.empty(record.shape, _AS_STORED[record.kind])
                self._fill(file, values.reshape(-1).view(np.uint8))
                return values
            return self._dequantized(file, record)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[io.BufferedReader]:
        try:
            with self._path.open("rb") as file:
                yield file
        except OSError as error:
            raise RequestError(f"{self._path} cannot be read: {error.strerror or error}; check the disk.") from error

    def _dequantized(self, file: io.BufferedReader, record: TensorRecord) -> np.ndarray:
        block, block_bytes = GGML_QUANT_SIZES[record.kind]
        blocks = math.prod(record.shape) // block
        values = np.empty(blocks * block, np.float32)
        for begin in range(0, len(values), _CHUNK_VALUES):
            part = values[begin : begin + _CHUNK_VALUES]
            # As one row: ``gguf`` loops over rows in Python.
            stored = np.empty((1, len(part) // block * block_bytes), np.uint8)
            self._fill(file, stored[0])
            # Scales that are not numbers give values that are not: whoever reads them refuses those by name.
            with np.errstate(over="ignore", invalid="ignore"):
                part[:] = dequantize(stored, record.kind)[0]
        return values.reshape(record.shape)

    def _fill(self, file: io.BufferedReader, target: np.ndarray) -> None:
        if file.readinto(target.data) != target.nbytes:
            raise damaged(self._path, "it has become shorter while it was read")


@functools.cache
def _can_dequantize(kind: GGMLQuantizationType) -> bool:
    if kind in _AS_STORED:
        return True
    try:
        with np.errstate(all="ignore"):
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True
