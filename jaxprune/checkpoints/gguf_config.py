"""Rebuilds a Hugging Face ``config.json`` from a GGUF file's metadata.

Keys and the defaults of those that a file leaves out are llama.cpp's (``src/models`` and
``gguf-py/gguf/constants.py``). A key that is not accounted for is an error: it may change what the model
computes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.checkpoints.gguf_header import TensorRecord, damaged
from jaxprune.errors import RequestError

ROPE_FACTORS = "rope_freqs.weight"

# (low_freq_factor, high_freq_factor, original_max_position_embeddings) of every published Llama 3.1, 3.2 and
# 3.3.
_LLAMA3_BANDS = (1.0, 4.0, 8192)
_MAX_INTEGER = 2**28
_WITHOUT_EFFECT = (
    "vocab_size",
    "tensor_data_layout",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
)


class _Fields:
    """One architecture's metadata, each to be taken once; what is left at the end is an error."""

    def __init__(self, path: Path, architecture: str, metadata: Mapping[str, Any]):
        self._path = path
        self._prefix = f"{architecture}."
        self._left = {
            key.removeprefix(self._prefix): value for key, value in metadata.items() if key.startswith(self._prefix)
        }

    def value(self, key: str, default: Any = None) -> Any:
        value = self._left.pop(key, default)
        if value is None:
            raise damaged(self._path, f"metadata {self._prefix + key!r} is missing")
        return value

    def integer(self, key: str, default: int | None = None, *, lowest: int = 1) -> int:
        value = self.value(key, default)
        if type(value) is not int or not lowest <= value <= _MAX_INTEGER:
            shown = "one for each block" if isinstance(value, np.ndarray) else repr(value)
            raise damaged(self._path, f"metadata {self._prefix + key!r} is {shown}, and one number was expected")
        return value

    def text(self, key: str, default: str) -> str:
        value = self.value(key, default)
        if not isinstance(value, str):
            raise damaged(self._path, f"metadata {self._prefix + key!r} is {value!r}, and a name was expected")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.value(key, default)
        if not isinstance(value, float) or not math.isfinite(value):
            raise damaged(self._path, f"metadata {self._prefix + key!r} is {value!r}, and a number was expected")
        # A float32 stands for the shortest decimal that rounds to it: 1e-05, not 9.999999747378752e-06.
        return float(str(np.float32(value)))

    def require(self, key: str, supported: Any) -> None:
        value = self._left.pop(key, supported)
        if type(value) is not type(supported) or value != supported:
            raise self.unsupported(f"{key} = {value!r}", f"{key} = {supported!r}")

    def unsupported(self, found: str, supported: str) -> RequestError:
        return RequestError(
            f"{self._path}: {self._prefix}{found} is not supported; supported: {supported}. Convert the model again "
            "if the file is wrong; a model that was trained so cannot be used."
        )

    def finish(self) -> None:
        unknown = sorted(self._left.keys() - set(_WITHOUT_EFFECT))
        if unknown:
            raise RequestError(
                f"{self._path}: found {', '.join(self._prefix + key for key in unknown)}, which jaxprune "
                "does not know and will not ignore. Give the Hugging Face folder that the file was made from."
            )


