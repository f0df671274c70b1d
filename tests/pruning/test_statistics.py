"""Sums over tokens: which count, for which group, and how precisely."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.pruning.statistics import InputGram, InputNorms, Statistic, add_products_of_panels, add_products_of_strips

STATISTICS = [InputNorms, InputGram]

update = jax.jit(lambda statistic, *batch: statistic.update(*batch))
means = jax.jit(lambda statistic: statistic.means())


def reference(statistic, x):
    """Returns the float64 mean over tokens of ``[..., d_in]``."""
    x = x.reshape(-1, x.shape[-1]).astype(np.float64)
    return np.square(x).mean(0) if statistic is InputNorms else x.T @ x / len(x)


def batches(dtype=np.float32):
    """Yields microbatches of two groups in turn: inputs, weights, group."""
    rng = np.random.default_rng(3)
    for index in range(7):
        x = jnp.asarray(rng.standard_normal((3, 11, 6)) + 0.3, dtype)
        weights = np.asarray([1, 1, index % 3 != 0], np.float32)
        yield x, jnp.asarray(weights), jnp.int32(index % 2)


def collect(statistic):
    return functools.reduce(lambda s, batch: update(s, *batch), batches(), statistic.zeros(6, 2))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_means_are_by_token_and_by_group(statistic):
    collected = collect(statistic)
    by_group = means(collected)
    assert isinstance(collected, Statistic)
    for group in range(2):
        kept = np.concatenate([np.asarray(x)[np.asarray(weights) > 0] for x, weights, of in batches() if of == group])
        assert int(collected.tokens_G[group]) == kept[..., 0].size
        np.testing.assert_allclose(by_group[group], reference(statistic, kept), rtol=1e-5)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_what_a_filler_holds_does_not_matter(statistic):
    x = np.ones((2, 5, 6), np.float32)
    x[1] = np.nan
    found = means(update(statistic.zeros(6, 1), x, jnp.asarray([1.0, 0.0]), jnp.int32(0)))
    np.testing.assert_array_equal(found, np.ones(found.shape))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_inputs_are_summed_in_float32(statistic, dtype):
    x = (np.random.default_rng(0).standard_normal((4, 1500, 6)) + 1).astype(dtype)
    found = means(update(statistic.zeros(6, 1), x, jnp.ones(4), jnp.int32(0)))
    assert found.dtype == jnp.float32
    # 6000 terms one after another lose about sqrt(6000) roundings; sums in half precision would be off by percents.
    np.testing.assert_allclose(found[0], reference(statistic, x.astype(np.float64)), rtol=2e-5)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_tokens_are_counted_one_by_one_beyond_the_integers_of_float32(statistic):
    many = statistic.zeros(1, 1).replace(tokens_G=jnp.asarray([2**24], jnp.int32))
    counted = update(many, jnp.ones((1, 1, 1)), jnp.ones(1), jnp.int32(0))
    assert int(counted.tokens_G[0]) == 2**24 + 1


@pytest.mark.parametrize("statistic", STATISTICS)
def test_nothing_seen_means_zero(statistic):
    assert not np.asarray(means(statistic.zeros(6, 3))).any()


@pytest.mark.parametrize("width", [128, 129, 300, 1100])
@pytest.mark.parametrize("shared_by", [1, 2])
def test_a_wide_gram_matrix_is_right_from_the_diagonal_up(width, shared_by):
    mesh = jax.make_mesh((2, shared_by), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    spec = jax.sharding.PartitionSpec
    x = (np.random.default_rng(width).standard_normal((2, 4, 5, width)) + 0.3).astype(np.float32)

    def on_device(x_BTI, group):
        statistic = InputGram.zeros(width, 2).update(x_BTI, jnp.asarray([1.0, 1.0, 1.0, 0.0]), group)
        return statistic.means()

    found = jax.jit(
        jax.shard_map(
            lambda x: jnp.stack([on_device(x[0], jnp.int32(group)) for group in (0, 1)])[None],
            mesh=mesh,
            axis_names={"data"},
            in_specs=spec("data"),
            out_specs=spec("data"),
        )
    )(x)
    for device in range(2):
        expected = np.triu(reference(InputGram, x[device, :3]))
        for group in (0, 1):
            np.testing.assert_allclose(np.triu(found[device, group, group]), expected, rtol=1e-4, atol=1e-5)
            assert not np.asarray(found[device, group, 1 - group]).any()


@pytest.mark.parametrize("add_products", [add_products_of_panels, add_products_of_strips])
@pytest.mark.parametrize("width", [7, 192, 513, 1600])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_what_cpus_and_what_others_compute_is_right_from_the_diagonal_up(add_products, width, dtype):
    rng = np.random.default_rng(width)
    x_NI = np.asarray(rng.standard_normal((9, width)), dtype)
    before_GII = rng.standard_normal((3, width, width)).astype(np.float32)
    after_GII = np.asarray(jax.jit(add_products)(before_GII, x_NI, jnp.int32(1)))
    expected_II = before_GII[1] + x_NI.T.astype(np.float64) @ x_NI.astype(np.float64)
    np.testing.assert_allclose(np.triu(after_GII[1]), np.triu(expected_II), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(after_GII[[0, 2]], before_GII[[0, 2]])


# Of six panels of 192 columns, the last of 64, 21 products; beside them a row of them, joined, is in memory.
@pytest.mark.parametrize(
    ("width", "products", "share"), [(64, 1, 1), (1024, 21, (5 * 6 / 2 * 192**2 + 64 * 1024) / 1024**2 + 192 / 1024)]
)
def test_the_gram_matrix_is_updated_in_place(width, products, share):
    """Its old buffer becomes the new one: two of a wide layer's would not fit."""
    statistic = InputGram.zeros(width, 1)
    arguments = (jnp.ones((2, 8, width)), jnp.ones(2), jnp.int32(0))
    compiled = jax.jit(lambda s, *batch: s.update(*batch), donate_argnums=0).lower(statistic, *arguments).compile()
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes >= statistic.gram_GII.nbytes
    # The products and the inputs, once as they come and once without fillers; no second matrix.
    assert memory.temp_size_in_bytes <= share * statistic.gram_GII.nbytes + 2 * arguments[0].nbytes
    assert compiled.as_text().count(" dot(") == products


@pytest.mark.parametrize("statistic", STATISTICS)
def test_sequences_split_over_devices_give_the_same(statistic):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x = np.random.default_rng(1).standard_normal((8, 9, 6)).astype(np.float32)
    weights = np.asarray([1] * 7 + [0], np.float32)
    nothing = statistic.zeros(6, 1)
    whole = update(nothing, x, weights, np.int32(0))
    split = update(nothing, jax.device_put(x, rows), jax.device_put(weights, rows), np.int32(0))
    np.testing.assert_array_equal(whole.tokens_G, split.tokens_G)
    for one, many in zip(jax.tree.leaves(whole), jax.tree.leaves(split), strict=True):
        np.testing.assert_allclose(one, many, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_shapes_can_be_computed_without_arrays(statistic):
    shapes = jax.eval_shape(lambda: statistic.zeros(6, 2))
    assert [leaf.shape[0] for leaf in jax.tree.leaves(shapes)] == [2, 2]
