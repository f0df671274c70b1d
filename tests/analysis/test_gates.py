"""Counts of open gates against transformers' own activations, on other meshes, and what is counted of which window."""

import jax
import numpy as np
import pytest
import torch

from jaxprune.analysis.gates import GateCounts, OpenGates
from jaxprune.microbatches import Microbatch, make_microbatches
from jaxprune.models import FAMILIES, build_model
from jaxprune.models.causal_lm import block_section
from jaxprune.sharding import make_mesh, place_params, replicate
from jaxprune.sweep import Sweep, advance
from tests.models.reference import make_pair, random_tokens, record_modules
from tests.tiny import tiny_config

ONE = {"data": 1, "model": 1}
# Seven and four windows: neither fills the batches that suit the other.
WINDOWS = {"de": random_tokens(11, count=7), "sw": random_tokens(11, count=11)[7:]}


def collect(pair, windows, *, mesh=ONE, leading=0, dtype="float32", batch_size=None):
    on = make_mesh(mesh)
    languages = [language for language, tokens in windows.items() for _ in tokens]
    batches = make_microbatches(np.concatenate(list(windows.values())), languages, mesh=on, batch_size=batch_size)
    sweep = Sweep(pair.model, batches, mesh=on, dtype=np.dtype(dtype))
    sweep.embed(pair.params.__getitem__)
    counts = GateCounts(list(windows), pair.model, leading=leading)
    for index in range(pair.model.num_blocks):
        params = place_params(on, pair.params[block_section(index)])

        def keep(batch, observed, index=index):
            counts.accumulate(index, batch, observed)

        sweep.advance(index, params, lambda tokens: None, observe=counts.observe, on_observed=keep)
    return counts


@pytest.mark.parametrize(
    ("model_type", "changes", "leading"),
    [*((name, {}, 1) for name in sorted(FAMILIES)), ("llama", {"mlp_bias": True}, 0)],
)
def test_a_gate_is_open_where_transformers_activation_is_positive(model_type, changes, leading):
    pair = make_pair(tiny_config(model_type, **changes), dtype=torch.float64)
    counts = collect(pair, WINDOWS, leading=leading)
    for language, tokens in WINDOWS.items():
        records = record_modules(pair, tokens)
        assert counts.tokens[language] == tokens.size - leading * len(tokens)
        assert counts.windows[language] == len(tokens)
        for index in range(pair.model.num_blocks):
            gate, activation = records[f"model.layers.{index}.mlp.act_fn"]
            wanted = (activation[:, leading:] > 0).sum(axis=(0, 1))
            # Float32 may take what is that near to zero for either.
            unsure = (np.abs(gate[:, leading:]) < 1e-5).sum(axis=(0, 1))
            assert np.all(np.abs(counts.counts[language][index] - wanted) <= unsure)
            assert unsure.sum() < 3
            assert 0 < wanted.mean() < counts.tokens[language]


@pytest.mark.parametrize("mesh", [{"data": 2, "model": 1}, {"data": 1, "model": 2}])
def test_every_mesh_counts_the_same(mesh):
    pair = make_pair(tiny_config("llama"))
    one, other = collect(pair, WINDOWS, leading=1), collect(pair, WINDOWS, mesh=mesh, leading=1)
    np.testing.assert_array_equal(one.tokens_LGN, other.tokens_LGN)
    # Sums of products in another order may take one that is next to zero for the other side.
    assert np.abs(one.summed()[0] - other.summed()[0]).sum() <= 2


def test_rows_that_only_fill_count_nothing():
    pair = make_pair(tiny_config("gemma3_text"))
    alone, filled = collect(pair, WINDOWS, batch_size=1), collect(pair, WINDOWS, batch_size=5)
    np.testing.assert_array_equal(alone.tokens_LGN, filled.tokens_LGN)
    assert np.abs(alone.summed()[0] - filled.summed()[0]).sum() <= 2


def test_bfloat16_counts_nearly_the_same():
    pair = make_pair(tiny_config("gemma3_text"))
    wanted, found = collect(pair, WINDOWS), collect(pair, WINDOWS, dtype="bfloat16")
    assert np.abs(wanted.summed()[0] - found.summed()[0]).mean() < 0.5


def test_a_languages_counts_are_its_own():
    """Another language's windows change nothing, and the order of windows neither."""
    pair = make_pair(tiny_config("llama"))
    both = collect(pair, WINDOWS)
    alone = collect(pair, {"sw": WINDOWS["sw"][::-1]})
    np.testing.assert_array_equal(both.counts["sw"], alone.counts["sw"])
    assert alone.languages == ("sw",)


@pytest.mark.parametrize("batch_size", [3, 4, 19])
def test_windows_are_counted_in_eight_groups_and_every_other_is_a_half(batch_size):
    model = build_model(tiny_config("llama"))
    counts = GateCounts(["de", "sw"], model, leading=1)
    rng = np.random.default_rng(0)
    opened = {"de": rng.integers(0, 12, (19, 56)), "sw": rng.integers(0, 12, (3, 56))}
    for language, rows in opened.items():
        for first in range(0, len(rows), batch_size):
            # The last row only fills.
            part = np.vstack([rows[first : first + batch_size], np.full(56, 99)]).astype(np.int32)
            weights = np.r_[np.ones(len(part) - 1, np.float32), np.float32(0)]
            for block in range(model.num_blocks):
                counts.accumulate(block, Microbatch(np.zeros((len(part), 12), np.int32), weights, language), part)
    for index, (language, rows) in enumerate(opened.items()):
        for group in range(8):
            np.testing.assert_array_equal(counts.opened_LGNF[index, group, 1], rows[group::8].sum(axis=0))
            assert counts.tokens_LGN[index, group, 1] == 11 * len(rows[group::8])
        np.testing.assert_array_equal(counts.counts[language][0], rows.sum(axis=0))
    half = counts.every_other()
    assert half.windows == {"de": 10, "sw": 2}
    assert half.tokens == {"de": 110, "sw": 22}
    for language, rows in opened.items():
        np.testing.assert_array_equal(half.counts[language][1], rows[::2].sum(axis=0))
    assert counts.windows == {"de": 19, "sw": 3}


def test_equal_observers_share_a_compilation():
    assert OpenGates(1) == OpenGates(1)
    assert hash(OpenGates(1)) == hash(OpenGates(1))
    assert OpenGates(1) != OpenGates(0)


def test_the_gate_is_no_second_product():
    """Counting adds no matrix product to a block: XLA merges the two."""
    pair = make_pair(tiny_config("llama"))
    mesh = make_mesh(ONE)
    params = place_params(mesh, pair.params["blocks/0"])
    constants = replicate(mesh, dict(pair.model.constants(0)))
    finite, x = np.ones(1, bool), np.zeros((2, 8, 48), np.float32)

    def products(**observe):
        lowered = advance.lower(
            pair.model, mesh, params, constants, jax.device_put(finite), jax.device_put(x), **observe
        )
        return lowered.compile().cost_analysis()["flops"]

    gate = 2 * x.size * 56
    assert products(observe=OpenGates()) - products() < gate / 4
