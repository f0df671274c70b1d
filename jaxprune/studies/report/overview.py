"""The answer in tables, a line a language: which method, which calibration, what it brings, who pays."""

from jaxprune.studies.answers.by_method import ByMethod, MethodChoice
from jaxprune.studies.answers.candidates import Candidate
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.answers.effects import headline_measures, in_words, unit
from jaxprune.studies.answers.payer_words import silent_languages
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA
from jaxprune.studies.numbers.measured import Measure, Setting
from jaxprune.studies.report.summary import Summary
from jaxprune.studies.report.table import NOTHING, Table

TITLE = "In short: the pick, and what it changes against English calibration (in brackets what is not certain)"

WITHOUT_ENGLISH = "In short: the pick"
METHODS_TITLE = (
    "Loss by the criterion with each method's pick, and how much more the second loses (95% interval, uncorrected; "
    "what is measurable is so after correction over the languages)"
)


def overview(summary: Summary, setting: Setting) -> Table:
    """Returns a line for each language with an answer; without rows where there is none."""
    decisions = [of for of in summary.decisions if of.setting == setting]
    measures = [m for m in headline_measures(summary.measured) if _is_compared(summary, decisions, m)]
    has_targets = any(of.best.targets for of in decisions)
    rows = [
        [
            language_of(of.language).english,
            _pick(of),
            _beside_english(of),
            *(_change(summary, of, measure) for measure in measures),
            *([_targets(of)] if has_targets else []),
            _payers(summary, of),
        ]
        for of in decisions
    ]
    targets = ["targets"] if has_targets else []
    head = ["language", "pick", "beside English", *map(in_words, measures), *targets, "who pays"]
    return Table(WITHOUT_ENGLISH if summary.english is None else TITLE, head, rows)


def methods_table(of: ByMethod) -> Table:
    """Returns a line a language: what each method loses with its pick, and how much more the next best loses."""
    rows = [
        [
            language_of(choice.language).english,
            *(_loss_with(choice, method) for method in of.methods),
            _ahead(choice),
            f"{wording.signed(choice.more.value, 2)} ({low} to {high})",
        ]
        for choice in of.choices
        for low, high in [[wording.signed(end, 2) for end in choice.more.interval]]
    ]
    return Table(METHODS_TITLE, ["language", *of.methods, "measurably less", "the second loses more"], rows)


def _ahead(choice: MethodChoice) -> str:
    if choice.method is None:
        return "not certain"
    return f"{choice.method}, as the targets have it" if choice.ruled_out else choice.method


def _loss_with(choice: MethodChoice, method: str) -> str:
    for of in choice.picks:
        if of.setting.method == method:
            told = f"{wording.loss(of.loss)} with {named(of.calibration)}" if of.decision else wording.loss(of.loss)
            better = of.decision.passed_over_measurably if of.decision else ()
            notes = [
                f"but for the targets {wording.loss(one.loss.value)} with {named(one.calibration)}"
                for one in better[:1]
            ]
            notes += [_missed(of.decision.best)] if of.decision and not of.decision.best.holds_targets else []
            notes += ["English is not there"] if of.decision and of.decision.english is None else []
            return f"{told} ({'; '.join(notes)})" if notes else told
    return NOTHING


def _missed(pick: Candidate) -> str:
    if pick.misses_for_certain:
        return "misses a target"
    return "misses a target by its numbers, not for certain"


def _is_compared(summary: Summary, decisions: list[Decision], measure: Measure) -> bool:
    return any(_change(summary, of, measure) != NOTHING for of in decisions)


def _pick(decision: Decision) -> str:
    pick, better, gentler = decision.best.calibration, decision.passed_over_measurably, decision.gentler
    told = [f"but for the targets: {named(better[0].calibration)}"] if better else []
    if any(of.calibration == decision.english and not of.is_apart_alone for of in decision.not_told_apart):
        told.append(f"or {decision.english}")
    told += [f"others lose less with {named(gentler.candidate.calibration)}"] if gentler else []
    return f"{pick} ({'; '.join(told)})" if told else pick


def _beside_english(decision: Decision) -> str:
    if decision.english is None:
        return "English has no numbers" if decision.is_english_broken else "English was not measured"
    if decision.best.calibration == decision.english:
        return "is English"
    if decision.beats_english:
        return "measurably better"
    if any(of.calibration == decision.english and of.is_apart_alone for of in decision.candidates):
        return "(better)"
    return "no difference found"


def _change(summary: Summary, decision: Decision, measure: Measure) -> str:
    for found in summary.comparisons:
        if (found.setting, found.language, found.calibration, found.against, found.measure) == (
            decision.setting,
            decision.language,
            decision.best.calibration,
            "english",
            measure,
        ):
            size, _ = wording.change(measure, found.difference, unit(summary.measured, measure, decision.language))
            return size if found.p_all < ALPHA else f"({size})"
    return NOTHING


def _payers(summary: Summary, decision: Decision) -> str:
    is_english = decision.best.calibration == decision.english
    if decision.english is None or is_english or len(summary.measured.languages) == 1:
        return NOTHING
    told: dict[tuple[str, bool], list[str]] = {}
    for payment in decision.payers:
        found = payment.comparison
        factor = unit(summary.measured, found.measure, payment.language)
        size, _ = wording.change(found.measure, found.difference, factor)
        told.setdefault((language_of(payment.language).english, payment.is_certain), []).append(
            f"{found.measure.name} {size}"
        )
    ordered = sorted(told.items(), key=lambda item: not item[0][1])
    shown = [
        f"{name} {', '.join(what)}" if is_certain else f"({name} {', '.join(what)})"
        for (name, is_certain), what in ordered
    ]
    silent = silent_languages(summary.measured, decision)
    shown += [f"unknown of {wording.names(silent)}"] if silent else []
    return "; ".join(shown) or "nobody measurably"


def _targets(decision: Decision) -> str:
    told: list[str] = []
    for what, is_met in (("held", True), ("missed", False)):
        certain = [result.is_certain for result in decision.best.targets if result.is_met is is_met]
        if any(certain):
            unsure = certain.count(False)
            told.append(f"{len(certain)} {what}" + (f" ({unsure} of them not for certain)" if unsure else ""))
        elif certain:
            told.append(f"({len(certain)} {what})")
    open_ = sum(result.is_met is None for result in decision.best.targets)
    return ", ".join([*told, f"{open_} open"] if open_ else told) or NOTHING
