"""A decision in sentences that a person can act on: what to do, what it brings and costs, who pays, how sure it is."""

import dataclasses
from collections.abc import Iterable

from jaxprune.evaluation.intervals import FEWEST_RESAMPLED
from jaxprune.studies.answers.candidates import Candidate
from jaxprune.studies.answers.criterion import TargetResult, alone
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.answers.effects import effect, headline_measures
from jaxprune.studies.answers.payer_words import others_in_words, payment_in_words
from jaxprune.studies.answers.payments import payers_of
from jaxprune.studies.answers.target_words import target_text, targets_in_words, unknown_in_words
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison
from jaxprune.studies.numbers.measured import PERPLEXITY, Measured, Setting

# Memory of equal work differs by a few percent from run to run.
_AS_MUCH = 1.1
_NAMED = 4


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is said of one language in one setting.

    Attributes:
      calibration: the recommended one.
      is_certain: whether more than chance puts it before English.
      headline: what to do.
      effects: what it brings against English: language modelling, then each ability.
      own: what the language's own text alone brings against English, where English is recommended or targets rule out
        what is measurably better; else empty.
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
    best, every = decision.best, tuple(comparisons)
    here = [
        found
        for found in every
        if (found.setting, found.language, found.against) == (decision.setting, decision.language, "english")
    ]
    against_english = {found.measure.name: found for found in here if found.calibration == best.calibration}
    effects = [
        effect(measured, decision, measure, against_english.get(measure.name))
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
        own=_own(measured, decision, every),
        others="" if is_english or decision.english is None else others_in_words(measured, decision),
        cost="" if is_english else _cost(decision),
        targets=targets_in_words(best.targets, decision.language),
        passed_over=_passed_over(decision),
        doubts=_doubts(measured, decision),
    )


def _headline(decision: Decision) -> str:
    better = decision.passed_over_measurably
    if not better:
        return _advice(decision)
    # The targets decide here against what is measurably better, which a person may want to decide anew: English, above
    # all, holds by definition whatever asks that nobody lose against English.
    targets, without = decision.best.targets, better[0]
    number = sum(result.is_by_definition for result in targets)
    which = ", one of which" if number < len(targets) else ", which"
    by_definition = f"{which} English calibration holds by definition" if number else ""
    return (
        f"the targets decide{by_definition}: {_advice(decision)}; without them, calibrate on "
        f"{named(without.calibration)}, which loses measurably less by the criterion "
        f"({wording.loss(without.loss.value)} against {wording.loss(decision.best.loss.value)})"
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
            found = "it" if _english(decision).is_apart_alone else "no difference to it was found, and it"
            return (
                f"calibrate on {best}; English ({english}) misses a target; by the criterion {found} "
                f"{_english(decision).loses_in_words}"
            )
        return f"calibrate on {best}; by the criterion English ({english}) loses no more, but misses a target"
    if not decision.beats_english and _english(decision).is_apart_alone:
        return (
            f"by the criterion {best} is not measurably better than English ({english}); within chance the "
            f"numbers favour it, and English {_english(decision).loses_in_words}"
        )
    if not decision.beats_english:
        return (
            f"English ({english}) will do: by the criterion {best} is not measurably better, though within chance the "
            f"numbers favour it, and English {_english(decision).loses_in_words}"
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
    if _english(decision).is_apart_alone:
        return f"{best}; English ({english}) {_english(decision).loses_in_words}"
    return f"{best}; no difference to English ({english}) was found, which {_english(decision).loses_in_words}"


def _english(decision: Decision) -> Candidate:
    [english] = [of for of in decision.candidates if of.calibration == decision.english]
    return english


def _without_english(decision: Decision) -> str:
    return f"English calibration {'gave no numbers' if decision.is_english_broken else 'was not measured'} here"


def _passed_over(decision: Decision) -> str:
    by_targets: dict[str, list[str]] = {}
    for candidate in decision.passed_over[:_NAMED]:
        missed = [result for result in candidate.targets if result.is_met is False]
        told = [f"\u201c{target_text(result)}\u201d" for result in missed]
        told += [
            unknown_in_words(result) for result in candidate.targets if result.is_met is None and result.without_numbers
        ]
        how = wording.loss(candidate.loss.value) + (", measurably" if candidate.p_best < ALPHA else "")
        how += "".join(f"; {_miss(result)}" for result in missed)
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


def _miss(result: TargetResult) -> str:
    """Returns ``+18% in English``, by which a target is missed."""
    assert result.loss is not None
    loses = result.loss.value if result.target.measure == PERPLEXITY else -result.loss.value
    return f"{wording.percent(loses)} in {language_of(result.language).english}"


def _own(measured: Measured, decision: Decision, comparisons: tuple[Comparison, ...]) -> str:
    """Returns what the language's own text alone would bring and cost, where English or targets are picked instead.

    Whoever serves the language asks that first.
    """
    own = alone(measured, decision.language)
    is_passed_over = any(of.calibration == own for of in decision.passed_over_measurably)
    if own is None or not (decision.best.calibration == decision.english or is_passed_over):
        return ""
    found = {
        of.measure.name: of
        for of in comparisons
        if (of.setting, of.language, of.against, of.calibration)
        == (decision.setting, decision.language, "english", own)
    }
    effects = [
        effect(measured, decision, measure, found[measure.name])
        for measure in headline_measures(measured)
        if measure.name in found
    ]
    if not effects:
        return ""
    paying = payers_of(comparisons, decision.setting, own, decision.language)
    told = f"; worse off with it: {wording.names([payment_in_words(measured, of) for of in paying])}" if paying else ""
    return f"calibrated on {named(own)} instead: {wording.names(effects)}{told}"


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


def _doubts(measured: Measured, decision: Decision) -> str:
    told: list[str] = []
    others = [of for of in decision.not_told_apart if of.calibration != decision.english]
    alike = [of for of in others if not of.is_apart_alone]
    apart = [of for of in others if of.is_apart_alone]
    for start, of_kind, how in (
        ("by the criterion no difference was found to", alike, lambda of: wording.may_lose(of.may_lose)),
        (
            "worse by the criterion, though not for certain after correction over all pairs:",
            apart,
            lambda of: f"loses {of.loses_at_least:.2f} to {of.may_lose:.2f} more",
        ),
    ):
        if of_kind:
            shown = [f"{named(of.calibration)} ({how(of)})" for of in of_kind[:_NAMED]]
            more = [f"{len(of_kind) - _NAMED} more"] if len(of_kind) > _NAMED else []
            told.append(f"{start} {wording.names([*shown, *more])}")
    if decision.best.loss.seeds[0] == 1:
        told.append("one seed only, so other calibration text may say otherwise")
    cells, known = measured.cells[decision.setting], {of.calibration for of in decision.candidates}
    without = [named(name) for name, cell in cells.items() if cell.points and name not in known]
    if without:
        told.append(f"not compared, as numbers that count are missing: {wording.names(without)}")
    shares = cells[decision.best.calibration].scores[decision.language]
    for source in decision.criterion.weights:
        items = len(shares[source].counts_N)
        if items < FEWEST_RESAMPLED:
            what = wording.count(items, "window" if source == PERPLEXITY else "item")
            told.append(f"{source} rests on {what} only, so other text may say otherwise")
    return "; ".join(told)
