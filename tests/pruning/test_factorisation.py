"""The inverse's factor: both algorithms against float64, and what happens to a matrix that cannot be factorised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.pruning import factorisation
from jaxprune.pruning.factorisation import factorise_inverse, inverse_factor

ALGORITHMS = [
    jax.jit(factorisation.library_inverse_factor),
    jax.jit(factorisation.blocked_inverse_factor),
]
factorise = jax.jit(factorise_inverse, static_argnums=1)


def matrix_with(eigenvalues, seed=0):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    matrix = (rotation * eigenvalues) @ rotation.T
    return ((matrix + matrix.T) / 2).astype(np.float32)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=["library", "blocked"])
@pytest.mark.parametrize("width", [1, 40, 203, 256, 700])
@pytest.mark.parametrize("condition", [1e1, 1e5])
def test_both_algorithms_equal_float64(algorithm, width, condition):
    matrix = matrix_with(np.geomspace(1, condition, width))
    inverse = np.asarray(algorithm(matrix), np.float64)
    expected = np.linalg.cholesky(np.linalg.inv(matrix.astype(np.float64)))
    # Rounding of the matrix alone moves the factor by its condition times 6e-8.
    tolerance = 3e-7 * condition if condition > 10 else 2e-6
    assert np.linalg.norm(inverse - expected) < tolerance * np.linalg.norm(expected)
    np.testing.assert_array_equal(inverse, np.tril(inverse))


def test_a_badly_conditioned_matrix_is_as_well_served_by_either():
    matrix = matrix_with(np.geomspace(1, 3e5, 203))
    exact = np.linalg.cholesky(np.linalg.inv(matrix.astype(np.float64)))
    errors = [np.linalg.norm(np.asarray(algorithm(matrix)) - exact) for algorithm in ALGORITHMS]
    assert 0.1 < errors[0] / errors[1] < 10


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=["library", "blocked"])
@pytest.mark.parametrize("width", [40, 203])
def test_neither_hides_a_matrix_that_is_not_positive(algorithm, width):
    matrix = matrix_with(np.linspace(-1, 3, width))
    assert not np.isfinite(algorithm(matrix)).all()


def test_the_factor_belongs_to_the_inverse():
    matrix = matrix_with(np.geomspace(1, 50, 77))
    lower = np.asarray(jax.jit(inverse_factor)(matrix), np.float64)
    np.testing.assert_array_equal(lower, np.tril(lower))
    np.testing.assert_allclose(lower @ lower.T, np.linalg.inv(matrix.astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("mesh", [(8, 1), (2, 4), (3, 1)])
@pytest.mark.parametrize("width", [203, 700])
def test_devices_that_share_the_rows_get_the_same_factor(mesh, width):
    matrix = matrix_with(np.geomspace(1, 50, width))
    devices = jax.make_mesh(mesh, ("data", "model"), devices=jax.devices()[: mesh[0] * mesh[1]])
    whole = jax.sharding.PartitionSpec()
    shared = jax.shard_map(
        factorisation.blocked_inverse_factor, mesh=devices, in_specs=whole, out_specs=whole, check_vma=False
    )
    compiled = jax.jit(shared).lower(matrix).compile()
    assert "all-gather" in compiled.as_text()
    found = compiled(matrix)
    np.testing.assert_array_equal(found, ALGORITHMS[1](matrix))
    for shard in found.addressable_shards:
        np.testing.assert_array_equal(shard.data, found)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=["library", "blocked"])
@pytest.mark.parametrize("width", [40, 700])
def test_what_lies_below_the_diagonal_is_not_read(algorithm, width):
    """Statistics fill in the upper triangle only."""
    matrix = matrix_with(np.geomspace(1, 50, width))
    half = np.where(np.tri(width, k=-1, dtype=bool), np.float32(1e6), matrix)
    np.testing.assert_array_equal(algorithm(half), algorithm(matrix))


def test_tpus_are_given_the_blocked_algorithm():
    """Lowered for a TPU, no factorisation is larger than a panel."""
    shape = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
    text = jax.jit(inverse_factor).trace(shape).lower(lowering_platforms=("tpu",)).as_text()
    solves = [line for line in text.splitlines() if "cholesky" in line.lower() and "tensor<" in line]
    assert solves
    assert not any("1024x1024" in line.split("->")[-1] for line in solves)


def test_compiled_code_does_not_grow_with_the_width():
    def size(width):
        shape = jax.ShapeDtypeStruct((width, width), jnp.float32)
        lowered = jax.jit(factorisation.blocked_inverse_factor).trace(shape).lower(lowering_platforms=("tpu",))
        return len(lowered.as_text().splitlines())

    assert size(512) == size(2048)


def test_damping_is_a_share_of_the_mean_of_the_diagonal():
    gram = matrix_with(np.geomspace(1, 50, 30)) * np.float32(1e4)
    factor = factorise(gram, 0.03)
    damped = gram.astype(np.float64) + 0.03 * np.mean(np.diag(gram)) * np.eye(30)
    upper = np.asarray(factor.lower_II, np.float64).T
    np.testing.assert_allclose(upper @ damped @ upper.T, np.eye(30), atol=1e-5)
    assert float(factor.damping) == np.float32(0.03)
    assert int(factor.damping_raised) == 0
    assert bool(factor.factorised)


@pytest.mark.parametrize(("lowest", "damping", "raised"), [(-0.05, 0.1, 1), (-0.5, 1.0, 2)])
def test_damping_grows_until_the_matrix_can_be_factorised(lowest, damping, raised):
    """What rounding can make of a Gram matrix, exaggerated: an eigenvalue below zero."""
    eigenvalues = np.full(150, 1.0)
    eigenvalues[0] = lowest
    gram = matrix_with(eigenvalues)
    factor = factorise(gram, 0.01)
    assert bool(factor.factorised)
    assert int(factor.damping_raised) == raised
    np.testing.assert_allclose(factor.damping, damping, rtol=1e-6)
    damped = gram.astype(np.float64) + damping * np.mean(np.diag(gram)) * np.eye(150)
    upper = np.asarray(factor.lower_II, np.float64).T
    np.testing.assert_allclose(upper @ damped @ upper.T, np.eye(150), atol=1e-4)


def test_rounding_alone_can_break_a_gram_matrix():
    """Two tokens of a thousand equal inputs, summed in bfloat16 by someone: the least damping must grow, and does."""
    x = np.random.default_rng(0).standard_normal((2, 600)).astype(np.float32) + 30
    gram = np.asarray(jnp.asarray(x.T @ x / 2, jnp.bfloat16), np.float32)
    assert np.linalg.eigvalsh(gram.astype(np.float64)).min() < -1e-3 * np.mean(np.diag(gram))
    factor = factorise(gram, 1e-4)
    assert bool(factor.factorised)
    assert int(factor.damping_raised) >= 1


@pytest.mark.parametrize("gram", [matrix_with([-3.0] + [1.0] * 20), np.full((9, 9), np.nan, np.float32)])
def test_what_cannot_be_factorised_says_so(gram):
    factor = factorise(gram, 0.01)
    assert not bool(factor.factorised)
    np.testing.assert_allclose(factor.damping, 1.0, rtol=1e-6)


def test_damping_beyond_the_limit_is_tried_once():
    factor = factorise(np.eye(4, dtype=np.float32), 30.0)
    assert bool(factor.factorised)
    assert float(factor.damping) == 30


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_the_inputs_does_not_matter(scale):
    gram = matrix_with(np.geomspace(1, 50, 30))
    one = factorise(gram, 0.01)
    scaled = factorise(gram * np.float32(scale), 0.01)
    assert bool(scaled.factorised)
    np.testing.assert_allclose(
        np.asarray(scaled.lower_II, np.float64) * np.sqrt(scale), one.lower_II, rtol=1e-4, atol=1e-5
    )


def test_dead_inputs_reach_nothing():
    gram = matrix_with(np.geomspace(1, 50, 30))
    gram[[3, 29]] = 0
    gram[:, [3, 29]] = 0
    factor = factorise(gram, 0.01)
    np.testing.assert_array_equal(np.flatnonzero(factor.dead_I), [3, 29])
    upper = np.asarray(factor.lower_II).T
    off_diagonal = upper - np.diag(np.diag(upper))
    assert not off_diagonal[[3, 29]].any()
    assert not off_diagonal[:, [3, 29]].any()
    alive = np.setdiff1d(np.arange(30), [3, 29])
    # As if they were not there, but for the damping: its mean counts them.
    damping = 0.01 * 28 / 30
    without = factorise(gram[np.ix_(alive, alive)], damping)
    np.testing.assert_allclose(upper[np.ix_(alive, alive)], without.lower_II.T, rtol=1e-4, atol=1e-6)
    nothing = factorise(np.zeros((4, 4), np.float32), 0.01)
    assert bool(nothing.factorised)
    assert bool(nothing.dead_I.all())
