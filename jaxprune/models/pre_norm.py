"""What several families are: pre-norm attention with grouped queries, then a pre-norm gated MLP, block after block.

A family that is made of these modules says in its own file what is its own: which linears have a bias, which blocks
have a window, and how its ``config.json`` spells it.

Shapes: B sequences, T tokens, D hidden size, V vocabulary.
"""

import abc
import dataclasses
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxprune.models.cache import Cache, cached_attention
from jaxprune.models.causal_lm import linear_names
from jaxprune.models.layers import Embedding, Linear, OutputLayer, RMSNorm
from jaxprune.models.rotary import Rotary, rotate
from jaxprune.typing import Activations, Constants

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreNormConfig(abc.ABC):
    """The constants that all of these models have, none with a default of ours: a wrong one runs, and writes nonsense.

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
    tie_word_embeddings: bool

    @property
    @abc.abstractmethod
    def biased(self) -> tuple[str, ...]:
        """The linears of a block that have a bias."""


class PreNormEmbedder(nnx.Module):
    """Token embedding."""

    def __init__(self, config: PreNormConfig, *, rngs: nnx.Rngs):
        """Builds the table."""
        self.tokens = Embedding(config.vocab_size, config.hidden_size, rngs=rngs)

    def __call__(self, tokens_BT: Int[Array | np.ndarray, "B T"], dtype: Any) -> Float[Array, "B T D"]:
        """Looks tokens up."""
        return self.tokens(tokens_BT, dtype)


class PreNormBlock(nnx.Module):
    """Pre-norm attention with grouped queries, then a pre-norm gated MLP.

    Of its constants, ``frequencies`` turns queries and keys, and ``window``, if there is one, is as
    ``causal_attention`` takes it.
    """

    def __init__(self, config: PreNormConfig, *, rngs: nnx.Rngs):
        """Builds the linears and the two norms."""
        c = self.config = config
        q_width, kv_width = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim

        def linear(name: str, d_in: int, d_out: int) -> Linear:
            return Linear(d_in, d_out, bias=name in c.biased, rngs=rngs)

        self.attention_norm = RMSNorm(c.hidden_size, epsilon=c.rms_norm_eps, rngs=rngs)
        self.q_proj = linear("q_proj", c.hidden_size, q_width)
        self.k_proj = linear("k_proj", c.hidden_size, kv_width)
        self.v_proj = linear("v_proj", c.hidden_size, kv_width)
        self.o_proj = linear("o_proj", q_width, c.hidden_size)
        self.mlp_norm = RMSNorm(c.hidden_size, epsilon=c.rms_norm_eps, rngs=rngs)
        self.gate_proj = linear("gate_proj", c.hidden_size, c.intermediate_size)
        self.up_proj = linear("up_proj", c.hidden_size, c.intermediate_size)
        self.down_proj = linear("down_proj", c.intermediate_size, c.hidden_size)

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
            scale, window = c.head_dim**-0.5, constants.get("window")
            attention_heads, cache = cached_attention(q, k, v, cache, scale=scale, window=window)
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


class PreNormHead(nnx.Module):
    """Final norm and output layer."""

    def __init__(self, config: PreNormConfig, *, rngs: nnx.Rngs):
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

NAMES = {
    "embed/tokens/embedding": "model.embed_tokens.weight",
    "block/attention_norm/scale": "model.layers.{}.input_layernorm.weight",
    "block/mlp_norm/scale": "model.layers.{}.post_attention_layernorm.weight",
    **linear_names("self_attn", ATTENTION),
    **linear_names("mlp", MLP),
    "head/norm/scale": "model.norm.weight",
    "head/output/embedding": "model.embed_tokens.weight",
    "head/output/kernel": "lm_head.weight",
}
