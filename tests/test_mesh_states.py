"""Hidden states off the mesh and back: the same numbers, whichever memory keeps them."""

import jax
import numpy as np
import pytest

from jaxprune import mesh_states
from jaxprune.mesh_states import MeshStates, most_on_device, most_on_devices
from jaxprune.sharding import PINNED, make_mesh, place_batch

SHAPE = (4, 3, 5)


# Bytes of all of them on one device of two.
SIZE = 3 * 2 * 3 * 5 * 4


@pytest.mark.parametrize(
    ("is_pinned", "limit", "device", "in_memory"),
    [
        (False, 10**9, 0, True),
        (False, 0, SIZE - 1, False),
        (True, 10**9, SIZE - 1, True),
        (True, 10**9, 2 * SIZE, False),
    ],
    ids=["host", "file", "pinned", "device"],
)
@pytest.mark.parametrize("data", [1, 2])
def test_what_is_taken_is_given_back(monkeypatch, is_pinned, limit, device, in_memory, data):
    # A CPU has such memory too, and no use for it.
    monkeypatch.setattr(mesh_states, "can_pin", lambda device: is_pinned)
    mesh = make_mesh({"data": data, "model": 1})
    states = MeshStates(mesh, 3, SHAPE, np.dtype(np.float32), limit_bytes=limit, device_bytes=device)
    wanted = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)
    waits = [states.take(i, place_batch(mesh, wanted[i])) for i in (2, 0, 1)]
    for wait in waits:
        wait()
    states.take(1, place_batch(mesh, wanted[1] * 2))()
    for i, factor in enumerate((1, 2, 1)):
        given = states.give(i)
        assert len(given.sharding.device_set) == data
        assert given.sharding.memory_kind == jax.devices()[0].default_memory().kind
        np.testing.assert_array_equal(given, wanted[i] * factor)
    assert states.host_bytes == (wanted.nbytes if in_memory else 0)
    held = [array for array in jax.live_arrays() if array.shape in (SHAPE, (4 // data, *SHAPE[1:]))]
    kinds = {array.sharding.memory_kind for array in held if array is not given}
    if device >= SIZE:
        assert len(held) >= 3
    assert (PINNED in kinds) == (is_pinned and device < SIZE)


def test_states_that_do_not_fit_memory_are_not_pinned(monkeypatch):
    monkeypatch.setattr(mesh_states, "can_pin", lambda device: True)
    mesh = make_mesh({"data": 1, "model": 1})
    states = MeshStates(mesh, 1, SHAPE, np.dtype(np.float32), limit_bytes=100)
    states.take(0, place_batch(mesh, np.ones(SHAPE, np.float32)))()
    assert states.host_bytes == 0
    np.testing.assert_array_equal(states.give(0), np.ones(SHAPE))


def test_devices_that_share_weights_keep_rows_once(monkeypatch):
    monkeypatch.setattr(mesh_states, "can_pin", lambda device: True)
    states = MeshStates(make_mesh({"data": 2, "model": 2}), 1, SHAPE, np.dtype(np.float32), limit_bytes=10**9)
    assert states.host_bytes == 4 * np.prod(SHAPE)
    states.take(0, place_batch(make_mesh({"data": 2, "model": 2}), np.ones(SHAPE, np.float32)))()
    assert not [array for array in jax.live_arrays() if array.sharding.memory_kind == PINNED]
    np.testing.assert_array_equal(states.give(0), np.ones(SHAPE))


def test_a_gpu_keeps_an_eighth_and_others_nothing():
    assert most_on_device("gpu", 80 * 10**9) == 10**10
    assert [most_on_device(*of) for of in (("gpu", None), ("tpu", 16 * 10**9), ("cpu", 64 * 10**9))] == [0, 0, 0]
    assert most_on_devices(make_mesh({"data": 2, "model": 1})) == 0
