"""What a ``config.json`` may say: published files are read as they are, and nothing in one goes unnoticed."""

import copy
import json

import numpy as np
import pytest
import transformers

from jaxprune.errors import RequestError
from jaxprune.models import FAMILIES, build_model
from jaxprune.models.rotary import BandScaling, LinearScaling, Rotary
from tests.models.published import PUBLISHED
from tests.tiny import tiny_config


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_read(name):
    """Every number that shapes a tensor arrives, and the argument stays as it was."""
    raw = copy.deepcopy(PUBLISHED[name])
    config = build_model(raw).config
    assert raw == PUBLISHED[name]
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_key_value_heads"):
        assert getattr(config, key) == raw[key]
    assert config.head_dim == raw.get("head_dim", raw["hidden_size"] // raw["num_attention_heads"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_configurations_survive_transformers(name):
    """Saved again by transformers, in its present spelling, they describe the same model."""
    raw = copy.deepcopy(PUBLISHED[name])
    saved = json.loads(transformers.AutoConfig.for_model(**raw).to_json_string())
    assert "rope_parameters" in saved
    assert build_model(saved) == build_model(PUBLISHED[name])


def test_rotary_parameters_of_published_configurations():
    def rotary(name):
        return build_model(PUBLISHED[name]).config.rotary

    band = BandScaling(factor=32.0, low_frequency_factor=1.0, high_frequency_factor=4.0, original_length=8192)
    assert rotary("Llama-3-8B") == Rotary(theta=500000.0, scaling=None)
    assert rotary("Llama-3.2-1B") == Rotary(theta=500000.0, scaling=band)
    assert rotary("Aya-23-8B") == Rotary(theta=10000.0, scaling=None)
    assert rotary("Aya-23-35B") == Rotary(theta=8000000.0, scaling=None)
    local = Rotary(theta=10000.0, scaling=None)
    assert rotary("Gemma-3-1B-it") == (((local,) * 5 + (Rotary(theta=1e6, scaling=None),)) * 5)[:26]
    assert rotary("Qwen2.5-0.5B") == Rotary(theta=1e6, scaling=None)
    full = Rotary(theta=1e6, scaling=LinearScaling(factor=8.0))
    assert rotary("Gemma-3-4B, text")[4:7] == (local, full, local)


def test_windows_of_published_configurations():
    """The fifth of six blocks slides, the sixth sees all, in old and new spelling."""
    for name, window in (("Gemma-3-270M", 512), ("Gemma-3-1B-it", 512), ("Gemma-3-4B, text", 1024)):
        model = build_model(PUBLISHED[name])
        windows = [int(model.constants(index)["window"]) for index in range(model.num_blocks)]
        assert windows == (([window] * 5 + [np.iinfo(np.int32).max]) * 6)[: model.num_blocks]


_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_OF_ALL = [
    {"brand_new_field": 3},
    {"partial_rotary_factor": 0.5},
    {"sliding_window_size": 8},
    {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    {"auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}},
    {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0], "long_factor": [1.0]}},
    {"rope_scaling": {"rope_type": "of-its-own", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "linear"}},
    {"rope_scaling": {"rope_type": "linear", "factor": -2.0}},
    {"rope_scaling": {"rope_type": "linear", "factor": "2"}},
    {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "offset": 1}},
    {"rope_scaling": {key: value for key, value in _SCALING.items() if key != "low_freq_factor"}},
    {"rope_scaling": _SCALING | {"high_freq_factor": 1.0}},
    {"rope_scaling": 7},
    {"rope_theta": 0},
    {"rope_theta": float("nan")},
    {"rope_theta": "10000"},
    {"vocab_size": 0},
    {"hidden_size": -48},
    {"hidden_size": "48"},
    {"intermediate_size": None},
    {"num_hidden_layers": 0},
    {"num_hidden_layers": 10**12},
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 0},
    {"num_attention_heads": 7},
    {"head_dim": 11},
    {"head_dim": 3},
    {"attention_bias": "no"},
    {"tie_word_embeddings": 1},
]
_OF_FAMILY = {
    "llama": [
        {"hidden_act": "gelu"},
        {"rope_interleaved": True},
        {"is_llama_config": False},
        {"rms_norm_eps": float("inf")},
        {"mlp_bias": 0},
        {"use_qk_norm": True},
    ],
    "cohere": [
        {"hidden_act": "gelu"},
        {"logit_scale": None},
        {"logit_scale": float("nan")},
        {"layer_norm_eps": 0.0},
        {"layer_norm_eps": None},
        {"use_qk_norm": None},
        {"use_parallel_block": True},
        {"num_attention_heads": 9},
    ],
    "gemma3_text": [
        {"hidden_activation": "gelu"},
        {"attn_logit_softcapping": 50.0},
        {"final_logit_softcapping": -1.0},
        {"use_bidirectional_attention": True},
        {"query_pre_attn_scalar": 0},
        {"sliding_window": None},
        {"sliding_window": 0},
        {"layer_types": ["sliding_attention"]},
        {"layer_types": ["sliding_attention", "full_attention", "chunked_attention"]},
        {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}},
    ],
    "qwen2": [
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"use_mrope": True},
        {"use_sliding_window": "yes"},
        {"sliding_window": 0},
        {"max_window_layers": "all"},
        {"layer_types": ["sliding_attention"]},
        {"layer_types": ["full_attention", "chunked_attention"]},
        {"num_attention_heads": 9},
        {"num_key_value_heads": 7},
    ],
}


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        pytest.param(model_type, changes, id=f"{model_type}-{changes}"[:80])
        for model_type in sorted(FAMILIES)
        for changes in _OF_ALL + _OF_FAMILY[model_type]
    ],
)
def test_what_is_not_supported_is_refused_by_name(model_type, changes):
    config = tiny_config(model_type, **changes)
    (key,) = changes
    with pytest.raises(RequestError) as refused:
        build_model(config)
    message = str(refused.value)
    assert message.startswith("config.json")
    named = {
        "rope_scaling": "rope|factor|offset",
        "rope_parameters": "rope_parameters|full_attention",
        "num_attention_heads": "num_attention_heads|hidden",
    }
    assert any(word in message for word in named.get(key, key).split("|")), message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rms_norm_eps": "x"}, "rms_norm_eps = 'x' does not fit the rest of this llama configuration"),
        ({"num_attention_heads": 5}, r"values make no llama model \(The hidden size \(48\) is not a multiple"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported for llama models; supported: 'silu'. Correct"),
    ],
)
def test_a_refusal_says_what_to_do(changes, message):
    with pytest.raises(RequestError, match=f"^config.json: .*{message}") as refused:
        build_model(tiny_config("llama", **changes))
    assert "trained" in str(refused.value)


