"""A decision in sentences that a person can act on: what to do, what it brings and costs, who pays, how sure it is."""

import dataclasses
from collections.abc import Iterable

from jaxprune.evaluation.intervals import FEWEST_RESAMPLED
from jaxprune.studies.answers.criterion import TargetResult, alone
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison
from jaxprune.studies.numbers.measured import PERPLEXITY, Measure, Measured, Setting

# Memory of equal work differs by a few percent from run to run.
_AS_MUCH = 1.1
NO_DIFFERENCE = "no measurable difference"
NOT_ENOUGH = "a difference that is not certain after correction"
_NAMED = 4


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is said of one language in one setting.

    Attributes:
      calibration: the recommended one.
      is_certain: whether more than chance puts it before English.
      headline: what to do.
      effects: what it brings against English: language modelling, then each ability.
      own: where English is recommended, what the language's own text alone brings against it; else empty.
      others: who else pays; empty where English is recommended.
      cost: what it takes beside English.
      targets: whether they hold; empty where there are none.
      passed_over: what is better by the criterion and misses a target; empty where nothing is.
      doubts: what chance leaves open.
    """

    setting: Setting
    language: str
    calibration: str
    is_certain: bool
    headline: str
    effects: tuple[str, ...]
    own: str
    others: str
    cost: str
    targets: str
    passed_over: str
    doubts: str

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything but the headline, in the order in which it is told."""
        told = (*self.effects, self.own, self.cost, self.others, self.targets, self.passed_over, self.doubts)
        return tuple(line for line in told if line)

    @property
    def text(self) -> str:
        """All of it in one paragraph."""
        middle = "; ".join(self.lines)
        start = f"For {language_of(self.language).english}: {self.headline}"
        return f"{start}{'; ' if ':' in self.headline else ': '}{middle}." if middle else f"{start}."


def answer(measured: Measured, decision: Decision, comparisons: Iterable[Comparison]) -> Answer:
    """Puts a decision into words.

    Args:
      comparisons: all of the study.
    """
    best = decision.best
    here = [
        found
        for found in comparisons
        if (found.setting, found.language, found.against) == (decision.setting, decision.language, "english")
    ]
    against_english = {found.measure.name: found for found in here if found.calibration == best.calibration}
    effects = [
        _effect(measured, decision, measure, against_english.get(measure.name))
        for measure in headline_measures(measured)
    ]
    is_english = best.calibration == decision.english
    return Answer(
        setting=decision.setting,
        language=decision.language,
        calibration=best.calibration,
        is_certain=decision.beats_english,
        headline=_headline(decision),
        effects=tuple(filter(None, effects)),
        own=_own(measured, decision, here) if is_english else "",
        others="" if is_english or decision.english is None else _others(measured, decision),
        cost="" if is_english else _cost(decision),
        targets=_targets(best.targets, decision.language),
        passed_over=_passed_over(decision),
        doubts=_doubts(measured, decision),
    )


def in_words(measure: Measure) -> str:
    """Returns ``perplexity``, ``knowledge tasks``, or of a single task its name."""
    return f"{measure.ability} tasks" if measure.is_pooled else measure.name


def headline_measures(measured: Measured) -> list[Measure]:
    """Returns what is told apart: language modelling, then each ability once, over all of its tasks."""
    pooled = {measure.ability for measure in measured.measures if measure.is_pooled}
    return [m for m in measured.measures if m.is_pooled or m.ability not in pooled]


def _headline(decision: Decision) -> str:
    better = decision.passed_over_measurably
    if not better:
        return _advice(decision)
    # The targets decide here against what is measurably better, which a person may want to decide anew: English, above
    # all, holds by definition whatever asks that nobody lose against English.
    return (
        f"the targets decide: {_advice(decision)}; without them, calibrate on {named(better[0].calibration)}, which "
        f"loses measurably less by the criterion ({wording.loss(better[0].loss.value)} against "
        f"{wording.loss(decision.best.loss.value)})"
    )


def _advice(decision: Decision) -> str:
    best, english = named(decision.best.calibration), decision.english
    if not decision.best.holds_targets:
        return f"{_none_holds(decision)}; by the criterion least is lost with {_least(decision)}"
    if english is None:
        return f"calibrate on {best} ({_without_english(decision)})"
    if decision.best.calibration == english:
        what = "that holds the targets" if decision.passed_over else "that was tried"
        return f"stay with English ({english}); nothing else {what} is better by the criterion"
    if not decision.english_holds_targets:
        if decision.beats_english:
            return f"calibrate on {best}; English ({english}) loses more, and misses a target"
        if decision.is_better_than_english:
            return (
                f"calibrate on {best}; English ({english}) misses a target; by the criterion no difference "
                f"to it was found, and it {_english_may_lose(decision)}"
            )
        return f"calibrate on {best}; by the criterion English ({english}) loses no more, but misses a target"
    if not decision.beats_english:
        return (
            f"by the criterion {best} is not measurably better than English ({english}); within chance the "
            f"numbers favour it, and English {_english_may_lose(decision)}"
        )
    return f"calibrate on {best}"


