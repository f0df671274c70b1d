"""Perplexity against a plain softmax in float64, whatever the batching."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxprune.data.windows import Windows
from jaxprune.evaluation import likelihood
from jaxprune.evaluation import perplexity as subject
from jaxprune.models import FAMILIES, build_model
from jaxprune.models.causal_lm import block_section
from jaxprune.sharding import make_mesh
from tests.tiny import tiny_config


def on_device(params):
    return {path: jnp.asarray(value) for path, value in params.items()}


def setup(model_type="llama"):
    model = build_model(tiny_config(model_type))
    rng = np.random.default_rng(0)
    weights = {
        s: {
            p: rng.standard_normal(t.shape[::-1] if t.is_kernel else t.shape).astype(np.float32) * 0.3
            for p, t in model.tensors(s).items()
        }
        for s in model.sections
    }
    return model, weights


def logits_of(model, weights, tokens):
    x = model.embed(on_device(weights["embed"]), jnp.asarray(tokens), jnp.float32)
    for index in range(model.num_blocks):
        x, _ = model.block(on_device(weights[block_section(index)]), on_device(model.constants(index)), x)
    return np.asarray(model.unembed(on_device(weights["head"]), x), np.float64)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
@pytest.mark.parametrize("logits", [2**27, 100])
def test_equals_a_log_softmax_in_float64(model_type, logits, monkeypatch):
    """With logits in one piece, and in slices that do not divide the tokens."""
    monkeypatch.setattr(subject, "_LOGITS", logits)
    model, weights = setup(model_type)
    rng = np.random.default_rng(1)
    windows = {
        language: Windows(rng.integers(0, model.config.vocab_size, (count, 13)).astype(np.int32), num_bytes)
        for language, count, num_bytes in (("de", 3, 100), ("sw", 5, None))
    }
    mesh = make_mesh({"data": 2, "model": 1})
    scored = subject.score_windows(weights.__getitem__, model, windows, mesh=mesh, dtype=np.dtype("float32"))
    found = {language: of_language.summarise() for language, of_language in scored.items()}
    for language, of_language in windows.items():
        tokens = of_language.tokens_NT
        log_p = scipy.special.log_softmax(logits_of(model, weights, tokens)[:, :-1], axis=-1)
        nats = -np.take_along_axis(log_p, tokens[:, 1:, None].astype(int), axis=-1)
        np.testing.assert_allclose(scored[language].nats_N, nats[..., 0].sum(axis=1), rtol=1e-5)
        assert found[language].nats_per_token == pytest.approx(nats.mean(), rel=1e-5)
        assert found[language].perplexity == pytest.approx(math.exp(nats.mean()), rel=1e-4)
        assert found[language].tokens == nats.size
        assert found[language].windows == len(tokens)
        # Few windows: Student's interval of the nats of each.
        wanted = scipy.stats.ttest_1samp(nats[..., 0].mean(axis=1), 0).confidence_interval()
        assert np.log(found[language].interval) == pytest.approx(wanted, rel=1e-4)
    assert found["de"].bits_per_byte == pytest.approx(found["de"].nats_per_token * 36 / math.log(2) / 100)
    assert found["sw"].bits_per_byte is None


@pytest.mark.parametrize("sizes", [{"data": 1, "model": 1}, {"data": 2, "model": 1}, {"data": 1, "model": 2}])
def test_a_vocabulary_in_tiles_is_the_same_on_every_mesh(sizes, monkeypatch):
    """Tiles that do not divide the words; where weights are spread, all words stay together."""
    model, weights = setup("gemma3_text")
    tokens = np.random.default_rng(1).integers(0, model.config.vocab_size, (4, 9)).astype(np.int32)
    windows = {"de": Windows(tokens, None)}

    def score(tile):
        monkeypatch.setitem(likelihood._TILE, "cpu", tile)
        mesh = make_mesh(sizes)
        assert likelihood.words_at_a_time(model, mesh) == (tile if sizes["model"] == 1 else model.config.vocab_size)
        scored = subject.score_windows(weights.__getitem__, model, windows, mesh=mesh, dtype=np.dtype("float32"))
        return scored["de"].nats_N

    assert model.config.vocab_size % 25
    np.testing.assert_allclose(score(25), score(model.config.vocab_size), rtol=1e-6)


def test_hidden_states_may_lie_in_a_file():
    model, weights = setup()
    tokens = np.random.default_rng(1).integers(0, model.config.vocab_size, (4, 9)).astype(np.int32)
    windows = {language: Windows(tokens, None) for language in ("de", "en", "sw")}
    mesh = make_mesh({"data": 2, "model": 1})
    in_memory, in_a_file = (
        subject.score_windows(
            weights.__getitem__, model, windows, mesh=mesh, dtype=np.dtype("float32"), host_bytes=host_bytes
        )
        for host_bytes in (2**20, 0)
    )
    for language in windows:
        np.testing.assert_array_equal(in_memory[language].nats_N, in_a_file[language].nats_N)


def test_the_interval_is_of_windows_and_the_same_every_time():
    """Windows that each predict evenly, unlike each other: more tokens in them are no more evidence."""
    of_windows = np.random.default_rng(0).normal(3.0, 0.2, 100)
    wanted = scipy.stats.ttest_1samp(of_windows, 0).confidence_interval()
    for tokens in (1, 50):
        losses = np.repeat(of_windows[:, None], tokens, axis=1).astype(np.float32)
        found = subject.add_up(losses, None).summarise()
        assert np.log(found.interval) == pytest.approx(wanted, abs=0.01)
        assert found.interval[0] < found.perplexity < found.interval[1]
        assert found == subject.add_up(losses, None).summarise()


def test_one_window_has_no_interval_and_none_is_below_one_or_finite_where_perplexity_is_not():
    assert subject.add_up(np.full((1, 9), 2.0, np.float32), None).summarise().interval is None
    assert subject.add_up(np.array([[0.01], [0.02]], np.float32), None).summarise().interval[0] == 1.0
    endless = subject.add_up(np.array([[900.0], [901.0], [902.0]], np.float32), None).summarise()
    assert endless.perplexity == endless.interval[1] == math.inf
