"""Microbatches and the walk through the blocks."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.microbatches import make_microbatches
from jaxprune.models import FAMILIES, build_model
from jaxprune.models.causal_lm import block_section
from jaxprune.sharding import make_mesh
from jaxprune.sweep import Sweep
from tests.tiny import tiny_config


def on_device(params):
    return {path: jnp.asarray(value) for path, value in params.items()}


MESH = {"data": 1, "model": 1}


def test_a_microbatch_holds_one_language_and_every_sequence_is_in_one():
    tokens = np.arange(7 * 3, dtype=np.int32).reshape(7, 3)
    languages = ("de", "sw", "de", "de", "sw", "ja", "de")
    batches = make_microbatches(tokens, languages, mesh=make_mesh(MESH), batch_size=3)
    assert [(b.language, b.num_sequences) for b in batches] == [("de", 3), ("de", 1), ("sw", 2), ("ja", 1)]
    assert {b.tokens_BT.shape for b in batches} == {(3, 3)}
    assert sum(b.num_tokens for b in batches) == tokens.size
    back = [(b.language, tuple(row)) for b in batches for row in b.tokens_BT[: b.num_sequences].tolist()]
    assert sorted(back) == sorted(zip(languages, map(tuple, tokens.tolist()), strict=True))


def test_the_batch_size_fits_the_languages():
    """Two windows of each of eight languages are no reason to compute eight rows for each."""
    mesh = make_mesh(MESH)
    few = make_microbatches(np.zeros((16, 128), np.int32), ("a", "b", "c", "d", "e", "f", "g", "h") * 2, mesh=mesh)
    assert {b.tokens_BT.shape[0] for b in few} == {2}
    many = make_microbatches(np.zeros((64, 128), np.int32), ("de",) * 64, mesh=mesh)
    assert {b.tokens_BT.shape[0] for b in many} == {8}


def test_batches_divide_over_the_data_axis():
    tokens = np.zeros((5, 3), np.int32)
    batches = make_microbatches(tokens, ("de",) * 5, mesh=make_mesh({"data": 4, "model": 1}), batch_size=3)
    assert {b.tokens_BT.shape[0] for b in batches} == {4}
    assert [b.num_sequences for b in batches] == [4, 1]


@pytest.mark.parametrize("device_bytes", [0, 10**9], ids=["host", "device"])
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_the_sweep_is_the_forward_pass(model_type, device_bytes):
    model = build_model(tiny_config(model_type))
    rng = np.random.default_rng(0)
    weights = {
        s: {
            p: (rng.standard_normal(t.shape[::-1] if t.is_kernel else t.shape) * t.shape[-1] ** -0.5).astype(np.float32)
            for p, t in model.tensors(s).items()
        }
        for s in model.sections
    }
    tokens = rng.integers(0, model.config.vocab_size, (5, 9)).astype(np.int32)
    mesh = make_mesh(MESH)
    batches = make_microbatches(tokens, ("de",) * 5, mesh=mesh, batch_size=2)
    sweep = Sweep(model, batches, mesh=mesh, dtype=np.float32, device_bytes=device_bytes)
    seen = []
    sweep.run_all(weights.__getitem__, seen.append)
    hidden = np.concatenate([np.asarray(x)[: b.num_sequences] for b, x in sweep.states()])
    x = model.embed(on_device(weights["embed"]), jnp.asarray(tokens), jnp.float32)
    for index in range(model.num_blocks):
        x, _ = model.block(on_device(weights[block_section(index)]), on_device(model.constants(index)), x)
    np.testing.assert_allclose(hidden, x, rtol=1e-5, atol=1e-5)
    assert sum(seen) == model.num_blocks * tokens.size
