"""Which of the published findings a study shows (Kurz et al., 2024, https://arxiv.org/abs/2408.14398), and which not.

Every verdict rests on tests of the study's own numbers: of calibrations that are all alike, none is shown. What was not
measured, or too little to tell, is not judged. Nor is what could not have come out otherwise: tasks at their floor.

What is said of languages' own calibrations against English by one measure is one claim, and its p-values are corrected
over its comparisons, in all settings (Holm). Cases that share text, seeds or the dense model are not independent: where
a verdict counts them, a language counts once.
"""

import statistics
from collections.abc import Mapping, Sequence

from jaxprune.studies.answers.by_method import ByMethod
from jaxprune.studies.answers.carries_over import carries_over
from jaxprune.studies.answers.criterion import alone
from jaxprune.studies.answers.own_language import (
    Case,
    count_cases,
    count_certain,
    name_cases,
    name_settings,
    own_against_english,
    own_cases,
)
from jaxprune.studies.answers.published_abilities import impaired, shifted
from jaxprune.studies.answers.published_choices import mixtures_improve, no_best_method
from jaxprune.studies.answers.verdicts import Finding, verdict_by_chance
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA, Comparison, Difference, compare, corrected
from jaxprune.studies.numbers.measured import PERPLEXITY, Cell, Measure, Measured
from jaxprune.studies.numbers.snr import energy_db, median_token_db, median_token_scores
from jaxprune.studies.numbers.spreads import spreads_among

_ONE_MODEL = "One model was studied; that takes a study of each."


def published_findings(
    measured: Measured, comparisons: tuple[Comparison, ...], methods: tuple[ByMethod, ...] = ()
) -> tuple[Finding, ...]:
    """Judges the published findings by a study.

    Args:
      comparisons: all of the study.
      methods: how methods stand with what is picked for them.
    """
    return (
        _lowest_perplexity(measured, comparisons),
        _highest_snr(measured, _english(measured, comparisons)),
        *carries_over(measured, comparisons),
        impaired(measured),
        shifted(measured),
        mixtures_improve(comparisons, measured),
        no_best_method(measured, methods),
        Finding(
            "What holds of small models need not hold of their bigger counterparts.", "cannot be judged", _ONE_MODEL
        ),
    )


def _english(measured: Measured, comparisons: tuple[Comparison, ...]) -> str | None:
    """Returns the baseline of the study's comparisons, or of one without any what calibrates with English alone."""
    return next((found.baseline for found in comparisons if found.against == "english"), alone(measured, "en"))


def _lowest_perplexity(measured: Measured, comparisons: tuple[Comparison, ...]) -> Finding:
    def loss(cell: Cell, language: str) -> float | None:
        scores = cell.scores.get(language, {}).get(PERPLEXITY)
        return None if scores is None else scores.mean

    told: list[str] = []
    against = own_against_english(comparisons, measured, PERPLEXITY)
    if against:
        better, worse = count_certain(against)
        told.append(
            f"Against English, {better} of {len(against)} are measurably better and {worse} measurably worse (Holm "
            f"over these {len(against)})"
        )
    claim = "Calibrating on the target language gives the lowest perplexity."
    if measured.measure(PERPLEXITY) is None:
        return Finding(claim, "cannot be judged", "Perplexity was not measured.")
    return _best_for_itself(claim, own_cases(measured, loss), told)