def build_config(
    path: Path,
    architecture: str,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, TensorRecord],
    rope_factors: np.ndarray | None,
) -> dict[str, Any]:
    """Returns the configuration of the model in a file that has ``metadata`` and ``tensors``.

    Args:
      path: the file, for messages.
      architecture: "llama", "gemma3", "command-r" or "qwen2".
      metadata: all of the file's.
      tensors: all of the file's, by llama.cpp's names.
      rope_factors: by what each rotary frequency is divided (the tensor ``ROPE_FACTORS``), if the file says.

    Raises:
      RequestError: a value is missing, of the wrong kind, unknown or not supported.
    """
    fields = _Fields(path, architecture, metadata)
    table = tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise damaged(path, "it has no embedding table 'token_embd.weight'")
    heads = fields.integer("attention.head_count")
    hidden_size = fields.integer("embedding_length")
    config: dict[str, Any] = {
        "vocab_size": table.shape[0],
        "hidden_size": hidden_size,
        "intermediate_size": fields.integer("feed_forward_length"),
        "num_hidden_layers": fields.integer("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.integer("attention.head_count_kv", heads),
        "max_position_embeddings": fields.integer("context_length"),
        "tie_word_embeddings": "output.weight" not in tensors,
    }
    if config["num_hidden_layers"] > len(tensors):
        raise damaged(path, f"it claims {config['num_hidden_layers']} blocks and has {len(tensors)} tensors")
    for name in ("bos", "eos", "padding"):
        token = metadata.get(f"tokenizer.ggml.{name}_token_id")
        config["pad_token_id" if name == "padding" else f"{name}_token_id"] = token if type(token) is int else None
    head_dim = fields.integer("attention.key_length", hidden_size // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        fields.require(key, head_dim)
    fields.require("attention.causal", True)
    config |= _BUILDERS[architecture](fields, config, head_dim, tensors)
    if rope_factors is not None:
        _add_llama3_scaling(path, config, head_dim, rope_factors)
    fields.finish()
    return config


def _llama(fields: _Fields, config: Mapping[str, Any], head_dim: int, tensors: Mapping[str, Any]) -> dict[str, Any]:
    for key in ("expert_count", "expert_used_count", "attention.sliding_window"):
        fields.require(key, 0)
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "head_dim": head_dim,
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        "mlp_bias": "blk.0.ffn_gate.bias" in tensors,
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": fields.number("rope.freq_base", 10000.0),
        "rope_scaling": _linear_scaling(fields),
    }


def _gemma3(fields: _Fields, config: Mapping[str, Any], head_dim: int, tensors: Mapping[str, Any]) -> dict[str, Any]:
    num_blocks, heads, hidden_size = (
        config[key] for key in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    )
    window = fields.integer("attention.sliding_window", 0, lowest=0)
    pattern = fields.value("attention.sliding_window_pattern", 6)
    if isinstance(pattern, np.ndarray) and pattern.shape == (num_blocks,):
        slides = pattern.astype(bool).tolist()
    elif type(pattern) is int and pattern >= 0:
        slides = [pattern == 0 or i % pattern < pattern - 1 for i in range(num_blocks)]
    else:
        raise fields.unsupported(
            f"attention.sliding_window_pattern = {pattern!r}", f"one value for {num_blocks} blocks"
        )
    softcap = fields.number("final_logit_softcapping", 0.0)
    return {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_activation": "gelu_pytorch_tanh",
        "head_dim": head_dim,
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        # No key says it: the 27B model alone, known by its 62 blocks, divides by another width than a head's.
        "query_pre_attn_scalar": hidden_size // heads if num_blocks == 62 else head_dim,
        "final_logit_softcapping": softcap or None,
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": fields.number("rope.freq_base"),
        "rope_local_base_freq": fields.number("rope.freq_base_swa", 10000.0),
        "rope_scaling": _linear_scaling(fields),
        "sliding_window": window or config["max_position_embeddings"],
        "layer_types": ["sliding_attention" if window and slide else "full_attention" for slide in slides],
    }


def _command_r(fields: _Fields, config: Mapping[str, Any], head_dim: int, tensors: Mapping[str, Any]) -> dict[str, Any]:
    if head_dim * config["num_attention_heads"] != config["hidden_size"]:
        raise fields.unsupported(
            f"attention.key_length = {head_dim}", "heads that make up the hidden size, as Command R's do"
        )
    return {
        "model_type": "cohere",
        "architectures": ["CohereForCausalLM"],
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        "use_qk_norm": "blk.0.attn_q_norm.weight" in tensors,
        "logit_scale": fields.number("logit_scale"),
        "layer_norm_eps": fields.number("attention.layer_norm_epsilon"),
        "rope_theta": fields.number("rope.freq_base", 10000.0),
        "rope_scaling": _linear_scaling(fields),
    }


def _qwen2(fields: _Fields, config: Mapping[str, Any], head_dim: int, tensors: Mapping[str, Any]) -> dict[str, Any]:
    fields.require("attention.sliding_window", 0)
    return {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_act": "silu",
        "head_dim": head_dim,
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": fields.number("rope.freq_base", 10000.0),
        "rope_scaling": _linear_scaling(fields),
        "use_sliding_window": False,  # llama.cpp knows none in this architecture
    }


_BUILDERS = {"llama": _llama, "gemma3": _gemma3, "command-r": _command_r, "qwen2": _qwen2}


def _linear_scaling(fields: _Fields) -> dict[str, Any] | None:
    kind = fields.text("rope.scaling.type", "none")
    factor = fields.number("rope.scaling.factor", 1.0)
    if kind in ("none", "linear"):
        return {"rope_type": "linear", "factor": factor} if kind == "linear" and factor != 1 else None
    raise fields.unsupported(
        f"rope.scaling.type = {kind!r}",
        f"'none', 'linear', and Llama 3's table of frequencies {ROPE_FACTORS}",
    )


def _add_llama3_scaling(path: Path, config: dict[str, Any], head_dim: int, divisors: np.ndarray) -> None:
    """Adds the parameters of Llama 3's rotary scaling that give ``divisors`` [head_dim / 2]."""
    if np.all(divisors == 1):
        return
    low, high, length = _LLAMA3_BANDS
    factor = float(divisors.max())
    turns = length * config["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim) / (2 * math.pi)
    share = np.clip((turns - low) / (high - low), 0, 1)
    expected = 1 / ((1 - share) / factor + share)
    is_plain_llama = config["model_type"] == "llama" and config["rope_scaling"] is None
    if not is_plain_llama or divisors.shape != expected.shape or not np.allclose(divisors, expected, rtol=1e-5, atol=0):
        raise RequestError(
            f"{path}: its rotary frequencies ({ROPE_FACTORS}) are not scaled as Llama 3's (low_freq_factor "
            f"{low}, high_freq_factor {high}, original length {length}). Give the Hugging Face folder that "
            "the file was made from."
        )
    config["rope_scaling"] = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": length,
    }
