"""Meshes: what is read, what is refused, and where arrays end up."""

import jax
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.sharding import (
    default_mesh,
    local_batch,
    local_rows,
    make_mesh,
    own_parts,
    param_sharding,
    parse_mesh,
    place,
    place_batch,
    place_params,
    solve_sharding,
)


def test_reads_axes_in_any_order_and_fills_in_the_missing_one():
    assert parse_mesh("model=2,data=4") == {"data": 4, "model": 2}
    assert parse_mesh("model=2") == {"data": 1, "model": 2}
    assert parse_mesh(None) is None


@pytest.mark.parametrize("text", ["", "data", "data=0", "data=-1", "tensor=2", "data=2,data=2", "data=two"])
def test_refuses_what_it_cannot_read(text):
    with pytest.raises(RequestError, match="data=N,model=M"):
        parse_mesh(text)


def test_refuses_more_devices_than_there_are():
    with pytest.raises(RequestError, match=f"and {jax.device_count()} "):
        make_mesh({"data": jax.device_count(), "model": 2})


@pytest.mark.parametrize(
    ("devices", "sequences", "data"), [(8, 128, 8), (8, 5, 4), (8, 1, 1), (6, 4, 3), (256, 128, 128), (1, 7, 1)]
)
def test_by_default_every_device_works_and_none_has_no_sequence(devices, sequences, data):
    assert default_mesh(devices, sequences) == {"data": data, "model": devices // data}


def test_without_text_only_weights_are_split():
    assert default_mesh(8, None) == {"data": 1, "model": 8}


def test_kernels_are_split_by_outputs_where_they_divide_and_batches_by_sequences():
    mesh = make_mesh({"data": 2, "model": 2})
    params = {
        "q/kernel": np.ones((3, 4)),
        "odd/kernel": np.ones((4, 3)),
        "norm/scale": np.ones(4),
        "tokens/embedding": np.ones((6, 5)),
    }
    shapes = {path: value.addressable_shards[0].data.shape for path, value in place_params(mesh, params).items()}
    assert shapes == {"q/kernel": (3, 2), "odd/kernel": (4, 3), "norm/scale": (4,), "tokens/embedding": (3, 5)}
    assert place_batch(mesh, np.ones((6, 5))).addressable_shards[0].data.shape == (3, 5)


@pytest.mark.parametrize(("outputs", "width"), [(16, 2), (12, 3), (10, 5), (9, 9)])
def test_outputs_are_solved_on_as_many_devices_as_divide_them(outputs, width):
    """On 2 x 4 devices: all eight, the four of ``model``, the two of ``data``, each for itself."""
    mesh = make_mesh({"data": 2, "model": 4})
    assert solve_sharding(mesh, (3, outputs)).shard_shape((3, outputs)) == (3, width)


class Recorded:
    """A stored array that notes what is read of it."""

    def __init__(self, array):
        self.array, self.shape, self.read = array, array.shape, []

    def __getitem__(self, index):
        self.read.append(self.array[index].size)
        return self.array[index]


def test_a_part_is_read_once_however_many_devices_hold_it():
    mesh = make_mesh({"data": 4, "model": 2})
    stored = Recorded(np.arange(24.0, dtype=np.float32).reshape(4, 6))
    placed = place(stored, param_sharding(mesh, "q/kernel", (4, 6)))
    np.testing.assert_array_equal(placed, stored.array)
    assert stored.read == [12, 12]


@pytest.mark.parametrize("axes", [("data",), (None, "model"), (None, ("data", "model")), ()])
def test_own_parts_are_the_whole_each_once(axes):
    mesh = make_mesh({"data": 2, "model": 4})
    array = np.arange(64, dtype=np.float32).reshape(8, 8)
    placed = jax.device_put(array, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)))
    found, times = np.zeros_like(array), np.zeros_like(array)
    for index, part in own_parts(placed):
        found[index] = part
        times[index] += 1
    np.testing.assert_array_equal(found, array)
    assert (times == 1).all()


def test_sequences_come_back_in_order_whatever_the_mesh():
    rows = np.arange(8 * 3, dtype=np.float32).reshape(8, 3)
    for sizes in ({"data": 4, "model": 2}, {"data": 1, "model": 8}, {"data": 8, "model": 1}):
        np.testing.assert_array_equal(local_rows(local_batch(make_mesh(sizes), rows, 8)), rows)
