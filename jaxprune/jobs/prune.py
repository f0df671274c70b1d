"""Prunes a checkpoint into a new one, one block at a time from disk to disk."""

import dataclasses
import importlib.metadata
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import jaxprune
from jaxprune.checkpoints import create_writer
from jaxprune.checkpoints.casting import read_as
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.masks import MaskWriter
from jaxprune.checkpoints.output import OutputFolder
from jaxprune.data.calibration import Calibration, check_vocabulary
from jaxprune.errors import RequestError
from jaxprune.jobs.manifest import METADATA_FOLDER, write_manifest
from jaxprune.models.causal_lm import EMBED, HEAD, CausalLM, block_section
from jaxprune.pruning.blockwise import Progress, PrunedBlock, prune_blocks
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.sweep import Sweep, make_microbatches


def total_work(model: CausalLM, method: PruningMethod, calibration: Calibration | None) -> int:
    """Returns the tokens that ``prune`` will report: two passes a block, one in the last; blocks if none is needed."""
    if method.statistic is None or calibration is None:
        return model.num_blocks
    return (2 * model.num_blocks - 1) * calibration.tokens_NT.size


def prune(
    checkpoint: Checkpoint,
    out: Path,
    *,
    method: PruningMethod,
    pattern: Pattern,
    calibration: Calibration | None,
    mesh: Mesh,
    compute_dtype: np.dtype,
    dtype: np.dtype | None = None,
    format: str = "huggingface",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the pruned model to the folder ``out`` and returns its manifest.

    Args:
      calibration: sequences with their languages; None only for a method that needs none.
      compute_dtype: of the forward passes.
      dtype: of the written weights; calibration sees them as they will be written. None: the source's.
      format: ``huggingface`` or ``orbax``.

    Raises:
      RequestError: the request cannot be met; nothing is left under ``out``.
    """
    progress = progress or Progress()
    model = checkpoint.model
    if method.statistic is None:
        calibration = None
    elif calibration is None:
        raise RequestError(f"{type(method).__name__} needs calibration text; name it with --calibration and --texts.")
    _check_widths(model, pattern)
    if calibration is not None:
        check_vocabulary(calibration.tokens_NT, model.config.vocab_size)
    read = read_as(checkpoint, dtype)
    start = time.perf_counter()
    record = _Record(model)
    with OutputFolder(out, overwrite=overwrite) as folder:
        writer = create_writer(folder, checkpoint, format=format, dtype=dtype)
        masks = MaskWriter(folder / METADATA_FOLDER, model)
        sweep = None
        with progress.phase(0, "embed"):
            writer.write(EMBED, read(EMBED))
            if calibration is not None:
                batches = make_microbatches(calibration.tokens_NT, calibration.languages, mesh=mesh)
                sweep = Sweep(model, batches, mesh=mesh, dtype=compute_dtype)
                sweep.embed(read)
        for block in prune_blocks(read, sweep, model, method, pattern, mesh=mesh, progress=progress):
            with progress.phase(block.index, "write"):
                section = block_section(block.index)
                writer.write(section, block.params)
                masks.write(section, block.masks)
                record.add(block)
                if sweep is None:
                    progress.on_tokens(1)
        with progress.phase(model.num_blocks, "head"):
            owned = model.owned_tensors(HEAD)
            writer.write(HEAD, {path: value for path, value in read(HEAD).items() if path in owned})
            masks.finish()
            writer.finish()
        manifest = {
            "jaxprune": jaxprune.__version__,
            "method": {"name": method.name, **_plain(method)},
            "pattern": {"name": str(pattern), **_plain(pattern)},
            "calibration": calibration.account if calibration is not None else None,
            "source": {"model": checkpoint.reference, "sha256": checkpoint.fingerprint},
            "format": format,
            "dtype": str(dtype) if dtype is not None else "source",
            "compute_dtype": str(np.dtype(compute_dtype)),
            "sparsity": record.sparsity(),
            "diagnostics": record.diagnostics,
            "versions": _versions(),
            "devices": [str(device) for device in mesh.devices.flat],
            "mesh": dict(mesh.shape),
            "seconds": {**progress.seconds, "total": time.perf_counter() - start},
        }
        write_manifest(folder, manifest)
    return manifest


class _Record:
    """What the manifest says of every kernel."""

    def __init__(self, model: CausalLM):
        self._model = model
        self._pruned: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self.diagnostics: dict[str, dict[str, Any]] = {}

    def add(self, block: PrunedBlock) -> None:
        tensors = self._model.tensors(block_section(block.index))
        for linear, mask in block.masks.items():
            name = tensors[f"{linear}/kernel"].name
            self._sizes[name] = mask.size
            self._pruned[name] = mask.size - int(np.count_nonzero(mask))
            if block.diagnostics[linear]:
                self.diagnostics[name] = block.diagnostics[linear]

    def sparsity(self) -> dict[str, Any]:
        return {
            "overall": sum(self._pruned.values()) / sum(self._sizes.values()),
            "pruned_weights": sum(self._pruned.values()),
            "kernel_weights": sum(self._sizes.values()),
            "kernels": {name: self._pruned[name] / self._sizes[name] for name in self._sizes},
        }


def _check_widths(model: CausalLM, pattern: Pattern) -> None:
    """Refuses a pattern that a kernel's width does not allow, before anything is computed."""
    tensors = model.tensors(block_section(0))
    for linear in model.family.reads:
        tensor = tensors[f"{linear}/kernel"]
        try:
            pattern.check_width(tensor.shape[1])
        except RequestError as error:
            raise RequestError(f"{tensor.name}: {error}") from None


def _plain(value: Any) -> dict[str, Any]:
    """Returns a frozen dataclass's fields as JSON values, the nested ones with their class's name."""
    plain = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            item = {"name": type(item).__name__, **_plain(item)}
        plain[field.name] = item
    return plain


def _versions() -> dict[str, str]:
    packages = ("jaxprune", "jax", "jaxlib", "flax", "transformers", "tokenizers", "datasets", "numpy")
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found | {"backend": jax.default_backend()}
