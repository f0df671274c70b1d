"""Wanda (Sun et al., 2023, https://arxiv.org/abs/2306.11695): weights times the norms of their inputs."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxprune.pruning.languages import LanguageCombination, SumLanguages
from jaxprune.pruning.method import ScoringMethod
from jaxprune.pruning.patterns import Scope
from jaxprune.pruning.statistics import InputNorms, Statistic


@dataclasses.dataclass(frozen=True)
class Wanda(ScoringMethod):
    """Scores a weight by its absolute value times the root mean square of its input."""

    name: ClassVar[str] = "wanda"
    statistic: ClassVar[type[Statistic] | None] = InputNorms
    default_scope: ClassVar[Scope] = "output"
    languages: LanguageCombination = dataclasses.field(default_factory=SumLanguages)

    def score(
        self, kernel_IO: Float32[Array, "d_in d_out"], inputs: Float32[Array, " d_in"]
    ) -> Float32[Array, "d_in d_out"]:
        """Returns ``|W| * ||x||``."""
        return jnp.abs(kernel_IO) * jnp.sqrt(inputs)[:, None]
