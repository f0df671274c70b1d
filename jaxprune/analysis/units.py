"""Gathers what belongs to one attention head, one MLP neuron, one hidden channel, from a block's kernels.

Shapes: R runs, U units.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jaxprune.analysis.competition import Competition, inputs_variance, outputs_variance
from jaxprune.analysis.masks import KernelCounts

HEADS = ("query_heads", "key_value_heads")
HIDDEN = "hidden_channels"
# Projections by what their outputs and their inputs are.
_PARTS = {
    "query_heads": (("q_proj",), ("o_proj",)),
    "key_value_heads": (("k_proj", "v_proj"), ()),
    "neurons": (("gate_proj", "up_proj"), ("down_proj",)),
    HIDDEN: (("o_proj", "down_proj"), ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")),
}


class Units(NamedTuple):
    """How many of the ``num_weights`` weights of each unit are kept, and their variance by chance for ``spread``."""

    kept_RU: Int64[np.ndarray, "R U"]
    num_weights: int
    variance_R: Float64[np.ndarray, " R"]


def chance_variances(
    variance: Callable[..., float], counted: KernelCounts, competitions: Sequence[Competition], *, size: int = 1
) -> Float64[np.ndarray, " R"]:
    """Returns ``outputs_variance`` or ``inputs_variance`` of a kernel in each run."""
    kernel = counted.kernel
    sparsity_R = 1 - np.diagonal(counted.both_RR) / kernel.num_weights
    return np.array(
        [
            variance(competition, kernel.d_out, kernel.d_in, float(sparsity), size=size)
            for competition, sparsity in zip(competitions, sparsity_R, strict=True)
        ]
    )


def gather_units(
    block: Mapping[str, KernelCounts], head_dim: int | None, competitions: Sequence[Competition]
) -> dict[str, Units]:
    """Returns the units of one block that all their kernels have masks for.

    A query head is ``head_dim`` neighbours among the outputs of ``q_proj`` and the inputs of ``o_proj``; a
    key-value head the same of the outputs of ``k_proj`` and ``v_proj``; a neuron one output of ``gate_proj`` and
    ``up_proj`` and one input of ``down_proj``; a hidden channel, the same one in every block, what is read from it
    and written to it.

    Args:
      block: counts by projection.
      head_dim: None where it is not known: no heads then.
      competitions: which weights competed in each run.
    """
    found = {}
    for kind, (as_outputs, as_inputs) in _PARTS.items():
        if not block.keys() >= {*as_outputs, *as_inputs}:
            continue
        outputs = [(block[name].outputs_RO, block[name].kernel.d_in) for name in as_outputs]
        inputs = [(block[name].inputs_RI, block[name].kernel.d_out) for name in as_inputs]
        size = head_dim if kind in HEADS else 1
        if size is None:
            continue
        kept_RU = sum(_in_groups(kept, size) for kept, _ in (*outputs, *inputs))
        num_weights = size * sum(num_weights for _, num_weights in (*outputs, *inputs))
        # Kernels are pruned independently of one another.
        variance_R = sum(
            chance_variances(variance, block[name], competitions, size=size)
            for variance, names in ((outputs_variance, as_outputs), (inputs_variance, as_inputs))
            for name in names
        )
        found[kind] = Units(np.asarray(kept_RU), num_weights, np.asarray(variance_R))
    return found


def _in_groups(kept: Int64[np.ndarray, "R channels"], size: int) -> Int64[np.ndarray, "R U"]:
    num_runs, num_channels = kept.shape
    return kept.reshape(num_runs, num_channels // size, size).sum(axis=2)
