"""Levels of single models: what a seed changes is known from the whole setting, and no share leaves 0 to 100."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.studies.numbers.estimates import estimate
from jaxprune.studies.numbers.measured import Measure, Scores
from jaxprune.studies.numbers.spreads import spreads_among
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.summary_json import as_json
from jaxprune.studies.report.tables import tables
from tests.studies.synthetic import Study, Task, Truth, config

PERPLEXITY = Measure("perplexity", "language modelling", (), "")
EXAMS = Measure("exams", "knowledge", ("exams",), "acc")


def spread_among(models, measure):
    """What a seed changes, from these models in one language."""
    return spreads_among({"en": models}, measure)["en"]


def scores(totals):
    totals = np.asarray(totals, np.float64)
    return Scores(tuple(range(len(totals))), totals, np.ones(totals.shape[1]))


def test_a_lucky_pair_of_seeds_does_not_look_certain():
    """Student's t by hand, with a variance between that of four calibrations and that of the two seeds themselves."""
    levels = np.asarray([[3.0, 3.0], [3.1, 3.3], [2.9, 3.0], [3.4, 3.2]])
    # Windows that all say the same, so that only seeds count.
    models = [{"perplexity": scores(np.repeat(level[:, None], 6, axis=1))} for level in levels]
    spread = spread_among(models, PERPLEXITY)
    widths = []
    for index in range(2):
        found = estimate(PERPLEXITY, models[index], models[0]["perplexity"], spread)
        variance = (spread.freedom * spread.variance + levels[index].var(ddof=1)) / (spread.freedom + 1)
        freedom = 1 / (1 / (spread.freedom + 1) + (spread.freedom / (spread.freedom + 1)) ** 2 / spread.known)
        half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(variance / 2)
        assert found.value == pytest.approx(levels[index].mean())
        assert found.interval == pytest.approx((found.value - half, found.value + half))
        widths.append(2 * half)
    assert levels.var(axis=1, ddof=1).min() == 0 < 0.1 < widths[0] < widths[1]
    # By themselves, with one degree of freedom, the second pair would have an interval of 12.7 errors to either side.
    assert widths[1] < 12.7 * levels[1].std(ddof=1) / np.sqrt(2)


def test_answers_of_two_seeds_stay_within_a_hundred():
    few, many = np.zeros((2, 40)), np.ones((2, 40))
    few[0, :2] = 1
    many[1, :3] = 0
    dense = scores(many[:1])
    for totals in (few, many):
        models = [{"exams": scores(totals)}, {"exams": scores(1 - totals)}]
        found = estimate(EXAMS, models[0], dense, spread_among(models, EXAMS))
        low, high = found.interval
        assert 0 <= low < found.value < high <= 1


def test_grades_in_points_end_at_a_hundred_though_a_model_has_none():
    dense = scores([[40.0, 90.0, 100.0, 99.0]])
    chrf = Measure("exams", "language", ("exams",), "chrf")
    models = [{"exams": scores(of)} for of in ([[99, 100, 100, 80], [100, 100, 100, 30]], [[0, 1, 0, 1], [1, 0, 9, 0]])]
    spread = spread_among(models, chrf)
    assert estimate(chrf, models[0], dense, spread).interval[1] == 100
    low, high = estimate(chrf, models[1], dense, spread).interval
    assert low == 0
    assert high > 9  # no fraction, though most items are 0 or 1


def test_a_report_has_no_percentage_outside(tmp_path):
    made = Study(config(seeds=(0, 1)), Truth(), tasks={"exams": Task(accuracy=0.03)})
    made.arrays["wanda_0.5_de_seed0"]["tasks/exams/de/acc"][:] = 0
    made.arrays["wanda_0.5_de_seed1"]["tasks/exams/de/acc"][:9] = 1
    summary = summarise(made.read(tmp_path / "out"))
    found = as_json(summary)["values"]
    intervals = [
        of["exams"]["interval"] for cell in found["calibrations"] for of in cell["languages"].values() if "exams" in of
    ] + [of["exams"]["interval"] for of in found["dense"].values()]
    assert len(intervals) == 24
    for low, high in intervals:
        assert 0 <= low < high <= 1
        assert high - low < 0.2  # not what two seeds alone would say
    [table] = [of for of in tables(summary) if "exams" in of.title and "with 95% intervals" in of.title]
    assert all("[-" not in cell and "[\u2212" not in cell for row in table.rows for cell in row)


def test_grades_that_are_all_zero_stand_without_an_interval(tmp_path):
    made = Study(config(seeds=(0,)), Truth(), tasks={"exams": Task(is_binary=False)})
    for name in made.arrays:
        made.results[name]["tasks"]["exams"]["headline"] = "chrf"
        of_language = made.results[name]["tasks"]["exams"]["languages"]
        for language in of_language:
            of_language[language]["metrics"] = {"chrf": of_language[language]["metrics"]["acc"]}
            values = made.arrays[name].pop(f"tasks/exams/{language}/acc")
            made.arrays[name][f"tasks/exams/{language}/chrf"] = 0 * values if "_de_" in name else values
    summary = summarise(made.read(tmp_path / "out"))
    [table] = [of for of in tables(summary) if "exams" in of.title and "with 95% intervals" in of.title]
    by_name = {row[0]: row[1:] for row in table.rows}
    assert set(by_name["de"]) == {"0.0"}
    assert all("[" in cell for cell in by_name["sw"])
    [cell] = [of for of in as_json(summary)["values"]["calibrations"] if of["calibration"] == "de"]
    assert cell["languages"]["sw"]["exams"]["interval"] is None
