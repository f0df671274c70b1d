"""One safetensors file, with the safetensors library as the judge of what is valid."""

import hashlib
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from jaxprune import disk
from jaxprune.checkpoints import safetensors_file
from jaxprune.checkpoints.safetensors_file import SafetensorsFile, StreamedSafetensors
from jaxprune.checkpoints.tensors import TensorSpec
from jaxprune.errors import RequestError
from tests.checkpoints.raw_safetensors import entry, write_raw


def _tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "bytes": rng.integers(0, 256, (3, 5), dtype=np.uint8),
        "bf16": rng.standard_normal((7, 3)).astype(ml_dtypes.bfloat16),
        "f32": np.asarray([[-0.0, 1e-45, 3e38]], np.float32),
        "none": np.zeros((0, 4), np.float16),
        "scalar": np.asarray(2.5, np.float32),
        "ÄѮ 模": rng.standard_normal(9).astype(np.float16),
    }


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return (first.shape, first.dtype, first.tobytes()) == (second.shape, second.dtype, second.tobytes())


def _lib_reads(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception:
        return None


def _ours_reads(path: Path) -> dict[str, np.ndarray] | None:
    try:
        file = SafetensorsFile(path)
        return {name: file.read(name) for name in file.specs}
    except RequestError:
        return None


def test_reads_what_the_library_writes(tmp_path):
    tensors = _tensors()
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
    file = SafetensorsFile(path)
    assert file.metadata == {"format": "pt"}
    assert file.specs == {name: (value.shape, value.dtype) for name, value in tensors.items()}
    assert all(_same(file.read(name), value) for name, value in tensors.items())
    whole = tensors["bf16"].tobytes()
    assert file.read_bytes("bf16", 5, 11) == whole[5:11]
    assert file.read_bytes("bf16", 40, 1000) == whole[40:]
    assert file.read_bytes("bf16", 1000, 1001) == b""


def test_keeps_nothing_mapped(tmp_path):
    path = tmp_path / "unmapped.safetensors"
    safetensors.numpy.save_file({"a": np.ones((512, 512), np.float32)}, path)
    kept = SafetensorsFile(path).read("a")
    assert kept.base is None
    assert kept.flags.writeable
    assert path.name not in Path("/proc/self/maps").read_text()


def test_the_library_reads_what_is_streamed_in_any_order(tmp_path):
    tensors = _tensors()
    specs = {name: TensorSpec(value.shape, value.dtype) for name, value in tensors.items()}
    path = tmp_path / "streamed.safetensors"
    writer = StreamedSafetensors(path, specs, {"format": "pt"})
    size = path.stat().st_size
    for name in reversed(tensors):
        writer.write(name, np.zeros_like(tensors[name]))
        writer.write(name, np.asfortranarray(tensors[name]) if tensors[name].ndim == 2 else tensors[name])
    writer.finish()
    assert path.stat().st_size == size
    found = _lib_reads(path)
    assert found is not None
    assert found.keys() == tensors.keys()
    assert all(_same(found[name], value) for name, value in tensors.items())
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_reopened_file_keeps_what_is_there(tmp_path):
    tensors = _tensors()
    specs = {name: TensorSpec(value.shape, value.dtype) for name, value in tensors.items()}
    path = tmp_path / "resumed.safetensors"
    first, *others = tensors
    StreamedSafetensors(path, specs, {}).write(first, tensors[first])
    again = StreamedSafetensors(path, specs, {})
    for name in others:
        again.write(name, tensors[name])
    again.finish()
    file = SafetensorsFile(path)
    assert all(_same(file.read(name), value) for name, value in tensors.items())


def test_a_file_cut_off_while_it_was_begun_is_begun_again(tmp_path):
    tensors = _tensors()
    specs = {name: TensorSpec(value.shape, value.dtype) for name, value in tensors.items()}
    path = tmp_path / "cut.safetensors"
    StreamedSafetensors(path, specs, {})
    path.write_bytes(path.read_bytes()[:50])
    writer = StreamedSafetensors(path, specs, {})
    with pytest.raises(AssertionError, match="never written"):
        writer.finish()
    for name, value in tensors.items():
        writer.write(name, value)
    writer.finish()
    assert all(_same(SafetensorsFile(path).read(name), value) for name, value in tensors.items())


def test_a_file_begun_for_other_tensors_is_not_continued(tmp_path):
    path = tmp_path / "other.safetensors"
    StreamedSafetensors(path, {"a": TensorSpec((4,), np.dtype(np.float32))}, {})
    before = path.read_bytes()
    with pytest.raises(RequestError, match="without --resume"):
        StreamedSafetensors(path, {"a": TensorSpec((5,), np.dtype(np.float32))}, {})
    assert path.read_bytes() == before


def test_a_full_disk_is_found_at_the_start(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors_file.os, "posix_fallocate", refuse)
    monkeypatch.setattr(disk, "_free", lambda folder: 1234)
    specs = {"a": TensorSpec((10**6,), np.dtype(np.float32))}
    with pytest.raises(RequestError, match=r"is full: 4,000,\d\d\d bytes were needed, 1,234 bytes are free"):
        StreamedSafetensors(tmp_path / "full.safetensors", specs, {})


def test_a_missing_or_strange_file_is_refused(tmp_path):
    with pytest.raises(RequestError, match="is not there"):
        SafetensorsFile(tmp_path / "none.safetensors")
    with pytest.raises(RequestError, match="plain file"):
        SafetensorsFile(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "shrinks.safetensors"
    safetensors.numpy.save_file({"a": np.ones(100, np.float32)}, path)
    file = SafetensorsFile(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RequestError, match="'a'"):
        file.read("a")


_HUGE = 2**62
_LIES = {
    "empty": (b"", b"", None, "too few"),
    "length past the end": (b"{}", b"", 2**63, "truncated"),
    "length into the data": (b'{"a":', b"\0" * 8, 9, "not valid JSON"),
    "no object": (b"[1, 2]", b"", None, "does not start with"),
    "not UTF-8": (b'{"\xff": 1}', b"", None, "not valid JSON"),
    "half a surrogate": (
        b'{"\\ud800": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"1",
        None,
        "not valid JSON",
    ),
    "nested for ever": (b'{"a":' * 200_000, b"", None, "not valid JSON"),
    "an endless number": (b'{"a":' + b"9" * 100_000 + b"}", b"", None, "not valid JSON"),
    "named twice": (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"1",
        None,
        "'a' occurs twice",
    ),
    "entry is a number": ({"a": 7}, b"", None, "'a' is not described"),
    "no offsets": ({"a": {"dtype": "U8", "shape": [1]}}, b"1", None, "shape \\[1\\] and range None"),
    "unknown dtype": ({"a": entry("F6_E2M3", [4], 0, 3)}, b"123", None, "'a' is stored as 'F6_E2M3'"),
    "dtype is a list": ({"a": entry(["F32"], [1], 0, 4)}, b"1234", None, "'a' is stored as"),
    "negative dim": ({"a": entry("U8", [-1, -4], 0, 4)}, b"1234", None, "shape \\[-1, -4\\]"),
    "dim is a float": ({"a": entry("U8", [4.0], 0, 4)}, b"1234", None, "shape \\[4.0\\]"),
    "dim is true": ({"a": entry("U8", [True], 0, 1)}, b"1", None, "shape \\[True\\]"),
    "too many dims": ({"a": entry("U8", [1] * 65, 0, 1)}, b"1", None, "'a' has shape"),
    "product wraps to zero": (
        {"a": entry("U8", [2**32, 2**32], 0, 0)},
        b"",
        None,
        "takes 18446744073709551616 bytes",
    ),
    "huge and consistent": (
        {"a": entry("U8", [_HUGE], 0, _HUGE)},
        b"1234",
        None,
        "truncated: 'a' ends at byte",
    ),
    "range too small": (
        {"a": entry("F32", [3], 0, 8)},
        b"12345678",
        None,
        "takes 12 bytes, but its range has 8",
    ),
    "range backwards": ({"a": entry("U8", [0], 4, 0)}, b"1234", None, "its range has -4"),
    "one offset": ({"a": {"dtype": "U8", "shape": [0], "data_offsets": [0]}}, b"", None, "range \\[0\\]"),
    "overlap": (
        {"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)},
        b"123456",
        None,
        "overlap before 'b'",
    ),
    "hole": ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 4, 6)}, b"123456", None, "hole before 'b'"),
    "hole at the start": ({"a": entry("U8", [2], 1, 3)}, b"123", None, "hole before 'a'"),
    "left over": ({"a": entry("U8", [2], 0, 2)}, b"123456", None, "4 bytes after"),
    "metadata is a list": ({"__metadata__": [], "a": entry("U8", [1], 0, 1)}, b"1", None, "__metadata__"),
    "metadata holds numbers": ({"__metadata__": {"a": 1}}, b"", None, "__metadata__"),
}


