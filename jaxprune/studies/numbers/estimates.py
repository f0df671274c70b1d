"""The level of one model by one measure, with the interval that fits it; what a seed changes is that of the setting."""

from typing import NamedTuple

from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.score_intervals import score_interval
from jaxprune.evaluation.seed_spread import Spread
from jaxprune.evaluation.seeds import Part, criterion_over_seeds
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.measured import Measure, Scores, Shares
from jaxprune.studies.numbers.spreads import common_seeds


class Level(NamedTuple):
    """A mean over items and seeds: nats a token, or a task's unit.

    Attributes:
      interval: where it is for other items and other seeds, 95%; None where the items do not say.
      items: of all sources together.
    """

    value: float
    interval: Interval | None
    items: int


def estimate(measure: Measure, shares: Shares, shown_as: Scores, spread: Spread | None) -> Level:
    """Returns the level of a model in one language.

    Args:
      shares: of the model, with all sources of the measure.
      shown_as: scores that show the unit, of a task: ``Measured.reference`` has them.
      spread: what ``spreads.spread_of`` says of the setting; None for the dense model, which has no seeds.
    """
    scores = [shares[source] for source in measure.sources]
    seeds = common_seeds(scores)
    if len(scores) == 1 and measure.tasks:
        most = 1.0 if wording.scale(shown_as) == 100 else 100.0
        totals_SN = scores[0].totals_SN
        if totals_SN.max() > most:
            most = None
        interval = score_interval(measure.metric, totals_SN, spread=spread, most=most)
        return Level(scores[0].mean, interval, totals_SN.shape[1])
    totals = [of.of_seeds(seeds).totals_SN for of in scores]
    parts = [Part(1 / len(scores), a, 0 * a[:1], of.counts_N) for a, of in zip(totals, scores, strict=True)]
    found = criterion_over_seeds(parts, spread=spread, is_second_dense=True)
    return Level(found.value, found.interval, found.items)
