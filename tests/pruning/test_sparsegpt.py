"""What SparseGPT does besides the published cases: other scopes, groups that blocks do not fit, dead inputs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.pruning.patterns import NM, Unstructured, parse_pattern
from jaxprune.pruning.sparsegpt import SparseGPT
from tests.pruning import published
from tests.pruning.samples import correlated_inputs, output_error, prune, random_kernel


def best_weights(kernel, mask, inputs, damping=0.01):
    """Returns, in float64, for each output the kept weights that least change the outputs under damping."""
    x = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
    gram = x.T @ x / len(x)
    gram += damping * np.mean(np.diag(gram)) * np.eye(len(gram))
    best = np.zeros(kernel.shape)
    for output, kept in enumerate(np.asarray(mask).T):
        best[kept, output] = np.linalg.solve(gram[np.ix_(kept, kept)], gram[kept] @ kernel[:, output].astype(np.float64))
    return best


@pytest.mark.parametrize("within", ["output", "kernel"])
def test_other_scopes_update_towards_the_best_weights_of_their_mask(within):
    inputs, kernel = correlated_inputs(203), random_kernel(203, 6)
    result = prune(SparseGPT(), Unstructured(0.5, within), kernel, inputs)
    left_alone = output_error(kernel, np.where(result.mask, kernel, 0), inputs)
    updated = output_error(kernel, result.kernel, inputs)
    best = output_error(kernel, best_weights(kernel, result.mask, inputs), inputs)
    assert best < updated < 0.5 * left_alone


def test_the_kernel_scope_is_decided_before_anything_moves():
    inputs, kernel = correlated_inputs(203), random_kernel(203, 6)
    result = prune(SparseGPT(), Unstructured(0.5, "kernel"), kernel, inputs)
    upper = published.sparsegpt_factor(kernel.T.copy(), published.sparsegpt_hessian(inputs), 0.01)
    scores = (kernel / np.diag(upper)[:, None]) ** 2
    np.testing.assert_array_equal(result.mask, scores > np.sort(scores.ravel())[203 * 3 - 1])


def test_a_lone_zero_leaves_the_best_weights():
    """Optimal brain surgeon's own case: the first input of each pair goes, and nothing is pruned before it."""
    inputs = correlated_inputs(2, length=50)
    kernel = np.asarray([[0.1], [1.0]], np.float32)
    result = prune(SparseGPT(), NM(1, 2), kernel, inputs)
    np.testing.assert_array_equal(result.mask, [[False], [True]])
    np.testing.assert_allclose(result.kernel, best_weights(kernel, result.mask, inputs), rtol=1e-4)


@pytest.mark.parametrize("block_size", [1, 7, 64, 1000])
def test_the_block_size_is_a_parameter(block_size):
    inputs, kernel = correlated_inputs(130), random_kernel(130, 6)
    weight, mask, margin = published.sparsegpt(kernel.T, inputs, sparsity=0.5, block_size=block_size)
    assert margin > 1e-6
    result = prune(SparseGPT(block_size=block_size), Unstructured(0.5, "block"), kernel, inputs)
    np.testing.assert_array_equal(result.mask, mask.T)
    np.testing.assert_allclose(result.kernel, weight.T, rtol=1e-4, atol=1e-5 * np.abs(weight).max())


@pytest.mark.parametrize(("n", "m", "d_in", "block_size"), [(3, 5, 255, 125), (50, 130, 260, 130)])
def test_groups_that_blocks_of_128_do_not_hold_are_never_cut(n, m, d_in, block_size):
    inputs, kernel = correlated_inputs(d_in), random_kernel(d_in, 4)
    weight, mask, _ = published.sparsegpt(kernel.T, inputs, n=n, m=m, block_size=block_size)
    result = prune(SparseGPT(), NM(n, m), kernel, inputs)
    np.testing.assert_array_equal(result.mask, mask.T)
    np.testing.assert_allclose(result.kernel, weight.T, rtol=1e-4, atol=1e-5 * np.abs(weight).max())


def test_more_dead_inputs_than_zeros_change_nothing_that_matters():
    dead = list(range(0, 60, 2))
    inputs, kernel = correlated_inputs(60, dead=dead), random_kernel(60, 5)
    result = prune(SparseGPT(), Unstructured(0.25, "output"), kernel, inputs)
    mask = np.asarray(result.mask)
    np.testing.assert_array_equal((~mask).sum(0), 15)
    assert mask[1::2].all()
    np.testing.assert_array_equal(np.asarray(result.kernel)[mask], kernel[mask])
    assert int(result.diagnostics["dead_inputs"]) == 30


def test_what_happened_is_reported():
    inputs, kernel = correlated_inputs(20, dead=[4]), random_kernel(20, 5)
    found = {k: np.asarray(v).item() for k, v in prune(SparseGPT(damping=0.25), NM(1, 2), kernel, inputs).diagnostics.items()}
    assert found == {"damping": 0.25, "damping_raised": 0, "factorised": True, "dead_inputs": 1}


@pytest.mark.parametrize("options", [{"block_size": 0}, {"damping": 0.0}, {"damping": -1.0}, {"damping": float("nan")}])
def test_parameters_without_meaning_are_refused(options):
    with pytest.raises(RequestError, match="the published one is"):
        SparseGPT(**options)


def num_operations(jaxpr):
    """Counts the equations of a program and of all that it calls."""
    inner = itertools.chain.from_iterable(jax.core.jaxprs_in_params(eqn.params) for eqn in jaxpr.eqns)
    return len(jaxpr.eqns) + sum(map(num_operations, inner))


@pytest.mark.parametrize("text", ["0.5", "2:4"])
def test_the_program_does_not_grow_with_the_width(text):
    method = SparseGPT()
    pattern = parse_pattern(text, None, method.default_scope)

    def program(width):
        def run(kernel, statistic):
            return method.prune(kernel, method.prepare(statistic), pattern)

        statistic = jax.eval_shape(lambda: method.statistic.zeros(width, 1))
        return jax.jit(run).trace(jax.ShapeDtypeStruct((width, 64), jnp.float32), statistic)

    narrow, wide = program(256), program(4096)
    assert num_operations(narrow.jaxpr.jaxpr) == num_operations(wide.jaxpr.jaxpr) > 100
    lines = [len(traced.lower().as_text().splitlines()) for traced in (narrow, wide)]
    assert lines[0] == lines[1]
