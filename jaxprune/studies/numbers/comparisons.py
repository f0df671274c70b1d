"""Every calibration against the English and the target baseline, in every language, by every measure: paired by item.

With one seed of everything the test is that of the items alone: McNemar's exact one for right and wrong answers, a
bootstrap for all else. With more, the spread between seeds counts as well, as all calibrations of a setting show it
together (``jaxprune.evaluation.seeds``); what the items alone would say, seed by seed, is kept beside it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from jaxprune.evaluation.intervals import FEWEST_RESAMPLED, Interval
from jaxprune.evaluation.score_intervals import is_right_or_wrong
from jaxprune.evaluation.seed_spread import Spread
from jaxprune.evaluation.seeds import Part, criterion_over_seeds
from jaxprune.evaluation.significance import holm, mcnemar, paired_means, paired_perplexity
from jaxprune.studies.numbers.measured import Measure, Measured, Setting, Shares
from jaxprune.studies.numbers.spreads import common_seeds, spread_of

ALPHA = 0.05
RESAMPLES = 2_000

Against = Literal["english", "target"]
Key = TypeVar("Key", bound=tuple[str, ...])


class Difference(NamedTuple):
    """What a first calibration has over a second, in nats a token (perplexity) or in the tasks' unit.

    Attributes:
      value: mean over items and seeds of the first less the second.
      interval: 95%.
      p_value: two-sided.
      items: of all sources together.
      seeds: of the first and of the second.
      test: by name.
      by_seed: p-values of the items alone, for each seed that both have; empty for means over several tasks.
    """

    value: float
    interval: Interval
    p_value: float
    items: int
    seeds: tuple[int, int]
    test: str
    by_seed: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One calibration against a baseline, in one language, by one measure.

    Attributes:
      baseline: the calibration that it is compared with.
      against: as what.
      difference: of the calibration less the baseline.
      p_languages: corrected over the languages of this calibration, measure and kind of baseline (Holm).
      p_all: corrected over all calibrations as well: of a calibration that was chosen for what came out.
    """

    setting: Setting
    calibration: str
    baseline: str
    against: Against
    language: str
    measure: Measure
    difference: Difference
    p_languages: float
    p_all: float

    @property
    def gain(self) -> float:
        """The difference, positive where the calibration is better."""
        return self.difference.value if self.measure.tasks else -self.difference.value

    @property
    def largest_loss(self) -> float:
        """The worst end of the interval, positive where the calibration may be worse."""
        low, high = self.difference.interval
        return -low if self.measure.tasks else high


def compare(
    first: Shares, second: Shares, measure: Measure, *, spread: Spread | None, is_second_dense: bool = False
) -> Difference | None:
    """Compares by one measure; None where one of both lacks it. A mean over tasks needs the same seeds in all of them.

    Args:
      spread: what ``spreads.spread_of`` says of the setting.
    """
    if any(source not in shares for shares in (first, second) for source in measure.sources):
        return None
    pairs = [(first[source], second[source]) for source in measure.sources]
    seeds = common_seeds([a for a, _ in pairs]), common_seeds([b for _, b in pairs])
    if not all(seeds):
        return None
    pairs = [(a.of_seeds(seeds[0]), b.of_seeds(seeds[1])) for a, b in pairs]
    weight = 1 / len(pairs)
    found = criterion_over_seeds(
        [Part(weight, a.totals_SN, b.totals_SN, a.counts_N) for a, b in pairs],
        spread=spread,
        is_second_dense=is_second_dense,
    )
    numbers = (len(seeds[0]), len(seeds[1]))
    if len(pairs) > 1:
        test = "Student's t" if spread is None else "Behrens and Fisher's, over seeds"
        return Difference(found.value, found.interval, found.p_value, found.items, numbers, test, ())
    a, b = pairs[0]
    if spread is None:
        test, interval, p_value = _of_items(a.totals_SN[0], b.totals_SN[0], a.counts_N, measure)
        return Difference(found.value, interval, p_value, found.items, numbers, test, (p_value,))
    by_seed = tuple(
        _of_items(a.of_seeds([seed]).totals_SN[0], b.of_seeds([seed]).totals_SN[0], a.counts_N, measure)[2]
        for seed in seeds[0]
        if seed in seeds[1]
    )
    return Difference(
        found.value, found.interval, found.p_value, found.items, numbers, "Behrens and Fisher's, over seeds", by_seed
    )


def compare_all(measured: Measured, baselines: Mapping[Against, Callable[[str], str | None]]) -> tuple[Comparison, ...]:
    """Compares every calibration with its baselines.

    Args:
      baselines: from a language to the calibration that others are compared with in it; None: there is none.
    """
    found: list[Comparison] = []
    for setting, cells in measured.cells.items():
        for measure in measured.measures:
            for against, baseline_of in baselines.items():
                differences: dict[tuple[str, str], Difference] = {}
                for language in measured.languages:
                    baseline = cells.get(baseline_of(language) or "")
                    spread = spread_of(measured, setting, measure, language)
                    for calibration, cell in cells.items():
                        if baseline is None or cell is baseline:
                            continue
                        pair = cell.scores.get(language, {}), baseline.scores.get(language, {})
                        difference = compare(*pair, measure, spread=spread)
                        if difference is not None:
                            differences[calibration, language] = difference
                found += _correct(setting, measure, against, baseline_of, differences)
    return tuple(found)


def _correct(
    setting: Setting,
    measure: Measure,
    against: Against,
    baseline_of: Callable[[str], str | None],
    differences: Mapping[tuple[str, str], Difference],
) -> list[Comparison]:
    of_all = corrected({key: difference.p_value for key, difference in differences.items()})
    of_languages: dict[tuple[str, str], float] = {}
    for chosen in dict.fromkeys(calibration for calibration, _ in differences):
        family = {key: difference.p_value for key, difference in differences.items() if key[0] == chosen}
        of_languages |= corrected(family)
    return [
        Comparison(
            setting=setting,
            calibration=calibration,
            baseline=baseline_of(language) or "",
            against=against,
            language=language,
            measure=measure,
            difference=difference,
            p_languages=of_languages[calibration, language],
            p_all=of_all[calibration, language],
        )
        for (calibration, language), difference in differences.items()
    ]


def corrected(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Returns p-values corrected for all of them together, as ``holm`` does."""
    found = holm({str(index): p_value for index, p_value in enumerate(p_values.values())})
    return dict(zip(p_values, found.values(), strict=True))


def _of_items(
    first_N: np.ndarray, second_N: np.ndarray, counts_N: np.ndarray, measure: Measure
) -> tuple[str, Interval, float]:
    """Returns the test of two models' items, its interval and its p-value."""
    if not measure.tasks:
        found = paired_perplexity(first_N, second_N, counts_N, resamples=RESAMPLES)
    elif is_right_or_wrong(measure.metric, np.stack([first_N, second_N])):
        exact = mcnemar(first_N == 1, second_N == 1)
        return "McNemar's exact test", exact.interval, exact.p_value
    else:
        found = paired_means(first_N, second_N, resamples=RESAMPLES)
    # Only a single item has neither.
    assert found.interval is not None
    assert found.p_value is not None
    test = "paired bootstrap" if len(counts_N) >= FEWEST_RESAMPLED else "Student's t"
    return test, found.interval, found.p_value
