"""Where pruning raised a task's score above the dense model's: a score that stays is then no proof that all stayed."""

import itertools
from collections.abc import Iterator

from jaxprune.studies.answers.effects import unit
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Difference, compare, corrected
from jaxprune.studies.numbers.floors import WORTH_HAVING
from jaxprune.studies.numbers.measured import Measured
from jaxprune.studies.numbers.spreads import spread_of


def above_dense(measured: Measured) -> Iterator[str]:
    """Returns a sentence for each task in which pruned models are measurably better, by the test of the comparisons.

    Where none is after the correction, the one that is furthest above by what is worth having, and is without it.
    """
    for measure in measured.measures:
        if not measure.tasks or measure.is_pooled:
            continue
        gains: dict[tuple[str, str, str], Difference] = {}
        for setting, cells in measured.cells.items():
            for language, (name, cell) in itertools.product(measured.languages_of(measure.name), cells.items()):
                pair = cell.scores.get(language, {}), measured.dense[language]
                spread = spread_of(measured, setting, measure, language)
                found = compare(*pair, measure, spread=spread, is_second_dense=True)
                if found is not None:
                    gains[str(setting), name, language] = found
        p_values = corrected({key: found.p_value for key, found in gains.items()})
        raised = {key: found for key, found in gains.items() if found.value > 0 and p_values[key] < ALPHA}
        if raised:
            setting, name, language = most = max(raised, key=lambda key: raised[key].value)
            size, interval = wording.change(measure, raised[most], unit(measured, measure, language))
            yield (
                f"{measure.name}: in {len(raised)} of {wording.count(len(gains), 'case')} a pruned model is measurably "
                f"better than the dense one (Holm over all of them; most in {language_of(language).english}, {setting} "
                f"calibrated on {name}: {size}, {interval}). A score near the dense model's does not show that nothing "
                "was lost."
            )
            continue
        # Of many cases the highest is high by chance, and who reads of it asks all the same.
        key, found = max(gains.items(), key=lambda item: item[1].value, default=(None, None))
        if key is None or found is None or found.p_value >= ALPHA:
            continue
        setting, name, language = key
        factor = unit(measured, measure, language)
        if factor * found.value >= WORTH_HAVING:
            size, interval = wording.change(measure, found, factor)
            yield (
                f"{measure.name}: {language_of(language).english} with {setting} calibrated on {name} scores above the "
                f"dense model ({size}, {interval}, {wording.p_value(found.p_value)}, {wording.p_value(p_values[key])} "
                f"after Holm), the most of {wording.count(len(gains), 'case')}, of which chance alone puts some above. "
                "Pruning is not known to teach, so take it as no loss rather than as a gain."
            )
