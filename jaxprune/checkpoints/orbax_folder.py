"""Orbax folders as jaxprune writes them: config and tokenizer files, and beside them one Orbax checkpoint.

The checkpoint, in the subfolder ``orbax``, is a standard one: ``load`` of ``orbax.checkpoint.v1`` reads it.
Its tree is ``{"embed": .., "blocks": {"0": ..}, "head": ..}`` of this package's parameter paths;
kernels are ``[d_in, d_out]``. To write a tensor, or to read one, takes its memory twice: as it is, and compressed.
"""

import contextlib
import gc
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.checkpoints.casting import cast
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.companions import FolderCompanions
from jaxprune.checkpoints.huggingface import model_of, output_specs
from jaxprune.checkpoints.tensor_checkpoint import TensorCheckpoint
from jaxprune.checkpoints.tensors import ALL_ROWS, TensorSpec
from jaxprune.disk import no_room, out_of_room, require_space
from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import CausalLM, Tensor
from jaxprune.typing import Params

SUBFOLDER = "orbax"
# Names that Orbax gives to the description of a tree, the parts of a checkpoint, and a part being written.
_METADATA_FILE = "_METADATA"
_PARTS = ".partial_save"
_UNFINISHED = ".partial_save.orbax-checkpoint-tmp"
# What Orbax writes besides weights, and what compression adds to those that it cannot compress.
_MARGIN_BYTES = 2**20


def open_orbax(reference: str, folder: Path) -> TensorCheckpoint:
    """Opens a folder that ``OrbaxWriter`` wrote.

    Raises:
      RequestError: something is missing, damaged or not supported.
    """
    companions = FolderCompanions(folder)
    model = model_of(companions)
    return TensorCheckpoint(reference, model, OrbaxStore(folder / SUBFOLDER, model), companions)


class OrbaxStore:
    """A ``TensorStore`` with Hugging Face names and shapes, to be checked like any other."""

    def __init__(self, path: Path, model: CausalLM):
        """Reads the checkpoint's metadata.

        Raises:
          RequestError: it is not a complete Orbax checkpoint.
        """
        from orbax.checkpoint import v1 as ocp

        self._path = str(path.absolute())
        try:
            with _quiet():
                tree = ocp.metadata(self._path).metadata
                if not isinstance(tree, Mapping):  # some damage is told to its log only
                    raise TypeError("its tree cannot be read")
        except Exception as error:  # Orbax reports damage through many kinds
            raise RequestError(
                f"{path} is not a complete Orbax checkpoint: {_first_line(error)}; convert the model again."
            ) from error
        stored = dict(_leaves(tree))
        places = {
            f"{section}/{path}": tensor
            for section in model.sections
            for path, tensor in model.owned_tensors(section).items()
        }
        self.specs: dict[str, TensorSpec] = {}
        self._leaf_of: dict[str, tuple[str, Tensor]] = {}
        for leaf, metadata in stored.items():
            tensor = places.get(leaf, Tensor(leaf, (), is_kernel=False))
            shape = tuple(getattr(metadata, "shape", None) or ())
            dtype = np.dtype(getattr(metadata, "dtype", None) or np.object_)
            self.specs[tensor.name] = TensorSpec(shape[::-1] if tensor.is_kernel else shape, dtype)
            self._leaf_of[tensor.name] = (leaf, tensor)

    @property
    def fingerprint(self) -> str:
        """A sha256 over the tree's metadata and the names and sizes of all files.

        Orbax names the files that hold weights at random on every save, so no two checkpoints share it.
        """
        digest = hashlib.sha256()
        root = Path(self._path)
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
            if path.name == _METADATA_FILE:
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def read(self, name: str, rows: slice = ALL_ROWS) -> np.ndarray:
        """Returns some rows of a tensor, or all; a kernel's is a transposed view. Reads all of it."""
        from orbax.checkpoint import v1 as ocp

        leaf, tensor = self._leaf_of[name]
        spec = self.specs[name]
        shape = spec.shape[::-1] if tensor.is_kernel else spec.shape
        context = ocp.Context()
        context.pytree.loading.partial_load = True
        try:
            with _quiet(), context:
                # Only dtype and shape are looked at; a broadcast array says them without taking memory.
                wanted = np.broadcast_to(np.zeros((), spec.dtype), shape)
                array = dict(_leaves(ocp.load(self._path, _tree({leaf: wanted}))))[leaf]
        except Exception as error:  # TensorStore's errors have no class of their own
            raise RequestError(
                f"{self._path}: {leaf} cannot be read ({_first_line(error)}); convert the model again."
            ) from error
        if (array.shape, array.dtype) != (shape, spec.dtype):
            raise RequestError(
                f"{self._path}: {leaf} should be {spec.dtype} {list(shape)} and is {array.dtype} "
                f"{list(array.shape)}; the checkpoint is damaged: convert the model again."
            )
        return (array.T if tensor.is_kernel else array)[rows]


