"""Masks and weights against float64 ports of the published code, and the papers' claim."""

import numpy as np
import pytest

from jaxprune.pruning import METHODS
from jaxprune.pruning.patterns import parse_pattern
from tests.pruning import published
from tests.pruning.samples import correlated_inputs, output_error, prune, random_kernel

# Widths that blocks of 128 fill and do not fill, a single output, inputs that are never active.
CASES = [
    ("0.5", 256, 24, ()),
    ("0.5", 130, 1, ()),
    ("0.5", 203, 9, (0, 130, 202)),
    ("2:4", 256, 24, ()),
    ("2:4", 132, 1, ()),
    ("2:4", 204, 9, (0, 130, 203)),
    ("4:8", 136, 1, (7,)),
    ("4:8", 200, 16, ()),
    ("3:5", 255, 6, ()),
]

# Score gaps below this are for rounding to decide.
FAIR = 1e-5


def published_options(pattern):
    if ":" not in pattern:
        return {"sparsity": float(pattern)}
    n, m = map(int, pattern.split(":"))
    # Blocks are a whole number of groups here; the original's last group of a block would be cut short.
    return {"n": n, "m": m}


@pytest.mark.parametrize(("pattern", "d_in", "d_out", "dead"), CASES)
@pytest.mark.parametrize("name", ["magnitude", "wanda"])
def test_scoring_methods_keep_what_the_published_code_keeps(name, pattern, d_in, d_out, dead):
    method = METHODS[name]()
    inputs = correlated_inputs(d_in, dead=dead)
    kernel = random_kernel(d_in, d_out)
    arguments = (kernel.T,) if name == "magnitude" else (kernel.T, inputs)
    mask, margin = getattr(published, name)(*arguments, **published_options(pattern))
    assert margin > FAIR
    pruned = prune(method, parse_pattern(pattern, None, method.default_scope), kernel, inputs)
    np.testing.assert_array_equal(pruned.mask, mask.T)
    np.testing.assert_array_equal(pruned.kernel, np.where(mask.T, kernel, 0))


@pytest.mark.parametrize(("pattern", "d_in", "d_out", "dead"), CASES)
def test_sparsegpt_gives_the_published_mask_and_weights(pattern, d_in, d_out, dead):
    method = METHODS["sparsegpt"]()
    inputs, kernel = correlated_inputs(d_in, dead=dead), random_kernel(d_in, d_out)
    options = published_options(pattern)
    block_size = 128 // options.get("m", 1) * options.get("m", 1)
    weight, mask, margin = published.sparsegpt(kernel.T, inputs, block_size=block_size, **options)
    assert margin > FAIR
    pruned = prune(method, parse_pattern(pattern, None, method.default_scope), kernel, inputs)
    np.testing.assert_array_equal(pruned.mask, mask.T)
    assert int(pruned.diagnostics["dead_inputs"]) == len(dead)
    # The original zeroes every weight of a dead input, also those that its mask keeps.
    alive = np.setdiff1d(np.arange(d_in), dead)
    np.testing.assert_allclose(
        np.asarray(pruned.kernel)[alive], weight.T[alive], rtol=1e-4, atol=1e-5 * np.abs(weight).max()
    )


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
def test_outputs_suffer_least_under_sparsegpt_and_most_under_magnitude(pattern):
    inputs, kernel = correlated_inputs(256), random_kernel(256, 24)
    errors = {}
    for name, method in METHODS.items():
        parsed = parse_pattern(pattern, None, method.default_scope)
        errors[name] = output_error(kernel, prune(method(), parsed, kernel, inputs).kernel, inputs)
    assert errors["sparsegpt"] < 0.8 * errors["wanda"]
    assert errors["wanda"] < 0.8 * errors["magnitude"]
