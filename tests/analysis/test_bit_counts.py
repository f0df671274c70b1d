"""Both ways of counting, against counting unpacked bits."""

import numpy as np
import pytest

from jaxprune.analysis.bit_counts import choose_counter, count_on_accelerator, count_on_cpu

# Around powers of two, where the tree of adders changes its shape.
SHAPES = [(1, 1), (2, 1), (3, 2), (4, 1), (5, 3), (63, 2), (64, 1), (65, 1), (200, 3), (1025, 1)]


def unpacked(words_OW):
    """Returns bits ``[O, I]``, one shift after the other."""
    return np.stack(
        [words_OW[:, i // 64] >> np.uint64(i % 64) & np.uint64(1) for i in range(64 * words_OW.shape[1])], 1
    )


@pytest.mark.parametrize("count", [count_on_cpu, count_on_accelerator])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_bit_is_counted_once(count, shape):
    rng = np.random.default_rng(sum(shape))
    words = [rng.integers(0, 2**64, shape, dtype=np.uint64) for _ in range(3)]
    words[1] |= words[0]
    bits = [unpacked(words_OW).astype(np.int64) for words_OW in words]
    found = count(words)
    np.testing.assert_array_equal(found.both_RR, [[(a * b).sum() for b in bits] for a in bits])
    np.testing.assert_array_equal(found.outputs_RO, [of_run.sum(axis=1) for of_run in bits])
    np.testing.assert_array_equal(found.inputs_RI, [of_run.sum(axis=0) for of_run in bits])
    assert all(counts.dtype == np.int64 for counts in found)


@pytest.mark.parametrize("count", [count_on_cpu, count_on_accelerator])
def test_all_and_none(count):
    full = np.full((300, 2), 2**64 - 1, np.uint64)
    found = count([full, np.zeros_like(full)])
    np.testing.assert_array_equal(found.both_RR, [[300 * 128, 0], [0, 0]])
    np.testing.assert_array_equal(found.inputs_RI, [[300] * 128, [0] * 128])
    np.testing.assert_array_equal(found.outputs_RO, [[128] * 300, [0] * 300])


def test_the_backend_chooses(monkeypatch):
    assert choose_counter() is count_on_cpu
    monkeypatch.setattr("jax.default_backend", lambda: "tpu")
    assert choose_counter() is count_on_accelerator
