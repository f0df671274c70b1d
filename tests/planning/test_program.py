"""What is read off a compiled program, against what is known of it: products, loops, slices, exchanges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxprune.planning.program import Costs, program_costs
from jaxprune.planning.topologies import compile_anew, find_topology
from jaxprune.sharding import make_mesh


@pytest.fixture(scope="module")
def chip():
    """One chip of a TPU that is not here."""
    return jax.sharding.SingleDeviceSharding(find_topology("v5e:1x1", None).devices[0])


def text(function, *shapes, sharding=None):
    structs = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype in shapes]
    return compile_anew(jax.jit(function).lower(*structs)).as_text()


F32, BF16 = jnp.float32, jnp.bfloat16


@pytest.mark.parametrize("dtype", [F32, BF16])
def test_a_product_on_a_tpu(chip, dtype):
    """Its float32 products are rounded to bfloat16 unless the highest precision is asked for."""
    shapes = ((384, 640), dtype), ((640, 256), dtype)
    costs = program_costs(text(jnp.matmul, *shapes, sharding=chip))
    assert costs.flops == 2 * 384 * 640 * 256
    assert costs.wide_flops == costs.link_bytes == 0


def test_float32_products_at_full_precision_are_told_apart(chip):
    def product(a, b):
        return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)

    costs = program_costs(text(product, ((384, 640), F32), ((640, 256), F32), sharding=chip))
    assert (costs.flops, costs.wide_flops) == (0, 2 * 384 * 640 * 256)


def test_a_batch_of_products_is_a_batch_and_no_sum(chip):
    costs = program_costs(
        text(
            lambda a, b: jnp.einsum("bkij,bkjl->bkil", a, b),
            ((4, 8, 128, 256), BF16),
            ((4, 8, 256, 64), BF16),
            sharding=chip,
        )
    )
    assert costs.flops == 2 * 4 * 8 * 128 * 256 * 64


def test_several_contracted_axes(chip):
    costs = program_costs(
        text(lambda a, b: jnp.einsum("bti,btj->ij", a, b), ((4, 96, 256), BF16), ((4, 96, 128), BF16), sharding=chip)
    )
    assert costs.flops == 2 * 4 * 96 * 256 * 128


@pytest.mark.parametrize("on_tpu", [True, False])
def test_a_scan_counts_as_often_as_it_runs(chip, on_tpu):
    def repeated(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(jnp.matmul(x, w)), None), x, length=13)[0]

    costs = program_costs(text(repeated, ((64, 256), F32), ((256, 256), F32), sharding=chip if on_tpu else None))
    assert costs.flops == 13 * 2 * 64 * 256 * 256


def test_nested_loops_multiply(chip):
    def inner(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(jnp.matmul(x, w)), None), x, length=5)[0]

    def outer(x, w):
        return jax.lax.fori_loop(0, 7, lambda i, x: inner(x, w) + i.astype(F32), x)

    costs = program_costs(text(outer, ((64, 256), F32), ((256, 256), F32), sharding=chip))
    assert costs.flops == 35 * 2 * 64 * 256 * 256


def test_a_loop_whose_bound_is_computed_runs_as_often_as_it_is_said(chip):
    def repeated(x, w, times):
        return jax.lax.fori_loop(0, times * 2, lambda i, x: jnp.tanh(jnp.matmul(x, w)), x)

    program = text(repeated, ((64, 256), F32), ((256, 256), F32), ((), jnp.int32), sharding=chip)
    assert program_costs(program, open_trips=2.5).flops == 2.5 * 2 * 64 * 256 * 256


def test_what_is_tried_until_it_succeeds_counts_once(chip):
    def attempts(x, w):
        def body(state):
            tried, _, x = state
            x = jnp.tanh(jnp.matmul(x, w))
            return tried + 1, jnp.isfinite(x).all(), x

        return jax.lax.while_loop(lambda s: ~s[1] & (s[0] < 9), body, (jnp.int32(0), jnp.asarray(False), x))[2]

    costs = program_costs(text(attempts, ((64, 256), F32), ((256, 256), F32), sharding=chip))
    assert costs.flops == 2 * 64 * 256 * 256


def test_bytes_are_those_of_what_is_read_and_written(chip):
    """64 MB, far beyond what a core holds itself."""
    costs = program_costs(text(lambda x: x * 2, ((4096, 4096), F32), sharding=chip))
    assert costs.bytes == 2 * 4096 * 4096 * 4


def test_a_slice_costs_the_slice(chip):
    def rows(x):
        return jax.lax.map(lambda i: jnp.sum(jax.lax.dynamic_slice_in_dim(x, i * 8, 8)), jnp.arange(100))

    costs = program_costs(text(rows, ((8192, 2048), F32), sharding=chip))
    assert costs.bytes < 1.2 * 800 * 2048 * 4


@pytest.mark.parametrize(("axes", "share"), [((8, 1), 7 / 8), ((2, 4), 1 / 2)])
def test_exchanges_over_groups(axes, share):
    """Adding 512 x 384 numbers up over the devices on ``data``: a ring passes each part twice."""
    mesh = make_mesh({"data": axes[0], "model": axes[1]})
    split, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    struct = jax.ShapeDtypeStruct((axes[0], 512, 384), F32, sharding=split)
    program = jax.jit(lambda x: x.sum(0), out_shardings=whole).lower(struct).compile().as_text()
    assert program_costs(program).link_bytes == pytest.approx(2 * share * 512 * 384 * 4)


def test_gathering_counts_what_arrives():
    mesh = make_mesh({"data": 2, "model": 4})
    split, whole = NamedSharding(mesh, PartitionSpec(None, "model")), NamedSharding(mesh, PartitionSpec())
    struct = jax.ShapeDtypeStruct((512, 384), F32, sharding=split)
    program = jax.jit(lambda x: x + 1, out_shardings=whole).lower(struct).compile().as_text()
    assert program_costs(program).link_bytes == pytest.approx(3 / 4 * 512 * 384 * 4)


def test_costs_add_up():
    one = Costs(1.0, 2.0, 3.0, 4.0)
    assert one + one * 3.0 == Costs(4.0, 8.0, 12.0, 16.0)
    assert np.all(np.asarray([0.0] * 4) == [Costs().flops, Costs().wide_flops, Costs().bytes, Costs().link_bytes])
