import hashlib
import struct

import numpy as np
import pytest

from jaxprune.data.calibration import check_vocabulary, load_tokens
from jaxprune.data.windows import load_windows
from jaxprune.errors import RequestError

IDS = np.arange(35).reshape(5, 7) * 11


def save(path, array, **options):
    np.save(path, array, **options)
    return path


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<i8", "<u2", "<u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_ids_are_used_exactly_as_given(tmp_path, dtype, order):
    path = save(tmp_path / "ids.npy", np.asarray(IDS, dtype, order=order))
    calibration = load_tokens(path, samples=None)
    assert calibration.tokens_NT.dtype == np.int32
    np.testing.assert_array_equal(calibration.tokens_NT, IDS)
    assert calibration.languages == ("tokens",) * 5
    account = calibration.account
    assert account["texts"] == f"tokens:{path}"
    assert account["languages"] == {"tokens": {"sequences": 5, "documents": None, "tokens": 35}}
    assert account["sha256"] == hashlib.sha256(struct.pack("<35i", *IDS.ravel())).hexdigest()
    assert (account["fill"], account["seed"], account["length"], account["sequences"]) == (None, None, 7, 5)
    path.unlink()
    np.testing.assert_array_equal(calibration.tokens_NT, IDS)


def test_fewer_rows_are_the_first(tmp_path):
    path = save(tmp_path / "ids.npy", IDS.astype(np.int32))
    np.testing.assert_array_equal(load_tokens(str(path), samples=2).tokens_NT, IDS[:2])
    windows = load_windows(path, windows=3)
    np.testing.assert_array_equal(windows.tokens_NT, IDS[:3])
    assert windows.num_bytes is None
    with pytest.raises(RequestError, match="has 5 rows, but 6 were asked for"):
        load_tokens(path, samples=6)
    with pytest.raises(RequestError, match="rows of one token"):
        load_windows(save(tmp_path / "thin.npy", np.ones((3, 1), np.int32)), windows=None)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IDS.astype(np.float32), "holds float32"),
        (IDS > 3, "holds bool"),
        (IDS.ravel(), r"has the shape \[35\]"),
        (IDS.reshape(5, 7, 1), r"has the shape \[5, 7, 1\]"),
        (IDS[:0], r"has the shape \[0, 7\]"),
        (IDS[:, :0], r"has the shape \[5, 0\]"),
        (np.array(3), r"has the shape \[\]"),
        (IDS - 1, "holds -1, which is no token id"),
        (IDS + 2**31, f"holds {340 + 2**31 + 34}, which is no token id"),
        (np.zeros((2, 2), [("a", "i4")]), "give an int32 .npy file"),
        (np.array([["a", "b"]]), "holds <U1"),
        (np.array([[{}, []]], dtype=object), "cannot be read"),
    ],
)
def test_arrays_that_are_no_ids(tmp_path, array, message):
    path = save(tmp_path / "ids.npy", array, allow_pickle=True)
    with pytest.raises(RequestError, match=message) as refusal:
        load_tokens(path, samples=None)
    assert str(path) in str(refusal.value)


def header(shape):
    text = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x80\x04N.",
        b"PK\x03\x04 no archive",
        header((10, 10)) + bytes(399),
        header((10**9, 10**9)) + bytes(400),
        header((10**30, 10)),
        header((-10, -10)) + bytes(400),
        b"\x93NUMPY\x01\x00\xff\xff{",
        header("(10, 10), 'x': __import__('os').getcwd()") + bytes(400),
    ],
)
def test_damaged_files_and_lying_headers(tmp_path, content):
    path = tmp_path / "ids.npy"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"\[sequences, length\]"):
        load_tokens(path, samples=None)


def test_archives_and_missing_files(tmp_path):
    np.savez(tmp_path / "ids.npz", ids=IDS)
    with pytest.raises(RequestError, match=r"ids\.npz cannot be read"):
        load_tokens(tmp_path / "ids.npz", samples=None)
    with pytest.raises(RequestError, match="there is no such file"):
        load_tokens(tmp_path / "nothing.npy", samples=None)


def test_ids_outside_the_vocabulary_are_named():
    tokens = IDS.astype(np.int32)
    check_vocabulary(tokens, 375)
    with pytest.raises(RequestError, match=r"token id 374 \(row 4, position 6\) is outside .* 374 ids"):
        check_vocabulary(tokens, 374)
    with pytest.raises(RequestError, match=r"token id 110 \(row 1, position 3\)"):
        check_vocabulary(tokens, 101)
    tokens[2, 5] = -4
    with pytest.raises(RequestError, match=r"token id -4 \(row 2, position 5\)"):
        check_vocabulary(tokens, 375)
