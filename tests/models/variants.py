"""The shapes and switches that each family comes in."""

from typing import Any

import pytest

from tests.tiny import tiny_config

_NO_SCALING = {"rope_scaling": None}
_VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "grouped-query-untied-llama3-scaling": {},
        "unscaled": _NO_SCALING,
        "linear-scaling": {"rope_scaling": {"type": "linear", "factor": 2.5}},
        "tied": {"tie_word_embeddings": True},
        "biases": {"attention_bias": True, "mlp_bias": True},
        "attention-biases-alone": {"attention_bias": True},
        "multi-head": {"num_key_value_heads": 6},
        "multi-query": {"num_key_value_heads": 1},
        "three-heads-of-default-width": {
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "head_dim": ...,
            **_NO_SCALING,
        },
    },
    "cohere": {
        "grouped-query-tied": {},
        "multi-head": {"num_key_value_heads": 6},
        "multi-query": {"num_key_value_heads": 1},
        "untied": {"tie_word_embeddings": False},
        "qk-norm": {"use_qk_norm": True},
        "biases": {"attention_bias": True},
        "qk-norm-multi-head-biases-untied": {
            "use_qk_norm": True,
            "num_key_value_heads": 6,
            "attention_bias": True,
            "tie_word_embeddings": False,
        },
        "heads-of-another-width": {"head_dim": 10, "use_qk_norm": True},
        "linear-scaling": {"rope_scaling": {"rope_type": "linear", "factor": 2.5}},
    },
    "gemma3_text": {
        "sliding-and-full-tied-linear-scaling": {},
        "unscaled": _NO_SCALING,
        "linear-scaling-by-eight": {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        "untied": {"tie_word_embeddings": False},
        "biases": {"attention_bias": True},
        "multi-head": {"num_key_value_heads": 6},
        "multi-query": {"num_key_value_heads": 1},
        "all-sliding": {"layer_types": ["sliding_attention"] * 3},
        "all-full": {"layer_types": ["full_attention"] * 3},
        "pattern-as-a-number": {"layer_types": ..., "sliding_window_pattern": 2},
        "capped-logits": {"final_logit_softcapping": 1.7},
        "window-of-one": {"sliding_window": 1},
    },
    "qwen2": {
        "grouped-query-untied-second-block-sliding": {},
        "published": {"use_sliding_window": False, "tie_word_embeddings": True},
        "tied-all-sliding": {"max_window_layers": 0, "tie_word_embeddings": True},
        "sliding-from-a-block-it-lacks": {"max_window_layers": 28},
        "sliding-first": {"layer_types": ["sliding_attention", "full_attention"], "max_window_layers": 0},
        "sliding-without-a-width": {"sliding_window": None},
        "window-of-one": {"sliding_window": 1},
        "linear-scaling": {"rope_scaling": {"type": "linear", "factor": 2.5}},
        "multi-head": {"num_key_value_heads": 6},
        "multi-query": {"num_key_value_heads": 1},
        "heads-of-another-width": {"head_dim": 10},
    },
}

all_variants = pytest.mark.parametrize(
    "config",
    [
        pytest.param(tiny_config(model_type, **changes), id=f"{model_type}-{name}")
        for model_type, variants in _VARIANTS.items()
        for name, changes in variants.items()
    ],
)
"""Runs a test once for every variant of every family, its ``config.json`` as ``config``."""