@pytest.mark.parametrize("name", _LIES)
def test_a_header_that_lies_is_refused_without_trouble(tmp_path, name):
    header, data, length, message = _LIES[name]
    path = write_raw(tmp_path / "lie.safetensors", header, data, length=length)
    if name == "empty":
        path.write_bytes(b"\1\0\0")
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match=message) as caught:
            SafetensorsFile(path)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert "lie.safetensors" in str(caught.value)


def test_an_oversized_header_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.safetensors"
    path.write_bytes((90 * 2**20).to_bytes(8, "little"))
    with path.open("r+b") as file:
        file.truncate(95 * 2**20)  # sparse: takes no room
    with pytest.raises(RequestError, match="a header of 94371840 bytes is refused"):
        SafetensorsFile(path)


def test_damaged_files_are_accepted_and_refused_as_by_the_library(tmp_path):
    """Random damage: we refuse what the library refuses, and what both accept has the same values."""
    rng = np.random.default_rng(3)
    path = tmp_path / "fuzzed.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(200, np.float16)}
    sound = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    num_header = 8 + int.from_bytes(sound[:8], "little")
    accepted = refused = 0
    for round_ in range(600):
        damaged = bytearray(sound)
        if round_ % 4 == 0:
            del damaged[rng.integers(len(damaged)) :]
        elif round_ % 4 == 1:
            damaged[rng.integers(8)] ^= 1 << rng.integers(8)
        else:
            reach = len(damaged) if round_ % 4 == 2 else num_header
            for position in rng.integers(0, reach, rng.integers(1, 4)):
                damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        theirs, ours = _lib_reads(path), _ours_reads(path)
        assert (theirs is None) == (ours is None), bytes(damaged)
        if ours is not None and theirs is not None:
            assert ours.keys() == theirs.keys()
            assert all(_same(ours[name], theirs[name]) for name in ours)
        accepted += ours is not None
        refused += ours is None
    assert accepted > 30
    assert refused > 300


def test_the_fingerprint_tells_weights_apart_and_not_runs(tmp_path):
    def fingerprint(**tensors: np.ndarray) -> str:
        path = tmp_path / "model.safetensors"
        safetensors.numpy.save_file(tensors, path)
        digest = hashlib.sha256()
        SafetensorsFile(path).update_fingerprint(digest)
        return digest.hexdigest()

    weights = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    assert fingerprint(a=weights) == fingerprint(a=weights.copy())
    assert fingerprint(a=weights) != fingerprint(a=weights * 2)
    assert fingerprint(a=weights) != fingerprint(b=weights)
    assert fingerprint(a=weights) != fingerprint(a=weights.reshape(50, 40))
