"""How far a model is above what its tasks give without a model: where it is not, nothing can be lost, nor ruled out.

The floor of a task in a language is the best of chance and the other baselines that a study keeps (the majority, shared
words, copying), taken as it is, without an uncertainty of its own. Where none is known it is zero, and any score above.
"""

import statistics
from typing import NamedTuple

from jaxprune.evaluation.seed_spread import Spread
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.estimates import estimate
from jaxprune.studies.numbers.measured import Measure, Measured, Shares

# What is worth having or losing, in points of a hundred.
WORTH_HAVING = 5


class Room(NamedTuple):
    """What a model has above the floor of a measure, in the tasks' unit.

    Attributes:
      value: its score.
      floor: what is scored without a model; of several tasks, the mean.
      is_above: whether the 95% interval of the score leaves the floor below; where that is zero, whether the score
        does.
    """

    value: float
    floor: float
    is_above: bool

    @property
    def above(self) -> float:
        """What could be lost."""
        return self.value - self.floor


def room(measured: Measured, measure: Measure, language: str, shares: Shares, spread: Spread | None = None) -> Room:
    """Returns what a model has above the floor in a language.

    Args:
      measure: of tasks.
      shares: of the model, with all sources of the measure.
      spread: what a seed changes in the setting; None for the dense model.
    """
    first = measure.tasks[0]
    found = estimate(measure, shares, measured.reference(language, first) or shares[first], spread)
    known = measured.baselines.get(language, {})
    floor = statistics.fmean(max([0.0, *known.get(task, {}).values()]) for task in measure.tasks)
    # Grades that are all the same have no interval, and are above what they exceed.
    low = found.value if found.interval is None or floor == 0 else found.interval[0]
    return Room(found.value, floor, low > floor)


def no_room(
    measured: Measured,
    measure: Measure,
    language: str,
    shares: Shares,
    spread: Spread | None = None,
    *,
    who: str = "the dense model",
) -> str | None:
    """Returns why a model has nothing to lose by a measure, in words; None if it has something, or was not measured.

    Args:
      measure: any; where it is perplexity, there is always something.
      who: the model.

    Returns:
      ``the dense model scores 30.0, not measurably above the 31.0 that are scored without a model``, or less than
      ``WORTH_HAVING`` points above it.
    """
    if not measure.tasks or any(task not in shares for task in measure.tasks):
        return None
    found = room(measured, measure, language, shares, spread)
    shown_as = measured.reference(language, measure.tasks[0]) or shares[measure.tasks[0]]
    # A handful of items would be a third of what there is to lose.
    is_little = found.floor > 0 and wording.scale(shown_as) * found.above < WORTH_HAVING
    if found.is_above and not is_little:
        return None
    value, floor = (wording.score(measure.name, score, shown_as) for score in (found.value, found.floor))
    how = f"less than {WORTH_HAVING} points" if found.is_above else "not measurably"
    return f"{who} scores {value}, {how} above the {floor} that are scored without a model"
