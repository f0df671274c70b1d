"""How llama.cpp names and rearranges the tensors of a model, and how to undo both.

Architectures are named as in a file's ``general.architecture``; what they do to each tensor is in llama.cpp's
``conversion`` folder.
"""

import functools
import re
from collections.abc import Callable

import numpy as np

Restore = Callable[[np.ndarray], np.ndarray]

_BLOCK_TENSOR = re.compile(r"blk\.(0|[1-9][0-9]{0,4})\.([a-z_]+)\.(weight|bias)")

_MODEL_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_COMMON = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_QK_NORM = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
BLOCK_TENSORS = {
    "llama": _COMMON | {"ffn_norm": "post_attention_layernorm"},
    "gemma3": _COMMON
    | _QK_NORM
    | {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "command-r": _COMMON | _QK_NORM,
    "qwen2": _COMMON | {"ffn_norm": "post_attention_layernorm"},
}


def huggingface_name(architecture: str, name: str) -> str | None:
    """Returns what a Hugging Face checkpoint calls the tensor ``name``, or None if it has no such tensor."""
    if name in _MODEL_TENSORS:
        return _MODEL_TENSORS[name]
    match = _BLOCK_TENSOR.fullmatch(name)
    if match is None or match[2] not in BLOCK_TENSORS[architecture]:
        return None
    return f"model.layers.{match[1]}.{BLOCK_TENSORS[architecture][match[2]]}.{match[3]}"


def restoration(architecture: str, name: str, num_heads: int, num_kv_heads: int) -> tuple[Restore, int]:
    """Returns what turns the stored tensor into Hugging Face's, and what divides its number of rows.

    Both sides rotate the same pairs in Command R (neighbours) and Qwen 2 (halves), so nothing needs to move there.
    """
    if architecture == "llama" and ".attn_q." in name:
        return functools.partial(unpermute, num_heads=num_heads), 2 * num_heads
    if architecture == "llama" and ".attn_k." in name:
        return functools.partial(unpermute, num_heads=num_kv_heads), 2 * num_kv_heads
    if architecture == "gemma3" and name.endswith("norm.weight"):
        return subtract_one, 1
    return keep, 1


def keep(values: np.ndarray) -> np.ndarray:
    """Returns ``values``: the tensor is the same on both sides."""
    return values


def unpermute(rows: np.ndarray, *, num_heads: int) -> np.ndarray:
    """Returns the rows of a query or key projection (or its bias) in Hugging Face's order.

    llama.cpp rotates neighbouring rows of a head as a pair; Hugging Face pairs a row of the first half with
    one of the second. The file therefore has, within each head, row i of the first half and row i of the
    second side by side.
    """
    head_rows = rows.shape[0] // num_heads
    pairs = rows.reshape(num_heads, head_rows // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def subtract_one(scale: np.ndarray) -> np.ndarray:
    """Returns Gemma's norm weight, which llama.cpp stores with one added, in float32.

    The subtraction itself is exact wherever the stored value is at least 1/2 (a difference of neighbouring
    floats has no bits to lose), and within 2**-25 below that; adding one again, as the model does, then gives
    back the stored value. The original, a bfloat16, is recovered bit by bit if it is 0 or at least 2**-16 in
    size; of a smaller one the addition that llama.cpp made in float32 has already dropped bits below 2**-24.
    """
    return scale.astype(np.float32) - np.float32(1)
