"""Qwen2 and Qwen2.5 (Qwen Team, 2024, https://arxiv.org/abs/2412.15115); ``model_type: qwen2``."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxprune.models import pre_norm
from jaxprune.models.causal_lm import Family
from jaxprune.models.fields import ConfigFields, check_heads
from jaxprune.models.rotary import read_rotary
from jaxprune.models.windows import SLIDING, Windows, read_windows, window_constant
from jaxprune.typing import Constants


@dataclasses.dataclass(frozen=True, kw_only=True)
class Qwen2Config(pre_norm.PreNormConfig):
    """The constants of one Qwen2."""

    windows: Windows

    @property
    def biased(self) -> tuple[str, ...]:
        """The linears of a block that have a bias: in every Qwen2 these, and no field says otherwise."""
        return ("q_proj", "k_proj", "v_proj")


def read_config(values: Mapping[str, Any]) -> Qwen2Config:
    """Reads ``config.json`` values (with transformers' defaults filled in)."""
    fields = ConfigFields("qwen2", values)
    fields.require("hidden_act", "silu")
    fields.require("use_mrope", False)
    fields.discard("max_window_layers")  # layer_types says it
    if not fields.take_flag("use_sliding_window") and SLIDING in (values.get("layer_types") or ()):
        raise fields.unsupported("use_sliding_window = False", f"True, where layer_types has {SLIDING!r}")
    num_blocks = fields.take_size("num_hidden_layers")
    hidden_size, heads = fields.take_size("hidden_size"), fields.take_size("num_attention_heads")
    config = Qwen2Config(
        vocab_size=fields.take_size("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=fields.take_size("intermediate_size"),
        num_hidden_layers=num_blocks,
        num_attention_heads=heads,
        num_key_value_heads=fields.take_size("num_key_value_heads"),
        head_dim=fields.take_head_dim(hidden_size, heads),
        rms_norm_eps=fields.take_number("rms_norm_eps"),
        rotary=read_rotary(fields.take_fields("rope_parameters")),
        windows=read_windows(fields, num_blocks),
        tie_word_embeddings=fields.take_flag("tie_word_embeddings"),
    )
    fields.finish()
    check_heads(
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
    )
    return config


def constants(config: Qwen2Config, index: int) -> Constants:
    """Returns the rotary frequencies, and the block's window in a model of which any block has one."""
    frequencies = config.rotary.frequencies(config.head_dim)
    if not any(config.windows):
        # As published: attention then has no window to compare with.
        return {"frequencies": frequencies}
    return {"frequencies": frequencies, "window": window_constant(config.windows[index])}


QWEN2 = Family(
    model_type="qwen2",
    read_config=read_config,
    embedder=pre_norm.PreNormEmbedder,
    block=pre_norm.PreNormBlock,
    head=pre_norm.PreNormHead,
    constants=constants,
    reads=pre_norm.READS,
    names=pre_norm.NAMES,
)
