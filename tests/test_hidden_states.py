"""Hidden states between blocks: in memory or in a file, the same numbers."""

import errno
import os

import ml_dtypes
import numpy as np
import pytest

from jaxprune import hidden_states
from jaxprune.errors import RequestError
from jaxprune.hidden_states import HiddenStates


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize(("limit", "is_on_disk"), [(10**9, False), (0, True)])
def test_what_is_written_is_read_and_neighbours_stay(dtype, limit, is_on_disk):
    shape = (3, 5, 7)
    states = HiddenStates(4, shape, np.dtype(dtype), limit_bytes=limit)
    assert states.is_on_disk == is_on_disk
    wanted = np.random.default_rng(0).standard_normal((4, *shape)).astype(dtype)
    for batch in (2, 0, 3, 1, 2):
        states[batch] = wanted[batch]
    for batch in range(4):
        np.testing.assert_array_equal(states[batch], wanted[batch])


@pytest.mark.parametrize(("told", "wanted"), [("4000000\n", 2_000_000), ("max\n", None), (None, None)])
def test_a_container_has_the_memory_that_it_may_take(tmp_path, monkeypatch, told, wanted):
    limit = tmp_path / "memory.max"
    if told is not None:
        limit.write_text(told)
    monkeypatch.setattr(hidden_states, "_LIMITS", (limit,))
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert hidden_states.half_of_memory() == (machine // 2 if wanted is None else wanted)


def test_a_file_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(hidden_states.tempfile, "gettempdir", lambda: str(tmp_path))
    states = HiddenStates(2, (1, 1, 8), np.dtype(np.float32), limit_bytes=0)
    states[1] = np.ones((1, 1, 8), np.float32)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_before_any_work(monkeypatch):
    def full(descriptor, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hidden_states, "take_space", full)
    with pytest.raises(RequestError, match=r"is full: [\d,]+ bytes were needed"):
        HiddenStates(2, (1, 1, 8), np.dtype(np.float32), limit_bytes=0)
