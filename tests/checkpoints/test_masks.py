"""Masks on disk: their bits, and what they give back together with the dense checkpoint."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from jaxprune.checkpoints import create_writer, open_checkpoint
from jaxprune.checkpoints.masks import MASKS_FILE, Masks, MaskWriter, read_masked
from jaxprune.errors import RequestError
from tests.checkpoints.folders import assert_same_bits, read_all
from tests.tiny import write_tiny_checkpoint

# Neither width is a multiple of 8, so the last byte of a row is filled up.
_ODD = {
    "hidden_size": 45,
    "intermediate_size": 59,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "head_dim": 6,
}


@pytest.fixture
def dense(tmp_path):
    write_tiny_checkpoint(tmp_path / "dense", "llama", dtype="bfloat16", **_ODD)
    return open_checkpoint(str(tmp_path / "dense"))


def _random_masks(model, seed=0):
    rng = np.random.default_rng(seed)
    masks = {}
    for index in range(model.num_blocks):
        section = f"blocks/{index}"
        shapes = {linear: model.tensors(section)[f"{linear}/kernel"].shape[::-1] for linear in model.family.reads}
        masks[section] = {linear: rng.random(shape) < 0.4 for linear, shape in shapes.items()}
    return masks


def _write(folder, model, masks):
    writer = MaskWriter(folder, model)
    for section in reversed(masks):
        writer.write(section, masks[section])
    writer.finish()


def test_bits_are_where_the_layout_says(dense, tmp_path):
    masks = _random_masks(dense.model)
    _write(tmp_path / "jaxprune", dense.model, masks)
    path = tmp_path / "jaxprune" / MASKS_FILE
    stored = safetensors.numpy.load_file(path)
    assert len(stored) == 2 * 7
    name = "model.layers.1.mlp.down_proj.weight"
    expected = np.zeros((45, 8), np.uint8)
    for d_in, d_out in np.argwhere(masks["blocks/1"]["down_proj"]):
        expected[d_out, d_in // 8] |= 1 << (d_in % 8)
    assert stored[name].dtype == np.uint8
    np.testing.assert_array_equal(stored[name], expected)
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert json.loads(metadata["shapes"])[name] == [45, 59]
    assert "little-endian along the input axis" in metadata["layout"]
    assert "1 = kept" in metadata["layout"]


def test_what_is_written_is_read(dense, tmp_path):
    masks = _random_masks(dense.model)
    _write(tmp_path, dense.model, masks)
    stored = Masks(tmp_path)
    assert set(stored.names) == {name for name in read_all(tmp_path / "dense") if "_proj" in name}
    for section, linears in masks.items():
        for linear, mask in linears.items():
            found = stored.read(dense.model.tensors(section)[f"{linear}/kernel"].name)
            assert found.dtype == np.bool_
            np.testing.assert_array_equal(found, mask)


def test_masks_and_the_dense_checkpoint_give_back_a_pruned_one(dense, tmp_path):
    masks = _random_masks(dense.model)
    _write(tmp_path / "masks", dense.model, masks)
    expected = read_all(tmp_path / "dense")
    for section, linears in masks.items():
        for linear, mask in linears.items():
            name = dense.model.tensors(section)[f"{linear}/kernel"].name
            for d_out, d_in in np.ndindex(expected[name].shape):
                if not mask[d_in, d_out]:
                    expected[name][d_out, d_in] = ml_dtypes.bfloat16(0)
    (tmp_path / "pruned").mkdir()
    writer = create_writer(tmp_path / "pruned", dense, format="huggingface", dtype=None)
    for section in dense.model.sections:
        writer.write(section, read_masked(dense, Masks(tmp_path / "masks"), section))
    writer.finish()
    assert_same_bits(read_all(tmp_path / "pruned"), expected)


def test_an_interrupted_writer_goes_on(dense, tmp_path):
    masks = _random_masks(dense.model)
    MaskWriter(tmp_path, dense.model).write("blocks/0", masks["blocks/0"])
    again = MaskWriter(tmp_path, dense.model)
    again.write("blocks/1", masks["blocks/1"])
    again.finish()
    found = Masks(tmp_path).read("model.layers.0.self_attn.q_proj.weight")
    np.testing.assert_array_equal(found, masks["blocks/0"]["q_proj"])


def test_masks_of_another_model_are_refused(dense, tmp_path):
    write_tiny_checkpoint(tmp_path / "other", "llama")
    other = open_checkpoint(str(tmp_path / "other"))
    _write(tmp_path, other.model, _random_masks(other.model))
    with pytest.raises(RequestError, match=r"q_proj\.weight is for a weight \[72, 48\], and that of .* is \[30, 45\]"):
        read_masked(dense, Masks(tmp_path), "blocks/0")


def test_a_mask_that_is_not_there_is_named(dense, tmp_path):
    _write(tmp_path, dense.model, _random_masks(dense.model))
    with pytest.raises(RequestError, match=r"has no mask for lm_head\.weight, only for 14 others"):
        Masks(tmp_path).read("lm_head.weight")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"shapes": "x"},
        {"shapes": "[1]"},
        {"shapes": '{"a": 3}'},
        {"shapes": '{"a": [2, 90]}'},
        {"shapes": "{}"},
    ],
)
def test_other_files_are_no_masks(tmp_path, metadata):
    safetensors.numpy.save_file({"a": np.zeros((2, 3), np.uint8)}, tmp_path / MASKS_FILE, metadata=metadata)
    with pytest.raises(RequestError, match="masks"):
        Masks(tmp_path)


def test_a_folder_without_masks_says_so(tmp_path):
    with pytest.raises(RequestError, match=r"masks\.safetensors is needed and is not there"):
        Masks(tmp_path)
