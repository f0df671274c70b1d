"""What another seed changes in a study: known from all calibrations of a setting, and from all languages together.

The statistics are those of ``jaxprune.evaluation.seed_spread``.
"""

import functools
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from jaxprune.evaluation.seed_spread import Spread, pool_spreads
from jaxprune.studies.numbers.measured import Measure, Measured, Scores, Setting, Shares


def common_seeds(scores: Iterable[Scores]) -> tuple[int, ...]:
    """Returns the seeds that all have."""
    first, *others = scores
    return tuple(seed for seed in first.seeds if all(seed in other.seeds for other in others))


def spread_of(measured: Measured, setting: Setting, measure: Measure, language: str) -> Spread | None:
    """Returns what a seed changes by a measure in a language, from all calibrations of the setting."""
    return _spreads_of(measured, setting, measure)[language]


def spreads_among(models: Mapping[str, Iterable[Shares]], measure: Measure) -> dict[str, Spread | None]:
    """Returns what a seed changes by a measure, by language, from these models."""
    values: list[list[Float[np.ndarray, " _S"]]] = []
    for of_language in models.values():
        values.append([])
        for shares in of_language:
            scores = [shares[source] for source in measure.sources if source in shares]
            if len(scores) == len(measure.sources):
                seeds = common_seeds(scores)
                values[-1].append(np.mean([of.of_seeds(seeds).by_seed for of in scores], axis=0))
    return dict(zip(models, pool_spreads(values), strict=True))


@functools.lru_cache(maxsize=64)
def _spreads_of(measured: Measured, setting: Setting, measure: Measure) -> dict[str, Spread | None]:
    cells = measured.cells[setting].values()
    models = {language: [cell.scores.get(language, {}) for cell in cells] for language in measured.languages}
    return spreads_among(models, measure)
