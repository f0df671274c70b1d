"""Trees in the batches in which they are computed: those of similar lengths together, in few shapes.

Every shape is compiled on its own, which takes seconds; every token that only fills one up is computed for nothing.

Shapes: N tokens of a batch (all trunks, then all branches), B trunks, R branches, P hidden states
that are unembedded together, Q tokens predicted from them, S devices on the mesh's ``data`` axis.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from jaxprune.evaluation.trees import MAX_SCORES, MAX_TOKENS, Targets, Tree


class Shape(NamedTuple):
    """What one device has of a batch: so many trunks and branches, each so many tokens wide."""

    trunks: int
    trunk_width: int
    branches: int
    branch_width: int

    @property
    def num_tokens(self) -> int:
        """N, of one device."""
        return self.trunks * self.trunk_width + self.branches * self.branch_width


def sort_into_buckets(trees: Sequence[Tree], *, compiling: float) -> list[tuple[tuple[int, int], list[Tree]]]:
    """Returns buckets: widths of trunks and branches, and the trees in them.

    Starts from many narrow ones and joins the two that cost least padding for as long as that is less than a
    compilation.

    Args:
      compiling: tokens that could be computed in the time that compiling for one more shape takes.
    """
    cells: dict[tuple[int, int], list[Tree]] = {}
    for tree in trees:
        trunk_width, branch_width = tree.widths
        cells.setdefault((_round_up(trunk_width), _round_up(branch_width)), []).append(tree)
    widths = np.asarray(list(cells), np.float64).reshape(-1, 2)
    counts = np.asarray([[len(of), sum(len(tree.branches) for tree in of)] for of in cells.values()], np.float64)
    members = list(cells.values())
    while len(members) > 1:
        joined_widths = np.maximum(widths[:, None], widths[None, :])
        padded = (joined_widths * (counts[:, None] + counts[None, :])).sum(axis=2)
        own = (widths * counts).sum(axis=1)
        extra = padded - own[:, None] - own[None, :]
        np.fill_diagonal(extra, np.inf)
        i, j = sorted(int(k) for k in np.unravel_index(extra.argmin(), extra.shape))
        if extra[i, j] > compiling:
            break
        widths[i], counts[i], members[i] = joined_widths[i, j], counts[i] + counts[j], members[i] + members[j]
        widths, counts = np.delete(widths, j, axis=0), np.delete(counts, j, axis=0)
        del members[j]
    return [((int(trunk), int(branch)), of) for (trunk, branch), of in zip(widths, members, strict=True)]


def _round_up(length: int) -> int:
    """Returns the next of few lengths: all up to 4, then four to each doubling, so at most a quarter more."""
    step = max(1, 2 ** (max(length - 1, 0).bit_length() - 3))
    return -(-length // step) * step


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Trees that are computed together, those of each device one after the other.

    Attributes:
      tokens: int32, N for each device.
      lengths: int32; tokens of each trunk, 1 for one that only fills.
      owners: int32; the trunk of each branch, among those of its device.
      rows: questions of the rows of each device, trunks before branches; -1 for a row that only fills.
      targets: for each device, with ``sources`` among its N tokens.
      num_tokens: without those that only fill.
    """

    tokens: Int32[np.ndarray, " SN"]
    lengths: Int32[np.ndarray, " SB"]
    owners: Int32[np.ndarray, " SR"]
    rows: Int[np.ndarray, " SB_plus_SR"]
    targets: tuple[Targets, ...]
    num_tokens: int


