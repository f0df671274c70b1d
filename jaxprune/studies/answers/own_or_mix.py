"""English text, a language's own, or both: the question that a study is made for, over all of its languages."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.seed_spread import Spread, pool_spreads
from jaxprune.evaluation.seeds import SeededDifference
from jaxprune.studies.answers.criterion import alone
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.answers.payer_words import payment_in_words
from jaxprune.studies.answers.payments import payers_of
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.language_names import named
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison, corrected
from jaxprune.studies.numbers.measured import PERPLEXITY, Measured, Setting


@dataclasses.dataclass(frozen=True)
class Contest:
    """How one kind of calibration stands to another by the criterion, over languages.

    Attributes:
      languages: in which both were measured.
      better: those of them in which the first loses measurably less, after Holm over the languages.
      worse: those in which it loses measurably more.
      may_lose: how much more the first may lose in one of the others, as far as 95% intervals say.
      ahead: in how many languages the first loses less by the numbers.
      mean: how much more the first loses on average over the languages.
      interval: of that at 95%, uncorrected, as if the errors of all languages went the same way: their items may be
        translations of one another.
    """

    languages: tuple[str, ...]
    better: tuple[str, ...]
    worse: tuple[str, ...]
    may_lose: float
    ahead: int
    mean: float
    interval: Interval


class Rises(NamedTuple):
    """What perplexities rise by, over several calibrations: 0.1 is 10%."""

    median: float
    least: float
    most: float


@dataclasses.dataclass(frozen=True)
class OwnOrMix:
    """What is said of one setting.

    Attributes:
      own: the language's own text against English.
      mix: its own and English text, as one mixture, against English; None where no such mixture was measured.
      mix_or_own: the mixture against its own text alone.
      english_with_own: what English itself loses in perplexity under other languages' own text, against English
        calibration, as a part of that; None where it was not measured.
      english_with_mix: the same under their mixtures.
      others_with_own: who else is measurably worse off than with English calibration under which own text.
      others_with_mix: the same under which mixture.
    """

    setting: Setting
    own: Contest
    mix: Contest | None
    mix_or_own: Contest | None
    english_with_own: Rises | None
    english_with_mix: Rises | None
    others_with_own: tuple[str, ...] = ()
    others_with_mix: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The answer in a few sentences."""
        told = f"{self.setting}: by the criterion a language\u2019s own text loses {_against(self.own)}"
        if self.mix is not None and self.mix_or_own is not None:
            told += f"; own text mixed with English loses {_against(self.mix)}. {_beside(self.mix_or_own)}"
        else:
            told += "."
        if self.english_with_own is not None:
            told += f" {_english(self.english_with_own, self.english_with_mix)}"
        if self.others_with_own or self.others_with_mix:
            told += f" Of others, measurably worse off than with it: by own text {_payers(self.others_with_own)}"
            told += f"; by mixtures {_payers(self.others_with_mix)}." if self.mix else "."
        return told


def own_or_mix(
    measured: Measured, decisions: Iterable[Decision], comparisons: Iterable[Comparison]
) -> tuple[OwnOrMix, ...]:
    """Returns an answer for every setting in which two languages or more were calibrated on their own text.

    Args:
      comparisons: all of the study.
    """
    by_setting: dict[Setting, list[Decision]] = {}
    for decision in decisions:
        by_setting.setdefault(decision.setting, []).append(decision)
    every = tuple(comparisons)
    found = [_of_setting(measured, setting, of, every) for setting, of in by_setting.items()]
    return tuple(of for of in found if of is not None)


def _of_setting(
    measured: Measured, setting: Setting, decisions: Sequence[Decision], comparisons: tuple[Comparison, ...]
) -> OwnOrMix | None:
    # How alike seeds matter is learnt from all languages, those too that are not compared here.
    spreads = _spreads(measured, setting, decisions)
    decisions = [of for of in decisions if of.english and alone(measured, of.language) not in (None, of.english)]
    if len(decisions) < 2:
        return None
    english = {of.language: of.english for of in decisions}
    own = {of.language: alone(measured, of.language) for of in decisions}
    mix = {of.language: _mixed(measured, setting, of) for of in decisions}
    of_own = _contest(measured, decisions, spreads, own, english)
    if of_own is None:
        return None
    return OwnOrMix(
        setting=setting,
        own=of_own,
        mix=_contest(measured, decisions, spreads, mix, english),
        mix_or_own=_contest(measured, decisions, spreads, mix, own),
        english_with_own=_of_english(measured, comparisons, setting, english, own),
        english_with_mix=_of_english(measured, comparisons, setting, english, mix),
        others_with_own=_others(measured, comparisons, setting, english, own),
        others_with_mix=_others(measured, comparisons, setting, english, mix),
    )


def _spreads(measured: Measured, setting: Setting, decisions: Sequence[Decision]) -> dict[str, Spread | None]:
    """Returns what a seed changes in the criterion of each language."""
    cells = measured.cells[setting].values()
    values = [
        of.criterion.values((cell.scores.get(of.language, {}) for cell in cells), measured.dense[of.language])
        for of in decisions
    ]
    return dict(zip((of.language for of in decisions), pool_spreads(values), strict=True))


