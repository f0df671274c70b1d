"""Llama 3, 3.1 and 3.2 (Grattafiori et al., 2024, https://arxiv.org/abs/2407.21783); ``model_type: llama``."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxprune.models import pre_norm
from jaxprune.models.causal_lm import Family
from jaxprune.models.fields import ConfigFields, check_heads
from jaxprune.models.rotary import read_rotary
from jaxprune.typing import Constants


@dataclasses.dataclass(frozen=True, kw_only=True)
class LlamaConfig(pre_norm.PreNormConfig):
    """The constants of one Llama."""

    attention_bias: bool
    mlp_bias: bool

    @property
    def biased(self) -> tuple[str, ...]:
        """The linears of a block that have a bias: all of a half, or none."""
        return (*(pre_norm.ATTENTION if self.attention_bias else ()), *(pre_norm.MLP if self.mlp_bias else ()))


def read_config(values: Mapping[str, Any]) -> LlamaConfig:
    """Reads ``config.json`` values (with transformers' defaults filled in)."""
    fields = ConfigFields("llama", values)
    fields.require("hidden_act", "silu")
    fields.require("rope_interleaved", False)
    fields.require("is_llama_config", True)
    config = LlamaConfig(
        vocab_size=fields.take_size("vocab_size"),
        hidden_size=fields.take_size("hidden_size"),
        intermediate_size=fields.take_size("intermediate_size"),
        num_hidden_layers=fields.take_size("num_hidden_layers"),
        num_attention_heads=fields.take_size("num_attention_heads"),
        num_key_value_heads=fields.take_size("num_key_value_heads"),
        head_dim=fields.take_size("head_dim"),
        rms_norm_eps=fields.take_number("rms_norm_eps"),
        rotary=read_rotary(fields.take_fields("rope_parameters")),
        attention_bias=fields.take_flag("attention_bias"),
        mlp_bias=fields.take_flag("mlp_bias"),
        tie_word_embeddings=fields.take_flag("tie_word_embeddings"),
    )
    fields.finish()
    check_heads(
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
    )
    return config


def constants(config: LlamaConfig, index: int) -> Constants:
    """Returns the rotary frequencies, the same for every block."""
    del index
    return {"frequencies": config.rotary.frequencies(config.head_dim)}


LLAMA = Family(
    model_type="llama",
    read_config=read_config,
    embedder=pre_norm.PreNormEmbedder,
    block=pre_norm.PreNormBlock,
    head=pre_norm.PreNormHead,
    constants=constants,
    reads=pre_norm.READS,
    names=pre_norm.NAMES,
)
