"""GGUF files that lie, are damaged, or are cut off: each ends in a message, soon, and takes no memory."""

import struct
import time
import tracemalloc

import numpy as np
import pytest

from jaxprune.checkpoints.gguf import GGUFFile
from jaxprune.checkpoints.gguf_header import read_header
from jaxprune.errors import RequestError
from tests.checkpoints.gguf_writing import random_tensors, write

U32, STRING, ARRAY = 4, 8, 9


def text(value):
    return struct.pack("<Q", len(value)) + value


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def tensor(name=b"t", shape=(32,), kind=0, offset=0, num_dimensions=None):
    dims = struct.pack(f"<{len(shape)}Q", *shape)
    return text(name) + struct.pack("<I", num_dimensions or len(shape)) + dims + struct.pack("<IQ", kind, offset)


def file_of(entries=(), tensors=(), *, version=3, num_tensors=None, num_entries=None, data=b"\0" * 128):
    counts = (
        len(tensors) if num_tensors is None else num_tensors,
        len(entries) if num_entries is None else num_entries,
    )
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join(entries) + b"".join(tensors)
    return header + b"\0" * (-len(header) % 32) + data


def strings(count, *values):
    return struct.pack("<IQ", STRING, count) + b"".join(map(text, values))


def test_a_header_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a.gguf"
    entries = [
        entry(b"b", 7, b"\1"),
        entry(b"i", 5, struct.pack("<i", -7)),
        entry(b"q", 10, struct.pack("<Q", 2**63)),
        entry(b"f", 6, struct.pack("<f", 1.5)),
        entry(b"d", 12, struct.pack("<d", 0.1)),
        entry(b"s", STRING, text("naïve".encode())),
        entry(b"words", ARRAY, strings(3, b"x", b"", "語".encode())),
        entry(b"numbers", ARRAY, struct.pack("<IQ3h", 3, 3, -1, 0, 300)),
        entry(b"general.alignment", U32, struct.pack("<I", 64)),
    ]
    for version in (2, 3):
        body = file_of(entries, [tensor(b"t", (8, 4, 2), 1, 64)], version=version, data=b"")
        body += b"\0" * (-len(body) % 64)
        path.write_bytes(body + b"\0" * 64 + bytes(range(128)))
        header = read_header(path)
        numbers = header.metadata.pop("numbers")
        assert numbers.tolist() == [-1, 0, 300]
        assert header.metadata == {
            "b": True,
            "i": -7,
            "q": 2**63,
            "f": 1.5,
            "d": 0.1,
            "s": "naïve",
            "words": ["x", "", "語"],
            "general.alignment": 64,
        }
        assert header.tensors["t"][:1] == ((2, 4, 8),)
        assert header.tensors["t"][2:] == (len(body) + 64, 128)


