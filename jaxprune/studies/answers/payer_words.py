"""Who pays for a calibration that is picked for one language, in words."""

from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.answers.effects import unit
from jaxprune.studies.answers.payments import Payment
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import Comparison
from jaxprune.studies.numbers.measured import Measured


def others_in_words(measured: Measured, decision: Decision) -> str:
    """Returns what becomes of the other languages: who pays, how much, and with what they would pay less."""
    others = [name for name in measured.languages if name != decision.language]
    silent = silent_languages(measured, decision)
    unknown = f"; without numbers, and so perhaps worse off: {wording.names(silent)}" if silent else ""
    if not decision.payers:
        if len(silent) == len(others):
            return unknown.removeprefix("; ")
        open_ = wording.names([_left_open(measured, found) for found in decision.open_losses])
        by_chance = f" (chance leaves open {open_})" if open_ else ""
        return f"no other language is measurably worse off than with English calibration{by_chance}{unknown}"
    certain, likely = (payers(measured, decision, certain=of) for of in (True, False))
    told = f"worse off than with English calibration: {wording.names(certain)}" if certain else ""
    if likely:
        told += "; " if told else ""
        told += (
            f"probably worse off (certain after correction over the languages, not over all calibrations): "
            f"{wording.names(likely)}"
        )
    return told + _gentler(measured, decision) + unknown


def _gentler(measured: Measured, decision: Decision) -> str:
    """Returns which calibration others pay less for, of those that were not told from the recommended one."""
    gentler = decision.gentler
    if gentler is None:
        return ""
    sizes = [
        wording.change(gentler.measure, of.difference, unit(measured, gentler.measure, of.language))[0]
        for of in (gentler.most, gentler.most_of_pick)
    ]
    one = gentler.candidate
    how = one.loses_in_words if one.is_apart_alone else f"was not told from it ({one.loses_in_words})"
    start = f"; {named(one.calibration)}, which by the criterion {how}"
    # Who loses most by the measure is named as it is.
    others = [of for of in gentler.payers if of.comparison != gentler.most]
    still = f"; still worse off with it: {wording.names([payment_in_words(measured, of) for of in others])}"
    still = still if others else ""
    if gentler.most.gain >= 0:
        return (
            f"{start}, by its numbers costs nobody else anything in {gentler.measure.name} (instead of {sizes[1]} in "
            f"{language_of(gentler.most_of_pick.language).english}){still}"
        )
    return (
        f"{start}, costs others less: {gentler.measure.name} {sizes[0]} at most "
        f"({language_of(gentler.most.language).english}) instead of {sizes[1]}{still}"
    )


def silent_languages(measured: Measured, decision: Decision) -> list[str]:
    """Returns the other languages that the recommended calibration gave no numbers of, in English."""
    cell = measured.cells[decision.setting][decision.best.calibration]
    others = [name for name in measured.languages if name != decision.language]
    broken = [name for name in others if not set(measured.dense[name]) <= set(cell.scores.get(name, {}))]
    return [language_of(name).english for name in broken]


def payers(measured: Measured, decision: Decision, *, certain: bool) -> list[str]:
    """Returns ``English (perplexity +29%)`` for each language that is worse off than with English, for certain or not.

    Of what is not certain the intervals are told as well.
    """
    by_language: dict[str, list[str]] = {}
    for payment in decision.payers:
        if payment.is_certain is certain:
            found = payment.comparison
            factor = unit(measured, found.measure, payment.language)
            size, interval = wording.change(found.measure, found.difference, factor)
            told = f"{found.measure.name} {size}" + ("" if certain else f", {interval}")
            by_language.setdefault(payment.language, []).append(told)
    return [f"{language_of(name).english} ({', '.join(what)})" for name, what in by_language.items()]


def payment_in_words(measured: Measured, payment: Payment) -> str:
    """Returns ``English (perplexity +14%, probably)``."""
    found = payment.comparison
    size, _ = wording.change(found.measure, found.difference, unit(measured, found.measure, payment.language))
    doubt = "" if payment.is_certain else ", probably"
    return f"{language_of(payment.language).english} ({found.measure.name} {size}{doubt})"


def _left_open(measured: Measured, found: Comparison) -> str:
    most = wording.worst(found.measure, found.difference, unit(measured, found.measure, found.language))
    return f"{most} in {found.measure.name} in {language_of(found.language).english}"
