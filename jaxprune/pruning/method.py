"""What a pruning method is: array maths on one kernel, chosen by value.

A method is a frozen dataclass: its own configuration, printed into the manifest as it is, and a static
argument of ``jax.jit``. It knows no model and no file.
"""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple, Protocol, final, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32

from jaxprune.pruning.languages import LanguageCombination
from jaxprune.pruning.patterns import Pattern, Scope
from jaxprune.pruning.statistics import Statistic


class PrunedKernel(NamedTuple):
    """A kernel with its zeros.

    Attributes:
      kernel: ``[d_in, d_out]``, zero wherever the mask says.
      mask: same shape; True keeps.
      diagnostics: scalars worth a line in the manifest.
    """

    kernel: Float32[Array, "d_in d_out"]
    mask: Bool[Array, "d_in d_out"]
    diagnostics: dict[str, Array]


@runtime_checkable
class PruningMethod(Protocol):
    """Prunes kernels, given a statistic of their inputs.

    Attributes:
      name: as users type it.
      statistic: what to collect about the inputs; None if nothing is needed.
      default_scope: which weights compete, as published.
      languages: how the statistics of several languages become one.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    name: ClassVar[str]
    statistic: ClassVar[type[Statistic] | None]
    default_scope: ClassVar[Scope]

    @property
    def languages(self) -> LanguageCombination:
        """How the statistics of several languages become one."""
        ...

    def prepare(self, statistic: Statistic | None) -> Any:
        """Does once what all linears with the same input share."""
        ...

    def prune(self, kernel_IO: Float32[Array, "d_in d_out"], prepared: Any, pattern: Pattern) -> PrunedKernel:
        """Prunes one kernel to the pattern's exact number of weights."""
        ...


class ScoringMethod(abc.ABC):
    """Scores weights by importance, prunes the lowest and leaves the others as they are."""

    name: ClassVar[str]
    statistic: ClassVar[type[Statistic] | None]
    default_scope: ClassVar[Scope]
    languages: Any

    @final
    def prepare(self, statistic: Statistic | None) -> Float32[Array, "..."] | None:
        """Returns the summary of all languages."""
        return None if statistic is None else self.languages.combine(statistic)

    @final
    def prune(
        self,
        kernel_IO: Float32[Array, "d_in d_out"],
        prepared: Float32[Array, "..."] | None,
        pattern: Pattern,
    ) -> PrunedKernel:
        """Zeroes the weights with the lowest scores."""
        # Infinite scores stand for padding: one that overflows is merely the highest.
        scores_IO = jnp.minimum(self.score(kernel_IO, prepared), jnp.finfo(jnp.float32).max)
        mask_IO = pattern.mask(scores_IO)
        return PrunedKernel(jnp.where(mask_IO, kernel_IO, 0.0), mask_IO, {})

    @abc.abstractmethod
    def score(self, kernel_IO: Float32[Array, "d_in d_out"], inputs: Any) -> Float32[Array, "d_in d_out"]:
        """Returns how important each weight is: not negative, low is pruned.

        Args:
          kernel_IO: the weights.
          inputs: the statistic's mean over tokens, languages combined; None if the method has no statistic.
        """