LIES = {
    "nothing": b"",
    "no magic": b"GGML" + file_of()[4:],
    "version 1": file_of(version=1),
    "big-endian": file_of(version=3 << 24),
    "version zero": file_of(version=0),
    "2**60 tensors": file_of(num_tensors=2**60),
    "2**64 - 1 entries": file_of(num_entries=2**64 - 1),
    "a million tensors": file_of(num_tensors=10**6, data=b"\0" * 2**21),
    "one entry too few": file_of([entry(b"k", U32, b"\0\0\0\0")], num_entries=0, num_tensors=1),
    "a key of 2**62 bytes": file_of([struct.pack("<Q", 2**62)], num_entries=1),
    "a key past the end": file_of([struct.pack("<Q", 5000)], num_entries=1),
    "a key that is not UTF-8": file_of([entry(b"\xff\xfe", U32, b"\0\0\0\0")]),
    "a key that occurs twice": file_of([entry(b"k", U32, b"\0\0\0\0")] * 2),
    "an unknown type": file_of([entry(b"k", 13, b"\0" * 8)]),
    "a string past the end": file_of([entry(b"k", STRING, struct.pack("<Q", 2**40))]),
    "an array of 2**60 bytes": file_of([entry(b"k", ARRAY, struct.pack("<IQ", 0, 2**60))]),
    "an array of 2**21 doubles": file_of([entry(b"k", ARRAY, struct.pack("<IQ", 12, 2**21))], data=b"\0" * 2**22),
    "an array of 2**61 strings": file_of([entry(b"k", ARRAY, strings(2**61))]),
    "an array of too many strings": file_of([entry(b"k", ARRAY, strings(2**21))], data=b"\0" * 2**22),
    "arrays in arrays": file_of([entry(b"k", ARRAY, struct.pack("<IQ", ARRAY, 1) * 5000)]),
    "an array of an unknown type": file_of([entry(b"k", ARRAY, struct.pack("<IQ", 77, 1))]),
    "no dimensions": file_of(tensors=[tensor(shape=())]),
    "2**32 - 1 dimensions": file_of(tensors=[tensor(num_dimensions=2**32 - 1)]),
    "five dimensions": file_of(tensors=[tensor(shape=(1, 1, 1, 1, 1))]),
    "a dimension of zero": file_of(tensors=[tensor(shape=(32, 0))]),
    "dimensions that overflow": file_of(tensors=[tensor(shape=(2**32, 2**32))]),
    "dimensions that overflow to what is there": file_of(tensors=[tensor(shape=(2**62, 4, 2**2, 2**2))]),
    "a tensor past the end": file_of(tensors=[tensor(shape=(33,))]),
    "an offset past the end": file_of(tensors=[tensor(offset=2**63)]),
    "an offset between": file_of(tensors=[tensor(shape=(1,), offset=4)]),
    "tensors in the same place": file_of(tensors=[tensor(b"a"), tensor(b"b")]),
    "tensors that overlap": file_of(tensors=[tensor(b"a", offset=32, shape=(16,)), tensor(b"b", shape=(9,))]),
    "an unknown tensor type": file_of(tensors=[tensor(kind=4)]),
    "half a block": file_of(tensors=[tensor(shape=(48,), kind=8)]),
    "a tensor that occurs twice": file_of(tensors=[tensor(), tensor()]),
    "an alignment of zero": file_of([entry(b"general.alignment", U32, b"\0\0\0\0")]),
    "an alignment that is no power of two": file_of([entry(b"general.alignment", U32, b"\x30\0\0\0")]),
    "an alignment in words": file_of([entry(b"general.alignment", STRING, text(b"32"))]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_header_is_refused_without_taking_memory(tmp_path, lie):
    path = tmp_path / "a.gguf"
    path.write_bytes(LIES[lie])
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="GGUF"):
            read_header(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_a_path_that_leads_nowhere_is_refused(tmp_path):
    for path in (tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(RequestError, match="cannot be read"):
            read_header(path)


def use(path):
    """Does everything that can be done with a file."""
    file = GGUFFile(path)
    file.config()
    file.tokenizer()
    for name, spec in file.specs.items():
        found = file.read(name)
        assert (found.shape, found.dtype) == spec


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("whole") / "a.gguf", random_tensors(), tokens=True)
    use(path)
    return path.read_bytes()


def outcomes(path, bodies):
    """Counts how many of ``bodies`` are refused and how many can be used; anything else raises."""
    counts = {"refused": 0, "used": 0}
    for body in bodies:
        path.write_bytes(body)
        begin = time.monotonic()
        try:
            use(path)
            counts["used"] += 1
        except RequestError:
            counts["refused"] += 1
        assert time.monotonic() - begin < 5
    return counts


def test_a_file_cut_off_anywhere_is_refused(tmp_path, whole):
    end_of_header = whole.index(b"blk.1.ffn_down.weight") + 64
    cuts = [*range(0, end_of_header, 13), *range(end_of_header, len(whole) - 32, 4001)]
    counts = outcomes(tmp_path / "a.gguf", (whole[:cut] for cut in cuts))
    assert counts == {"refused": len(cuts), "used": 0}


def test_flipped_bytes_of_the_header_are_refused_or_harmless(tmp_path, whole):
    end_of_header = whole.index(b"blk.1.ffn_down.weight") + 64
    rng = np.random.default_rng(0)

    def flipped():
        for _ in range(700):
            body = bytearray(whole)
            for position in rng.integers(0, end_of_header, rng.integers(1, 4)):
                body[position] = rng.choice([0, 1, 255, 128, rng.integers(256)])
            yield bytes(body)

    counts = outcomes(tmp_path / "a.gguf", flipped())
    assert counts["refused"] > 100
    assert counts["used"] > 20
