"""What SparseGPT does besides the published cases: other scopes, groups that blocks do not fit, dead inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxprune.errors import RequestError
from jaxprune.pruning.patterns import NM, Unstructured, parse_pattern
from jaxprune.pruning.sparsegpt import SparseGPT, prune_inputs_in_a_loop, prune_inputs_unrolled
from tests.pruning import published
from tests.pruning.samples import correlated_inputs, prune, random_kernel


def surgeon(kernel, inputs, choose, *, block_size=128, damping=0.01):
    """Optimal brain surgeon by its definition, input after input: each zero moves what comes after it, nothing before.

    Pruning input i of the inputs from i on: ``w -= w_i / [H^-1]_00 * [H^-1]_0`` with H their part of the Gram matrix.

    Args:
      choose: ``(start, scores) -> mask`` of the block that starts there, from its weights at that moment.
    """
    x = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
    gram = x.T @ x / len(x)
    gram += damping * np.mean(np.diag(gram)) * np.eye(len(gram))
    weights, masks = kernel.astype(np.float64), []
    inverses = [np.linalg.inv(gram[i:, i:]) for i in range(len(gram))]
    for start in range(0, len(gram), block_size):
        end = min(start + block_size, len(gram))
        costs = np.square(weights[start:end]) / np.asarray([inverses[i][0, 0] for i in range(start, end)])[:, None]
        masks.append(choose(start, costs))
        for i in range(start, end):
            pruned = np.where(masks[-1][i - start], 0, weights[i]) / inverses[i][0, 0]
            weights[i:] -= np.outer(inverses[i][0], pruned)
    mask = np.concatenate(masks)
    return np.where(mask, weights, 0), mask


def lowest_of_each_output(start, scores):
    """Keeps all but the lowest half, rounded so that halves of blocks add up to the half of the whole."""
    count = (start + len(scores)) // 2 - start // 2
    return scores > np.sort(scores, axis=0)[count - 1]


def test_zeros_can_be_counted_for_each_output():
    inputs, kernel = correlated_inputs(141), random_kernel(141, 6)
    weights, mask = surgeon(kernel, inputs, lowest_of_each_output)
    result = prune(SparseGPT(), Unstructured(0.5, "output"), kernel, inputs)
    np.testing.assert_array_equal(result.mask, mask)
    np.testing.assert_allclose(result.kernel, weights, rtol=1e-4, atol=1e-5 * np.abs(weights).max())


def test_the_kernel_scope_is_decided_before_anything_moves():
    inputs, kernel = correlated_inputs(141), random_kernel(141, 6)
    upper = published.sparsegpt_factor(kernel.T.copy(), published.sparsegpt_hessian(inputs), 0.01)
    scores = (kernel / np.diag(upper)[:, None]) ** 2
    mask = scores > np.sort(scores.ravel())[423 - 1]
    weights, _ = surgeon(kernel, inputs, lambda start, scores: mask[start : start + len(scores)])
    result = prune(SparseGPT(), Unstructured(0.5, "kernel"), kernel, inputs)
    np.testing.assert_array_equal(result.mask, mask)
    np.testing.assert_allclose(result.kernel, weights, rtol=1e-4, atol=1e-5 * np.abs(weights).max())


@pytest.mark.parametrize("block_size", [7, 1000])
def test_the_block_size_is_a_parameter(block_size):
    inputs, kernel = correlated_inputs(130), random_kernel(130, 6)
    weight, mask, margin = published.sparsegpt(kernel.T, inputs, sparsity=0.5, block_size=block_size)
    assert margin > 1e-6
    result = prune(SparseGPT(block_size=block_size), Unstructured(0.5, "block"), kernel, inputs)
    np.testing.assert_array_equal(result.mask, mask.T)
    np.testing.assert_allclose(result.kernel, weight.T, rtol=1e-4, atol=1e-5 * np.abs(weight).max())


def test_groups_longer_than_a_block_are_not_cut():
    inputs, kernel = correlated_inputs(260), random_kernel(260, 4)
    weight, mask, margin = published.sparsegpt(kernel.T, inputs, n=50, m=130, block_size=130)
    assert margin > 1e-6
    result = prune(SparseGPT(), NM(50, 130), kernel, inputs)
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
    diagnostics = prune(SparseGPT(damping=0.25), NM(1, 2), kernel, inputs).diagnostics
    found = {name: np.asarray(value).item() for name, value in diagnostics.items()}
    assert found == {"damping": 0.25, "damping_raised": 0, "factorised": True, "dead_inputs": 1}


@pytest.mark.parametrize("options", [{"block_size": 0}, {"damping": 0.0}, {"damping": -1.0}, {"damping": float("nan")}])
def test_parameters_without_meaning_are_refused(options):
    with pytest.raises(RequestError, match="the published one is"):
        SparseGPT(**options)


def num_operations(jaxpr):
    """Counts the equations of a program and of all that it calls."""
    params = jax.tree.leaves([list(eqn.params.values()) for eqn in jaxpr.eqns])
    inner = [param.jaxpr if isinstance(param, ClosedJaxpr) else param for param in params]
    return len(jaxpr.eqns) + sum(num_operations(param) for param in inner if isinstance(param, Jaxpr))


@pytest.mark.parametrize("text", ["0.5", "2:4"])
def test_the_program_does_not_grow_with_the_width(text):
    method = SparseGPT()
    pattern = parse_pattern(text, None, method.default_scope)

    def program(width):
        def run(kernel, statistic):
            return method.prune(kernel, method.prepare(statistic), pattern)

        statistic = jax.eval_shape(lambda: method.statistic.zeros(width, 1))
        return jax.jit(run).trace(jax.ShapeDtypeStruct((width, 50), jnp.float32), statistic)

    narrow, wide = program(384), program(2560)
    assert num_operations(narrow.jaxpr.jaxpr) == num_operations(wide.jaxpr.jaxpr) > 100
    lines = [len(traced.lower().as_text().splitlines()) for traced in (narrow, wide)]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("size", [1, 4, 16])
def test_inputs_unrolled_and_in_a_loop_prune_alike(size):
    rng = np.random.default_rng(size)
    kernel = rng.standard_normal((size, 40)).astype(np.float32)
    lower = np.tril(rng.standard_normal((size, size)) * 0.3, -1).astype(np.float32)
    pivot = rng.uniform(0.5, 2, size).astype(np.float32)
    mask = rng.random((size, 40)) < 0.5
    # In float64, in the published order: each error is pushed on to all later inputs.
    left, errors, pruned = kernel.astype(np.float64), np.zeros((size, 40)), np.zeros((size, 40))
    for i in range(size):
        pruned[i] = np.where(mask[i], left[i], 0)
        errors[i] = np.where(mask[i], 0, left[i] / pivot[i])
        left[i + 1 :] -= lower[i + 1 :, i, None] * errors[i]
    for prune_inputs in (prune_inputs_in_a_loop, prune_inputs_unrolled):
        found_errors, found_pruned = prune_inputs(*map(jnp.asarray, (kernel, lower, pivot, mask)))
        np.testing.assert_allclose(found_errors, errors, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found_pruned, pruned, rtol=1e-5, atol=1e-6)
