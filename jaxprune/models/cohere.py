"""Command R and Aya 23 (Aryabumi et al., 2024, https://arxiv.org/abs/2405.15032); ``model_type: cohere``.

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
from jaxprune.models.layers import Embedding, LayerNorm, Linear, OutputLayer
from jaxprune.models.rotary import Rotary, read_rotary, rotate
from jaxprune.typing import Activations, Constants


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohereConfig:
    """The constants of one Cohere model, none with a default of ours: a wrong one runs, and writes nonsense.

    Where a ``config.json`` leaves one out, it is what transformers' class says (``fields.with_defaults``).
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    layer_norm_eps: float
    rotary: Rotary
    attention_bias: bool
    use_qk_norm: bool
    logit_scale: float
    tie_word_embeddings: bool


def read_config(values: Mapping[str, Any]) -> CohereConfig:
    """Reads ``config.json`` values (with transformers' defaults filled in)."""
    fields = ConfigFields("cohere", values)
    fields.require("hidden_act", "silu")
    hidden_size, heads = fields.take_size("hidden_size"), fields.take_size("num_attention_heads")
    config = CohereConfig(
        vocab_size=fields.take_size("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=fields.take_size("intermediate_size"),
        num_hidden_layers=fields.take_size("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=fields.take_size("num_key_value_heads"),
        head_dim=fields.take_head_dim(hidden_size, heads),
        layer_norm_eps=fields.take_number("layer_norm_eps"),
        rotary=read_rotary(fields.take_fields("rope_parameters")),
        attention_bias=fields.take_flag("attention_bias"),
        use_qk_norm=fields.take_flag("use_qk_norm"),
        logit_scale=fields.take_number("logit_scale"),
        tie_word_embeddings=fields.take_flag("tie_word_embeddings"),
    )
    fields.finish()
    check_heads(
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
    )
    return config


def constants(config: CohereConfig, index: int) -> Constants:
    """Returns the rotary frequencies, the same for every block."""
    del index
    return {"frequencies": config.rotary.frequencies(config.head_dim)}


class CohereEmbedder(nnx.Module):
    """Token embedding."""

    def __init__(self, config: CohereConfig, *, rngs: nnx.Rngs):
        """Builds the table."""
        self.tokens = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)

    def __call__(self, tokens_BT: Int[Array | np.ndarray, "B T"], dtype: Any) -> Float[Array, "B T D"]:
        """Looks tokens up."""
        return self.tokens(tokens_BT, dtype)


class CohereBlock(nnx.Module):
    """Attention and gated MLP side by side after one norm."""

    def __init__(self, config: CohereConfig, *, rngs: nnx.Rngs):
        """Builds the linears, the norm, and the norms of queries and keys if there are any."""
        c = self.config = config
        q_width, kv_width = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.norm = LayerNorm((c.hidden_size,), epsilon=c.layer_norm_eps, rngs=rngs)
        self.q_proj = Linear(c.hidden_size, q_width, bias=c.attention_bias, rngs=rngs)
        self.k_proj = Linear(c.hidden_size, kv_width, bias=c.attention_bias, rngs=rngs)
        self.v_proj = Linear(c.hidden_size, kv_width, bias=c.attention_bias, rngs=rngs)
        self.o_proj = Linear(q_width, c.hidden_size, bias=c.attention_bias, rngs=rngs)
        if c.use_qk_norm:
            self.q_norm = LayerNorm((c.num_attention_heads, c.head_dim), epsilon=c.layer_norm_eps, rngs=rngs)
            self.k_norm = LayerNorm((c.num_key_value_heads, c.head_dim), epsilon=c.layer_norm_eps, rngs=rngs)
        self.gate_proj = Linear(c.hidden_size, c.intermediate_size, bias=False, rngs=rngs)
        self.up_proj = Linear(c.hidden_size, c.intermediate_size, bias=False, rngs=rngs)
        self.down_proj = Linear(c.intermediate_size, c.hidden_size, bias=False, rngs=rngs)

    def __call__(
        self, x_BTD: Float[Array, "B T D"], constants: Constants, cache: Cache | None = None
    ) -> tuple[Float[Array, "B T D"], Activations, Cache]:
        """Returns the block's output, the activations named in ``READS``, and the cache with these tokens in it."""
        c = self.config
        block_input = self.norm(x_BTD)
        with jax.named_scope("attention"):
            shape = (*x_BTD.shape[:2], -1, c.head_dim)
            q = self.q_proj(block_input).reshape(shape)
            k = self.k_proj(block_input).reshape(shape)
            v = self.v_proj(block_input).reshape(shape)
            if c.use_qk_norm:
                q, k = self.q_norm(q), self.k_norm(k)
            q = rotate(q, constants["frequencies"], interleaved=True, cache=cache)
            k = rotate(k, constants["frequencies"], interleaved=True, cache=cache)
            attention_heads, cache = cached_attention(q, k, v, cache, scale=c.head_dim**-0.5)
        with jax.named_scope("mlp"):
            mlp_hidden = jax.nn.silu(self.gate_proj(block_input)) * self.up_proj(block_input)
        activations = {
            "block_input": block_input,
            "attention_heads": attention_heads,
            "mlp_hidden": mlp_hidden,
        }
        return x_BTD + self.o_proj(attention_heads) + self.down_proj(mlp_hidden), activations, cache


class CohereHead(nnx.Module):
    """Final norm and output layer, its logits scaled."""

    def __init__(self, config: CohereConfig, *, rngs: nnx.Rngs):
        """Builds the norm and the output layer."""
        c = config
        self.norm = LayerNorm((c.hidden_size,), epsilon=c.layer_norm_eps, rngs=rngs)
        self.output = OutputLayer(c.hidden_size, c.vocab_size, is_tied=c.tie_word_embeddings, rngs=rngs)
        self.logit_scale = c.logit_scale

    def __call__(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns float32 logits."""
        return self.output(self.norm(x_BTD)) * self.logit_scale


READS = {
    "q_proj": "block_input",
    "k_proj": "block_input",
    "v_proj": "block_input",
    "o_proj": "attention_heads",
    "gate_proj": "block_input",
    "up_proj": "block_input",
    "down_proj": "mlp_hidden",
}

COHERE = Family(
    model_type="cohere",
    read_config=read_config,
    embedder=CohereEmbedder,
    block=CohereBlock,
    head=CohereHead,
    constants=constants,
    reads=READS,
    names={
        "embed/tokens/embedding": "model.embed_tokens.weight",
        "block/norm/scale": "model.layers.{}.input_layernorm.weight",
        "block/q_norm/scale": "model.layers.{}.self_attn.q_norm.weight",
        "block/k_norm/scale": "model.layers.{}.self_attn.k_norm.weight",
        **linear_names("self_attn", ("q_proj", "k_proj", "v_proj", "o_proj")),
        **linear_names("mlp", ("gate_proj", "up_proj", "down_proj")),
        "head/norm/scale": "model.norm.weight",
        "head/output/embedding": "model.embed_tokens.weight",
        "head/output/kernel": "lm_head.weight",
    },
)
