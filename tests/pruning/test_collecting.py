"""Statistics over devices: who sums what, who talks to whom, and that pmap and shard_map are the same."""

import re
from collections import Counter

import jax
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.microbatches import make_microbatches
from jaxprune.models import FAMILIES, build_model
from jaxprune.pruning.collecting import abstract_statistics, check_data_parallel, collect, collect_statistics
from jaxprune.pruning.languages import MeanLanguages
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.pruning.wanda import Wanda
from jaxprune.sharding import batch_sharding, make_mesh, param_sharding, place_params
from jaxprune.sweep import Sweep
from tests.tiny import tiny_config, tiny_params

LANGUAGES = ("de", "de", "de", "sw", "sw")


def statistics_of(model, weights, method, *, data, model_axis=1, data_parallel="shard_map"):
    mesh = make_mesh({"data": data, "model": model_axis})
    tokens = np.random.default_rng(3).integers(0, model.config.vocab_size, (len(LANGUAGES), 7)).astype(np.int32)
    sweep = Sweep(model, make_microbatches(tokens, LANGUAGES, mesh=mesh), mesh=mesh, dtype=np.float32)
    sweep.embed(weights.__getitem__)
    params = place_params(mesh, weights["blocks/0"])
    return collect_statistics(
        sweep, 0, params, method, data_parallel=data_parallel, on_tokens=lambda tokens: None
    )  # fmt: skip


@pytest.mark.parametrize("method", [Wanda(languages=MeanLanguages()), SparseGPT()], ids=lambda m: m.name)
@pytest.mark.parametrize(("data", "model_axis"), [(4, 1), (1, 4), (2, 4)])
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_devices_together_sum_what_one_sums(model_type, method, data, model_axis):
    config = tiny_config(model_type)
    model, weights = build_model(config), tiny_params(config, seed=0)
    one = statistics_of(model, weights, method, data=1)
    many = statistics_of(model, weights, method, data=data, model_axis=model_axis)
    for name, statistic in one.items():
        for alone, shared in zip(jax.tree.leaves(statistic), jax.tree.leaves(many[name]), strict=True):
            assert shared.shape == (data, *alone.shape[1:])
            np.testing.assert_allclose(np.asarray(shared).sum(0), np.asarray(alone)[0], rtol=2e-5, atol=1e-5)
            if data > 1:
                assert (np.asarray(shared)[0] != np.asarray(alone)[0]).any(), "one device has not summed all"


@pytest.mark.parametrize("method", [Wanda(), SparseGPT()], ids=lambda m: m.name)
def test_pmap_gives_the_same_bits(method):
    config = tiny_config("gemma3_text")
    model, weights = build_model(config), tiny_params(config, seed=0)
    mapped = statistics_of(model, weights, method, data=4)
    pmapped = statistics_of(model, weights, method, data=4, data_parallel="pmap")
    for a, b in zip(jax.tree.leaves(mapped), jax.tree.leaves(pmapped), strict=True):
        np.testing.assert_array_equal(a, b)


def test_devices_along_data_do_not_talk_while_they_sum():
    """Nothing at all is exchanged on a mesh of data alone, and on a mixed one only between devices of one row."""
    model = build_model(tiny_config("llama"))

    def collectives(data, model_axis):
        mesh = make_mesh({"data": data, "model": model_axis})
        shapes = {path: tensor.shape[::-1] for path, tensor in model.tensors("blocks/0").items()}
        params = {
            path: jax.ShapeDtypeStruct(shape, np.float32, sharding=param_sharding(mesh, path, shape))
            for path, shape in shapes.items()
        }
        constants = {name: jax.numpy.asarray(value) for name, value in model.constants(0).items()}
        rows = batch_sharding(mesh)
        compiled = collect.lower(
            model, mesh, params, constants, abstract_statistics(model, SparseGPT(), 1, mesh),
            jax.ShapeDtypeStruct((8, 5, model.config.hidden_size), np.float32, sharding=rows),
            jax.ShapeDtypeStruct((8,), np.float32, sharding=rows),
            jax.ShapeDtypeStruct((), np.int32),
        ).compile()  # fmt: skip
        return re.findall(r" (?:all-[\w-]+|reduce-scatter|collective-[\w-]+)\(.*", compiled.as_text())

    assert collectives(8, 1) == []
    lines = collectives(4, 2)
    assert lines
    groups = Counter(re.search(r"replica_groups=(\S+),", line)[1] for line in lines)
    # Four rows of two neighbours: [4,2]<=[8].
    assert set(groups) <= {"[4,2]<=[8]", "{{0,1},{2,3},{4,5},{6,7}}"}, groups


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("vmap", {"data": 4, "model": 1}, "choose shard_map or pmap"),
        ("pmap", {"data": 2, "model": 2}, "use --data-parallel shard_map"),
    ],
)
def test_refuses_ways_that_do_not_exist_or_fit(name, sizes, message):
    with pytest.raises(RequestError, match=message):
        check_data_parallel(name, make_mesh(sizes))
