"""Writes a checkpoint of random bfloat16 weights, in the shapes of a real one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from jaxprune.models import build_model


def write_checkpoint(folder: Path, config: Mapping[str, Any], *, are_blocks_alike: bool = False) -> int:
    """Writes the checkpoint, one file a section; returns its bytes.

    Args:
      config: of the model, as its ``config.json``.
      are_blocks_alike: give every block the weights of the first, and the output layer those of the embedding, which
        takes less time to draw.
    """
    model = build_model(dict(config))
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "bfloat16"}))
    rng = np.random.default_rng(0)
    drawn: dict[str, np.ndarray] = {}
    weight_map, total = {}, 0
    for number, section in enumerate(model.sections):
        tensors = {}
        for path, tensor in model.owned_tensors(section).items():
            key = path if section.startswith("blocks/") else str(tensor.shape)
            if not (are_blocks_alike and key in drawn):
                drawn[key] = _draw(rng, tensor.shape)
            tensors[tensor.name] = drawn[key]
        file = f"model-{number + 1:05d}-of-{len(model.sections):05d}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
        total += sum(value.nbytes for value in tensors.values())
        if not are_blocks_alike:
            drawn.clear()
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, ml_dtypes.bfloat16)
    value = rng.random(shape, dtype=np.float32)
    value -= 0.5
    value *= (12 / shape[1]) ** 0.5  # a variance of one over the inputs
    return value.astype(ml_dtypes.bfloat16)
