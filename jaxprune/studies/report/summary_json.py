"""``summary.json``: every number of a report."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxprune.json_values import storable
from jaxprune.studies.answers.decision import Decision
from jaxprune.studies.answers.empty_generations import empty_generations
from jaxprune.studies.answers.findings import Answer
from jaxprune.studies.answers.own_or_mix import OwnOrMix
from jaxprune.studies.answers.target_words import target_text
from jaxprune.studies.numbers.comparisons import Comparison
from jaxprune.studies.numbers.estimates import estimate
from jaxprune.studies.numbers.measured import PERPLEXITY, Cell, Measured, Setting, Shares
from jaxprune.studies.numbers.snr import energy, median_token
from jaxprune.studies.numbers.spreads import spread_of
from jaxprune.studies.points.results import PointResult
from jaxprune.studies.report.summary import Summary

FORMAT = 1


def as_json(summary: Summary) -> dict[str, Any]:
    """Returns ``summary.json``: every number of the report; those that JSON cannot hold are null."""
    measured = summary.measured
    found = {
        "format": FORMAT,
        "title": summary.study.config.title,
        "model": summary.study.config.model,
        "state": list(summary.state),
        "dense": _status(summary.study.dense),
        "missing": list(summary.study.missing),
        "failed": [
            {"id": point.id, "error": dict(point.error or {})}
            for point in summary.study.points
            if point.status != "done"
        ],
        "left_out": [problem._asdict() for problem in measured.problems],
        "empty_generations": {
            task: {model: {language: count._asdict() for language, count in of.items()} for model, of in by.items()}
            for task, by in empty_generations(summary.study, measured).items()
        },
        "baselines": {"english": summary.english},
        "answers": [
            {**_of(given.setting), **_plain(given), "text": given.text, "decision": _decision(decision)}
            for given, decision in zip(summary.answers, summary.decisions, strict=True)
        ],
        "own_or_mix": [{**_of(of.setting), "text": of.text, **_fields(of)} for of in summary.own_or_mix],
        "by_method": [
            {
                "pattern": of.pattern,
                "text": of.text,
                "languages": {
                    choice.language: {
                        "picks": [
                            {**_of(one.setting), "calibration": one.calibration, "loss": one.loss}
                            for one in choice.picks
                        ],
                        "more": choice.more.value,
                        "interval": list(choice.more.interval),
                        "p": choice.p_value,
                    }
                    for choice in of.choices
                },
            }
            for of in summary.by_method
        ],
        "for_all": [
            {
                **_of(of.setting),
                "languages": list(of.languages),
                "losses": dict(of.losses),
                "against": of.other,
                "less": None if of.less is None else of.less[0],
                "interval": None if of.less is None else list(of.less[1]),
                "good_in": list(of.good_in),
                "may_lose": of.may_lose,
                "worst": {"language": of.worst[0], "loss": of.worst[1]},
                "fewer_measures_in": list(of.fewer),
                "worse_off": list(of.costs),
                "holds_targets_in": dict(of.held),
                "text": of.text,
            }
            for of in summary.for_all
        ],
        "undecided": [
            {**_of(setting), "text": summary.undecided(setting)}
            for setting in measured.cells
            if not any(given.setting == setting for given in summary.answers)
        ],
        "findings": [dataclasses.asdict(finding) for finding in summary.findings],
        "caveats": list(summary.caveats),
        "analyses": [
            {"section": of.name, "source": of.source, "shows": of.shows, "does_not_show": of.not_shown}
            for of in summary.analyses
        ],
        "comparisons": [_comparison(comparison) for comparison in summary.comparisons],
        "values": {
            "dense": {language: _values(measured, language, of) for language, of in measured.dense.items()},
            "calibrations": [
                {
                    **_of(setting),
                    "calibration": name,
                    "mixture": dict(measured.mixtures[name]),
                    "seeds": sorted(cell.points),
                    "languages": {
                        language: _values(measured, language, of, setting) for language, of in cell.scores.items()
                    },
                    "snr": _snr(cells, name, measured.languages),
                    "seconds": cell.average("seconds", "prune"),
                    "peak_bytes": cell.largest("peak_bytes"),
                    "model_bytes": cell.average("model_bytes"),
                    "sparsity": cell.average("sparsity"),
                }
                for setting, cells in measured.cells.items()
                for name, cell in cells.items()
            ],
        },
    }
    return storable(found)


def _status(dense: PointResult | None) -> dict[str, Any]:
    if dense is None:
        return {"status": "missing", "error": None}
    return {"status": dense.status, "error": None if dense.error is None else dict(dense.error)}


def _of(setting: Any) -> dict[str, str]:
    return {"method": setting.method, "pattern": setting.pattern}


def _plain(given: Answer) -> dict[str, Any]:
    return {field.name: getattr(given, field.name) for field in dataclasses.fields(given) if field.name != "setting"}


def _fields(found: OwnOrMix) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(found).items() if name != "setting"}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "weights": dict(decision.criterion.weights),
        "left_out": dict(decision.criterion.left_out),
        "ranking": [
            {
                "calibration": candidate.calibration,
                "loss": candidate.loss.value,
                "interval": list(candidate.loss.interval),
                "p_best": candidate.p_best,
                "may_lose": candidate.may_lose,
                "loses_at_least": candidate.loses_at_least,
                "targets": [
                    {
                        "target": target_text(result),
                        "language": result.language,
                        "loss": None if result.loss is None else result.loss.value,
                        "interval": None if result.loss is None else list(result.loss.interval),
                        "met": result.is_met,
                        "certain": result.is_certain,
                        "without_numbers": list(result.without_numbers),
                        "nothing_to_lose": dict(result.nothing_to_lose),
                        "asked": result.is_asked,
                    }
                    for result in candidate.targets
                ],
            }
            for candidate in decision.candidates
        ],
        "against_english": None if decision.against_english is None else decision.against_english.value,
        "interval_against_english": (
            None if decision.against_english is None else list(decision.against_english.interval)
        ),
        "p_english": decision.p_english,
        "not_told_apart": [candidate.calibration for candidate in decision.not_told_apart],
        "passed_over": [candidate.calibration for candidate in decision.passed_over],
        "payers": [
            {"language": payment.language, "certain": payment.is_certain, **_comparison(payment.comparison)}
            for payment in decision.payers
        ],
        "gentler": None
        if decision.gentler is None
        else {
            "calibration": decision.gentler.candidate.calibration,
            "measure": decision.gentler.measure.name,
            "most": _comparison(decision.gentler.most),
            "most_of_pick": _comparison(decision.gentler.most_of_pick),
        },
        "open_losses": [_comparison(found) for found in decision.open_losses],
        "cost": dataclasses.asdict(decision.cost),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        **_of(found.setting),
        "calibration": found.calibration,
        "baseline": found.baseline,
        "against": found.against,
        "language": found.language,
        "measure": found.measure.name,
        "difference": found.difference.value,
        "interval": list(found.difference.interval),
        "p": found.difference.p_value,
        "p_over_languages": found.p_languages,
        "p_over_languages_and_calibrations": found.p_all,
        "p_by_seed": list(found.difference.by_seed),
        "items": found.difference.items,
        "seeds": list(found.difference.seeds),
        "test": found.difference.test,
    }


def _values(
    measured: Measured, language: str, shares: Shares, setting: Setting | None = None
) -> dict[str, dict[str, Any]]:
    """Returns the levels of a model in a language by source.

    Args:
      setting: of the model; None for the dense one, which has no seeds.
    """
    values: dict[str, dict[str, Any]] = {}
    for source in shares:
        measure = measured.measure(source)
        assert measure is not None
        shown_as = measured.reference(language, source) or shares[source]
        spread = None if setting is None else spread_of(measured, setting, measure, language)
        found = estimate(measure, shares, shown_as, spread)
        values[source] = {
            "mean": found.value,
            "interval": found.interval and list(found.interval),
            "items": found.items,
            "seeds": len(shares[source].seeds),
        }
        if source == PERPLEXITY:
            values[source]["perplexity"] = math.exp(min(found.value, 700.0))
    return values


def _snr(cells: Mapping[str, Cell], calibration: str, languages: Sequence[str]) -> dict[str, Any]:
    """Returns the ratios in dB: of weights, which has no interval as it is exact, and of activations by language."""
    found: dict[str, dict[str, Any]] = {}
    for language in languages:
        for name, read in (("median_token", median_token), ("energy", energy)):
            ratio = read(cells, calibration, language)
            if ratio is not None:
                found.setdefault(language, {})[name] = ratio._asdict()
    return {"weights": cells[calibration].average("snr", "weights", "overall"), "languages": found}
