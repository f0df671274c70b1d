"""Mask files and manifests as ``jaxprune prune`` writes them, from boolean arrays, by another library's writer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy


def pack(mask_OI: np.ndarray) -> np.ndarray:
    """Sets bit ``i % 8`` of byte ``i // 8`` for each kept input ``i``, one after the other."""
    d_out, d_in = mask_OI.shape
    packed = np.zeros((d_out, -(-d_in // 8)), np.uint8)
    for i in range(d_in):
        packed[:, i // 8] |= mask_OI[:, i].astype(np.uint8) << (i % 8)
    return packed


def write_masks(folder: Path, masks: Mapping[str, np.ndarray]) -> Path:
    """Writes ``masks.safetensors`` into ``folder``; True keeps, ``[d_out, d_in]``."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"shapes": json.dumps({name: mask.shape for name, mask in masks.items()})}
    path = folder / "masks.safetensors"
    safetensors.numpy.save_file({name: pack(mask) for name, mask in masks.items()}, path, metadata=metadata)
    return path


def write_run(folder: Path, masks: Mapping[str, np.ndarray], **changes: Any) -> str:
    """Writes a run whose manifest says so: ``languages`` (sequences of each), ``seed``, ``method``, ``pattern`` ..."""
    write_masks(folder / "jaxprune", masks)
    (folder / "jaxprune" / "manifest.json").write_text(json.dumps(manifest(**changes)))
    return str(folder)


def manifest(
    *,
    languages: Mapping[str, int] | None = None,
    seed: int = 0,
    method: str = "wanda",
    pattern: str = "0.5",
    model: str = "a-model",
    num_heads: int | None = None,
    texts: str = "sample",
) -> dict[str, Any]:
    """Returns the parts of a manifest that a comparison reads; without ``languages``, of a run without calibration."""
    source: dict[str, Any] = {"model": model, "sha256": f"sha256 of {model}"}
    if num_heads is not None:
        source["num_attention_heads"] = num_heads
    account = {
        "texts": texts,
        "fill": "packed",
        "length": 64,
        "seed": seed,
        "sequences": sum((languages or {}).values()),
        "languages": {
            language: {"sequences": count, "documents": 1, "tokens": 64 * count}
            for language, count in (languages or {}).items()
        },
    }
    return {
        "method": {"name": method},
        "pattern": {"name": pattern},
        "source": source,
        "calibration": account if languages else None,
    }


def block_masks(rng: np.random.Generator, num_blocks: int = 1, *, kept: float = 0.5) -> dict[str, np.ndarray]:
    """Returns random masks of a model with 6 heads and 3 key-value heads of 5, 27 hidden channels, 43 neurons."""
    shapes = {
        "self_attn.q_proj": (30, 27),
        "self_attn.k_proj": (15, 27),
        "self_attn.v_proj": (15, 27),
        "self_attn.o_proj": (27, 30),
        "mlp.gate_proj": (43, 27),
        "mlp.up_proj": (43, 27),
        "mlp.down_proj": (27, 43),
    }
    return {
        f"model.layers.{block}.{where}.weight": rng.random(shape) < kept
        for block in range(num_blocks)
        for where, shape in shapes.items()
    }
