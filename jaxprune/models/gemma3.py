"""Gemma 3, the text model (Gemma Team, 2025, https://arxiv.org/abs/2503.19786); ``model_type: gemma3_text``.

Shapes: B sequences, T tokens, D hidden size, V vocabulary.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxprune.models.cache import Cache, cached_attention
from jaxprune.models.causal_lm import Family, linear_names
from jaxprune.models.fields import ConfigFields, check_heads
from jaxprune.models.layers import Embedding, Linear, OutputLayer, RMSNorm
from jaxprune.models.rotary import Rotary, read_rotary, rotate
from jaxprune.models.windows import FULL, SLIDING, Windows, read_windows, window_constant
from jaxprune.typing import Activations, Constants


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gemma3Config:
    """The constants of one Gemma 3, none with a default of ours: a wrong one runs, and writes nonsense.

    Where a ``config.json`` leaves one out, it is what transformers' class says (``fields.with_defaults``).

    Attributes:
      rotary: for each block.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    query_pre_attn_scalar: float
    windows: Windows
    rotary: tuple[Rotary, ...]
    attention_bias: bool
    final_logit_softcapping: float | None
    tie_word_embeddings: bool


def read_config(values: Mapping[str, Any]) -> Gemma3Config:
    """Reads ``config.json`` values (with transformers' defaults filled in)."""
    fields = ConfigFields("gemma3_text", values)
    fields.require("hidden_activation", "gelu_pytorch_tanh")
    fields.require("attn_logit_softcapping")
    fields.require("use_bidirectional_attention", False)
    for key in ("sliding_window_pattern", "_sliding_window_pattern"):
        fields.discard(key)  # layer_types says it
    num_blocks = fields.take_size("num_hidden_layers")
    windows = read_windows(fields, num_blocks)
    rope = fields.take_fields("rope_parameters")
    sliding, full = (read_rotary(rope.take_fields(kind)) for kind in (SLIDING, FULL))
    rope.finish()
    softcap = "final_logit_softcapping"
    config = Gemma3Config(
        vocab_size=fields.take_size("vocab_size"),
        hidden_size=fields.take_size("hidden_size"),
        intermediate_size=fields.take_size("intermediate_size"),
        num_hidden_layers=num_blocks,
        num_attention_heads=fields.take_size("num_attention_heads"),
        num_key_value_heads=fields.take_size("num_key_value_heads"),
        head_dim=fields.take_size("head_dim"),
        rms_norm_eps=fields.take_number("rms_norm_eps"),
        query_pre_attn_scalar=fields.take_number("query_pre_attn_scalar"),
        windows=windows,
        rotary=tuple(full if window is None else sliding for window in windows),
        attention_bias=fields.take_flag("attention_bias"),
        final_logit_softcapping=fields.take_number(softcap) if fields.has(softcap) else None,
        tie_word_embeddings=fields.take_flag("tie_word_embeddings"),
    )
    fields.finish()
    check_heads(
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
    )
    return config


def constants(config: Gemma3Config, index: int) -> Constants:
    """Returns the block's rotary frequencies and its window."""
    return {
        "frequencies": config.rotary[index].frequencies(config.head_dim),
        "window": window_constant(config.windows[index]),
    }


