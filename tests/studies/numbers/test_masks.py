"""Channels of masks: nothing beyond chance where nothing was planted, and what was planted is found."""

import numpy as np
import pytest

from jaxprune.analysis.competition import Competition
from jaxprune.analysis.masks import count_masks
from jaxprune.analysis.packed_masks import PackedMasks
from jaxprune.analysis.zeros import summarise
from jaxprune.studies.numbers.masks import beyond_chance, concentration, hidden_by_method, most_pruned
from tests.analysis.mask_files import write_masks

D_OUT, D_IN, BLOCKS = 80, 120, 12
QUANTILES = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]


def name(block):
    return f"model.layers.{block}.mlp.up_proj.weight"


@pytest.fixture
def result(tmp_path):
    """Half of each output's inputs pruned at random in one run; in the other, 12 inputs of a block lose 60 of 80."""
    rng = np.random.default_rng(0)
    random = {name(block): rng.random((D_OUT, D_IN)).argsort(axis=1).argsort(axis=1) >= 60 for block in range(BLOCKS)}
    planted = {key: mask.copy() for key, mask in random.items()}
    planted[name(5)][:, 7:19] = np.arange(D_OUT)[:, None] >= 60
    planted[name(5)][:, 7] = False
    for index, masks in enumerate((random, planted)):
        write_masks(tmp_path / str(index), masks)
    runs = [PackedMasks(tmp_path / str(index)) for index in range(2)]
    of_one = Competition(None, is_of_one_output=True)
    common, zeros = summarise(count_masks(runs), [of_one, of_one], head_dim=None, top=3)
    return {
        "runs": [{"label": label, "sparsity": common.sparsity(run)} for run, label in enumerate(("random", "planted"))],
        "quantiles": QUANTILES,
        "zeros": {label: found.as_json() for label, found in zip(("random", "planted"), zeros, strict=True)},
    }


def test_random_zeros_are_not_beyond_chance(result):
    random, planted = result["runs"]
    # Of 80 weights half are pruned by chance: 1.645 sqrt(80 / 4) / 80 are 9.2 points.
    assert abs(beyond_chance(result, random, "inputs")["up_proj"]) < 1
    assert beyond_chance(result, random, "outputs")["up_proj"] == pytest.approx(0, abs=1e-9)
    # A tenth of the channels of one block lost 75%: 25 points beyond even, 15.8 beyond chance.
    more = beyond_chance(result, planted, "inputs")["up_proj"] - beyond_chance(result, random, "inputs")["up_proj"]
    assert more == pytest.approx(15.8 / BLOCKS, abs=0.35)
    zeros = result["zeros"]["random"]
    assert concentration(zeros, "inputs")["gini"] == pytest.approx(
        concentration(zeros, "inputs")["by_chance"], rel=0.05
    )
    assert concentration(zeros, "outputs") == pytest.approx({"gini": 0, "by_chance": 0}, abs=1e-15)


def test_the_channel_that_lost_most_is_named(result):
    assert most_pruned(result["zeros"]["planted"], "inputs") == (5, "up_proj", 7, 1.0)
    assert most_pruned(result["zeros"]["random"], "outputs") is None


def test_without_zeros_nothing_is_told(result):
    kernels = result["zeros"]["random"]["kernels"]
    for kernel in kernels.values():
        kernel["inputs"] |= {"gini": None, "gini_by_chance": None, "most": []}
    assert concentration(result["zeros"]["random"], "inputs") is None
    assert most_pruned(result["zeros"]["random"], "inputs") is None
    assert beyond_chance(result, result["runs"][0], "inputs") == {"up_proj": None}


def test_hidden_channels_are_counted_by_method():
    hidden = {"a": [[4, 0.9], [1, 0.8]], "b": [[4, 0.7]], "c": [[2, 0.6]], "d": [], "e": None}
    methods = {"a": "wanda", "b": "wanda", "c": "sparsegpt", "d": "wanda", "e": "wanda"}
    result = {
        "runs": [{"label": label, "method": method} for label, method in methods.items()],
        "zeros": {
            label: {"hidden_channels": None if most is None else {"most": most}} for label, most in hidden.items()
        },
    }
    assert hidden_by_method(result) == {"wanda": ({4: 2, 1: 1}, 2), "sparsegpt": ({2: 1}, 1)}
