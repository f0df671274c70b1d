"""What the published study says of choices: mixtures now and then improve tasks, and no method is best throughout."""

import collections
import itertools
from collections.abc import Iterable

from jaxprune.studies.answers.by_method import ByMethod
from jaxprune.studies.answers.carries_over import at_floor
from jaxprune.studies.answers.effects import unit
from jaxprune.studies.answers.verdicts import Finding
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison, compare, corrected
from jaxprune.studies.numbers.floors import WORTH_HAVING
from jaxprune.studies.numbers.measured import Measured, Setting
from jaxprune.studies.numbers.spreads import spreads_among


def mixtures_improve(comparisons: Iterable[Comparison], measured: Measured) -> Finding:
    """Judges by tasks, of mixtures that contain the target language, against that alone.

    Where none is measurably better it is not shown if no gain that is worth having is left open, and not judged if so.
    """
    claim = "Bilingual and multilingual calibration now and then improves tasks over the target language alone."
    of_mixtures = [
        found
        for found in comparisons
        if found.against == "target"
        and found.measure.tasks
        and not found.measure.is_pooled
        and len(measured.mixtures[found.calibration]) > 1
        and found.language in measured.mixtures[found.calibration]
    ]
    if not of_mixtures:
        return Finding(claim, "cannot be judged", "No mixture was measured by tasks beside its languages alone.")
    kept = [found for found in of_mixtures if at_floor(measured, found) is None]
    if not kept:
        where = "Where mixtures were measured by tasks, the models are too near what is scored without one."
        return Finding(claim, "cannot be judged", where)
    certain = [found.gain for found in kept if found.p_all < ALPHA]
    better, worse = sum(gain > 0 for gain in certain), sum(gain < 0 for gain in certain)
    evidence = (
        f"Of {wording.count(len(kept), 'comparison')}, {better} are measurably better and {worse} measurably worse "
        "(Holm over languages and calibrations)"
    )
    left_out = [found for found in of_mixtures if found not in kept]
    if left_out:
        where = wording.names([*dict.fromkeys(language_of(found.language).english for found in left_out)])
        evidence += (
            f"; {wording.count(len(left_out), 'other')} left out, in {where}, where the models are too near what is "
            "scored without one"
        )
    ends = [found.difference.interval[1] * unit(measured, found.measure, found.language) for found in kept]
    open_ = sum(end >= WORTH_HAVING for end in ends)
    evidence += f". A gain of {WORTH_HAVING} points is left open (95%) in {open_}"
    if better:
        return Finding(claim, "shown", f"{evidence}.")
    return Finding(claim, "cannot be judged" if open_ else "not shown", f"{evidence}.")


def _counted(numbers: collections.Counter[str]) -> str:
    return wording.names([f"{name} in {number}" for name, number in numbers.most_common()]) or "none"


def no_best_method(measured: Measured, methods: Iterable[ByMethod] = ()) -> Finding:
    """Counts where one method is measurably better than another at one pattern, calibration, language and measure.

    Args:
      methods: how they stand with their picks; languages count in which no target decides.
    """
    claim = "No pruning method is best throughout."
    pairs = [
        (first, second)
        for first, second in itertools.combinations(measured.cells, 2)
        if first.pattern == second.pattern and first.method != second.method
    ]
    found: dict[tuple[str, ...], tuple[Setting, Setting, float, float]] = {}
    for measure in measured.measures:
        if measure.is_pooled:
            continue
        for first, second in pairs:
            cells = measured.cells[first], measured.cells[second]
            every = [cell.scores for of in cells for cell in of.values()]
            models = {language: [of.get(language, {}) for of in every] for language in measured.languages}
            spreads = spreads_among(models, measure)
            for language, name in itertools.product(measured.languages, cells[0].keys() & cells[1].keys()):
                shares = [of[name].scores.get(language, {}) for of in cells]
                difference = compare(shares[0], shares[1], measure, spread=spreads[language])
                if difference is not None:
                    gain = difference.value if measure.tasks else -difference.value
                    key = (str(first), str(second), measure.name, language, name)
                    found[key] = (first, second, gain, difference.p_value)
    if not found:
        several = len({setting.method for setting in measured.cells}) > 1
        why = "No two methods were measured with one calibration at one pattern." if several else "One was measured."
        return Finding(claim, "cannot be judged", why)
    p_values = corrected({key: p_value for key, (*_, p_value) in found.items()})
    wins: dict[str, int] = {}
    for key, (first, second, gain, _) in found.items():
        if p_values[key] < ALPHA:
            winner = (first if gain > 0 else second).method
            wins[winner] = wins.get(winner, 0) + 1
    picks = collections.Counter(
        choice.method for of in methods for choice in of.choices if choice.method and not choice.ruled_out
    )
    names = sorted({setting.method for pair in pairs for setting in pair})
    told = [f"{name} in {wins.get(name, 0)}" for name in sorted(names, key=lambda name: -wins.get(name, 0))]
    ahead = collections.Counter(
        (first if gain > 0 else second).method for first, second, gain, _ in found.values() if gain
    )
    own = collections.Counter(
        (first if gain > 0 else second).method
        for (*_, language, name), (first, second, gain, _) in found.items()
        if gain and language in measured.mixtures[name]
    )
    evidence = (
        f"Measurably better (Holm over all) at one pattern, calibration, language and measure: "
        f"{wording.names(told)} of {wording.count(len(found), 'case')}, which share models, seeds "
        f"and text and are not independent. By the numbers alone, without a test: {_counted(ahead)}; where the "
        f"language is part of the calibration: {_counted(own)}."
    )
    if picks:
        evidence += (
            " Each with its pick, where no target decides: measurably better by the criterion (Holm over the "
            f"languages) is {_counted(picks)}, of which the answer tells."
        )
    ahead_somewhere = {*wins, *picks}
    if not ahead_somewhere:
        return Finding(claim, "cannot be judged", evidence)
    if len(ahead_somewhere) > 1:
        return Finding(claim, "shown", evidence)
    # One that wins now and then may be best throughout, or not.
    return Finding(claim, "not shown" if sum(wins.values()) == len(found) else "cannot be judged", evidence)
