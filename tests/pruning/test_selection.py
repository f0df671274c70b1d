"""The lowest scores against a stable sort, and exact counts whatever ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.pruning import selection
from jaxprune.pruning.selection import select_lowest, select_lowest_of_few

SHAPE = (37, 11)


def scores_of(kind):
    rng = np.random.default_rng(5)
    distinct = rng.gamma(0.3, size=SHAPE).astype(np.float32)
    return {
        "distinct": distinct,
        "tied": np.round(distinct * 3) / 3,
        "zero": np.zeros(SHAPE, np.float32),
        "minus zero": np.where(distinct < 0.1, np.float32(-0.0), distinct),
        "subnormal": distinct * np.float32(1e-42),
        "one huge": np.where(distinct == distinct.max(), np.finfo(np.float32).max, 0).astype(np.float32),
    }[kind]


@jax.jit
def lowest_of_columns(scores, num):
    position = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 0)
    return select_lowest(scores, num, axes=(0,), position=position)


@jax.jit
def lowest_of_all(scores, num):
    """Positions run down the first column, then the next."""
    position = jnp.arange(scores.size, dtype=jnp.int32).reshape(scores.shape[::-1]).T
    return select_lowest(scores, num, axes=(0, 1), position=position)


few = jax.jit(select_lowest_of_few, static_argnums=1)


def first_by_sort(scores, k):
    """Returns True for the ``k`` lowest of a vector; of equal ones, the first."""
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(scores, kind="stable")[:k]] = True
    return chosen


@pytest.mark.parametrize("kind", ["distinct", "tied", "zero", "minus zero", "subnormal", "one huge"])
@pytest.mark.parametrize("k", [0, 1, 18, 36])
def test_each_column_like_a_stable_sort(kind, k):
    scores = scores_of(kind)
    chosen = lowest_of_columns(scores, jnp.int32(k))
    expected = np.stack([first_by_sort(column, k) for column in np.abs(scores).T], axis=1)
    np.testing.assert_array_equal(chosen, expected)


@pytest.mark.parametrize("kind", ["distinct", "tied", "zero", "minus zero", "subnormal", "one huge"])
@pytest.mark.parametrize("k", [0, 1, 200, SHAPE[0] * SHAPE[1] - 1])
def test_all_together_in_the_order_of_the_positions(kind, k):
    scores = scores_of(kind)
    chosen = lowest_of_all(scores, jnp.int32(k))
    expected = first_by_sort(np.abs(scores).T.ravel(), k).reshape(SHAPE[::-1]).T
    np.testing.assert_array_equal(chosen, expected)


def test_each_group_has_a_number_of_its_own():
    num = jnp.arange(SHAPE[1], dtype=jnp.int32)[None, :]
    for kind in ("distinct", "zero"):
        chosen = lowest_of_columns(scores_of(kind), num)
        np.testing.assert_array_equal(chosen.sum(0), np.arange(SHAPE[1]))


@pytest.mark.parametrize("kind", ["distinct", "tied", "zero", "one huge"])
@pytest.mark.parametrize("bits", [2, 4, 7])
def test_looking_less_often_changes_nothing(kind, bits, monkeypatch):
    """As on GPUs; some of these leave bits over, past the last one."""
    expected = [(lowest_of_columns(scores_of(kind), k), lowest_of_all(scores_of(kind), k)) for k in (1, 18, 36)]
    monkeypatch.setattr(selection, "_BITS_BETWEEN_LOOKS", {"cpu": bits})
    of_columns, of_all = jax.jit(lowest_of_columns.__wrapped__), jax.jit(lowest_of_all.__wrapped__)
    found = [(of_columns(scores_of(kind), k), of_all(scores_of(kind), k)) for k in (1, 18, 36)]
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_infinite_scores_are_not_selected_while_others_last():
    scores = np.where(np.arange(20) % 2, np.inf, 1).astype(np.float32)
    chosen = lowest_of_columns(scores[:, None], jnp.int32(10))
    np.testing.assert_array_equal(chosen[:, 0], np.isfinite(scores))


@pytest.mark.parametrize("kind", ["distinct", "tied", "zero", "minus zero", "subnormal"])
@pytest.mark.parametrize(("m", "num"), [(2, 1), (4, 2), (5, 2), (8, 0), (8, 8), (37, 30)])
def test_few_like_a_stable_sort(kind, m, num):
    scores = scores_of(kind)[: 37 // m * m].reshape(-1, m, 11)
    chosen = few(scores, num)
    for group, columns in enumerate(np.abs(scores)):
        for output, column in enumerate(columns.T):
            np.testing.assert_array_equal(chosen[group, :, output], first_by_sort(column, num))


def test_a_group_split_over_devices_selects_the_same():
    scores = scores_of("tied")[:32, :8]
    mesh = jax.make_mesh((4,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    columns = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "model"))
    split = lowest_of_all(jax.device_put(scores, columns), jnp.int32(100))
    np.testing.assert_array_equal(split, lowest_of_all(scores, jnp.int32(100)))
