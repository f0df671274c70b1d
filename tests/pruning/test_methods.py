"""The contract: every method under every pattern, on kernels of every shape."""

import dataclasses
import fractions
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.pruning import METHODS
from jaxprune.pruning.method import PrunedKernel, PruningMethod, ScoringMethod
from jaxprune.pruning.patterns import NM, Unstructured, parse_pattern
from tests.pruning.samples import correlated_inputs, prune, random_kernel

# A pattern, the scope asked for, and a kernel [d_in, d_out]: square, wide, a single output, a single group, widths that
# blocks of 128 do not fill.
CASES = [
    ("0.5", None, (203, 3)),
    ("0.37", "output", (130, 7)),
    ("0.37", "kernel", (203, 3)),
    ("0.37", "block", (130, 1)),
    ("0", None, (9, 4)),
    ("2:4", None, (132, 5)),
    ("2:4", None, (4, 60)),
    ("4:8", None, (136, 1)),
    ("1:4", None, (48, 48)),
    ("3:5", None, (255, 4)),
    ("7:130", None, (260, 3)),
]
GRID = [
    pytest.param(name, text, within, shape, id=f"{name}-{text}-{within or 'published'}-{shape[0]}x{shape[1]}")
    for name in METHODS
    for text, within, shape in CASES
]


@pytest.mark.parametrize(("name", "text", "within", "shape"), GRID)
def test_every_method_obeys_every_pattern(name, text, within, shape):
    d_in, d_out = shape
    method = METHODS[name]()
    pattern = parse_pattern(text, within, method.default_scope)
    inputs = correlated_inputs(d_in, dead=[d_in // 2], sequences=2, length=32)
    kernel = random_kernel(d_in, d_out)
    result = prune(method, pattern, kernel, inputs)

    assert isinstance(result, PrunedKernel)
    pruned, mask = np.asarray(result.kernel), np.asarray(result.mask)
    assert pruned.shape == mask.shape == shape
    assert pruned.dtype == np.float32
    assert mask.dtype == bool
    assert np.isfinite(pruned).all()
    np.testing.assert_array_equal(pruned == 0, ~mask)
    if isinstance(method, ScoringMethod):
        np.testing.assert_array_equal(pruned[mask], kernel[mask])
    if isinstance(pattern, NM):
        np.testing.assert_array_equal(mask.reshape(-1, pattern.m, d_out).sum(1), pattern.n)
    elif pattern.within == "output":
        np.testing.assert_array_equal((~mask).sum(0), int(fractions.Fraction(text) * d_in))
    else:
        assert (~mask).sum() == int(fractions.Fraction(text) * kernel.size)
    assert all(value.shape == () for value in result.diagnostics.values())

    again = prune(method, pattern, kernel, inputs)
    np.testing.assert_array_equal(again.kernel, pruned)
    # An output knows its neighbours by their scores, not by their places.
    order = np.random.default_rng(2).permutation(d_out)
    permuted = prune(method, pattern, kernel[:, order], inputs)
    np.testing.assert_array_equal(permuted.mask, mask[:, order])
    np.testing.assert_allclose(permuted.kernel, pruned[:, order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["all weights equal", "all weights zero", "all inputs zero"])
@pytest.mark.parametrize("text", ["0.37", "2:4"])
def test_the_number_of_zeros_in_the_mask_is_exact_whatever_ties(name, kind, text):
    method = METHODS[name]()
    pattern = parse_pattern(text, None, method.default_scope)
    inputs = correlated_inputs(132, sequences=2, length=32) * np.float32(kind != "all inputs zero")
    kernel = random_kernel(132, 3)
    if kind != "all inputs zero":
        kernel = np.full_like(kernel, 0.25 if kind == "all weights equal" else 0)
    result = prune(method, pattern, kernel, inputs)
    expected = 66 * 3 if text == "2:4" else 48 * 3 if pattern.within == "output" else int(0.37 * 396)
    assert (~np.asarray(result.mask)).sum() == expected
    assert not np.asarray(result.kernel)[~np.asarray(result.mask)].any()
    assert np.isfinite(result.kernel).all()


@pytest.mark.parametrize("name", METHODS)
def test_scores_beyond_float32_are_merely_the_highest(name):
    """Weights near the largest number there is, times inputs above one."""
    method = METHODS[name]()
    pattern = parse_pattern("0.5", "kernel", method.default_scope)
    kernel = random_kernel(128, 4)
    kernel[:, 2:] *= 1e37 / np.abs(kernel).max()
    inputs = correlated_inputs(128, sequences=2, length=32) * np.float32(100)
    mask = np.asarray(prune(method, pattern, kernel, inputs).mask)
    assert not mask[:, :2].any()
    assert mask[:, 2:].all()


def test_scores_beyond_float32_are_not_taken_for_padding():
    """The last block has two inputs, three quarters of its weights go, and half of its scores overflow."""
    kernel = random_kernel(130, 4)
    kernel[:, 2:] *= 1e37 / np.abs(kernel).max()
    inputs = correlated_inputs(130, sequences=2, length=32) * np.float32(1e4)
    mask = np.asarray(prune(METHODS["wanda"](), Unstructured(0.75, "block"), kernel, inputs).mask)
    assert (~mask[128:]).sum() == 6


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_values(name):
    method = METHODS[name]()
    assert isinstance(method, PruningMethod)
    assert method.name == name
    assert method == METHODS[name]()
    assert hash(method) == hash(METHODS[name]())
    assert json.loads(json.dumps(dataclasses.asdict(method))) == dataclasses.asdict(method)


def test_a_method_is_one_small_class():
    @dataclasses.dataclass(frozen=True)
    class FarFromTheMean(ScoringMethod):
        name = "far"
        statistic = None
        default_scope = "output"
        exponent: float = 1.0

        def score(self, kernel_IO, inputs):
            return jnp.abs(kernel_IO - jnp.mean(kernel_IO)) ** self.exponent

    method = FarFromTheMean()
    kernel = random_kernel(20, 3) + 1
    result = method.prune(jnp.asarray(kernel), method.prepare(None), parse_pattern("0.5", None, method.default_scope))
    distance = np.abs(kernel - kernel.mean())
    np.testing.assert_array_equal(result.mask, distance > np.sort(distance, axis=0)[9])
