"""Counting whole files in pieces, against the boolean arrays that they were made of."""

import numpy as np
import pytest

from jaxprune.analysis.bit_counts import count_on_accelerator, count_on_cpu
from jaxprune.analysis.masks import count_masks
from jaxprune.analysis.packed_masks import PackedMasks
from jaxprune.errors import RequestError
from tests.analysis.mask_files import block_masks, write_masks


@pytest.fixture
def runs(tmp_path):
    rng = np.random.default_rng(0)
    # Eleven blocks: as text, "10" would come before "2".
    masks = [block_masks(rng, 11, kept=kept) for kept in (0.3, 0.5, 0.9)]
    for index, of_run in enumerate(masks):
        write_masks(tmp_path / str(index), of_run)
    return masks, [PackedMasks(tmp_path / str(index)) for index in range(len(masks))]


@pytest.mark.parametrize("piece_bytes", [1, 40, 2**20])
@pytest.mark.parametrize("count_bits", [count_on_cpu, count_on_accelerator])
def test_counts_do_not_depend_on_the_pieces(runs, piece_bytes, count_bits):
    if piece_bytes == 1 and count_bits is count_on_accelerator:
        piece_bytes = 17  # as many compilations as shapes
    masks, packed = runs
    seen = []
    for counted in count_masks(packed, piece_bytes=piece_bytes, count_bits=count_bits, num_threads=3):
        kernel = counted.kernel
        seen.append((kernel.block, kernel.name))
        of_kernel = [of_run[kernel.name].astype(np.int64) for of_run in masks]
        assert of_kernel[0].shape == (kernel.d_out, kernel.d_in)
        np.testing.assert_array_equal(counted.both_RR, [[(a * b).sum() for b in of_kernel] for a in of_kernel])
        np.testing.assert_array_equal(counted.outputs_RO, [mask.sum(axis=1) for mask in of_kernel])
        np.testing.assert_array_equal(counted.inputs_RI, [mask.sum(axis=0) for mask in of_kernel])
    assert {name for _, name in seen} == set(masks[0])
    assert [block for block, _ in seen] == sorted(block for block, _ in seen)
    assert len(seen) == 7 * 11


def test_names_say_block_and_projection(runs):
    kernel = next(kernel for kernel in runs[1][0].kernels if kernel.name == "model.layers.10.mlp.up_proj.weight")
    assert kernel[1:] == (10, "up_proj", 43, 27)
    assert kernel.num_weights == 43 * 27


def test_the_first_difference_is_named(tmp_path, runs):
    masks, packed = runs
    name = "model.layers.3.self_attn.k_proj.weight"
    other = {**masks[0], name: np.ones((15, 28), bool)}
    write_masks(tmp_path / "wider", other)
    with pytest.raises(RequestError, match=rf"{name} is \[15, 27\] in .*/0/.* and \[15, 28\] in .*wider"):
        list(count_masks([packed[0], PackedMasks(tmp_path / "wider")]))
    write_masks(tmp_path / "fewer", {key: mask for key, mask in masks[0].items() if key != name})
    with pytest.raises(RequestError, match=rf"/0/.* has a mask for {name} and .*fewer.* has none"):
        list(count_masks([packed[0], PackedMasks(tmp_path / "fewer")]))
    with pytest.raises(RequestError, match=rf"/0/.* has a mask for {name} and .*fewer.* has none"):
        list(count_masks([PackedMasks(tmp_path / "fewer"), packed[0]]))


def test_a_truncated_file_is_refused(tmp_path):
    path = write_masks(tmp_path, block_masks(np.random.default_rng(0)))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RequestError, match="truncated"):
        PackedMasks(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_ends_in_a_message(tmp_path):
    path = write_masks(tmp_path, block_masks(np.random.default_rng(0)))
    packed = PackedMasks(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RequestError, match="changed while it was read"):
        list(count_masks([packed, packed]))


def test_bits_without_a_weight_are_refused(tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    path = write_masks(tmp_path, {name: np.zeros((3, 13), bool)})
    content = bytearray(path.read_bytes())
    content[-1] = 1 << 4  # the last output's input 12: the last there is
    path.write_bytes(content)
    assert next(iter(count_masks([PackedMasks(tmp_path)] * 2))).inputs_RI[0, 12] == 1
    content[-1] = 1 << 5
    path.write_bytes(content)
    with pytest.raises(RequestError, match=f"{name} has bits set past its 13 inputs"):
        list(count_masks([PackedMasks(tmp_path)] * 2))


@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.x.q_proj.weight", "model.layers.1.q_proj.bias"])
def test_masks_of_anything_but_a_block_are_refused(tmp_path, name):
    write_masks(tmp_path, {name: np.ones((2, 8), bool)})
    with pytest.raises(RequestError, match=f"{name} .* is not a weight of a transformer block"):
        PackedMasks(tmp_path)


def test_a_file_without_masks_is_refused(tmp_path):
    write_masks(tmp_path, {})
    with pytest.raises(RequestError, match="holds no mask"):
        PackedMasks(tmp_path)


def test_damage_that_is_found_late_ends_in_a_message_and_nothing_more(tmp_path, runs):
    masks, packed = runs
    path = write_masks(tmp_path / "late", masks[0])
    late = PackedMasks(tmp_path / "late")
    header = int.from_bytes(path.read_bytes()[:8], "little") + 8
    path.write_bytes(path.read_bytes()[: header + 2000])
    counted = count_masks([packed[0], late], num_threads=2)
    assert next(counted).kernel.block == 0
    with pytest.raises(RequestError, match="late"):
        list(counted)
    assert list(counted) == []
