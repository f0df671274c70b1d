"""Llama 3, 3.1 and 3.2 (Grattafiori et al., 2024, https://arxiv.org/abs/2407.21783); ``model_type: llama``.

Shapes: B sequences, T tokens, D hidden size, V vocabulary.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxprune.models.causal_lm import Family
from jaxprune.models.fields import ConfigFields
from jaxprune.models.layers import (
    Embedding,
    Linear,
    RMSNorm,
    causal_attention,
    llama3_frequencies,
    rotary_frequencies,
    rotate,
)
from jaxprune.typing import Activations, Constants


@dataclasses.dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Llama 3.1's stretching of slow rotations; see ``layers.llama3_frequencies``."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_length: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The constants of one Llama, none with a default: a wrong one runs, and writes nonsense."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    attention_bias: bool
    mlp_bias: bool
    tie_word_embeddings: bool


def read_config(values: Mapping[str, Any]) -> LlamaConfig:
    """Reads ``config.json`` values (with transformers' defaults filled in)."""
    fields = ConfigFields("llama", values)
    rope = ConfigFields("llama", fields.take("rope_parameters"))
    scaling = None
    if rope.take("rope_type", "default", "llama3") == "llama3":
        scaling = RopeScaling(
            factor=rope.take("factor"),
            low_frequency_factor=rope.take("low_freq_factor"),
            high_frequency_factor=rope.take("high_freq_factor"),
            original_length=rope.take("original_max_position_embeddings"),
        )
    fields.require("hidden_act", "silu")
    fields.require("pretraining_tp", 1)
    fields.require("attention_dropout", 0.0)
    config = LlamaConfig(
        vocab_size=fields.take("vocab_size"),
        hidden_size=fields.take("hidden_size"),
        intermediate_size=fields.take("intermediate_size"),
        num_hidden_layers=fields.take("num_hidden_layers"),
        num_attention_heads=fields.take("num_attention_heads"),
        num_key_value_heads=fields.take("num_key_value_heads"),
        head_dim=fields.take("head_dim"),
        rms_norm_eps=fields.take("rms_norm_eps"),
        rope_theta=rope.take("rope_theta"),
        rope_scaling=scaling,
        attention_bias=fields.take("attention_bias"),
        mlp_bias=fields.take("mlp_bias"),
        tie_word_embeddings=fields.take("tie_word_embeddings"),
    )
    rope.finish()
    fields.finish()
    return config


def constants(config: LlamaConfig, index: int) -> Constants:
    """Returns the rotary frequencies, the same for every block."""
    del index
    frequencies = rotary_frequencies(config.head_dim, theta=config.rope_theta)
    if config.rope_scaling is not None:
        frequencies = llama3_frequencies(frequencies, **dataclasses.asdict(config.rope_scaling))
    return {"frequencies": frequencies}


class LlamaEmbedder(nnx.Module):
    """Token embedding."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Builds the table."""
        self.tokens = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)

    def __call__(self, tokens_BT: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """Looks tokens up."""
        return self.tokens(tokens_BT)


class LlamaBlock(nnx.Module):
    """Pre-norm attention with grouped queries, then a pre-norm gated MLP."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Builds the linears and the two norms."""
        c = self.config = config
        q_width, kv_width = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.attention_norm = RMSNorm(c.hidden_size, epsilon=c.rms_norm_eps, rngs=rngs)
        self.q_proj = Linear(c.hidden_size, q_width, bias=c.attention_bias, rngs=rngs)
        self.k_proj = Linear(c.hidden_size, kv_width, bias=c.attention_bias, rngs=rngs)
        self.v_proj = Linear(c.hidden_size, kv_width, bias=c.attention_bias, rngs=rngs)
        self.o_proj = Linear(q_width, c.hidden_size, bias=c.attention_bias, rngs=rngs)
        self.mlp_norm = RMSNorm(c.hidden_size, epsilon=c.rms_norm_eps, rngs=rngs)
        self.gate_proj = Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias, rngs=rngs)
        self.up_proj = Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias, rngs=rngs)
        self.down_proj = Linear(c.intermediate_size, c.hidden_size, bias=c.mlp_bias, rngs=rngs)

    def __call__(
        self, x_BTD: Float[Array, "B T D"], constants: Constants
    ) -> tuple[Float[Array, "B T D"], Activations]:
        """Returns the block's output and the activations named in ``READS``."""
        c = self.config
        attention_input = self.attention_norm(x_BTD)
        with jax.named_scope("attention"):
            shape = (*x_BTD.shape[:2], -1, c.head_dim)
            q = self.q_proj(attention_input).reshape(shape)
            k = self.k_proj(attention_input).reshape(shape)
            v = self.v_proj(attention_input).reshape(shape)
            q = rotate(q, constants["frequencies"], interleaved=False)
            k = rotate(k, constants["frequencies"], interleaved=False)
            attention_heads = causal_attention(q, k, v, scale=c.head_dim**-0.5)
        x_BTD = x_BTD + self.o_proj(attention_heads)
        mlp_input = self.mlp_norm(x_BTD)
        with jax.named_scope("mlp"):
            mlp_hidden = jax.nn.silu(self.gate_proj(mlp_input)) * self.up_proj(mlp_input)
        activations = {
            "attention_input": attention_input,
            "attention_heads": attention_heads,
            "mlp_input": mlp_input,
            "mlp_hidden": mlp_hidden,
        }
        return x_BTD + self.down_proj(mlp_hidden), activations


class LlamaHead(nnx.Module):
    """Final norm and output layer; with tied embeddings the layer is the embedding table."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Builds the norm and, if it is not tied, the output layer."""
        self.norm = RMSNorm(config.hidden_size, epsilon=config.rms_norm_eps, rngs=rngs)
        self.is_tied = config.tie_word_embeddings
        if self.is_tied:
            self.tokens = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)
        else:
            self.output = Linear(config.hidden_size, config.vocab_size, bias=False, rngs=rngs)

    def __call__(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns logits."""
        x_BTD = self.norm(x_BTD)
        return self.tokens.attend(x_BTD) if self.is_tied else self.output(x_BTD)


READS = {
    "q_proj": "attention_input",
    "k_proj": "attention_input",
    "v_proj": "attention_input",
    "o_proj": "attention_heads",
    "gate_proj": "mlp_input",
    "up_proj": "mlp_input",
    "down_proj": "mlp_hidden",
}

_ATTENTION = {
    f"block/{name}/{ours}": f"model.layers.{{}}.self_attn.{name}.{theirs}"
    for name in ("q_proj", "k_proj", "v_proj", "o_proj")
    for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
}
_MLP = {
    f"block/{name}/{ours}": f"model.layers.{{}}.mlp.{name}.{theirs}"
    for name in ("gate_proj", "up_proj", "down_proj")
    for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
}

LLAMA = Family(
    model_type="llama",
    read_config=read_config,
    embedder=LlamaEmbedder,
    block=LlamaBlock,
    head=LlamaHead,
    constants=constants,
    reads=READS,
    names={
        "embed/tokens/embedding": "model.embed_tokens.weight",
        "block/attention_norm/scale": "model.layers.{}.input_layernorm.weight",
        "block/mlp_norm/scale": "model.layers.{}.post_attention_layernorm.weight",
        **_ATTENTION,
        **_MLP,
        "head/norm/scale": "model.norm.weight",
        "head/tokens/embedding": "model.embed_tokens.weight",
        "head/output/kernel": "lm_head.weight",
    },
)
