"""What a calibration brings a language against English, by each measure, in words."""

from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison
from jaxprune.studies.numbers.measured import Measure, Measured

NO_DIFFERENCE = "no measurable difference"


NOT_ENOUGH = "a difference that is not certain after correction"


def in_words(measure: Measure) -> str:
    """Returns ``perplexity``, ``knowledge tasks``, or of a single task its name."""
    return f"{measure.ability} tasks" if measure.is_pooled else measure.name


def headline_measures(measured: Measured) -> list[Measure]:
    """Returns what is told apart: language modelling, then each ability once, over all of its tasks."""
    pooled = {measure.ability for measure in measured.measures if measure.is_pooled}
    return [m for m in measured.measures if m.is_pooled or m.ability not in pooled]


def effect(measured: Measured, decision: Decision, measure: Measure, found: Comparison | None) -> str:
    """Returns what a calibration does by a measure, that of ``found`` or the recommended one; empty if not measured."""
    subject = in_words(measure)
    if found is not None:
        factor = unit(measured, measure, decision.language)
        size, interval = wording.change(measure, found.difference, factor)
        if found.difference.p_value >= ALPHA:
            return f"{subject}: {NO_DIFFERENCE} ({size}, {interval})"
        if found.p_all >= ALPHA:
            return f"{subject}: {NOT_ENOUGH} ({size}, {interval}, {wording.p_value(found.p_all)} after Holm)"
        values = ""
        if not measure.is_pooled:
            values = " {} against {} with English".format(
                *(_value(measured, decision, measure, name) for name in (found.calibration, found.baseline))
            )
        return f"{subject}{values} ({size}, {interval}, {wording.p_value(found.p_all)} after Holm)"
    shares = measured.cells[decision.setting][decision.best.calibration].scores.get(decision.language, {})
    dense = measured.dense[decision.language]
    if measure.is_pooled or any(source not in of for of in (shares, dense) for source in measure.sources):
        return ""
    own = _value(measured, decision, measure, decision.best.calibration)
    unpruned = dense[measure.sources[0]]
    return f"{subject} {own} (dense {wording.score(measure.name, unpruned.mean, unpruned)})"


def unit(measured: Measured, measure: Measure, language: str) -> float:
    """Returns by what a difference in tasks is multiplied to be points."""
    known = [of for source in measure.tasks if (of := measured.reference(language, source)) is not None]
    return max(map(wording.scale, known), default=1.0)


def _value(measured: Measured, decision: Decision, measure: Measure, calibration: str) -> str:
    source = measure.sources[0]
    found = measured.cells[decision.setting][calibration].scores[decision.language][source]
    shown_as = measured.reference(decision.language, source)
    return wording.score(measure.name, found.mean, found if shown_as is None else shown_as)