def test_a_sliding_window_that_no_block_has_may_be_null():
    config = tiny_config("gemma3_text", layer_types=["full_attention"] * 3, sliding_window=None)
    assert build_model(config).config.windows == (None,) * 3


@pytest.mark.parametrize(
    ("changes", "windows"),
    [
        ({}, [None, 5]),
        ({"max_window_layers": 0}, [5, 5]),
        ({"max_window_layers": 2}, [None, None]),
        ({"sliding_window": None}, [None, None]),
        ({"use_sliding_window": False, "max_window_layers": 0}, [None, None]),
        ({"use_sliding_window": ...}, [None, None]),
        ({"sliding_window": ..., "max_window_layers": 1}, [None, 4096]),
        ({"layer_types": ["sliding_attention", "full_attention"], "max_window_layers": 2}, [5, None]),
    ],
)
def test_windows_are_those_of_the_last_blocks_where_they_are_used_at_all(changes, windows):
    model = build_model(tiny_config("qwen2", **changes))
    assert list(model.config.windows) == windows
    # A model that has none anywhere has nothing to compare with.
    assert ["window" in model.constants(index) for index in range(2)] == [any(windows)] * 2


def test_a_block_that_slides_in_a_model_that_does_not_is_refused():
    config = tiny_config("qwen2", use_sliding_window=False, layer_types=["full_attention", "sliding_attention"])
    with pytest.raises(RequestError, match=r"use_sliding_window = False .* qwen2 .* 'sliding_attention'\. Correct"):
        build_model(config)


def test_quantized_weights_are_refused_with_what_to_do_instead():
    config = tiny_config("llama", quantization_config={"quant_method": "awq"})
    with pytest.raises(RequestError, match="give the model that was quantized"):
        build_model(config)


def test_an_unknown_field_is_refused_with_its_value():
    with pytest.raises(RequestError, match=r"found brand_new_field = 3, .* remove it"):
        build_model(tiny_config("cohere", brand_new_field=3))


def test_fields_that_change_nothing_may_have_any_value():
    changes = {"attention_dropout": 0.1, "pretraining_tp": 4, "use_cache": False, "temperature": 0.6}
    assert build_model(tiny_config("llama", **changes)) == build_model(tiny_config("llama"))


@pytest.mark.parametrize("model_type", ["mixtral", "", None, ["llama"]])
def test_other_model_types_are_refused_with_those_supported(model_type):
    with pytest.raises(RequestError, match="supported: cohere, gemma3_text, llama, qwen2"):
        build_model({"model_type": model_type})


def test_a_missing_value_without_a_default_is_refused():
    """Whatever transformers fills in today, a value that it does not is no reason to guess."""
    config = transformers.AutoConfig.for_model(**tiny_config("llama")).to_dict()
    del config["rms_norm_eps"]
    with pytest.raises(RequestError, match="needs 'rms_norm_eps'"):
        FAMILIES["llama"].read_config(config)
