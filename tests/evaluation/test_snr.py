"""Signal-to-noise ratios against transformers in float64, against ratios known beforehand, and on other meshes."""

import logging
import math

import jax
import numpy as np
import pytest
import torch

from jaxprune.evaluation.distortion import Distortion, add_up
from jaxprune.evaluation.snr import PASSES, signal_to_noise
from jaxprune.models import FAMILIES
from jaxprune.models.causal_lm import block_section
from jaxprune.sharding import make_mesh
from tests.models.reference import make_pair, random_tokens, record_modules
from tests.tiny import tiny_config

ONE = {"data": 1, "model": 1}
FLOAT32 = np.dtype("float32")


def damaged(params, *, seed=1, blocks=None):
    """Returns the weights with a third of each kernel's entries zero and the others a little moved."""
    rng = np.random.default_rng(seed)
    return {
        section: {
            path: (value * (rng.random(value.shape) > 1 / 3) * rng.normal(1, 0.02, value.shape)).astype(np.float32)
            if path.endswith("_proj/kernel") and (blocks is None or section in blocks)
            else value
            for path, value in of_section.items()
        }
        for section, of_section in params.items()
    }


def measure(pair, pruned, windows, *, mesh=ONE, dtype=FLOAT32, **more):
    return signal_to_noise(
        pair.params.__getitem__, pruned.__getitem__, pair.model, windows, mesh=make_mesh(mesh), dtype=dtype, **more
    )


def in_torch(pair, params):
    """Puts weights into transformers' model, in float64."""
    tensors = {}
    for section, of_section in params.items():
        for path, (name, _, is_kernel) in pair.model.tensors(section).items():
            tensors[name] = torch.tensor(of_section[path].T if is_kernel else of_section[path]).double()
    pair.theirs.load_state_dict(tensors, strict=False)


def decibels(was, now):
    """Kuzmin et al.'s definition, in float64."""
    was, now = np.asarray(was, np.float64), np.asarray(now, np.float64)
    return 10 * np.log10(np.sum(was**2) / np.sum((was - now) ** 2))


# Five and three windows: neither fills the batches that suit the other.
WINDOWS = {"de": random_tokens(11, count=5), "sw": random_tokens(11, count=8)[5:]}


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_equals_transformers_in_float64(model_type):
    pair = make_pair(tiny_config(model_type), dtype=torch.float64)
    pruned = damaged(pair.params)
    found = measure(pair, pruned, WINDOWS)
    assert list(found.languages) == list(WINDOWS)
    for language, tokens in WINDOWS.items():
        of_language = found.languages[language]
        assert (of_language.tokens, of_language.windows) == (tokens.size, len(tokens))
        in_torch(pair, pair.params)
        dense_records = record_modules(pair, tokens)
        in_torch(pair, pruned)
        pruned_records = record_modules(pair, tokens)
        wanted_names = []
        for index in range(pair.model.num_blocks):
            was, now = (of[f"model.layers.{index}"].returned for of in (dense_records, pruned_records))
            assert of_language.blocks[index].snr_db == pytest.approx(decibels(was, now), abs=1e-3)
            assert of_language.blocks[index].mean_squared_error == pytest.approx(np.mean((was - now) ** 2), rel=1e-3)
            assert of_language.blocks[index].relative_error == pytest.approx(
                np.sum((was - now) ** 2) / np.sum(was**2), rel=1e-3
            )
            by_token = [decibels(a, b) for a, b in zip(was.reshape(-1, 48), now.reshape(-1, 48), strict=True)]
            medians = [np.median(of_window) for of_window in np.reshape(by_token, (len(tokens), -1))]
            by_window = of_language.by_window
            assert by_window.median_db_LN[index] == pytest.approx(medians, abs=1e-3)
            assert of_language.median_tokens_db[index] == pytest.approx(np.mean(medians), abs=1e-3)
            energies = [np.sum(of.astype(np.float64) ** 2, axis=(1, 2)) for of in (was, was - now)]
            assert by_window.signal_LN[index] == pytest.approx(energies[0], rel=1e-4)
            assert by_window.noise_LN[index] == pytest.approx(energies[1], rel=1e-3)
            for linear in pair.model.family.reads:
                path = f"{linear}/kernel"
                name = pair.model.tensors(block_section(index))[path].name
                inputs = dense_records[name.removesuffix(".weight")].given.astype(np.float64)
                was, now = (inputs @ params[block_section(index)][path] for params in (pair.params, pruned))
                assert of_language.linears[name].snr_db == pytest.approx(decibels(was, now), abs=1e-3)
                assert of_language.linears[name].count == was.size
                wanted_names.append(name)
        assert list(of_language.linears) == wanted_names


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_weights_are_all_kernels_and_each(model_type):
    pair = make_pair(tiny_config(model_type))
    pruned = damaged(pair.params)
    found = measure(pair, pruned, WINDOWS)
    together = [[], []]
    for index, kernels in enumerate(found.kernels):
        section = block_section(index)
        of_block = [[], []]
        for linear in pair.model.family.reads:
            path = f"{linear}/kernel"
            was, now = pair.params[section][path], pruned[section][path]
            kernel = kernels[pair.model.tensors(section)[path].name]
            assert kernel.snr_db == pytest.approx(decibels(was, now), abs=1e-4)
            assert kernel.count == was.size
            of_block[0].append(was.ravel())
            of_block[1].append(now.ravel())
        assert found.blocks[index].snr_db == pytest.approx(decibels(*map(np.concatenate, of_block)), abs=1e-4)
        together[0] += of_block[0]
        together[1] += of_block[1]
    assert add_up(found.blocks).snr_db == pytest.approx(decibels(*map(np.concatenate, together)), abs=1e-4)


