"""How far numbers are from what they were: the signal-to-noise ratio of Kuzmin et al. (2023).

https://arxiv.org/abs/2307.02973. The signal is what the dense model has, the noise what the pruned one has less it:
10 dB is a tenth of the energy, 20 dB a hundredth.

Shapes: L blocks, N windows.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64


@dataclasses.dataclass(frozen=True)
class Distortion:
    """Sums of squares; those of disjoint numbers add up.

    Attributes:
      signal: sum of the squares of what the numbers were.
      noise: sum of the squares of their changes.
      count: how many numbers.
    """

    signal: float = 0.0
    noise: float = 0.0
    count: int = 0

    def __add__(self, other: "Distortion") -> "Distortion":
        """Returns that of both together."""
        return Distortion(self.signal + other.signal, self.noise + other.noise, self.count + other.count)

    @property
    def is_identical(self) -> bool:
        """Whether nothing changed at all."""
        return self.noise == 0

    @property
    def snr_db(self) -> float:
        """Signal over noise in dB; infinite if nothing changed."""
        if self.is_identical:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal > 0 else -math.inf

    @property
    def relative_error(self) -> float:
        """Noise over signal."""
        if self.is_identical:
            return 0.0
        return self.noise / self.signal if self.signal > 0 else math.inf

    @property
    def mean_squared_error(self) -> float:
        """Mean square of the changes."""
        return self.noise / self.count


def add_up(distortions: Iterable[Distortion]) -> Distortion:
    """Returns that of all together."""
    return sum(distortions, Distortion())


@dataclasses.dataclass(frozen=True, eq=False)
class WindowDistortion:
    """What pruning did to the output of each block in each window of text: what intervals over windows are made of.

    Attributes:
      signal_LN: sum of the squares of what the dense model has.
      noise_LN: sum of the squares of the changes.
      median_db_LN: the median of the signal-to-noise ratios of the window's tokens; infinite where more than half of
        them did not change.
    """

    signal_LN: Float64[np.ndarray, "L N"]
    noise_LN: Float64[np.ndarray, "L N"]
    median_db_LN: Float64[np.ndarray, "L N"]


@dataclasses.dataclass(frozen=True)
class LanguageDistortion:
    """What pruning did to the activations of one language's text.

    Attributes:
      blocks: of each block's output, both models going their own way from the embedding on.
      by_window: the same, window by window.
      median_tokens_db: the median of the signal-to-noise ratios of a window's tokens, of each block's output, as the
        mean over windows. A few tokens (often the first) have activations hundreds of times as large as the others'
        in the middle blocks of many models; they make up most of ``blocks`` there, and nothing of this. It is not the
        median of all windows' tokens together, so that no token has to be kept, and windows are what it is a mean of:
        it has the interval of a mean.
      linears: of the output of each linear, given the dense model's inputs; by the Hugging Face name of its kernel.
      tokens: tokens measured.
      windows: windows measured.
    """

    blocks: tuple[Distortion, ...]
    by_window: WindowDistortion
    median_tokens_db: tuple[float, ...]
    linears: dict[str, Distortion]
    tokens: int
    windows: int


@dataclasses.dataclass(frozen=True)
class ModelDistortion:
    """What pruning did to a model.

    Attributes:
      kernels: for each block, of the kernels of its linears, by their Hugging Face names.
      languages: of the activations, by language.
    """

    kernels: tuple[dict[str, Distortion], ...]
    languages: dict[str, LanguageDistortion]

    @property
    def blocks(self) -> tuple[Distortion, ...]:
        """Those of the kernels of each block together."""
        return tuple(add_up(kernels.values()) for kernels in self.kernels)
