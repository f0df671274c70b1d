"""Writes small GGUF files with the ``gguf`` package, as llama.cpp's converter lays them out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

HEADS, KV_HEADS, HEAD_DIM, HIDDEN, WIDE, VOCAB, BLOCKS = 3, 1, 8, 48, 64, 37, 2
Q_ROWS, KV_ROWS = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM

LLAMA = {
    "block_count": BLOCKS,
    "context_length": 777,
    "embedding_length": HIDDEN,
    "feed_forward_length": WIDE,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "attention.key_length": HEAD_DIM,
    "attention.value_length": HEAD_DIM,
    "attention.layer_norm_rms_epsilon": 3e-3,
    "rope.freq_base": 12345.0,
    "rope.dimension_count": HEAD_DIM,
    "vocab_size": VOCAB,
}
GEMMA = {key: value for key, value in LLAMA.items() if key not in ("rope.dimension_count", "vocab_size")} | {
    "attention.sliding_window": 13,
}
COMMAND_R = {
    key: value
    for key, value in LLAMA.items()
    if key not in ("attention.layer_norm_rms_epsilon", "rope.dimension_count")
} | {
    "attention.head_count": 6,
    "attention.head_count_kv": 2,
    "attention.layer_norm_epsilon": 3e-3,
    "logit_scale": 0.37,
    "rope.scaling.type": "none",
}
_NOT_IN_QWEN = ("attention.key_length", "attention.value_length", "rope.dimension_count", "vocab_size")
QWEN = {key: value for key, value in LLAMA.items() if key not in _NOT_IN_QWEN} | {
    "attention.head_count": 6,
    "attention.head_count_kv": 2,
}
VALUES = {"llama": LLAMA, "gemma3": GEMMA, "command-r": COMMAND_R, "qwen2": QWEN}


def shapes(architecture: str = "llama", *, is_tied: bool = True) -> dict[str, tuple[int, ...]]:
    """Every tensor of a tiny model, by llama.cpp's names; matrices are [rows, columns]."""
    heads, kv_heads = (6, 2) if architecture in ("command-r", "qwen2") else (HEADS, KV_HEADS)
    block = {
        "attn_norm": (HIDDEN,),
        "attn_q": (heads * HEAD_DIM, HIDDEN),
        "attn_k": (kv_heads * HEAD_DIM, HIDDEN),
        "attn_v": (kv_heads * HEAD_DIM, HIDDEN),
        "attn_output": (HIDDEN, heads * HEAD_DIM),
        "ffn_gate": (WIDE, HIDDEN),
        "ffn_up": (WIDE, HIDDEN),
        "ffn_down": (HIDDEN, WIDE),
    }
    if architecture == "gemma3":
        norms = {"attn_q_norm": (HEAD_DIM,), "attn_k_norm": (HEAD_DIM,)}
        block |= norms | dict.fromkeys(("post_attention_norm", "ffn_norm", "post_ffw_norm"), (HIDDEN,))
    elif architecture != "command-r":
        block["ffn_norm"] = (HIDDEN,)
    model = {"token_embd.weight": (VOCAB, HIDDEN), "output_norm.weight": (HIDDEN,)}
    if not is_tied:
        model["output.weight"] = (VOCAB, HIDDEN)
    tensors = {f"{name}.weight": shape for name, shape in block.items()}
    if architecture == "qwen2":
        tensors |= {f"{name}.bias": block[name][:1] for name in ("attn_q", "attn_k", "attn_v")}
    return model | {f"blk.{i}.{name}": shape for i in range(BLOCKS) for name, shape in tensors.items()}


def random_tensors(architecture: str = "llama", *, is_tied: bool = True, seed: int = 5) -> dict[str, np.ndarray]:
    """Random float32 values for ``shapes``."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes(architecture, is_tied=is_tied).items()
    }


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    architecture: str = "llama",
    values: Mapping[str, Any] = LLAMA,
    *,
    kinds: Mapping[str, Kind] | None = None,
    plain: Mapping[str, Any] | None = None,
    tokens: bool = False,
) -> Path:
    """Writes a file.

    Args:
      path: where.
      tensors: by llama.cpp's names; those named in ``kinds`` are raw blocks, uint8 [rows, bytes of a row].
      architecture: the prefix of ``values``.
      values: metadata of the architecture.
      kinds: tensor types other than the array's own.
      plain: metadata without prefix.
      tokens: whether to add the tokenizer of ``TOKENS``.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {f"{architecture}.{key}": value for key, value in values.items()}.items():
        _add(writer, key, value)
    for key, value in {**(BYTE_LEVEL if tokens else {}), **(plain or {})}.items():
        _add(writer, key, value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor, raw_dtype=(kinds or {}).get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


_LETTERS = ["a", "b", "c", "d", "e", "1", "2", "Ġ", "Ċ", "'", "s", "Ã", "¶"]
_MERGES = ["Ġ a", "Ġa b", "a b", "ab c", "Ġ 1", "1 2", "' s", "Ã ¶"]
BYTE_LEVEL = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": [
        "<|end|>",
        "<|start|>",
        *_LETTERS,
        *(merge.replace(" ", "") for merge in _MERGES),
        "<tool>",
        "unused",
    ],
    "tokenizer.ggml.token_type": [3, 3] + [1] * (len(_LETTERS) + len(_MERGES)) + [4, 5],
    "tokenizer.ggml.merges": _MERGES,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 0,
}
