"""Checkpoints in and out, one section at a time."""

from pathlib import Path

import numpy as np

from jaxprune.checkpoints.checkpoint import Checkpoint, CheckpointWriter
from jaxprune.checkpoints.companions import CONFIG_FILE, GGUFCompanions
from jaxprune.checkpoints.gguf import GGUFFile
from jaxprune.checkpoints.hub import cached_snapshot, fetch_from_hub, parse_hub_id
from jaxprune.checkpoints.huggingface import HuggingFaceWriter, open_huggingface
from jaxprune.checkpoints.orbax_folder import SUBFOLDER, OrbaxWriter, open_orbax
from jaxprune.checkpoints.tensor_checkpoint import TensorCheckpoint
from jaxprune.errors import RequestError
from jaxprune.models import build_model
from jaxprune.samples import SAMPLES, fetch, is_cached

__all__ = ["WRITERS", "Checkpoint", "CheckpointWriter", "create_writer", "open_cached", "open_checkpoint"]

_SAMPLE = "sample:"
_POSSIBLE = (
    "a Hugging Face folder, an Orbax folder written by jaxprune, a .gguf file, a hub id org/name[@revision], "
    "or sample:NAME"
)
WRITERS = {"huggingface": HuggingFaceWriter, "orbax": OrbaxWriter}


def open_checkpoint(reference: str) -> Checkpoint:
    """Opens a model reference.

    Raises:
      RequestError: it names nothing, or something that is damaged, incomplete or not supported.
    """
    if reference.startswith(_SAMPLE):
        if reference.removeprefix(_SAMPLE) == "bible":
            raise RequestError("sample:bible is text and no model; it is what --texts sample reads.")
        return _open_path(reference, fetch(reference.removeprefix(_SAMPLE)))
    path = Path(reference).expanduser()
    if path.exists():
        return _open_path(reference, path)
    hub_id = parse_hub_id(reference)
    if hub_id is None or path.suffix in (".gguf", ".safetensors"):
        raise RequestError(f"the model {reference!r} does not exist; a model is {_POSSIBLE}.")
    return open_huggingface(reference, fetch_from_hub(*hub_id))


def open_cached(reference: str) -> Checkpoint | None:
    """Opens a model reference without downloading anything; returns None if it is not on this machine.

    Raises:
      RequestError: as ``open_checkpoint`` does.
    """
    name, hub_id = reference.removeprefix(_SAMPLE), parse_hub_id(reference)
    if reference.startswith(_SAMPLE) and name in SAMPLES and not is_cached(name):
        return None
    if hub_id is None or Path(reference).expanduser().exists():
        return open_checkpoint(reference)
    folder = cached_snapshot(*hub_id)
    return None if folder is None else open_huggingface(reference, folder)


def create_writer(folder: Path, source: Checkpoint, *, format: str, dtype: np.dtype | None) -> CheckpointWriter:
    """Returns a writer of what is made of ``source``, after writing its config and tokenizer files.

    The folder exists; what an interrupted run left in it is continued. ``dtype`` is that of all weights;
    None: each as in ``source``.

    Raises:
      RequestError: the format is unknown, or the disk is full.
    """
    if format not in WRITERS:
        raise RequestError(f"the format {format!r} is unknown; choose {' or '.join(WRITERS)}.")
    source.write_companions(folder, dtype)
    return WRITERS[format](folder, source, dtype=dtype)


def _open_path(reference: str, path: Path) -> Checkpoint:
    if path.is_dir():
        if (path / SUBFOLDER).is_dir():
            return open_orbax(reference, path)
        if not (path / CONFIG_FILE).exists() and not any(path.glob("*.safetensors")):
            raise RequestError(f"{path} is a folder without {CONFIG_FILE}, so no model; a model is {_POSSIBLE}.")
        return open_huggingface(reference, path)
    if path.suffix == ".gguf":
        file = GGUFFile(path)
        companions = GGUFCompanions(file)
        return TensorCheckpoint(reference, build_model(companions.config), file, companions)
    raise RequestError(f"{path} is a file, and no .gguf file; a model is {_POSSIBLE}.")
