"""Llama 3, 3.1 and 3.2 (Grattafiori et al., 2024, https://arxiv.org/abs/2407.21783); ``model_type: llama``.

Shapes: B sequences, T tokens, D hidden size, V vocabulary.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxprune.models.cache import Cache, cached_attention
from jaxprune.models.causal_lm import Family, linear_names
from jaxprune.models.fields import ConfigFields, check_heads
from jaxprune.models.layers import Embedding, Linear, OutputLayer, RMSNorm
from jaxprune.models.rotary import Rotary, read_rotary, rotate
from jaxprune.typing import Activations, Constants


@dataclasses.dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The constants of one Llama, none with a default of ours: a wrong one runs, and writes nonsense.

    Where a ``config.json`` leaves one out, it is what transformers' class says (``fields.with_defaults``).
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rotary: Rotary
    attention_bias: bool
    mlp_bias: bool
    tie_word_embeddings: bool


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


class LlamaEmbedder(nnx.Module):
    """Token embedding."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Builds the table."""
        self.tokens = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)

    def __call__(self, tokens_BT: Int[Array | np.ndarray, "B T"], dtype: Any) -> Float[Array, "B T D"]:
        """Looks tokens up."""
        return self.tokens(tokens_BT, dtype)


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
        self, x_BTD: Float[Array, "B T D"], constants: Constants, cache: Cache | None = None
    ) -> tuple[Float[Array, "B T D"], Activations, Cache]:
        """Returns the block's output, the activations named in ``READS``, and the cache with these tokens in it."""
        c = self.config
        attention_input = self.attention_norm(x_BTD)
        with jax.named_scope("attention"):
            shape = (*x_BTD.shape[:2], -1, c.head_dim)
            q = self.q_proj(attention_input).reshape(shape)
            k = self.k_proj(attention_input).reshape(shape)
            v = self.v_proj(attention_input).reshape(shape)
            q = rotate(q, constants["frequencies"], interleaved=False, cache=cache)
            k = rotate(k, constants["frequencies"], interleaved=False, cache=cache)
            attention_heads, cache = cached_attention(q, k, v, cache, scale=c.head_dim**-0.5)
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
        return x_BTD + self.down_proj(mlp_hidden), activations, cache


class LlamaHead(nnx.Module):
    """Final norm and output layer."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Builds the norm and the output layer."""
        c = config
        self.norm = RMSNorm(c.hidden_size, epsilon=c.rms_norm_eps, rngs=rngs)
        self.output = OutputLayer(c.hidden_size, c.vocab_size, is_tied=c.tie_word_embeddings, rngs=rngs)

    def __call__(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns float32 logits."""
        return self.output(self.norm(x_BTD))


READS = {
    "q_proj": "attention_input",
    "k_proj": "attention_input",
    "v_proj": "attention_input",
    "o_proj": "attention_heads",
    "gate_proj": "mlp_input",
    "up_proj": "mlp_input",
    "down_proj": "mlp_hidden",
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
        **linear_names("self_attn", ("q_proj", "k_proj", "v_proj", "o_proj")),
        **linear_names("mlp", ("gate_proj", "up_proj", "down_proj")),
        "head/norm/scale": "model.norm.weight",
        "head/output/embedding": "model.embed_tokens.weight",
        "head/output/kernel": "lm_head.weight",
    },
)