def _none_holds(decision: Decision) -> str:
    """Returns that no calibration holds the targets, and which may all the same, as they miss none for certain."""
    open_ = [named(of.calibration) for of in decision.candidates if not of.misses_for_certain]
    if not open_:
        return "no calibration holds the targets"
    more = [f"{len(open_) - _NAMED} more"] if len(open_) > _NAMED else []
    return (
        f"no calibration holds the targets by its numbers (within chance {wording.names([*open_[:_NAMED], *more])} may)"
    )


def _least(decision: Decision) -> str:
    """Returns what loses least where nothing holds the targets, and how English stands to that."""
    best, english = named(decision.best.calibration), decision.english
    if english is None:
        return f"{best} ({_without_english(decision)})"
    if decision.best.calibration == english:
        return f"English ({english})"
    if decision.beats_english:
        return f"{best}, measurably less than with English ({english})"
    return f"{best}; no difference to English ({english}) was found, which {_english_may_lose(decision)}"


def _english_may_lose(decision: Decision) -> str:
    """Returns what the interval leaves open where English was not found to be worse."""
    [english] = [of for of in decision.candidates if of.calibration == decision.english]
    return wording.may_lose(english.may_lose)


def _without_english(decision: Decision) -> str:
    return f"English calibration {'gave no numbers' if decision.is_english_broken else 'was not measured'} here"


def _passed_over(decision: Decision) -> str:
    by_targets: dict[str, list[str]] = {}
    for candidate in decision.passed_over[:_NAMED]:
        missed = [result for result in candidate.targets if result.is_met is False]
        told = [f"\u201c{target_text(result)}\u201d" for result in missed]
        told += [_unknown(result) for result in candidate.targets if result.is_met is None and result.without_numbers]
        how = wording.loss(candidate.loss.value) + (", measurably" if candidate.p_best < ALPHA else "")
        by_targets.setdefault(wording.names(told), []).append(f"{named(candidate.calibration)} ({how})")
    more = len(decision.passed_over) - _NAMED
    told = [f"{wording.names(names)} for {what}" for what, names in by_targets.items()]
    if not told:
        return ""
    rest = [f"{more} more"] if more > 0 else []
    return (
        f"passed over, with a better criterion than {wording.loss(decision.best.loss.value)}, as they do not hold a "
        f"target: {wording.names([*told, *rest])}"
    )


def _effect(measured: Measured, decision: Decision, measure: Measure, found: Comparison | None) -> str:
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


def _own(measured: Measured, decision: Decision, against_english: Iterable[Comparison]) -> str:
    """Returns what the language's own text alone would bring, which whoever serves the language asks first."""
    own = alone(measured, decision.language)
    if own is None:
        return ""
    found = {of.measure.name: of for of in against_english if of.calibration == own}
    effects = [
        _effect(measured, decision, measure, found[measure.name])
        for measure in headline_measures(measured)
        if measure.name in found
    ]
    return f"calibrated on {named(own)} instead: {wording.names(effects)}" if effects else ""


def unit(measured: Measured, measure: Measure, language: str) -> float:
    """Returns by what a difference in tasks is multiplied to be points."""
    known = [of for source in measure.tasks if (of := measured.reference(language, source)) is not None]
    return max(map(wording.scale, known), default=1.0)


def _value(measured: Measured, decision: Decision, measure: Measure, calibration: str) -> str:
    source = measure.sources[0]
    found = measured.cells[decision.setting][calibration].scores[decision.language][source]
    shown_as = measured.reference(decision.language, source)
    return wording.score(measure.name, found.mean, found if shown_as is None else shown_as)


