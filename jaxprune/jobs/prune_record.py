"""What is recorded of a prune: the request that decides it, what became of each block, and by which versions."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data.calibration import Calibration
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.pruning.blockwise import PrunedBlock
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern


def request_of(
    checkpoint: Checkpoint, method: PruningMethod, pattern: Pattern, calibration: Calibration | None
) -> dict[str, Any]:
    """Returns what decides the result, the words of the command line before the hashes of what they name."""
    request = {
        "method": {"name": method.name, **_plain(method)},
        "pattern": {"name": str(pattern), **_plain(pattern)},
        "sha256 of the model": checkpoint.fingerprint,
    }
    if calibration is not None:
        account = calibration.account
        # In their order, which decides the order of the sequences.
        request["calibration"] = [[language, of["sequences"]] for language, of in account["languages"].items()]
        request |= {name: account[name] for name in ("texts", "length", "fill", "seed")}
        request["sha256 of the calibration tokens"] = account["sha256"]
    return request


def entry_of(model: CausalLM, block: PrunedBlock) -> dict[str, Any]:
    """Returns what the manifest will say of a block's kernels, by their Hugging Face names."""
    tensors = model.tensors(block_section(block.index))
    names = {linear: tensors[f"{linear}/kernel"].name for linear in block.masks}
    return {
        "kernels": {
            names[linear]: {"weights": mask.size, "pruned": mask.size - block.num_kept[linear]}
            for linear, mask in block.masks.items()
        },
        "diagnostics": {names[linear]: found for linear, found in block.diagnostics.items() if found},
    }


def sparsity_of(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the shares that were pruned, of the entries of all blocks: of everything, and of each kernel."""
    kernels = {name: count for block in blocks for name, count in block["kernels"].items()}
    pruned = sum(count["pruned"] for count in kernels.values())
    weights = sum(count["weights"] for count in kernels.values())
    return {
        "overall": pruned / weights,
        "pruned_weights": pruned,
        "kernel_weights": weights,
        "kernels": {name: count["pruned"] / count["weights"] for name, count in kernels.items()},
    }


def versions() -> dict[str, str]:
    """Returns the versions of what decides numbers, and the backend."""
    packages = ("jaxprune", "jax", "jaxlib", "flax", "transformers", "tokenizers", "datasets", "numpy")
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found | {"backend": jax.default_backend()}


def _plain(value: Any) -> dict[str, Any]:
    """Returns a frozen dataclass's fields as JSON values, the nested ones with their class's name."""
    plain = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            item = {"name": type(item).__name__, **_plain(item)}
        plain[field.name] = item
    return plain
