"""The loop: what is fed to what, what is shared, what is compiled, and what goes wrong."""

import logging
import re
import types
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.microbatches import make_microbatches
from jaxprune.models import FAMILIES, build_model
from jaxprune.models.causal_lm import block_section
from jaxprune.pruning.blockwise import Progress, prune_blocks
from jaxprune.pruning.languages import MeanLanguages
from jaxprune.pruning.magnitude import Magnitude
from jaxprune.pruning.patterns import NM, Unstructured
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.pruning.wanda import Wanda
from jaxprune.sharding import make_mesh
from jaxprune.sweep import Sweep
from tests.tiny import tiny_config


def on_device(params):
    return {path: jnp.asarray(value) for path, value in params.items()}


HALF = Unstructured(0.5, within="output")


@pytest.fixture(params=sorted(FAMILIES))
def model(request):
    return build_model(tiny_config(request.param))


def random_weights(model, seed=0, dtype=np.float32):
    """Returns a reader of random sections."""
    rng = np.random.default_rng(seed)
    weights = {
        section: {
            path: (rng.standard_normal(t.shape[::-1] if t.is_kernel else t.shape) * (t.shape[-1] ** -0.5)).astype(dtype)
            for path, t in model.tensors(section).items()
        }
        for section in model.sections
    }
    return weights.__getitem__


def random_tokens(model, count=5, length=7, seed=1):
    return np.random.default_rng(seed).integers(0, model.config.vocab_size, (count, length)).astype(np.int32)


def run(model, read, tokens, languages, method, pattern, *, data=1, model_axis=1, batch_size=None):
    mesh = make_mesh({"data": data, "model": model_axis})
    sweep = None
    if method.statistic is not None:
        batches = make_microbatches(tokens, languages, mesh=mesh, batch_size=batch_size)
        sweep = Sweep(model, batches, mesh=mesh, dtype=np.float32)
        sweep.embed(read)
    blocks = prune_blocks(read, sweep, model, method, pattern, mesh=mesh, progress=Progress())
    return [
        types.SimpleNamespace(
            index=block.index,
            params=jax.tree.map(np.asarray, block.params),
            masks=jax.tree.map(np.asarray, block.masks),
        )
        for block in blocks
    ]


