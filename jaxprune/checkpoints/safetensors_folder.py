"""The weights of a Hugging Face folder: one safetensors file, or several and an index of what is where."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxprune.checkpoints.checks import shortened
from jaxprune.checkpoints.json_file import read_object
from jaxprune.checkpoints.safetensors_file import SafetensorsFile
from jaxprune.checkpoints.tensors import ALL_ROWS, TensorSpec
from jaxprune.errors import RequestError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_COMPARE_BYTES = 16 * 2**20


class SafetensorsFolder:
    """A ``TensorStore`` over a folder."""

    def __init__(self, folder: Path):
        """Reads the index and every header.

        Raises:
          RequestError: there are no safetensors, or index and files disagree.
        """
        self.folder = folder
        index = folder / INDEX_FILE
        if index.exists():
            self.weight_map = _read_index(index)
            self._files = _open_shards(folder, index, self.weight_map)
        else:
            file = SafetensorsFile(_only_file(folder))
            self.weight_map = dict.fromkeys(file.specs, SINGLE_FILE)
            self._files = {SINGLE_FILE: file}
        self.specs: Mapping[str, TensorSpec] = {
            name: spec for file in self._files.values() for name, spec in file.specs.items()
        }

    @property
    def fingerprint(self) -> str:
        """A sha256 over headers, sizes and a few bytes of every tensor."""
        digest = hashlib.sha256()
        for name in sorted(self._files):
            self._files[name].update_fingerprint(digest)
        return digest.hexdigest()

    def read(self, name: str, rows: slice = ALL_ROWS) -> np.ndarray:
        """Returns some rows of a tensor, or all, in memory of their own; no more than them is read."""
        return self._files[self.weight_map[name]].read(name, rows)

    def are_equal(self, first: str, second: str) -> bool:
        """Returns whether two tensors have the same shape, dtype and bits; reads them in pieces."""
        if self.specs[first] != self.specs[second]:
            return False
        first_file, second_file = (self._files[self.weight_map[name]] for name in (first, second))
        return all(
            first_file.read_bytes(first, start, start + _COMPARE_BYTES)
            == second_file.read_bytes(second, start, start + _COMPARE_BYTES)
            for start in range(0, self.specs[first].num_bytes, _COMPARE_BYTES)
        )


def _read_index(path: Path) -> dict[str, str]:
    weight_map = read_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise RequestError(f"{path} has no weight_map that says which file holds which tensor; fetch it again.")
    for name, file in weight_map.items():
        # The file is opened: it has to be a sibling, whatever the index says.
        if not isinstance(file, str) or file != Path(file).name or not file.endswith(".safetensors"):
            raise RequestError(
                f"{path} says that {name!r} is in {file!r}, which does not name a safetensors file beside it; "
                "fetch the index again."
            )
    return weight_map


def _open_shards(folder: Path, index: Path, weight_map: Mapping[str, str]) -> dict[str, SafetensorsFile]:
    names = sorted(set(weight_map.values()))
    absent = [name for name in names if not (folder / name).exists()]
    if absent:
        raise RequestError(
            f"{index} names {len(names)} files, and {_listed(absent)} not there; fetch the checkpoint again."
        )
    files = {name: SafetensorsFile(folder / name) for name in names}
    lacking = [f"{name} (in {file})" for name, file in weight_map.items() if name not in files[file].specs]
    if lacking:
        raise RequestError(
            f"{index}: its files lack {len(lacking)} of its tensors: {shortened(lacking)}; fetch the checkpoint again."
        )
    unknown = [f"{name} (in {file})" for file in names for name in files[file].specs if weight_map.get(name) != file]
    if unknown:
        raise RequestError(
            f"{index} does not name, or looks elsewhere for, {len(unknown)} of the tensors in its files: "
            f"{shortened(unknown)}; fetch the checkpoint again."
        )
    return files


def _only_file(folder: Path) -> Path:
    if (folder / SINGLE_FILE).exists():
        return folder / SINGLE_FILE
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    if found:
        raise RequestError(
            f"{folder} holds {len(found)} safetensors files and no {INDEX_FILE} that says which are the "
            "model's; fetch the index too."
        )
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    if pickles:
        raise RequestError(
            f"{folder} has its weights only in {shortened(pickles)}: pickles, which run code when they "
            "are read and are never opened here; convert them to safetensors (save_pretrained does)."
        )
    raise RequestError(
        f"{folder} holds no safetensors file, where {SINGLE_FILE} or {INDEX_FILE} was expected; fetch the weights too."
    )


def _listed(names: list[str]) -> str:
    return f"{shortened(names)} {'is' if len(names) == 1 else 'are'}"
