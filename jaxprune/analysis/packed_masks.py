"""Masks as they lie on the disk, a bit a weight, read in pieces.

Shapes: O outputs (rows), W words of 64 inputs.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt64

from jaxprune.checkpoints.masks import MASKS_FILE, Masks
from jaxprune.checkpoints.safetensors_file import SafetensorsFile
from jaxprune.errors import RequestError

_WORD_BYTES = 8
_NAME = re.compile(r".*?\.(?P<block>\d{1,9})\.(?:.*\.)?(?P<projection>[^.]+)\.weight")


class Kernel(NamedTuple):
    """One weight that has a mask: its Hugging Face name, and what the name says."""

    name: str
    block: int
    projection: str
    d_out: int
    d_in: int

    @property
    def num_weights(self) -> int:
        """Bits of its mask."""
        return self.d_out * self.d_in


class PackedMasks:
    """The masks in a folder that ``MaskWriter`` wrote to, never unpacked."""

    def __init__(self, folder: Path):
        """Reads the header.

        Raises:
          RequestError: there are no masks, they are damaged, or one belongs to no transformer block.
        """
        shapes = Masks(folder).shapes
        self._file = SafetensorsFile(folder / MASKS_FILE)
        self.path = self._file.path
        kernels = [_kernel(name, shape, self.path) for name, shape in shapes.items()]
        if not kernels:
            raise RequestError(f"{self.path} holds no mask; give a run that has pruned something.")
        # Blocks in order, and within a block the model's own order.
        self.kernels: tuple[Kernel, ...] = tuple(sorted(kernels, key=lambda kernel: kernel.block))

    def read(self, kernel: Kernel, start: int, stop: int) -> UInt64[np.ndarray, "O W"]:
        """Returns the rows of outputs ``start`` to ``stop``; bits past ``d_in`` in the last words are 0.

        Raises:
          RequestError: the file cannot be read, or has bits where there is no weight.
        """
        num_bytes = -(-kernel.d_in // 8)
        content = self._file.read_bytes(kernel.name, start * num_bytes, stop * num_bytes)
        rows = np.frombuffer(content, np.uint8).reshape(-1, num_bytes)
        if kernel.d_in % 8 and np.any(rows[:, -1] >> (kernel.d_in % 8)):
            raise RequestError(
                f"{self.path}: {kernel.name} has bits set past its {kernel.d_in} inputs; it is damaged, prune again."
            )
        if num_bytes % _WORD_BYTES:
            rows = np.pad(rows, ((0, 0), (0, -num_bytes % _WORD_BYTES)))
        return rows.view(np.uint64)


def check_comparable(runs: Sequence[PackedMasks]) -> None:
    """Checks that all runs have masks of the same weights.

    Raises:
      RequestError: names the first weight that a run lacks, has in another shape, or has in excess.
    """
    first = {kernel.name: kernel for kernel in runs[0].kernels}
    advice = "give prunings of models of one shape"
    for run in runs[1:]:
        found = {kernel.name: kernel for kernel in run.kernels}
        for name in [*first, *(name for name in found if name not in first)]:
            if name not in found or name not in first:
                has, lacks = (runs[0], run) if name in first else (run, runs[0])
                raise RequestError(f"{has.path} has a mask for {name} and {lacks.path} has none; {advice}.")
            ours, theirs = first[name], found[name]
            if ours != theirs:
                raise RequestError(
                    f"{name} is [{ours.d_out}, {ours.d_in}] in {runs[0].path} and [{theirs.d_out}, {theirs.d_in}] in "
                    f"{run.path}; {advice}."
                )


def parse_name(name: str) -> tuple[int, str] | None:
    """Returns block and projection of a Hugging Face name; None if it is of no weight of a block."""
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match["block"]), match["projection"])


def _kernel(name: str, shape: tuple[int, int], path: Path) -> Kernel:
    place = parse_name(name)
    if place is None or 0 in shape:
        raise RequestError(f"{path}: {name} {list(shape)} is not a weight of a transformer block; the file is damaged.")
    return Kernel(name, *place, *shape)
