"""Which weights were kept: ``masks.safetensors``, one bit a weight.

A mask is stored as uint8 ``[d_out, ceil(d_in / 8)]`` under its weight's Hugging Face name. In row ``o``,
bit ``i % 8`` of byte ``i // 8``, least significant first, stands for input ``i`` of output ``o``: 1 = kept.
Bits past ``d_in`` are 0.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Array, Bool

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.output_rows import packed_rows_of
from jaxprune.checkpoints.safetensors_file import SafetensorsFile, StreamedSafetensors
from jaxprune.checkpoints.tensors import TensorSpec
from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import CausalLM, Tensor, block_section

MASKS_FILE = "masks.safetensors"
_LAYOUT = (
    "one bit a weight, 1 = kept; each tensor is uint8 [d_out, ceil(d_in / 8)], packed little-endian along "
    "the input axis: bit i % 8 (least significant first) of byte i // 8 in row o stands for weight [o, i]"
)


class MaskWriter:
    """Writes the masks of a model's prunable kernels, a section at a time, in any order."""

    def __init__(self, folder: Path, model: CausalLM):
        """Takes the space of all masks in ``folder``, which is made if need be.

        Raises:
          RequestError: the disk is full.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._model = model
        shapes = {
            tensor.name: tensor.shape
            for index in range(model.num_blocks)
            for tensor in _linears(model, block_section(index)).values()
        }
        specs = {name: TensorSpec((d_out, -(-d_in // 8)), np.dtype(np.uint8)) for name, (d_out, d_in) in shapes.items()}
        metadata = {"format": "pt", "layout": _LAYOUT, "shapes": json.dumps(shapes)}
        self._file = StreamedSafetensors(folder / MASKS_FILE, specs, metadata)

    def write(self, section: str, masks: Mapping[str, Bool[np.ndarray | Array, "d_in d_out"]]) -> None:
        """Writes what this process has of the masks of a section's linears, True keeps; split by outputs or not."""
        self.begin(section, masks)()

    def begin(self, section: str, masks: Mapping[str, Bool[np.ndarray | Array, "d_in d_out"]]) -> Callable[[], None]:
        """Takes the masks off the devices; returns what writes them to the disk, on any thread."""
        rows = {}
        for linear, tensor in _linears(self._model, section).items():
            assert masks[linear].shape == tensor.shape[::-1], f"{tensor.name}: mask {masks[linear].shape}"
            rows[tensor.name] = packed_rows_of(masks[linear])

        def write() -> None:
            for name, of_mask in rows.items():
                for first, part in of_mask:
                    self._file.write(name, np.asarray(part), first)
            self._file.sync()

        return write

    def finish(self) -> None:
        """Makes sure that all masks are on the disk."""
        self._file.finish()


class Masks:
    """The masks in a folder that ``MaskWriter`` wrote to."""

    def __init__(self, folder: Path):
        """Reads the header.

        Raises:
          RequestError: there are none, or they are not laid out as this module says.
        """
        self._file = SafetensorsFile(folder / MASKS_FILE)
        self.shapes = _shapes(self._file)

    @property
    def names(self) -> tuple[str, ...]:
        """The weights that have a mask, by their Hugging Face names."""
        return tuple(self.shapes)

    def read(self, name: str) -> Bool[np.ndarray, "d_in d_out"]:
        """Returns the mask of one weight, True keeps.

        Raises:
          RequestError: that weight has none.
        """
        if name not in self.shapes:
            raise RequestError(
                f"{self._file.path} has no mask for {name}, only for {len(self.shapes)} others; give the masks of this "
                "model."
            )
        packed = self._file.read(name)
        return np.unpackbits(packed, axis=1, count=self.shapes[name][1], bitorder="little").T.astype(np.bool_)


def read_masked(dense: Checkpoint, masks: Masks, section: str) -> dict[str, np.ndarray]:
    """Returns a section of ``dense`` with the weights set to zero that ``masks`` does not keep.

    For methods that only choose (magnitude, Wanda) this is the pruned model, bit for bit.

    Raises:
      RequestError: a mask is missing or belongs to a weight of another shape.
    """
    params = dense.read(section)
    linears = _linears(dense.model, section) if section.startswith("blocks/") else {}
    for linear, tensor in linears.items():
        if tensor.name in masks.shapes and masks.shapes[tensor.name] != tensor.shape:
            raise RequestError(
                f"the mask of {tensor.name} is for a weight {list(masks.shapes[tensor.name])}, and that of "
                f"{dense.reference} is {list(tensor.shape)}; give the checkpoint that they were made from."
            )
        kernel = params[f"{linear}/kernel"]
        params[f"{linear}/kernel"] = np.where(masks.read(tensor.name), kernel, kernel.dtype.type(0))
    return params


def _linears(model: CausalLM, section: str) -> dict[str, Tensor]:
    tensors = model.tensors(section)
    return {linear: tensors[f"{linear}/kernel"] for linear in model.family.reads}


def _shapes(file: SafetensorsFile) -> dict[str, tuple[int, int]]:
    try:
        shapes = {name: (int(d_out), int(d_in)) for name, (d_out, d_in) in json.loads(file.metadata["shapes"]).items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RequestError(
            f"{file.path} does not state the shapes of its masks; give a file that jaxprune wrote."
        ) from error
    expected = {name: TensorSpec((d_out, -(-d_in // 8)), np.dtype(np.uint8)) for name, (d_out, d_in) in shapes.items()}
    if expected != file.specs:
        raise RequestError(
            f"{file.path}: its masks are not of the shapes that its metadata states; copy it or prune again."
        )
    return shapes
