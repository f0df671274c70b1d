"""Every family, in every variant, computes what transformers computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxprune.models import FAMILIES
from jaxprune.models.causal_lm import block_section
from tests.models.reference import (
    assert_close,
    logits,
    make_pair,
    random_tokens,
    record_modules,
    their_logits,
)
from tests.models.variants import all_variants
from tests.tiny import tiny_config

each_family = pytest.mark.parametrize("model_type", sorted(FAMILIES))


@all_variants
def test_logits(config):
    """Over sequences several times as long as a sliding window."""
    pair = make_pair(config)
    tokens = random_tokens(23)
    assert_close(logits(pair, tokens), their_logits(pair, tokens), relative=1e-4)


@pytest.mark.parametrize(
    ("model_type", "length"),
    [
        ("cohere", 1),
        ("cohere", 513),
        ("gemma3_text", 1),
        ("gemma3_text", 1030),
        ("llama", 1),
        ("llama", 1024),
        ("qwen2", 513),
    ],
)
def test_logits_of_short_and_long_sequences(model_type, length):
    """One token, and lengths at which queries are taken in slices, even ones or not."""
    pair = make_pair(tiny_config(model_type))
    tokens = random_tokens(length, count=1)
    found = logits(pair, tokens, transform=jax.jit)
    assert_close(found, their_logits(pair, tokens), relative=1e-4)


@all_variants
def test_modules(config):
    """Embedding, blocks with what goes in and out of their linears, head: given what theirs were given."""
    pair = make_pair(config)
    tokens = random_tokens(23)
    records = record_modules(pair, tokens)
    layers = [records[f"model.layers.{index}"] for index in range(pair.model.num_blocks)]
    embedded = pair.model.embed(pair.params["embed"], tokens, np.float32)
    assert_close(embedded, layers[0].given, relative=1e-5)
    for index, layer in enumerate(layers):
        params = pair.params[block_section(index)]
        returned, activations = pair.model.block(params, pair.model.constants(index), jnp.asarray(layer.given))
        assert_close(returned, layer.returned, relative=1e-5)
        assert_linears(pair, index, activations, records)
    head = pair.model.unembed(pair.params["head"], jnp.asarray(layers[-1].returned))
    assert_close(head, their_logits(pair, tokens), relative=1e-5)


def assert_linears(pair, index, activations, records):
    """``reads`` names every linear of the block, its input is the named activation, and so its output."""
    prefix = f"model.layers.{index}."
    theirs = {
        name.rsplit(".", 1)[1]: records[name]
        for name, module in pair.theirs.named_modules()
        if name.startswith(prefix) and isinstance(module, torch.nn.Linear)
    }
    reads = pair.model.family.reads
    assert set(reads) == set(theirs)
    assert set(reads.values()) == set(activations)
    params = pair.params[block_section(index)]
    for linear, activation in reads.items():
        x = np.asarray(activations[activation])
        assert_close(x, theirs[linear].given, relative=1e-5)
        product = x @ params[f"{linear}/kernel"] + params.get(f"{linear}/bias", np.float32(0))
        assert_close(product, theirs[linear].returned, relative=1e-5)


@each_family
def test_reads_names_every_kernel_of_a_block(model_type):
    model = make_pair(tiny_config(model_type)).model
    for index in range(model.num_blocks):
        kernels = {path for path, tensor in model.tensors(block_section(index)).items() if tensor.is_kernel}
        assert kernels == {f"{linear}/kernel" for linear in model.family.reads}


def test_linears_that_share_an_input_share_its_name():
    assert {t: len(set(family.reads.values())) for t, family in FAMILIES.items()} == {
        "cohere": 3,
        "gemma3_text": 4,
        "llama": 4,
        "qwen2": 4,
    }


@each_family
def test_bfloat16_keeps_its_dtype_and_stays_near(model_type):
    pair = make_pair(tiny_config(model_type))
    tokens = random_tokens(23)
    x = pair.model.embed(pair.params["embed"], tokens, jnp.bfloat16)
    for index in range(pair.model.num_blocks):
        x, activations = pair.model.block(pair.params[block_section(index)], pair.model.constants(index), x)
        assert {x.dtype, *(a.dtype for a in activations.values())} == {jnp.bfloat16.dtype}
    found = np.asarray(pair.model.unembed(pair.params["head"], x))
    assert found.dtype == np.float32
    wanted = logits(pair, tokens)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 1e-4 < error < 3e-2


@each_family
def test_bfloat16_embeddings_are_transformers_bit_for_bit(model_type):
    """One that scales them rounds the scale first, and to the dtype of the computation."""
    pair = make_pair(tiny_config(model_type), dtype=torch.bfloat16)
    tokens = random_tokens(23)
    with torch.no_grad():
        theirs = pair.theirs.get_input_embeddings()(torch.tensor(tokens)).float().numpy()
    found = np.asarray(pair.model.embed(pair.params["embed"], tokens, jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_array_equal(found, theirs)