@pytest.mark.parametrize("e", [0.5, -0.125, 0.01])
def test_scaled_kernels_have_the_ratio_of_the_scale(e):
    pair = make_pair(tiny_config("llama"))
    scaled = {
        section: {
            path: value * np.float32(1 + e) if path.endswith("_proj/kernel") else value
            for path, value in of_section.items()
        }
        for section, of_section in pair.params.items()
    }
    found = measure(pair, scaled, WINDOWS)
    wanted = -20 * math.log10(abs(e))
    # 1 + e as float32 has it.
    room = 1e-3 if e == 0.01 else 1e-6
    for distortion in [*found.blocks, *(of for de in found.languages.values() for of in de.linears.values())]:
        assert distortion.snr_db == pytest.approx(wanted, abs=room)


def test_an_error_of_the_embedding_goes_through_blocks_that_add_nothing():
    """So what enters a pruned block is what the pruned model makes of the text, from its own embedding on."""
    pair = make_pair(tiny_config("llama"))
    dense = {
        section: {
            path: np.zeros_like(value) if path in ("o_proj/kernel", "down_proj/kernel") else value
            for path, value in of_section.items()
        }
        for section, of_section in pair.params.items()
    }
    pruned = dense | {"embed": {path: value * np.float32(1.5) for path, value in dense["embed"].items()}}
    pair = pair._replace(params=dense)
    for of_language in measure(pair, pruned, WINDOWS).languages.values():
        for block, median in zip(of_language.blocks, of_language.median_tokens_db, strict=True):
            assert block.snr_db == pytest.approx(20 * math.log10(2), abs=1e-6)
            assert median == pytest.approx(20 * math.log10(2), abs=1e-5)
        assert all(linear.is_identical for linear in of_language.linears.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_identical_to_itself(dtype):
    pair = make_pair(tiny_config("llama"))
    found = measure(pair, pair.params, WINDOWS, dtype=np.dtype(dtype))
    of_all = [*found.blocks, *(of for de in found.languages.values() for of in (*de.blocks, *de.linears.values()))]
    for distortion in of_all:
        assert distortion.is_identical
        assert distortion.snr_db == math.inf
        assert distortion.relative_error == distortion.mean_squared_error == 0
        assert distortion.signal > 0
    assert {db for of in found.languages.values() for db in of.median_tokens_db} == {math.inf}


def test_errors_of_earlier_blocks_reach_outputs_and_not_linears():
    pair = make_pair(tiny_config("gemma3_text"))
    found = measure(pair, damaged(pair.params, blocks=["blocks/1"]), WINDOWS)
    for of_language in found.languages.values():
        assert [block.is_identical for block in of_language.blocks] == [True, False, False]
        changed = {name.split(".")[2] for name, linear in of_language.linears.items() if not linear.is_identical}
        assert changed == {"1"}


@pytest.mark.parametrize("mesh", [{"data": 8, "model": 1}, {"data": 4, "model": 2}])
def test_every_mesh_measures_the_same(mesh):
    """Eight devices leave rows that only fill in every batch."""
    pair = make_pair(tiny_config("llama"))
    pruned = damaged(pair.params)
    one, many = measure(pair, pruned, WINDOWS), measure(pair, pruned, WINDOWS, mesh=mesh)
    assert list(one.languages) == list(many.languages)
    for language, of_one in one.languages.items():
        of_many = many.languages[language]
        assert list(of_one.linears) == list(of_many.linears)
        pairs = [*zip(of_one.blocks, of_many.blocks, strict=True)]
        for a, b in pairs + [(of_one.linears[name], of_many.linears[name]) for name in of_one.linears]:
            assert b.snr_db == pytest.approx(a.snr_db, abs=1e-4)
            assert b.signal == pytest.approx(a.signal, rel=1e-5)
            assert b.count == a.count
        for name in ("signal_LN", "noise_LN"):
            a, b = (getattr(of.by_window, name) for of in (of_one, of_many))
            assert a.shape == (pair.model.num_blocks, len(WINDOWS[language]))
            np.testing.assert_allclose(b, a, rtol=1e-4)
        np.testing.assert_allclose(of_many.by_window.median_db_LN, of_one.by_window.median_db_LN, atol=1e-4)
    for a, b in zip(one.blocks, many.blocks, strict=True):
        assert b.snr_db == pytest.approx(a.snr_db, abs=1e-5)


def test_languages_do_not_mix():
    """Each language's numbers are those that it has alone."""
    pair = make_pair(tiny_config("llama"))
    pruned = damaged(pair.params)
    together, seen = measure(pair, pruned, WINDOWS), []
    for language, tokens in WINDOWS.items():
        alone = signal_to_noise(
            pair.params.__getitem__, pruned.__getitem__, pair.model, {language: tokens},
            mesh=make_mesh(ONE), dtype=FLOAT32, on_tokens=seen.append,
        )  # fmt: skip
        assert alone.kernels == together.kernels
        for a, b in zip(together.languages[language].blocks, alone.languages[language].blocks, strict=True):
            assert a.snr_db == pytest.approx(b.snr_db, abs=1e-5)
        a, b = (of.languages[language].by_window for of in (together, alone))
        np.testing.assert_allclose(a.noise_LN, b.noise_LN, rtol=1e-5)
        np.testing.assert_allclose(a.median_db_LN, b.median_db_LN, atol=1e-5)
    assert sum(seen) == PASSES * pair.model.num_blocks * sum(tokens.size for tokens in WINDOWS.values())


def test_every_window_has_what_it_has_alone():
    """Whichever batch it comes in, and in its own order."""
    pair = make_pair(tiny_config("llama"))
    pruned = damaged(pair.params)
    for language, together in measure(pair, pruned, WINDOWS).languages.items():
        for position, window in enumerate(WINDOWS[language]):
            alone = measure(pair, pruned, {language: window[None]}).languages[language].by_window
            for name in ("signal_LN", "noise_LN", "median_db_LN"):
                of_window = getattr(together.by_window, name)[:, position : position + 1]
                np.testing.assert_allclose(of_window, getattr(alone, name), rtol=1e-4)


def test_blocks_are_the_windows_together():
    pair = make_pair(tiny_config("llama"))
    for of in measure(pair, damaged(pair.params), WINDOWS).languages.values():
        sums = zip(of.by_window.signal_LN.sum(axis=1), of.by_window.noise_LN.sum(axis=1), strict=True)
        assert [(block.signal, block.noise) for block in of.blocks] == list(sums)
        assert of.median_tokens_db == tuple(of.by_window.median_db_LN.mean(axis=1))


def test_a_token_that_is_nearly_all_energy_does_not_move_the_median():
    """A token a thousand times as large as the others, of which pruning changes nothing in proportion."""
    pair = make_pair(tiny_config("llama"))
    outlier, windows = 7, WINDOWS["de"].copy()
    windows[windows == outlier] = 8
    windows[:, 0] = outlier
    dense = pair.params | {"embed": {path: value.copy() for path, value in pair.params["embed"].items()}}
    for embedding in dense["embed"].values():
        embedding[outlier] *= 1000
    pair = pair._replace(params=dense)
    of = measure(pair, damaged(dense), {"de": windows}).languages["de"]
    others = measure(pair, damaged(dense), {"de": windows[:, 1:]}).languages["de"]
    for block, median, without in zip(of.blocks, of.median_tokens_db, others.median_tokens_db, strict=True):
        assert block.snr_db > without + 20
        assert median == pytest.approx(without, abs=3)


def test_all_windows_of_all_languages_share_one_compilation(caplog):
    pair = make_pair(tiny_config("llama"))
    # A length of no other test: what they have compiled would be found again.
    windows = {language: random_tokens(9, count=count) for language, count in (("de", 7), ("en", 3), ("sw", 2))}
    jax.config.update("jax_log_compiles", True)
    try:
        with caplog.at_level(logging.WARNING):
            measure(pair, damaged(pair.params), windows)
    finally:
        jax.config.update("jax_log_compiles", False)
    for name in ("_output_squares", "_linear_squares"):
        assert sum(f"Finished XLA compilation of jit({name})" in of.getMessage() for of in caplog.records) == 1


def test_bfloat16_is_near_float32():
    pair = make_pair(tiny_config("llama"))
    pruned = damaged(pair.params)
    exact, rounded = (measure(pair, pruned, WINDOWS, dtype=np.dtype(d)) for d in ("float32", "bfloat16"))
    for language, of_language in exact.languages.items():
        for name, linear in of_language.linears.items():
            assert rounded.languages[language].linears[name].snr_db == pytest.approx(linear.snr_db, abs=0.1)


def test_nothing_is_no_signal():
    assert Distortion(0.0, 0.0, 4).is_identical
    lost = Distortion(0.0, 2.0, 4)
    assert (lost.snr_db, lost.relative_error, lost.mean_squared_error) == (-math.inf, math.inf, 0.5)
    assert add_up([lost, Distortion(3.0, 1.0, 2)]) == Distortion(3.0, 3.0, 6)
