"""Magnitude pruning (Han et al., 2015, https://arxiv.org/abs/1506.02626): small weights go."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxprune.pruning.languages import LanguageCombination, SumLanguages
from jaxprune.pruning.method import ScoringMethod
from jaxprune.pruning.patterns import Scope
from jaxprune.pruning.statistics import Statistic


@dataclasses.dataclass(frozen=True)
class Magnitude(ScoringMethod):
    """Scores a weight by its absolute value; reads no text."""

    name: ClassVar[str] = "magnitude"
    statistic: ClassVar[type[Statistic] | None] = None
    default_scope: ClassVar[Scope] = "kernel"

    @property
    def languages(self) -> LanguageCombination:
        """Any would do: there is nothing to combine."""
        return SumLanguages()

    def score(self, kernel_IO: Float32[Array, "d_in d_out"], inputs: None) -> Float32[Array, "d_in d_out"]:
        """Returns ``|W|``."""
        return jnp.abs(kernel_IO)