def make_batches(
    widths: tuple[int, int], trees: Sequence[Tree], *, data: int, num_heads: int
) -> tuple[Shape, list[Batch]]:
    """Returns the batches of a bucket and the shape of all of them, of one device.

    Args:
      widths: of trunks and branches.
      data: devices that share a batch.
      num_heads: query heads of the model.
    """
    trunk_width, branch_width = widths
    branches_per_tree = sum(len(tree.branches) for tree in trees) / len(trees)
    limits = [MAX_TOKENS / (trunk_width + branches_per_tree * branch_width)]
    if branches_per_tree:
        limits.append(MAX_SCORES / (num_heads * branches_per_tree * branch_width * (trunk_width + branch_width)))
    bins = -(-len(trees) // max(1, int(min(limits))))
    num_trunks = -(-len(trees) // (-(-bins // data) * data))
    num_branches = max(int(np.ceil(num_trunks * branches_per_tree)), *(len(tree.branches) for tree in trees), 0)
    shape = Shape(num_trunks, trunk_width, num_branches, branch_width)
    filled: list[list[Tree]] = [[]]
    for tree in trees:
        taken = sum(len(other.branches) for other in filled[-1])
        if len(filled[-1]) == num_trunks or taken + len(tree.branches) > num_branches:
            filled.append([])
        filled[-1].append(tree)
    filled += [[] for _ in range(-len(filled) % data)]
    return shape, [_lay_out(shape, filled[i : i + data]) for i in range(0, len(filled), data)]


def _lay_out(shape: Shape, of_devices: Sequence[Sequence[Tree]]) -> Batch:
    """Returns one batch, given the trees of each device."""
    num_devices = len(of_devices)
    tokens = np.zeros((num_devices, shape.num_tokens), np.int32)
    lengths = np.ones((num_devices, shape.trunks), np.int32)
    owners = np.zeros((num_devices, shape.branches), np.int32)
    rows = np.full((num_devices, shape.trunks + shape.branches), -1)
    targets = []
    for device, trees in enumerate(of_devices):
        parts: list[Targets] = []
        branch = 0
        for trunk, tree in enumerate(trees):
            begin = trunk * shape.trunk_width
            tokens[device, begin : begin + len(tree.trunk)] = tree.trunk
            lengths[device, trunk] = len(tree.trunk)
            rows[device, trunk] = tree.question
            parts.append(tree.trunk_targets.moved(begin))
            for inputs, of_branch in tree.branches:
                begin = shape.trunks * shape.trunk_width + branch * shape.branch_width
                tokens[device, begin : begin + len(inputs)] = inputs
                owners[device, branch] = trunk
                rows[device, shape.trunks + branch] = tree.question
                parts.append(of_branch.moved(begin))
                branch += 1
        targets.append(Targets.joined(parts))
    num_tokens = sum(tree.num_tokens for trees in of_devices for tree in trees)
    return Batch(
        tokens.reshape(-1), lengths.reshape(-1), owners.reshape(-1), rows.reshape(-1), tuple(targets), num_tokens
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
    """Hidden states of a batch that are unembedded together, and what is predicted from them; for all devices.

    Attributes:
      sources: int32; where each is among the N of its device.
      picked: int32; for each token that is predicted, the one of ``sources`` that it is predicted from.
      labels: int32; which token that is.
      slots: where its score belongs; -1 for one that only fills.
    """

    sources: Int32[np.ndarray, " SP"]
    picked: Int32[np.ndarray, " SQ"]
    labels: Int32[np.ndarray, " SQ"]
    slots: Int[np.ndarray, " SQ"]


def cut_chunks(buckets: Sequence[Sequence[Batch]], size: int) -> list[list[list[Chunk]]]:
    """Returns the chunks of each batch of each bucket, all of one shape.

    A hidden state from which several tokens are predicted, the first ones of the branches of a trunk, is in one chunk
    once.

    Args:
      size: hidden states of one device in a chunk, at most.
    """
    of_buckets = [[[_by_source(targets) for targets in batch.targets] for batch in batches] for batches in buckets]
    everywhere = [targets for batches in of_buckets for batch in batches for targets in batch]
    size = min(size, max(len(sources) for sources, _, _ in everywhere))
    cuts = [np.searchsorted(which, np.arange(0, len(sources) + size, size)) for sources, which, _ in everywhere]
    num_targets = max(int(np.diff(cut).max(initial=0)) for cut in cuts)
    return [[_chunks(batch, size, num_targets) for batch in batches] for batches in of_buckets]


def _by_source(targets: Targets) -> tuple[np.ndarray, np.ndarray, Targets]:
    """Returns the sources, each once, and for each target, in their order, which one it has."""
    order = np.argsort(targets.sources, kind="stable")
    targets = Targets(targets.sources[order], targets.labels[order], targets.slots[order])
    sources, which = np.unique(targets.sources, return_inverse=True)
    return sources, which, targets


def _chunks(of_devices: Sequence[tuple[np.ndarray, np.ndarray, Targets]], size: int, num_targets: int) -> list[Chunk]:
    count = max(len(sources) for sources, _, _ in of_devices)
    chunks = []
    for start in range(0, count, size):
        shape = (len(of_devices), num_targets)
        chunk_sources = np.zeros((len(of_devices), size), np.int32)
        picked, labels, slots = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.full(shape, -1)
        for device, (sources, which, targets) in enumerate(of_devices):
            here = sources[start : start + size]
            chunk_sources[device, : len(here)] = here
            begin, end = np.searchsorted(which, [start, start + size])
            picked[device, : end - begin] = which[begin:end] - start
            labels[device, : end - begin] = targets.labels[begin:end]
            slots[device, : end - begin] = targets.slots[begin:end]
        chunks.append(Chunk(chunk_sources.reshape(-1), picked.reshape(-1), labels.reshape(-1), slots.reshape(-1)))
    return chunks
