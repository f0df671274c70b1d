"""Rewrites a checkpoint in another format or precision, one section at a time."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.checkpoints import create_writer
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.masks import MASKS_FILE
from jaxprune.checkpoints.output import OutputFolder
from jaxprune.jobs.manifest import METADATA_FOLDER, read_manifest, write_manifest


def convert(
    checkpoint: Checkpoint,
    out: Path,
    *,
    format: str,
    dtype: np.dtype | None = None,
    overwrite: bool = False,
    on_section: Callable[[str], None] = lambda section: None,
) -> dict[str, Any]:
    """Writes ``checkpoint`` to the folder ``out`` and returns an account of what was written.

    Args:
      format: ``huggingface`` or ``orbax``.
      dtype: of the written weights; None keeps each tensor's own, bit for bit.
      on_section: called before each section.

    Raises:
      RequestError: ``out`` exists, the disk is full, or the checkpoint is broken.
    """
    model = checkpoint.model
    # Before anything is written: what it says is carried over.
    manifest = read_manifest(checkpoint.reference)
    parameters = 0
    with OutputFolder(out, overwrite=overwrite, source=checkpoint.reference) as folder:
        writer = create_writer(folder, checkpoint, format=format, dtype=dtype)
        for section in model.sections:
            on_section(section)
            params = checkpoint.parameters(section, dtype)
            parameters += sum(params[path].size for path in model.owned_tensors(section))
            writer.write(section, params)
        writer.finish()
        if manifest is not None:
            _carry_over(checkpoint.reference, manifest, folder, format=format)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "source": checkpoint.reference,
        "out": str(out),
        "format": format,
        "dtype": str(dtype) if dtype is not None else None,
        "parameters": parameters,
        "bytes": size,
    }


def _carry_over(reference: str, manifest: Mapping[str, Any], folder: Path, *, format: str) -> None:
    """Copies how a pruned model was made: masks, and the manifest, which knows what text must not measure it."""
    write_manifest(folder, {**manifest, "format": format, "converted_from": reference})
    masks = Path(reference).expanduser() / METADATA_FOLDER / MASKS_FILE
    if masks.is_file():
        shutil.copyfile(masks, folder / METADATA_FOLDER / MASKS_FILE)
