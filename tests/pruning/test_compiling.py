"""Compilation ahead of need: what it compiles is what is called, and nothing is compiled twice."""

import logging

import jax
import numpy as np
import pytest

from jaxprune.jobs.settings import parse_method
from jaxprune.models.causal_lm import block_section
from jaxprune.pruning import compiling
from jaxprune.pruning.collecting import abstract_statistics
from jaxprune.pruning.compiling import CompiledAhead
from jaxprune.pruning.patterns import parse_pattern
from jaxprune.pruning.solving import prepare, prune
from jaxprune.sharding import make_mesh, place, place_params, solve_sharding
from tests.models.reference import make_pair
from tests.tiny import tiny_config


@pytest.fixture
def _log_compiles():
    # In all threads, for which jax.log_compiles does not speak.
    compiling._done.clear()
    jax.config.update("jax_log_compiles", True)
    yield
    jax.config.update("jax_log_compiles", False)


@pytest.mark.usefixtures("_log_compiles")
@pytest.mark.parametrize("name", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("axes", [{"data": 1, "model": 1}, {"data": 2, "model": 2}])
def test_every_shape_is_compiled_once(caplog, name, axes):
    pair = make_pair(tiny_config("llama"))
    model, mesh, method = pair.model, make_mesh(axes), parse_method(name)
    # A sparsity of no other test: what they have compiled would be found again.
    pattern = parse_pattern("0.37", None, method.default_scope)
    params = place_params(mesh, pair.params[block_section(0)])
    with caplog.at_level(logging.WARNING):
        ahead = CompiledAhead(model, params, method, pattern, mesh, num_groups=2)
        shapes = {params[f"{linear}/kernel"].shape for linear in model.family.reads}
        for shape in shapes:
            ahead.wait(shape)
        compiled = count(caplog)
        assert compiled == len(shapes)
        statistics = {} if method.statistic is None else abstract_statistics(model, method, 2, mesh)
        for linear, activation in model.family.reads.items():
            statistic = jax.tree.map(
                lambda of: place(np.ones(of.shape, of.dtype), of.sharding), statistics.get(activation)
            )
            prepared, _ = prepare(method, mesh, statistic)
            kernel = params[f"{linear}/kernel"]
            prune(method, pattern, mesh, place(kernel, solve_sharding(mesh, kernel.shape)), prepared)
        assert count(caplog) == compiled
        # A process that prunes again, as a study does, compiles nothing.
        again = CompiledAhead(model, params, method, pattern, mesh, num_groups=2)
        for shape in shapes:
            again.wait(shape)
        assert count(caplog) == compiled


def count(caplog):
    return sum("Finished XLA compilation of jit(prune)" in record.getMessage() for record in caplog.records)


def test_what_cannot_be_compiled_is_told_by_its_use():
    pair = make_pair(tiny_config("llama"))
    mesh, method = make_mesh({"data": 1, "model": 1}), parse_method("wanda")
    params = place_params(mesh, pair.params[block_section(0)])
    # 3 does not divide the widths.
    ahead = CompiledAhead(pair.model, params, method, parse_pattern("2:3", None, "output"), mesh, num_groups=1)
    for linear in pair.model.family.reads:
        ahead.wait(params[f"{linear}/kernel"].shape)
