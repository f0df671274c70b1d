"""Meshes: what is read, what is refused, and where arrays end up."""

import jax
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.sharding import make_mesh, parse_mesh, place_batch, place_params


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


def test_kernels_are_split_by_outputs_where_they_divide_and_batches_by_sequences():
    mesh = make_mesh({"data": 2, "model": 2})
    placed = place_params(mesh, {"q/kernel": np.ones((3, 4)), "odd/kernel": np.ones((4, 3)), "norm/scale": np.ones(4)})
    assert placed["q/kernel"].addressable_shards[0].data.shape == (3, 2)
    assert placed["odd/kernel"].addressable_shards[0].data.shape == (4, 3)
    assert placed["norm/scale"].addressable_shards[0].data.shape == (4,)
    assert place_batch(mesh, np.ones((6, 5))).addressable_shards[0].data.shape == (3, 5)
