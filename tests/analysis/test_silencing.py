"""Silencing is what a hook on transformers' gate does; planted neurons carry their language, others carry nothing."""

import numpy as np
import pytest
import torch

from jaxprune.analysis.silencing import causal_test, draw_others, passes, silence
from jaxprune.data.windows import Windows
from jaxprune.evaluation.perplexity import score_windows
from jaxprune.models import FAMILIES
from jaxprune.models.causal_lm import block_section
from jaxprune.sharding import make_mesh
from tests.analysis.planted import LANGUAGES, PLANTED, planted_model, planted_params, planted_tokens
from tests.models.reference import assert_close, logits, make_pair, random_tokens, their_logits
from tests.tiny import tiny_config

ONE = {"data": 1, "model": 1}
FLOAT32 = np.dtype("float32")


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_silenced_row_is_a_gate_of_zero(model_type):
    pair = make_pair(tiny_config(model_type))
    is_silent = np.random.default_rng(0).random((pair.model.num_blocks, 56)) < 0.3
    is_silent[-1] = False
    read = silence(pair.params.__getitem__, is_silent)
    assert read("embed") is pair.params["embed"]
    assert read(block_section(pair.model.num_blocks - 1)) is pair.params[block_section(pair.model.num_blocks - 1)]
    tokens = random_tokens(9)
    silenced = {
        section: {path: np.asarray(value[()]) for path, value in read(section).items()} for section in pair.params
    }
    ours, whole = logits(pair._replace(params=silenced), tokens), logits(pair, tokens)
    for layer, silent in zip(pair.theirs.model.layers, is_silent, strict=True):
        keep = torch.tensor(~silent)
        layer.mlp.act_fn.register_forward_hook(lambda module, given, gate, keep=keep: gate * keep)
    theirs = their_logits(pair, tokens)
    assert_close(ours, theirs, relative=1e-4)
    assert np.abs(ours - whole).max() > 0.01


def test_parts_of_a_kernel_are_silenced_where_they_are():
    pair = make_pair(tiny_config("llama"))
    is_silent = np.random.default_rng(0).random((2, 56)) < 0.3
    kernel = pair.params["blocks/1"]["down_proj/kernel"]
    silenced = silence(pair.params.__getitem__, is_silent)("blocks/1")["down_proj/kernel"]
    assert (silenced.shape, silenced.dtype) == (kernel.shape, kernel.dtype)
    wanted = kernel * ~is_silent[1][:, None]
    for index in ((), (slice(None), slice(8, 16)), (slice(10, 30), slice(None)), (slice(5, 9),)):
        np.testing.assert_array_equal(silenced[index], wanted[index])


def test_every_mesh_silences_the_same():
    pair = make_pair(tiny_config("llama"))
    windows = {"de": Windows(random_tokens(9, count=3), None)}
    is_silent = np.random.default_rng(0).random((2, 56)) < 0.3
    found = [
        score_windows(
            silence(pair.params.__getitem__, is_silent), pair.model, windows, mesh=make_mesh(mesh), dtype=FLOAT32
        )["de"].nats_N
        for mesh in (ONE, {"data": 2, "model": 2})
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_others_are_as_many_in_every_block_and_nobodys():
    rng = np.random.default_rng(0)
    of_language = rng.random((4, 200)) < 0.1
    is_specific = of_language | (rng.random((4, 200)) < 0.2)
    drawn = draw_others(of_language, is_specific, seed=(0, 1))
    np.testing.assert_array_equal(drawn.sum(axis=1), of_language.sum(axis=1))
    assert not (drawn & is_specific).any()
    np.testing.assert_array_equal(drawn, draw_others(of_language, is_specific, seed=(0, 1)))
    assert (drawn != draw_others(of_language, is_specific, seed=(1, 1))).any()
    assert (drawn != draw_others(of_language, is_specific, seed=(0, 2))).any()


def test_of_a_block_that_is_nearly_all_specific_all_others_are_drawn():
    of_language = np.ones((1, 10), bool)
    of_language[0, :3] = False
    drawn = draw_others(of_language, of_language, seed=(0,))
    np.testing.assert_array_equal(drawn, ~of_language)


def test_where_no_language_has_neurons_no_text_goes_through():
    windows = {language: Windows(planted_tokens(language, count=2, length=30), None) for language in LANGUAGES}
    seen = []

    def read(section):
        raise AssertionError(section)

    none = np.zeros((3, 2, 56), bool)
    on = {"mesh": make_mesh(ONE), "dtype": FLOAT32, "on_tokens": seen.append}
    assert causal_test(read, planted_model(), windows, none, **on) == dict.fromkeys(LANGUAGES)
    assert sum(seen) == passes(3) * 3 * (3 * 2 * 30)


@pytest.mark.parametrize("count", [1, 5])
def test_planted_neurons_carry_their_own_language_alone(count):
    windows = {language: Windows(planted_tokens(language, count=count, length=30), None) for language in LANGUAGES}
    members = np.zeros((3, 2, 56), bool)
    for index, language in enumerate(LANGUAGES):
        for at in PLANTED[language]:
            members[(index, *at)] = True
    members[2] = False  # none of Swahili's is known
    seen, phases = [], []
    params = planted_params()
    found = causal_test(
        params.__getitem__,
        planted_model(),
        windows,
        members,
        mesh=make_mesh(ONE),
        dtype=FLOAT32,
        on_tokens=seen.append,
        on_phase=phases.append,
    )
    assert sum(seen) == passes(3) * 3 * (3 * count * 30)
    # Of Swahili, of which none is known, nothing is computed.
    assert len(phases) == passes(2)
    assert not any("sw" in phase for phase in phases)
    assert found.pop("sw") is None
    for silenced, effects in found.items():
        assert effects is not None
        assert effects.own.neurons == effects.others.neurons == 2
        assert [(b, n) for b, of_block in enumerate(effects.own.silent) for n in of_block] == PLANTED[silenced]
        for language, change in effects.own.change.items():
            if language == silenced:
                assert change.value > 0.1
                assert (change.interval is None) == (count == 1)
                if change.interval is not None:
                    assert 0 < change.interval[0] < change.value < change.interval[1]
            else:
                assert abs(change.value) < 1e-4
        assert all(abs(change.value) < 1e-4 for change in effects.others.change.values())
