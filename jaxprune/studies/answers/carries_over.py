"""Whether what a language's own calibration gains in perplexity over English is gained in tasks as well."""

from collections.abc import Iterator, Mapping

from jaxprune.studies.answers.effects import in_words, unit
from jaxprune.studies.answers.own_language import OwnAgainstEnglish, count_certain, own_against_english
from jaxprune.studies.answers.verdicts import Finding, verdict_of_share
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import Comparison
from jaxprune.studies.numbers.floors import WORTH_HAVING, room
from jaxprune.studies.numbers.measured import PERPLEXITY, Measured, Setting
from jaxprune.studies.numbers.spreads import spread_of

# A claim of languages is not shown by one.
_FEWEST_LANGUAGES = 2


def carries_over(measured: Measured, comparisons: tuple[Comparison, ...]) -> Iterator[Finding]:
    """Judges, by ability, that a gain in perplexity need not be one in tasks.

    A case counts where tasks could have gained, and where they could have shown it: the dense model is measurably above
    what is scored without a model, by as much at least as is worth having, one of both pruned models is measurably
    above it, too, and English calibration lost enough for as much to be won back. What is measurably better counts.
    """
    pooled = {measure.ability for measure in measured.measures if measure.is_pooled}
    abilities = [m for m in measured.measures if m.tasks and (m.is_pooled or m.ability not in pooled)]
    if not abilities:
        claim = "What the target language gains in perplexity does not carry over to downstream tasks."
        yield Finding(claim, "cannot be judged", "No task was measured.")
    gains = {one.case for one in own_against_english(comparisons, measured, PERPLEXITY) if one.is_better}
    for measure in abilities:
        claim = f"What the target language gains in perplexity does not carry over to {in_words(measure)}."
        of_tasks = own_against_english(comparisons, measured, measure.name)
        both = [one for one in of_tasks if one.case in gains]
        if not both:
            why = "In no language is the gain in perplexity measurable, and the tasks too."
            if measured.measure(PERPLEXITY) is None:
                why = "Perplexity was not measured."
            elif not any(found.against == "english" for found in comparisons):
                why = "English calibration was not measured."
            yield Finding(claim, "cannot be judged", why)
            continue
        left_out = {one.case: why for one in both if (why := _cannot_gain(measured, one))}
        kept = [one for one in both if one.case not in left_out]
        evidence = f"Of {wording.count(len(both), 'case')} with a measurable gain in perplexity over English, "
        if left_out:
            evidence += f"{len(left_out)} {'is' if len(left_out) == 1 else 'are'} left out: {_reasons(left_out)}. "
        if not kept:
            yield Finding(claim, "cannot be judged", f"{evidence}None remains.")
            continue
        better, worse = count_certain(kept)
        excluded = [one for one in kept if _is_ruled_out(measured, one)]
        if left_out:
            evidence += f"In the other {len(kept)}, "
        evidence += (
            f"{in_words(measure)} {'are' if measure.is_pooled else 'is'} measurably better in {better} and measurably "
            f"worse in {worse} (Holm over {wording.count(len(of_tasks), 'comparison')}); a gain of {WORTH_HAVING} "
            f"points is ruled out (95%) in {len(excluded)}, and {len(kept) - better - len(excluded)} are open."
        )
        if better > len(kept) / 2:
            evidence += " It does carry over here: that is the opposite of the claim."
        if len({one.comparison.language for one in kept}) < len(kept):
            evidence += " Cases of one language share its items and are not independent."
        decided = better + len(excluded)
        verdict = verdict_of_share(len(excluded), decided) if decided else "cannot be judged"
        if verdict == "shown" and len({one.comparison.language for one in excluded}) < _FEWEST_LANGUAGES:
            verdict = "cannot be judged"
            evidence += " One language alone does not show it of others."
        yield Finding(claim, verdict, evidence)


def _is_ruled_out(measured: Measured, one: OwnAgainstEnglish) -> bool:
    """Returns whether a gain that is worth having is outside the interval, and no gain is certain."""
    found = one.comparison
    most = WORTH_HAVING / unit(measured, found.measure, found.language)
    return found.difference.interval[1] < most and not one.is_better


def _cannot_gain(measured: Measured, one: OwnAgainstEnglish) -> str | None:
    """Returns why no gain in tasks could have come out in a case, in words; None if one could, or did."""
    found = one.comparison
    if why := at_floor(measured, found):
        return why
    dense = measured.dense[found.language]
    english = measured.cells[found.setting][found.baseline].scores[found.language]
    lost, kept = (room(measured, found.measure, found.language, model).value for model in (dense, english))
    if not one.is_better and lost - kept < WORTH_HAVING / unit(measured, found.measure, found.language):
        return f"with English calibration less than {WORTH_HAVING} points are lost"
    return None


def at_floor(measured: Measured, found: Comparison) -> str | None:
    """Returns why a comparison of tasks could not have come out otherwise, in words; None if it could."""
    measure, language, cells = found.measure, found.language, measured.cells[found.setting]
    if any(task not in measured.dense[language] for task in measure.tasks):
        return "nothing counts of the dense model"
    dense = room(measured, measure, language, measured.dense[language])
    if not dense.is_above:
        return "the dense model is not measurably above what is scored without a model"
    if dense.above < WORTH_HAVING / unit(measured, measure, language):
        return f"the dense model is less than {WORTH_HAVING} points above what is scored without a model"
    spread = spread_of(measured, found.setting, measure, language)
    models = (cells[name].scores.get(language, {}) for name in (found.calibration, found.baseline))
    if not any(room(measured, measure, language, model, spread).is_above for model in models):
        return "neither pruned model is measurably above what is scored without a model"
    return None


def _reasons(left_out: Mapping[tuple[Setting, str], str]) -> str:
    by_reason: dict[str, list[str]] = {}
    for (setting, language), reason in left_out.items():
        by_reason.setdefault(reason, []).append(f"{language_of(language).english} ({setting})")
    return "; ".join(f"{wording.names(names)}, as {reason}" for reason, names in by_reason.items())
