"""Reads and compares whole checkpoints, the slow and simple way."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from jaxprune.checkpoints import Checkpoint


def read_all(folder: Path) -> dict[str, np.ndarray]:
    """Returns every tensor of a Hugging Face folder, read by the safetensors library."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= safetensors.numpy.load_file(path)
    return tensors


def assert_same_bits(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Compares names, shapes, dtypes and bits."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype), name
        assert found[name].tobytes() == value.tobytes(), name


def edit_json(path: Path, **changes) -> None:
    """Changes keys of a JSON file; ``...`` removes one."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def edit_tensors(folder: Path, **changes) -> None:
    """Changes tensors of a folder with one file; ``...`` removes one."""
    tensors = {**read_all(folder), **changes}
    safetensors.numpy.save_file(
        {name: value for name, value in tensors.items() if value is not ...}, folder / "model.safetensors"
    )


def logits_of(checkpoint: Checkpoint, tokens_BT: np.ndarray) -> np.ndarray:
    """Returns float32 logits, computed from what the checkpoint reads."""
    model = checkpoint.model
    x_BTD = model.embed(checkpoint.read("embed"), jnp.asarray(tokens_BT), jnp.float32)
    for index in range(model.num_blocks):
        x_BTD, _ = model.block(checkpoint.read(f"blocks/{index}"), model.constants(index), x_BTD)
    return np.asarray(model.unembed(checkpoint.read("head"), x_BTD))
