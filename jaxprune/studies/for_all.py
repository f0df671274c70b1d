"""Which calibration a model should have that serves all languages: the one that loses least on average over them."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence

from jaxprune.studies import wording
from jaxprune.studies.decision import Decision
from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.measured import Setting


@dataclasses.dataclass(frozen=True)
class ForAll:
    """What is said of one setting.

    Attributes:
      languages: for which calibrations were compared.
      losses: by calibration, the mean over languages of the loss by each language's criterion; least first. Of those
        only that were measured in all.
      english: the English baseline, if it is one of them.
      good_in: languages for which the first is recommended, or as good within chance.
      worst: the language that loses most with it, and how much.
      fewer: languages in which fewer measures count than in others, so that their losses are of another kind.
    """

    setting: Setting
    languages: tuple[str, ...]
    losses: tuple[tuple[str, float], ...]
    english: str | None
    good_in: tuple[str, ...]
    worst: tuple[str, float]
    fewer: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        (best, loss), *others = self.losses
        against = [f"{value:.2f} with {name}" for name, value in others if name == self.english]
        if not against and best != self.english:
            against = [f"{value:.2f} with {name}" for name, value in others[:1]]
        middle = f"{best} loses least by the criterion on average ({loss:.2f}"
        middle += f" against {against[0]})" if against else f"; next is {others[0][0]}, {others[0][1]:.2f})"
        good, (language, most) = len(self.good_in), self.worst
        fewer = wording.names([language_of(name).english for name in self.fewer])
        limits = f" (in {fewer} fewer measures count, which makes it another loss)" if fewer else ""
        return (
            f"One model for all {len(self.languages)} languages: {middle}; it is recommended, or as good within "
            f"chance, for {good} of them, and {language_of(language).english} loses most ({most:.2f}). "
            f"Averages over languages have no interval here{limits}."
        )


def for_all(decisions: Iterable[Decision]) -> tuple[ForAll, ...]:
    """Returns an answer for every setting with two languages, and two calibrations that were measured in all.

    Averages have no interval here: languages are not a sample of languages, and their items are translations of one
    another more often than not.
    """
    by_setting: dict[Setting, list[Decision]] = {}
    for decision in decisions:
        by_setting.setdefault(decision.setting, []).append(decision)
    found = [_of_setting(setting, of) for setting, of in by_setting.items() if len(of) > 1]
    return tuple(of for of in found if of is not None)


def _of_setting(setting: Setting, decisions: Sequence[Decision]) -> ForAll | None:
    losses = {
        decision.language: {candidate.calibration: candidate.loss.value for candidate in decision.candidates}
        for decision in decisions
    }
    in_all = set.intersection(*(set(of) for of in losses.values()))
    if len(in_all) < 2:
        return None
    english = next((decision.english for decision in decisions if decision.english in in_all), None)
    means = {name: statistics.fmean(of[name] for of in losses.values()) for name in in_all}
    # Of equals English is first, as it is for one language.
    ordered = sorted(means, key=lambda name: (means[name], name != english, name))
    best = ordered[0]
    counted = {of.language: set(of.criterion.weights) for of in decisions}
    worst = max(losses, key=lambda language: losses[language][best])
    return ForAll(
        setting=setting,
        languages=tuple(losses),
        losses=tuple((name, means[name]) for name in ordered),
        english=english,
        good_in=tuple(of.language for of in decisions if best in (of.best.calibration, *of.equals)),
        worst=(worst, losses[worst][best]),
        fewer=tuple(name for name, measures in counted.items() if measures < set.union(*counted.values())),
    )
