"""Hugging Face folders: opened, and written section by section."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jaxprune.checkpoints.casting import cast
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.checks import redundant_heads
from jaxprune.checkpoints.companions import FolderCompanions
from jaxprune.checkpoints.output_rows import rows_of
from jaxprune.checkpoints.safetensors_file import SafetensorsFile, StreamedSafetensors
from jaxprune.checkpoints.safetensors_folder import INDEX_FILE, SINGLE_FILE, SafetensorsFolder
from jaxprune.checkpoints.stored_parameter import StoredParameter
from jaxprune.checkpoints.tensor_checkpoint import TensorCheckpoint
from jaxprune.checkpoints.tensors import TensorSpec
from jaxprune.disk import require_space
from jaxprune.errors import RequestError
from jaxprune.models import build_model
from jaxprune.models.causal_lm import EMBED, CausalLM
from jaxprune.typing import Params

_SHARD_BYTES = 5 * 10**9


def open_huggingface(reference: str, folder: Path) -> TensorCheckpoint:
    """Opens a folder with ``config.json`` and safetensors.

    Raises:
      RequestError: something is missing, damaged or not supported.
    """
    companions = FolderCompanions(folder)
    model = model_of(companions)
    store = SafetensorsFolder(folder)
    heads = redundant_heads(model, store.specs)
    _check_heads(reference, model, store, heads)
    return TensorCheckpoint(reference, model, store, companions, weight_map=store.weight_map, ignored=heads)


def model_of(companions: FolderCompanions) -> CausalLM:
    """Returns the model that the config describes; Python files that it names are not looked at."""
    return build_model({key: value for key, value in companions.config.items() if key != "auto_map"})


def _check_heads(reference: str, model: CausalLM, store: SafetensorsFolder, heads: list[str]) -> None:
    tables = [tensor.name for tensor in model.tensors(EMBED).values()]
    for head in heads:
        if not any(table in store.specs and store.are_equal(head, table) for table in tables):
            raise RequestError(
                f"{reference}: config.json says tie_word_embeddings, but {head} differs from {tables[0]}; "
                f"set it to false if the model has an output layer of its own, or remove {head}."
            )


class HuggingFaceWriter:
    """A ``CheckpointWriter`` for safetensors with Hugging Face names."""

    def __init__(self, folder: Path, source: Checkpoint, *, dtype: np.dtype | None, shard_bytes: int = _SHARD_BYTES):
        """Takes the space of all files.

        Args:
          folder: where they go.
          source: what is written anew; its spread over files is kept if it has one.
          dtype: of what is written; None: as in the source.
          shard_bytes: largest file otherwise.

        Raises:
          RequestError: the disk is full.
        """
        self._folder = folder
        self._model = source.model
        self._specs = output_specs(source, dtype)
        self._weight_map = source.weight_map or _spread(self._specs, shard_bytes)
        shards: dict[str, dict[str, TensorSpec]] = {}
        for name, spec in self._specs.items():
            shards.setdefault(self._weight_map[name], {})[name] = spec
        require_space(folder, self._num_bytes - _already_taken(folder, shards))
        self._files = {
            file: StreamedSafetensors(folder / file, specs, {"format": "pt"}) for file, specs in sorted(shards.items())
        }

    @property
    def _num_bytes(self) -> int:
        return sum(spec.num_bytes for spec in self._specs.values())

    def write(self, section: str, params: Params) -> None:
        """Writes what this process has of a section's tensors in its place."""
        self.begin(section, params)()

    def begin(self, section: str, params: Params) -> Callable[[], None]:
        """Takes a section's tensors off the devices; returns what writes them to the disk, on any thread."""
        tensors = self._model.owned_tensors(section)
        rows = {tensor.name: rows_of(params[path], is_kernel=tensor.is_kernel) for path, tensor in tensors.items()}

        def write() -> None:
            for name, of_tensor in rows.items():
                for first, part in of_tensor:
                    array = cast(np.asarray(part), self._specs[name].dtype, name)
                    self._files[self._weight_map[name]].write(name, array, first)
            # What says that a section is done is kept; a machine that stops must not lose the section itself.
            for file in {self._weight_map[name] for name in rows}:
                self._files[file].sync()

        return write

    def parameters(self, section: str) -> dict[str, StoredParameter]:
        """Returns what was written of a section, also by an interrupted run that this one continues."""
        return {
            path: StoredParameter(
                SafetensorsFile(self._folder / self._weight_map[tensor.name]), tensor, None, str(self._folder)
            )
            for path, tensor in self._model.owned_tensors(section).items()
        }

    def finish(self) -> None:
        """Closes the files and writes the index, if there is more than one."""
        for file in self._files.values():
            file.finish()
        if list(self._files) == [SINGLE_FILE]:
            return
        index = {
            "metadata": {"total_size": self._num_bytes},
            "weight_map": {name: self._weight_map[name] for name in sorted(self._specs)},
        }
        (self._folder / INDEX_FILE).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def output_specs(source: Checkpoint, dtype: np.dtype | None) -> dict[str, TensorSpec]:
    """Returns by Hugging Face name what is to be written of ``source``."""
    specs = {}
    for section in source.model.sections:
        dtypes = source.dtypes(section)
        for path, tensor in source.model.owned_tensors(section).items():
            specs[tensor.name] = TensorSpec(tensor.shape, dtype or dtypes[path])
    return specs


def _spread(specs: Mapping[str, TensorSpec], limit: int) -> dict[str, str]:
    """Returns the file of each tensor: all in one if they fit, else filled one after the other."""
    shards, room = [[]], limit
    for name, spec in specs.items():
        if spec.num_bytes > room and shards[-1]:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= spec.num_bytes
    if len(shards) == 1:
        return dict.fromkeys(specs, SINGLE_FILE)
    return {
        name: f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i, names in enumerate(shards, 1) for name in names
    }


def _already_taken(folder: Path, files: Mapping[str, object]) -> int:
    """Returns the bytes on the disk that an interrupted run has taken for these files."""
    return sum((folder / file).stat().st_blocks * 512 for file in files if (folder / file).exists())