def _mixed(measured: Measured, setting: Setting, decision: Decision) -> str | None:
    """Returns the calibration that has the language and those of the English one, and no others."""
    wanted = {decision.language, *measured.mixtures[decision.english or ""]}
    return next((name for name in measured.cells[setting] if set(measured.mixtures[name]) == wanted), None)


def _contest(
    measured: Measured,
    decisions: Sequence[Decision],
    spreads: dict[str, Spread | None],
    first: dict[str, str | None],
    second: dict[str, str | None],
) -> Contest | None:
    found = {
        of.language: difference
        for of in decisions
        if (difference := _difference(measured, of, spreads, first[of.language], second[of.language])) is not None
    }
    if not found:
        return None
    p_values = corrected({(name,): of.p_value for name, of in found.items()})
    better = tuple(name for name, of in found.items() if p_values[(name,)] < ALPHA and of.value < 0)
    worse = tuple(name for name, of in found.items() if p_values[(name,)] < ALPHA and of.value > 0)
    open_ = [of.interval[1] for name, of in found.items() if name not in (*better, *worse)]
    return Contest(
        languages=tuple(found),
        better=better,
        worse=worse,
        may_lose=max([0.0, *open_]),
        ahead=sum(of.value < 0 for of in found.values()),
        mean=statistics.fmean(of.value for of in found.values()),
        interval=(
            statistics.fmean(of.interval[0] for of in found.values()),
            statistics.fmean(of.interval[1] for of in found.values()),
        ),
    )


def _difference(
    measured: Measured,
    decision: Decision,
    spreads: dict[str, Spread | None],
    first: str | None,
    second: str | None,
) -> SeededDifference | None:
    cells, language = measured.cells[decision.setting], decision.language
    if first is None or second is None or first not in cells or second not in cells:
        return None
    a, b = (cells[name].scores.get(language, {}) for name in (first, second))
    return decision.criterion.difference(a, b, measured.dense[language], spread=spreads[language])


def _of_english(
    measured: Measured,
    comparisons: tuple[Comparison, ...],
    setting: Setting,
    english: dict[str, str | None],
    names: dict[str, str | None],
) -> Rises | None:
    """Returns what English loses in perplexity over calibrations; only where English is one language."""
    [baseline] = set(english.values())
    of_baseline = [*measured.mixtures[baseline or ""]]
    wanted = set(names.values())
    nats = [
        found.difference.value
        for found in comparisons
        if (found.setting, found.against, found.measure.name) == (setting, "english", PERPLEXITY)
        and [found.language] == of_baseline
        and found.calibration in wanted
    ]
    return Rises(*(math.expm1(of(nats)) for of in (statistics.median, min, max))) if nats else None


def _others(
    measured: Measured,
    comparisons: tuple[Comparison, ...],
    setting: Setting,
    english: dict[str, str | None],
    names: dict[str, str | None],
) -> tuple[str, ...]:
    """Returns ``Spanish (perplexity +98%) with ar`` for each that pays beyond chance; English is told of apart."""
    [baseline] = set(english.values())
    return tuple(
        f"{payment_in_words(measured, payment)} with {named(name)}"
        for language, name in names.items()
        if name is not None
        for payment in payers_of(comparisons, setting, name, language)
        if payment.is_certain and payment.language not in measured.mixtures[baseline or ""]
    )


def _against(contest: Contest) -> str:
    """Returns ``measurably less than English text in 6 of 7 languages (ar, …)``."""
    names = wording.names([language_of(of).english for of in contest.better])
    where = f" ({names})" if contest.better and len(contest.better) < len(contest.languages) else ""
    worse = wording.names([language_of(of).english for of in contest.worse])
    more = f", and measurably more in {worse}" if worse else ""
    number = wording.count(len(contest.languages), "language")
    return f"measurably less than English text in {len(contest.better)} of {number}{where}{more}"


def _beside(contest: Contest) -> str:
    """Returns how the mixture stands to a language's own text."""
    told = [
        f"{who} loses measurably less in {wording.names([language_of(of).english for of in languages])}"
        for who, languages in (("the mixture", contest.better), ("own text", contest.worse))
        if languages
    ]
    open_ = f"(the mixture {wording.may_lose(contest.may_lose)})"
    own = len(contest.languages) - contest.ahead
    average = (
        f"by the numbers own text loses less in {own} of {len(contest.languages)}, on average by "
        f"{wording.signed(contest.mean, 2)} (95% interval {wording.signed(contest.interval[0], 2)} to "
        f"{wording.signed(contest.interval[1], 2)})"
    )
    if not told:
        return f"Of the two, neither is measurably ahead in any {open_}; {average}."
    if len(contest.languages) > len(contest.better) + len(contest.worse):
        told.append(f"in the others neither is measurably ahead {open_}")
    return f"Of the two, {'; '.join([*told, average])}."


def _english(with_own: Rises, with_mix: Rises | None) -> str:
    mixed = "" if with_mix is None else f", and by {_range(with_mix)} with these mixed with English"
    return (
        f"Against English calibration, English\u2019s own perplexity changes by {_range(with_own)} with other "
        f"languages\u2019 own text{mixed}."
    )


def _range(rises: Rises) -> str:
    return f"{wording.percent(rises.median)} (median; {wording.percent(rises.least)} to {wording.percent(rises.most)})"


def _payers(told: tuple[str, ...]) -> str:
    return wording.names(told) if told else "none"
