"""What the rest of the project relies on, of every family; and that one more is one file and one line."""

import ast
import dataclasses
import re
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

from jaxprune import models
from jaxprune.models import FAMILIES, build_model
from jaxprune.models.causal_lm import block_section
from jaxprune.models.fields import ConfigFields
from jaxprune.models.llama import LLAMA, LlamaConfig
from jaxprune.models.rotary import read_rotary
from tests.models.reference import assert_close, logits, make_pair, random_tokens, their_logits
from tests.models.variants import all_variants
from tests.tiny import tiny_config, tiny_params

each_family = pytest.mark.parametrize("model_type", sorted(FAMILIES))


@all_variants
def test_every_tensor_of_transformers_has_one_owner(config):
    """By name and shape; a tied table belongs to the embedding."""
    pair = make_pair(config)
    owned = [tensor for s in pair.model.sections for tensor in pair.model.owned_tensors(s).values()]
    theirs = {name: tuple(value.shape) for name, value in pair.theirs.state_dict().items()}
    if config.get("tie_word_embeddings"):
        del theirs["lm_head.weight"]
        assert pair.model.tensors("head").keys() - pair.model.owned_tensors("head").keys()
    assert {tensor.name: tensor.shape for tensor in owned} == theirs
    assert len(owned) == len(theirs)


@all_variants
def test_blocks_differ_in_values_alone(config):
    """Same parameters and constants, shapes and dtypes, so that one compilation serves all blocks."""
    model = build_model(config)
    first, *others = (
        (
            {path: tensor.shape for path, tensor in model.tensors(block_section(index)).items()},
            {name: (value.shape, value.dtype) for name, value in model.constants(index).items()},
        )
        for index in range(model.num_blocks)
    )
    assert others
    assert all(other == first for other in others)


@each_family
def test_all_blocks_share_a_compilation(model_type):
    """Also with a second model built from the same configuration, and not with one of another."""
    chex.clear_trace_counter()
    config = tiny_config(model_type)
    params = tiny_params(config, seed=0)
    x = np.ones((1, 7, config["hidden_size"]), np.float32)

    @chex.assert_max_traces(n=1)
    def run(model, params, constants, x):
        return model.block(params, constants, x)

    run = jax.jit(run, static_argnums=0)
    for model in (build_model(config), build_model(config)):
        for index in range(model.num_blocks):
            run(model, params[block_section(index)], model.constants(index), x)
    theta = "rope_local_base_freq" if "rope_local_base_freq" in config else "rope_theta"
    other = build_model(config | {theta: 54321.0})
    assert other != build_model(config)
    with pytest.raises(AssertionError, match="traced > 1 times"):
        run(other, params["blocks/0"], other.constants(0), x)


def test_sections_come_in_the_order_of_the_forward_pass():
    model = build_model(tiny_config("gemma3_text"))
    assert model.sections == ("embed", "blocks/0", "blocks/1", "blocks/2", "head")


def code_without_docstrings(path):
    """Returns a file's code without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0].value.value = ""
    return ast.unparse(tree)


@each_family
def test_only_its_own_file_and_one_line_name_a_family(model_type):
    own = FAMILIES[model_type].read_config.__module__.rsplit(".", 1)[1]
    name = re.compile(rf"\b({own}|{model_type})\b", re.IGNORECASE)
    mentions = {}
    for path in Path(models.__file__).parent.glob("*.py"):
        if path.stem != own and (found := name.findall(code_without_docstrings(path))):
            mentions[path.name] = len(found)
    # The import, and the entry: the module's name and the constant's.
    assert mentions == {"__init__.py": 3}


def read_mistral(values):
    fields = ConfigFields("mistral", values)
    fields.require("sliding_window")
    fields.require("hidden_act", "silu")
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config = LlamaConfig(
        **{key: fields.take_size(key) for key in (*sizes, "num_key_value_heads", "head_dim")},
        rms_norm_eps=fields.take_number("rms_norm_eps"),
        rotary=read_rotary(fields.take_fields("rope_parameters")),
        attention_bias=False,
        mlp_bias=False,
        tie_word_embeddings=fields.take_flag("tie_word_embeddings"),
    )
    fields.finish()
    return config


def test_a_new_family_is_one_value_and_one_entry(monkeypatch):
    """Mistral without its window, made of parts there are, equals transformers' at once."""
    monkeypatch.setitem(
        models.FAMILIES, "mistral", dataclasses.replace(LLAMA, model_type="mistral", read_config=read_mistral)
    )
    changes = {"model_type": "mistral", "sliding_window": None, "attention_bias": ..., "mlp_bias": ...}
    pair = make_pair(tiny_config("llama", **changes))
    tokens = random_tokens(9)
    assert_close(logits(pair, tokens), their_logits(pair, tokens), relative=1e-4)