def test_each_block_is_calibrated_on_its_pruned_predecessors(model):
    """Against a plain loop in float64 NumPy scores over activations of the model itself."""
    read, tokens = random_weights(model), random_tokens(model)
    blocks = run(model, read, tokens, ("de",) * 5, Wanda(), HALF)
    x = model.embed(on_device(read("embed")), jnp.asarray(tokens), jnp.float32)
    for index in range(model.num_blocks):
        dense = read(block_section(index))
        _, activations = model.block(on_device(dense), on_device(model.constants(index)), x)
        pruned = dict(dense)
        for linear, name in model.family.reads.items():
            kernel = dense[f"{linear}/kernel"].astype(np.float64)
            norms = np.sqrt(np.square(np.asarray(activations[name], np.float64)).sum((0, 1)))
            order = np.argsort(np.abs(kernel) * norms[:, None], axis=0, kind="stable")
            mask = np.ones(kernel.shape, bool)
            np.put_along_axis(mask, order[: kernel.shape[0] // 2], False, axis=0)
            np.testing.assert_array_equal(blocks[index].masks[linear], mask, err_msg=f"{index} {linear}")
            pruned[f"{linear}/kernel"] = np.where(mask, dense[f"{linear}/kernel"], 0)
        assert blocks[index].params.keys() == pruned.keys()
        for path, value in pruned.items():
            np.testing.assert_array_equal(blocks[index].params[path], value)
        x, _ = model.block(on_device(pruned), on_device(model.constants(index)), x)


def test_one_compilation_serves_all_blocks(model, caplog):
    assert model.num_blocks >= 2
    read, tokens = random_weights(model), random_tokens(model, length=11)
    jax.clear_caches()
    # In all threads, for which jax.log_compiles does not speak.
    jax.config.update("jax_log_compiles", True)
    try:
        with caplog.at_level(logging.WARNING):
            run(model, read, tokens, ("de", "de", "sw", "sw", "sw"), SparseGPT(), HALF, batch_size=2)
    finally:
        jax.config.update("jax_log_compiles", False)
    compiled = Counter(re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text))
    assert compiled["collect"] == 1
    assert compiled["advance"] == 1
    assert compiled["embed"] == 1
    # Linears of one shape share even that: one compilation a shape, whatever the number of blocks.
    tensors = model.tensors(block_section(0))
    shapes = {linear: tensors[f"{linear}/kernel"].shape for linear in model.family.reads}
    assert compiled["prepare"] == len({d_in for _, d_in in shapes.values()})
    assert compiled["prune"] == len(set(shapes.values()))


@pytest.mark.parametrize(("model_type", "statistics"), [("llama", 4), ("gemma3_text", 4), ("cohere", 3), ("qwen2", 4)])
def test_linears_that_share_an_input_share_its_statistic(model_type, statistics):
    assert len(set(FAMILIES[model_type].reads.values())) == statistics


def test_rows_that_fill_a_batch_do_not_count():
    model = build_model(tiny_config("llama"))
    read, tokens = random_weights(model), random_tokens(model)
    whole = run(model, read, tokens, ("de",) * 5, SparseGPT(), NM(1, 2), batch_size=5)
    filled = run(model, read, tokens, ("de",) * 5, SparseGPT(), NM(1, 2), batch_size=3)
    for a, b in zip(whole, filled, strict=True):
        for linear in a.masks:
            np.testing.assert_array_equal(a.masks[linear], b.masks[linear])
            kernel = f"{linear}/kernel"
            np.testing.assert_allclose(a.params[kernel], b.params[kernel], rtol=1e-4, atol=1e-5)


def test_languages_can_be_kept_apart_and_weighed():
    """All weight on one language is the same as calibrating on it alone; equal weights are not the same as a sum."""
    model = build_model(tiny_config("llama"))
    read, tokens = random_weights(model), random_tokens(model, count=6)
    languages = ("de", "de", "de", "de", "de", "sw")
    only = run(model, read, tokens[:5], languages[:5], Wanda(), HALF)[0]
    weighed = run(model, read, tokens, languages, Wanda(languages=MeanLanguages((("de", 1.0), ("sw", 0.0)))), HALF)[0]
    mean = run(model, read, tokens, languages, Wanda(languages=MeanLanguages()), HALF)[0]
    summed = run(model, read, tokens, languages, Wanda(), HALF)[0]
    for linear in only.masks:
        np.testing.assert_array_equal(only.masks[linear], weighed.masks[linear])
    assert any((mean.masks[linear] != summed.masks[linear]).any() for linear in mean.masks)


@pytest.mark.parametrize(("data", "model_axis"), [(2, 1), pytest.param(1, 2, marks=pytest.mark.slow), (4, 2)])
@pytest.mark.parametrize("method", [Magnitude(), Wanda(), SparseGPT()], ids=lambda m: type(m).__name__)
def test_a_mesh_gives_the_same_masks_as_one_device(method, data, model_axis):
    model = build_model(tiny_config("llama"))
    read, tokens = random_weights(model), random_tokens(model, count=8)
    one = run(model, read, tokens, ("de",) * 8, method, HALF)
    many = run(model, read, tokens, ("de",) * 8, method, HALF, data=data, model_axis=model_axis)
    same = [a.masks[k] == b.masks[k] for a, b in zip(one, many, strict=True) for k in a.masks]
    agreement = np.mean(np.concatenate([part.ravel() for part in same]))
    assert agreement == 1 if method.statistic is None else agreement > 0.999


def test_weights_keep_their_dtype_and_the_kept_ones_their_bits():
    model = build_model(tiny_config("llama"))
    read, tokens = random_weights(model, dtype=jnp.bfloat16), random_tokens(model)
    for block in run(model, read, tokens, ("de",) * 5, Wanda(), HALF):
        dense = read(block_section(block.index))
        for path, value in block.params.items():
            assert value.dtype == jnp.bfloat16
            kept = block.masks.get(path.removesuffix("/kernel"), np.True_)
            np.testing.assert_array_equal(value, np.where(kept, dense[path], jnp.bfloat16(0)))


def test_activations_that_are_not_finite_are_an_error_that_names_the_tensor():
    model = build_model(tiny_config("llama"))
    read, tokens = random_weights(model), random_tokens(model)
    broken = dict(read(block_section(1)))
    broken["attention_norm/scale"] = np.full_like(broken["attention_norm/scale"], 3e38)

    def read_broken(section):
        return broken if section == block_section(1) else read(section)

    with pytest.raises(RequestError, match=r"model\.layers\.1\..*(NaN|infinite)"):
        run(model, read_broken, tokens, ("de",) * 5, Wanda(), HALF)


def test_magnitude_needs_no_text():
    model = build_model(tiny_config("llama"))
    blocks = run(model, random_weights(model), None, None, Magnitude(), Unstructured(0.3, within="kernel"))
    assert [block.index for block in blocks] == list(range(model.num_blocks))
    for block in blocks:
        for mask in block.masks.values():
            assert mask.size - mask.sum() == int(mask.size * 3 // 10)
