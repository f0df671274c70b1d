"""A calibration that a language could have, and how it stands to the one that is picked."""

import dataclasses

from jaxprune.evaluation.seeds import SeededDifference
from jaxprune.studies.answers.criterion import TargetResult
from jaxprune.studies.numbers import wording

# What is 0.01 when it is rounded.
_SHOWN = 0.005


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A calibration that a language could have.

    Attributes:
      loss: by the criterion, against the dense model.
      targets: whether they hold.
      p_best: p-value of the hypothesis that the recommended calibration does as well by the criterion; one for the
        recommended calibration itself. Corrected over all pairs of calibrations and all languages of the setting; of a
        pair with English, over the pairs with English, which is all that is ever said of English.
      may_lose: how much more than the recommended calibration it may lose by the criterion, as far as the 95% interval
        of the two says: that none was told from the other does not show that they are equal.
      loses_at_least: how much more it loses at least, by that interval, which is uncorrected; zero where it may lose
        less.
    """

    calibration: str
    loss: SeededDifference
    targets: tuple[TargetResult, ...]
    p_best: float
    may_lose: float
    loses_at_least: float = 0.0

    @property
    def is_apart_alone(self) -> bool:
        """Whether the interval by itself puts it behind the recommended one, by as much as two digits show."""
        return self.loses_at_least >= _SHOWN

    @property
    def loses_in_words(self) -> str:
        """How it stands to the recommended calibration: ``may lose up to 0.03 more``."""
        if self.is_apart_alone:
            return f"loses {self.loses_at_least:.2f} to {self.may_lose:.2f} more, not certain after correction"
        return wording.may_lose(self.may_lose)

    @property
    def holds_targets(self) -> bool:
        """Whether no target is missed, and none left open by numbers that others have and this one has not."""
        return all(result.is_met is not False and not result.without_numbers for result in self.targets)

    @property
    def misses_for_certain(self) -> bool:
        """Whether chance does not explain that a target is missed."""
        return any(result.is_met is False and result.is_certain for result in self.targets)