def _others(measured: Measured, decision: Decision) -> str:
    cell = measured.cells[decision.setting][decision.best.calibration]
    others = [name for name in measured.languages if name != decision.language]
    broken = [name for name in others if not set(measured.dense[name]) <= set(cell.scores.get(name, {}))]
    silent = [language_of(name).english for name in broken]
    unknown = f"; without numbers, and so perhaps worse off: {wording.names(silent)}" if silent else ""
    if not decision.payers:
        if len(broken) == len(others):
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
    return (
        f"; {named(gentler.candidate.calibration)}, which by the criterion was not told from it "
        f"({wording.may_lose(gentler.candidate.may_lose)}), costs others less: {gentler.measure.name} {sizes[0]} at "
        f"most ({language_of(gentler.most.language).english}) instead of {sizes[1]}"
    )


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


def _left_open(measured: Measured, found: Comparison) -> str:
    most = wording.worst(found.measure, found.difference, unit(measured, found.measure, found.language))
    return f"{most} in {found.measure.name} in {language_of(found.language).english}"


def _cost(decision: Decision) -> str:
    cost = decision.cost
    if cost.text_ratio is None:
        return ""
    more: list[str] = []
    if cost.text_ratio > 1:
        more.append(f"{cost.text_ratio:.3g} times the calibration text")
    # Of as much text the peaks differ by what a process did before, not by the language.
    if more and cost.peak_ratio is not None and cost.peak_ratio > _AS_MUCH:
        more.append(f"{cost.peak_ratio:.1f} times the memory")
    if not more:
        # Without English numbers nothing has said yet what it is compared with.
        return "costs nothing more" if decision.english else "costs nothing more than English calibration"
    return f"takes {' and '.join(more)} that English calibration takes"


def target_text(result: TargetResult) -> str:
    """Returns a target in words: ``next-verse at most 5% worse than dense``."""
    limit = f"{100 * result.limit:.3g}%"
    if result.target.worse_than_dense_at_most is not None:
        return f"{result.target.measure} at most {limit} worse than dense"
    return f"other languages lose at most {limit} of what English calibration gives them in {result.target.measure}"


def _targets(results: tuple[TargetResult, ...], language: str) -> str:
    told: list[str] = []
    for verb, is_met in (("holds", True), ("misses", False)):
        chosen = [result for result in results if result.is_met is is_met]
        if chosen:
            told.append(f"{verb} the target{'s' * (len(chosen) > 1)} {_join(chosen, language)}")
    unknown = [result for result in results if result.loss is None]
    if unknown:
        told.append(f"cannot be judged: {wording.names([_unknown(result) for result in unknown])}")
    return "; ".join(told)


def _unknown(result: TargetResult) -> str:
    where = wording.names([language_of(name).english for name in result.without_numbers])
    why = [f"no numbers in {where}"] if where else []
    why += [
        f"nothing to lose in {language_of(name).english}: {reason}" for name, reason in result.nothing_to_lose.items()
    ]
    if not why:
        is_of_dense = result.target.worse_than_dense_at_most is not None
        where = language_of(result.language).english if is_of_dense else "other languages"
        why = [f"{'no numbers' if result.is_asked else 'not asked'} in {where}"]
    return f"\u201c{target_text(result)}\u201d" + f" ({'; '.join(why)})"


def _join(results: list[TargetResult], language: str) -> str:
    told: list[str] = []
    for result in results:
        assert result.loss is not None
        where = "" if result.language == language else f" in {language_of(result.language).english}"
        doubt = "" if result.is_certain else ", which is not certain"
        loses = -result.loss.value if result.target.measure != PERPLEXITY else result.loss.value
        floored = wording.names([language_of(name).english for name in result.nothing_to_lose])
        without = f"; without {floored}, where there is nothing to lose" if floored else ""
        told.append(f"\u201c{target_text(result)}\u201d ({wording.percent(loses)}{where}{doubt}{without})")
    return wording.names(told)


def _doubts(measured: Measured, decision: Decision) -> str:
    told: list[str] = []
    others = [of for of in decision.not_told_apart if of.calibration != decision.english]
    if others:
        shown = [f"{named(of.calibration)} ({wording.may_lose(of.may_lose)})" for of in others[:_NAMED]]
        more = [f"{len(others) - _NAMED} more"] if len(others) > _NAMED else []
        told.append(f"by the criterion no difference was found to {wording.names([*shown, *more])}")
    if decision.best.loss.seeds[0] == 1:
        told.append("one seed only, so other calibration text may say otherwise")
    shares = measured.cells[decision.setting][decision.best.calibration].scores[decision.language]
    for source in decision.criterion.weights:
        items = len(shares[source].counts_N)
        if items < FEWEST_RESAMPLED:
            what = wording.count(items, "window" if source == PERPLEXITY else "item")
            told.append(f"{source} rests on {what} only, so other text may say otherwise")
    return "; ".join(told)
