"""Where each of several prunings has put its zeros: channels, heads, neurons; and what two of them have in common.

Shapes: R runs, U units, K kernels.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxprune.analysis.competition import Competition, inputs_variance, outputs_variance
from jaxprune.analysis.masks import KernelCounts
from jaxprune.analysis.overlap import CommonCounts
from jaxprune.analysis.spread import Spread, spread
from jaxprune.analysis.units import HIDDEN, Units, chance_variances, gather_units


class KernelZeros(NamedTuple):
    """How evenly a kernel's zeros fall on its channels."""

    outputs: Spread
    inputs: Spread


@dataclasses.dataclass(frozen=True)
class Zeros:
    """Where one run has put its zeros.

    Attributes:
      kernels: by name.
      blocks: for each block, by kind of unit (``query_heads``, ``key_value_heads``, ``neurons``).
      hidden: the hidden channels, all blocks together; None if a block lacks masks for some kernels.
    """

    kernels: dict[str, KernelZeros]
    blocks: dict[int, dict[str, Spread]]
    hidden: Spread | None

    def mean_gini(self, kind: str) -> dict[str, float] | None:
        """Returns the mean over blocks of a kind's Gini coefficient and of its level by chance, if it has any."""
        found = [units[kind] for units in self.blocks.values() if kind in units]
        ginis = [one.gini for one in found if one.gini is not None]
        by_chance = [one.gini_by_chance for one in found if one.gini_by_chance is not None]
        return {"gini": float(np.mean(ginis)), "by_chance": float(np.mean(by_chance))} if ginis else None

    def as_json(self) -> dict[str, Any]:
        """Returns the attributes."""
        return {
            "kernels": {
                name: {"outputs": kernel.outputs.as_json(), "inputs": kernel.inputs.as_json()}
                for name, kernel in self.kernels.items()
            },
            "blocks": {
                str(index): {kind: found.as_json() for kind, found in units.items()}
                for index, units in self.blocks.items()
            },
            "hidden_channels": self.hidden.as_json() if self.hidden is not None else None,
        }


def summarise(
    counts: Iterable[KernelCounts], competitions: Sequence[Competition], *, head_dim: int | None, top: int
) -> tuple[CommonCounts, list[Zeros]]:
    """Reduces counts, which come block by block, to what is worth telling; holds those of one block at a time.

    Args:
      counts: of all runs together.
      competitions: of each run; they decide what chance can do.
      head_dim: None where it is not known: no attention heads then.
      top: how many channels, heads or neurons are named that have lost most.

    Returns:
      What the runs have in common, and the zeros of each.
    """
    kernels, both = [], []
    zeros = [Zeros({}, {}, None) for _ in competitions]
    hidden: list[Units] = []
    for index, of_block in itertools.groupby(counts, lambda counted: counted.kernel.block):
        block = {}
        for counted in of_block:
            kernel = counted.kernel
            kernels.append(kernel)
            both.append(counted.both_RR)
            block[kernel.projection] = counted
            of_outputs_R = chance_variances(outputs_variance, counted, competitions)
            of_inputs_R = chance_variances(inputs_variance, counted, competitions)
            for run, found in enumerate(zeros):
                found.kernels[kernel.name] = KernelZeros(
                    outputs=spread(counted.outputs_RO[run], kernel.d_in, top=top, variance=of_outputs_R[run]),
                    inputs=spread(counted.inputs_RI[run], kernel.d_out, top=top, variance=of_inputs_R[run]),
                )
        units = gather_units(block, head_dim, competitions)
        if HIDDEN in units:
            hidden.append(units.pop(HIDDEN))
        for run, found in enumerate(zeros):
            found.blocks[index] = {
                kind: spread(of.kept_RU[run], of.num_weights, top=top, variance=of.variance_R[run])
                for kind, of in units.items()
            }
    if len(hidden) == len(zeros[0].blocks):
        kept_RU = np.sum([of.kept_RU for of in hidden], axis=0)
        num_weights = sum(of.num_weights for of in hidden)
        variance_R = np.sum([of.variance_R for of in hidden], axis=0)
        zeros = [
            dataclasses.replace(found, hidden=spread(kept_RU[run], num_weights, top=top, variance=variance_R[run]))
            for run, found in enumerate(zeros)
        ]
    return CommonCounts(kernels, np.stack(both)), zeros