def _highest_snr(measured: Measured, english: str | None) -> Finding:
    """Judges by the median token, which no few tokens decide, and says where the ratio of energies says otherwise.

    A few tokens with huge activations are nearly all of the energy, so that a count by energy is one of how these fared
    in the windows that were drawn. Studies without medians are judged by energy, and say so.
    """
    claim = "Calibrating on the target language gives the highest signal-to-noise ratio."
    by_energy = own_cases(measured, lambda cell, language: _negative(energy_db(cell, language)))
    by_median = own_cases(measured, lambda cell, language: _negative(median_token_db(cell, language)))
    if not by_median and not by_energy and not any(_has_ratios(of) for of in measured.cells.values()):
        return Finding(claim, "cannot be judged", "No signal-to-noise ratio of activations was measured.")
    if not by_median:
        told = ["A few tokens dominate that, and no median over tokens was measured"]
        return _best_for_itself(claim, by_energy, told, by="By the energy of all tokens")
    told: list[str] = []
    of_energy = {(case.setting, case.language): case for case in by_energy}
    pairs = [(case, of_energy.get((case.setting, case.language))) for case in by_median]
    other = [found for case, found in pairs if found is not None and found.is_own_best != case.is_own_best]
    if other:
        own = name_settings(case for case in other if case.is_own_best)
        not_own = name_cases(case for case in other if not case.is_own_best)
        told.append(
            "By the energy of all tokens of all blocks together, which a few tokens dominate, it is otherwise: "
            + "; ".join(filter(None, [own and f"best for {own}", not_own and f"not for {not_own}"]))
        )
    elif by_energy:
        told.append("By the energy of all tokens of all blocks together it is so in the same cases")
    cells = [cell for of_setting in measured.cells.values() for cell in of_setting.values()]
    if not any(median_token_scores(cell, language) for cell in cells for language in measured.languages):
        told.append("One window, or windows that were not kept one by one, do not say how certain that is")
    p_values, gains = _snr_against_english(measured, english)
    if gains:
        certain = [gain for key, gain in gains.items() if p_values[key] < ALPHA]
        told.append(
            f"Against English, {sum(gain > 0 for gain in certain)} of {len(gains)} are measurably higher and "
            f"{sum(gain < 0 for gain in certain)} measurably lower (by the median token; Holm over these {len(gains)})"
        )
    return _best_for_itself(claim, by_median, told, by="By the median token, mean over blocks")


def _has_ratios(cells: Mapping[str, Cell]) -> bool:
    return any(point.result.get("snr") for cell in cells.values() for point in cell.points.values())


def _snr_against_english(
    measured: Measured, english: str | None
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """Returns p-values and gains of the median token's ratio under its own calibration over that under English."""
    measure = Measure("signal-to-noise ratio", "", ("snr",), "")
    found: dict[tuple[str, str], Difference] = {}
    for setting, cells in measured.cells.items():
        models = {
            language: {
                name: {"snr": scores}
                for name, cell in cells.items()
                if (scores := median_token_scores(cell, language)) is not None
            }
            for language in measured.languages
        }
        spreads = spreads_among({language: of.values() for language, of in models.items()}, measure)
        for language, shares in models.items():
            own = alone(measured, language)
            if own == english or own not in shares or english not in shares:
                continue
            numbers = {len(of["snr"].counts_N) for of in shares.values()}
            if len(numbers) == 1:
                difference = compare(shares[own], shares[english], measure, spread=spreads[language])
                if difference is not None:
                    found[str(setting), language] = difference
    p_values = corrected({key: difference.p_value for key, difference in found.items()})
    return p_values, {key: difference.value for key, difference in found.items()}


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _best_for_itself(claim: str, cases: Sequence[Case], told: Sequence[str], *, by: str = "") -> Finding:
    """Judges by how many cases there are in which the target language alone is best of all languages alone.

    Args:
      told: what else there is to say of them.
      by: by what they were counted, to begin the sentence with.
    """
    if not cases:
        return Finding(claim, "cannot be judged", "No language was measured under its own calibration and another one.")
    counted = count_cases(cases)
    counted = f"{by}, {counted}" if by else f"{counted[0].upper()}{counted[1:]}"
    languages = dict.fromkeys(case.language for case in cases)
    # Settings share windows and calibration text, so in the worst case they say the same: a language counts once, by
    # the share of its settings in which it is so.
    shares = [statistics.fmean(case.is_own_best for case in cases if case.language == name) for name in languages]
    if len(cases) > len(languages):
        counted += (
            f". Settings share text and are not independent, so that the verdict counts "
            f"{wording.count(len(languages), 'language')}"
        )
    chance = statistics.fmean(case.chance for case in cases)
    evidence = ". ".join([counted, *told])
    if chance ** len(languages) >= ALPHA:
        evidence += (
            f". Of so few languages and calibrations all would be best by chance in {chance ** len(languages):.0%} of "
            "studies"
        )
    return Finding(claim, verdict_by_chance(int(sum(shares) + 1e-9), len(languages), chance), f"{evidence}.")