class OrbaxWriter:
    """A ``CheckpointWriter`` for one Orbax checkpoint, saved part by part."""

    def __init__(self, folder: Path, source: Checkpoint, *, dtype: np.dtype | None):
        """Makes sure that there is room.

        Raises:
          RequestError: the disk is full.
        """
        self._path = str((folder / SUBFOLDER).absolute())
        self._model = source.model
        self._specs = output_specs(source, dtype)
        # A run that was interrupted after joining the parts has nothing left to write.
        self._is_joined = Path(self._path).exists()
        shutil.rmtree(self._path + _UNFINISHED, ignore_errors=True)
        # Orbax compresses, pruned weights to about half; what is fuller than that is found while writing.
        saved = (path for part in folder.glob(f"{SUBFOLDER}*") for path in part.rglob("*") if path.is_file())
        taken = sum(path.stat().st_size for path in saved)
        require_space(folder, sum(spec.num_bytes for spec in self._specs.values()) // 2 - taken)

    def write(self, section: str, params: Params) -> None:
        """Saves a section; what an earlier run saved of it is dropped first, because Orbax does not replace.

        Raises:
          RequestError: the disk is full.
        """
        from orbax.checkpoint import v1 as ocp

        if self._is_joined:
            return
        leaves: dict[str, np.ndarray] = {}
        for path, tensor in self._model.owned_tensors(section).items():
            spec = self._specs[tensor.name]
            leaves[f"{section}/{path}"] = cast(np.asarray(params[path]), spec.dtype, tensor.name)
        self._drop(section)
        needed = sum(leaf.nbytes for leaf in leaves.values())
        # Beforehand, because TensorStore's threads tell of a full disk with tracebacks of their own.
        require_space(Path(self._path).parent, needed + needed // 100 + _MARGIN_BYTES)
        context = ocp.Context()
        # Nobody changes the arrays before the call returns.
        context.memory.deepcopy_host_arrays = False
        try:
            with _quiet(), context:
                ocp.partial.save(self._path, _tree(leaves))
        except Exception as error:
            if no_room(error):
                _wait_until_still(Path(self._path + _UNFINISHED))
                raise out_of_room(error, Path(self._path).parent, needed) from error
            raise

    def finish(self) -> None:
        """Joins the sections into one checkpoint."""
        from orbax.checkpoint import v1 as ocp

        if not self._is_joined:
            ocp.partial.finalize(self._path)
        stored = {leaf for leaf, _ in _leaves(ocp.metadata(self._path).metadata)}
        wanted = {
            f"{section}/{path}" for section in self._model.sections for path in self._model.owned_tensors(section)
        }
        assert stored == wanted, f"{self._path}: never written: {sorted(wanted - stored)[:3]}"

    def _drop(self, section: str) -> None:
        """Removes an earlier save of ``section``: each is a folder of its own until they are joined."""
        prefix = tuple(section.split("/"))
        for path in Path(self._path + _PARTS).glob(f"*/*/{_METADATA_FILE}"):
            keys = (
                tuple(part["key"] for part in entry["key_metadata"])
                for entry in json.loads(path.read_text())["tree_metadata"].values()
            )
            if any(key[: len(prefix)] == prefix for key in keys):
                shutil.rmtree(path.parents[1])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Orbax's own reports of damage, with their tracebacks, from standard error."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except BaseException:
        gc.collect()  # asyncio reports a failed task when it is collected: now, and not later
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _wait_until_still(folder: Path) -> None:
    """Waits for the threads that still write to ``folder`` after one has failed: it could not be removed before.

    They are TensorStore's and cannot be joined. Gives up after ten seconds.
    """
    before: list[tuple[str, int]] | None = None
    for _ in range(50):
        found = None
        with contextlib.suppress(FileNotFoundError):  # renamed while it was looked at
            found = sorted((str(path), path.lstat().st_size) for path in folder.rglob("*"))
        if found is not None and found == before:
            return
        before = found
        time.sleep(0.2)


def _tree(leaves: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for leaf, value in leaves.items():
        node = tree
        *parents, last = leaf.split("/")
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = value
    return tree


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key))
    else:
        yield prefix, tree


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