class Gemma3Embedder(nnx.Module):
    """Token embedding, scaled by the square root of the hidden size."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        """Builds the table."""
        self.tokens = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)
        self.scale = config.hidden_size**0.5

    def __call__(self, tokens_BT: Int[Array | np.ndarray, "B T"], dtype: Any) -> Float[Array, "B T D"]:
        """Looks tokens up and scales them."""
        # The scale is rounded to the dtype first, as in training: sqrt(640) = 25.298 is 25.25 in bfloat16.
        return self.tokens(tokens_BT, dtype) * jnp.asarray(self.scale, dtype)


class Gemma3Block(nnx.Module):
    """Attention with normed queries and keys, then a gated MLP, each with a norm before and after it."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        """Builds the linears and the six norms."""
        c = self.config = config
        q_width, kv_width = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.attention_norm = _norm(c, c.hidden_size, rngs)
        self.q_proj = Linear(c.hidden_size, q_width, bias=c.attention_bias, rngs=rngs)
        self.k_proj = Linear(c.hidden_size, kv_width, bias=c.attention_bias, rngs=rngs)
        self.v_proj = Linear(c.hidden_size, kv_width, bias=c.attention_bias, rngs=rngs)
        self.o_proj = Linear(q_width, c.hidden_size, bias=c.attention_bias, rngs=rngs)
        self.q_norm = _norm(c, c.head_dim, rngs)
        self.k_norm = _norm(c, c.head_dim, rngs)
        self.post_attention_norm = _norm(c, c.hidden_size, rngs)
        self.mlp_norm = _norm(c, c.hidden_size, rngs)
        self.gate_proj = Linear(c.hidden_size, c.intermediate_size, bias=False, rngs=rngs)
        self.up_proj = Linear(c.hidden_size, c.intermediate_size, bias=False, rngs=rngs)
        self.down_proj = Linear(c.intermediate_size, c.hidden_size, bias=False, rngs=rngs)
        self.post_mlp_norm = _norm(c, c.hidden_size, rngs)

    def __call__(
        self, x_BTD: Float[Array, "B T D"], constants: Constants, cache: Cache | None = None
    ) -> tuple[Float[Array, "B T D"], Activations, Cache]:
        """Returns the block's output, the activations named in ``READS``, and the cache with these tokens in it."""
        c = self.config
        attention_input = self.attention_norm(x_BTD)
        with jax.named_scope("attention"):
            shape = (*x_BTD.shape[:2], -1, c.head_dim)
            q = self.q_norm(self.q_proj(attention_input).reshape(shape))
            k = self.k_norm(self.k_proj(attention_input).reshape(shape))
            v = self.v_proj(attention_input).reshape(shape)
            q = rotate(q, constants["frequencies"], interleaved=False, cache=cache)
            k = rotate(k, constants["frequencies"], interleaved=False, cache=cache)
            scale = c.query_pre_attn_scalar**-0.5
            attention_heads, cache = cached_attention(q, k, v, cache, scale=scale, window=constants["window"])
        x_BTD = x_BTD + self.post_attention_norm(self.o_proj(attention_heads))
        mlp_input = self.mlp_norm(x_BTD)
        with jax.named_scope("mlp"):
            gate = jax.nn.gelu(self.gate_proj(mlp_input), approximate=True)
            mlp_hidden = gate * self.up_proj(mlp_input)
        activations = {
            "attention_input": attention_input,
            "attention_heads": attention_heads,
            "mlp_input": mlp_input,
            "mlp_hidden": mlp_hidden,
        }
        return x_BTD + self.post_mlp_norm(self.down_proj(mlp_hidden)), activations, cache


class Gemma3Head(nnx.Module):
    """Final norm and output layer, its logits softly capped if the configuration says so."""

    def __init__(self, config: Gemma3Config, *, rngs: nnx.Rngs):
        """Builds the norm and the output layer."""
        c = config
        self.norm = _norm(c, c.hidden_size, rngs)
        self.output = OutputLayer(c.hidden_size, c.vocab_size, is_tied=c.tie_word_embeddings, rngs=rngs)
        self.softcap = c.final_logit_softcapping

    def __call__(self, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Returns float32 logits."""
        logits_BTV = self.output(self.norm(x_BTD))
        if self.softcap is None:
            return logits_BTV
        return jnp.tanh(logits_BTV / self.softcap) * self.softcap


def _norm(config: Gemma3Config, width: int, rngs: nnx.Rngs) -> RMSNorm:
    """Returns a norm whose scale is stored as its distance from one."""
    return RMSNorm(width, epsilon=config.rms_norm_eps, offset=1.0, rngs=rngs)


READS = {
    "q_proj": "attention_input",
    "k_proj": "attention_input",
    "v_proj": "attention_input",
    "o_proj": "attention_heads",
    "gate_proj": "mlp_input",
    "up_proj": "mlp_input",
    "down_proj": "mlp_hidden",
}

GEMMA3 = Family(
    model_type="gemma3_text",
    read_config=read_config,
    embedder=Gemma3Embedder,
    block=Gemma3Block,
    head=Gemma3Head,
    constants=constants,
    reads=READS,
    names={
        "embed/tokens/embedding": "model.embed_tokens.weight",
        "block/attention_norm/scale": "model.layers.{}.input_layernorm.weight",
        "block/q_norm/scale": "model.layers.{}.self_attn.q_norm.weight",
        "block/k_norm/scale": "model.layers.{}.self_attn.k_norm.weight",
        "block/post_attention_norm/scale": "model.layers.{}.post_attention_layernorm.weight",
        "block/mlp_norm/scale": "model.layers.{}.pre_feedforward_layernorm.weight",
        "block/post_mlp_norm/scale": "model.layers.{}.post_feedforward_layernorm.weight",
        **linear_names("self_attn", ("q_proj", "k_proj", "v_proj", "o_proj")),
        **linear_names("mlp", ("gate_proj", "up_proj", "down_proj")),
        "head/norm/scale": "model.norm.weight",
        "head/output/embedding": "model.embed_tokens.weight",
        "head/output/kernel": "lm_head.weight",
    },
)
