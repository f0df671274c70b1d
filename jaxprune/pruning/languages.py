"""How the statistics of several calibration languages become one: a value that a method holds."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxprune.errors import RequestError
from jaxprune.pruning.statistics import Statistic


@runtime_checkable
class LanguageCombination(Protocol):
    """Says which languages are kept apart while text is read, and what becomes of them then."""

    def group_of(self, languages: tuple[str, ...]) -> tuple[int, ...]:
        """Returns the group in which each language is summed up."""
        ...

    def combine(self, statistic: Statistic) -> Float32[Array, "..."]:
        """Returns one summary per token, without the axis of the groups: ``[d_in]`` or ``[d_in, d_in]``."""
        ...


@dataclasses.dataclass(frozen=True)
class SumLanguages:
    """Every token counts the same, whatever its language: as published."""

    def group_of(self, languages: tuple[str, ...]) -> tuple[int, ...]:
        """Puts all languages into one group."""
        return (0,) * len(languages)

    def combine(self, statistic: Statistic) -> Float32[Array, "..."]:
        """Returns the mean over all tokens."""
        return _average(statistic, statistic.tokens_G.astype(jnp.float32))


@dataclasses.dataclass(frozen=True)
class MeanLanguages:
    """Every language counts the same, or as much as its weight says, however many tokens it has.

    Attributes:
      weights: pairs of a language and its weight, in units of their sum; None: all equal.
    """

    weights: tuple[tuple[str, float], ...] | None = None

    def __post_init__(self) -> None:
        """Raises RequestError for weights that make no average."""
        if self.weights is None:
            return
        names = [language for language, _ in self.weights]
        values = [weight for _, weight in self.weights]
        if len(set(names)) < len(names):
            raise RequestError(f"language weights name a language twice: {', '.join(names)}; name each once.")
        if not values or not all(0 <= value < float("inf") for value in values) or not any(values):
            raise RequestError(f"language weights {self.weights} make no average; give numbers from 0 on, not all 0.")

    def group_of(self, languages: tuple[str, ...]) -> tuple[int, ...]:
        """Gives each language a group of its own.

        Raises:
          RequestError: the weights are for other languages than the calibration text has.
        """
        if self.weights is None:
            return tuple(range(len(languages)))
        names = [language for language, _ in self.weights]
        if set(names) != set(languages):
            raise RequestError(
                f"language weights are for {', '.join(names)}, and the calibration text has "
                f"{', '.join(languages)}; give one weight for each language of the text."
            )
        return tuple(names.index(language) for language in languages)

    def combine(self, statistic: Statistic) -> Float32[Array, "..."]:
        """Returns the weighted mean of the languages' means over their tokens."""
        num_groups = statistic.tokens_G.shape[0]
        values = [1.0] * num_groups if self.weights is None else [weight for _, weight in self.weights]
        return _average(statistic, jnp.asarray(values, jnp.float32))


COMBINATIONS = {"sum": SumLanguages, "mean": MeanLanguages}


def _average(statistic: Statistic, weights_G: Float32[Array, " G"]) -> Float32[Array, "..."]:
    total = jnp.sum(weights_G)
    shares_G = weights_G / jnp.where(total > 0, total, 1.0)
    return jnp.tensordot(shares_G, statistic.means(), axes=1, precision=jax.lax.Precision.HIGHEST)
