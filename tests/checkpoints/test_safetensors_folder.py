"""One or several files and their index, and everything that can be wrong between them."""

import json

import numpy as np
import pytest
import safetensors.numpy

from jaxprune.checkpoints.safetensors_folder import SafetensorsFolder
from jaxprune.errors import RequestError


def _write(folder, shards, *, weight_map=None):
    """Writes ``{file: {tensor: array}}`` with its index, or with another one."""
    for file, tensors in shards.items():
        safetensors.numpy.save_file(tensors, folder / file)
    if weight_map is None:
        weight_map = {name: file for file, tensors in shards.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _array(*shape, value=1.0):
    return np.full(shape, value, np.float32)


_SHARDS = {
    "model-00001-of-00002.safetensors": {"a": _array(2, value=3), "b": _array(3)},
    "model-00002-of-00002.safetensors": {"c": _array(4, value=7)},
}


def test_reads_several_files(tmp_path):
    _write(tmp_path, _SHARDS)
    store = SafetensorsFolder(tmp_path)
    assert {name: spec.shape for name, spec in store.specs.items()} == {"a": (2,), "b": (3,), "c": (4,)}
    assert store.weight_map["c"] == "model-00002-of-00002.safetensors"
    np.testing.assert_array_equal(store.read("c"), _array(4, value=7))
    np.testing.assert_array_equal(store.read("a"), _array(2, value=3))


def test_a_single_file_may_have_any_name(tmp_path):
    safetensors.numpy.save_file({"a": _array(2)}, tmp_path / "weights.safetensors")
    store = SafetensorsFolder(tmp_path)
    assert store.weight_map == {"a": "model.safetensors"}
    np.testing.assert_array_equal(store.read("a"), _array(2))


def test_several_files_without_index_are_refused(tmp_path):
    for name in ("one", "two"):
        safetensors.numpy.save_file({name: _array(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(RequestError, match=r"2 safetensors files and no model\.safetensors\.index\.json"):
        SafetensorsFolder(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickles_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(RequestError, match=f"only in {name}: pickles.*convert them to safetensors"):
        SafetensorsFolder(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no safetensors file"):
        SafetensorsFolder(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    _write(tmp_path, _SHARDS)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(RequestError, match=r"names 2 files, and model-00002-of-00002\.safetensors is not there"):
        SafetensorsFolder(tmp_path)


def test_many_missing_shards_are_counted(tmp_path):
    _write(tmp_path, {}, weight_map={str(i): f"{i}.safetensors" for i in range(8)})
    with pytest.raises(RequestError, match=r"0\.safetensors, 1\.safetensors, 2\.safetensors and 5 more are not"):
        SafetensorsFolder(tmp_path)


def test_a_truncated_shard_is_named(tmp_path):
    _write(tmp_path, _SHARDS)
    path = tmp_path / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RequestError, match=r"model-00002-of-00002\.safetensors is truncated: 'c' ends at"):
        SafetensorsFolder(tmp_path)


def test_an_index_that_names_what_its_file_lacks_is_refused(tmp_path):
    right = {name: file for file, tensors in _SHARDS.items() for name in tensors}
    _write(tmp_path, _SHARDS, weight_map={**right, "d": "model-00001-of-00002.safetensors"})
    with pytest.raises(RequestError, match=r"lack 1 of its tensors: d \(in model-00001-of-00002"):
        SafetensorsFolder(tmp_path)


def test_a_tensor_that_the_index_does_not_name_is_refused(tmp_path):
    right = {name: file for file, tensors in _SHARDS.items() for name in tensors}
    del right["b"]
    _write(tmp_path, _SHARDS, weight_map=right)
    with pytest.raises(RequestError, match=r"does not name.* 1 of the tensors in its files: b \(in model-00001"):
        SafetensorsFolder(tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "../outside.safetensors",
        "/etc/x.safetensors",
        "sub/x.safetensors",
        "..",
        "model.bin",
        "",
        5,
        None,
        ["a"],
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(tmp_path, file):
    safetensors.numpy.save_file({"a": _array(2)}, tmp_path / "outside.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    _write(folder, {}, weight_map={"a": file})
    with pytest.raises(RequestError, match="does not name a safetensors file beside it"):
        SafetensorsFolder(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}', '{"weight_map"', "\0"])
def test_a_damaged_index_is_refused(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(RequestError, match=r"model\.safetensors\.index\.json"):
        SafetensorsFolder(tmp_path)


def test_tensors_are_compared_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxprune.checkpoints.safetensors_folder._COMPARE_BYTES", 7)
    values = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    late = values.copy()
    late[-1, -1] += 1
    _write(
        tmp_path,
        {
            "x.safetensors": {"a": values, "same": values.copy(), "late": late, "shape": values.T.copy()},
            "y.safetensors": {"elsewhere": values.copy(), "dtype": values.astype(np.float16)},
        },
    )
    store = SafetensorsFolder(tmp_path)
    assert store.are_equal("a", "same")
    assert store.are_equal("a", "elsewhere")
    assert not any(store.are_equal("a", other) for other in ("late", "shape", "dtype"))


def test_the_fingerprint_depends_on_every_file(tmp_path):
    _write(tmp_path, _SHARDS)
    before = SafetensorsFolder(tmp_path).fingerprint
    assert SafetensorsFolder(tmp_path).fingerprint == before
    safetensors.numpy.save_file({"c": _array(4, value=8)}, tmp_path / "model-00002-of-00002.safetensors")
    assert SafetensorsFolder(tmp_path).fingerprint != before
