"""Abilities: what is lost against the dense model, and which languages change places, counted from planted answers."""

import numpy as np
import pytest
import scipy.stats

from jaxprune.studies.answers.published_abilities import _mean_over_prunings, _together, impaired, shifted
from jaxprune.studies.numbers.reading import read_measured
from tests.studies.synthetic import Study, Task, Truth, config

LANGUAGES = ("ar", "de", "en", "sw")


def right(made, part, language, *, only="", task="exams"):
    """Lets models answer that part of 200 questions right, the same ones."""
    for name in made.arrays:
        if name.startswith(only):
            made.arrays[name][f"tasks/{task}/{language}/acc"] = (np.arange(200) < round(200 * part)).astype(float)


def study(ability="knowledge", **more):
    tasks = {"exams": Task(ability=ability)}
    made = Study(config(LANGUAGES, LANGUAGES, seeds=(0, 1), **more), Truth(), tasks=tasks, seed=5)
    for language in LANGUAGES:
        right(made, 0.6, language)
    return made


def test_what_falls_in_most_cases_is_shown(tmp_path):
    made = study()
    for language in ("ar", "de", "sw"):
        right(made, 0.4, language, only="wanda")
    found = impaired(read_measured(made.read(tmp_path / "out")))
    assert found.verdict == "shown"
    assert "knowledge is lower than the dense model's in 12 of 16, measurably so in 12 (Holm over 16)" in found.evidence
    assert (
        "On average over all of these prunings, paired by item: knowledge −15.0 points (95% interval −"
        in found.evidence
    )
    right(made, 0.6, "ar", only="wanda")
    assert impaired(read_measured(made.read(tmp_path / "partly"))).verdict == "partly shown"


def test_where_nothing_falls_it_is_not_shown_or_open(tmp_path):
    assert impaired(read_measured(study().read(tmp_path / "same"))).verdict == "not shown"
    made = study()
    # As many right, others: nothing is certain, and a loss of five points is within chance.
    for name in made.arrays:
        if name.startswith("wanda"):
            made.arrays[name]["tasks/exams/de/acc"] = np.roll(made.arrays[name]["tasks/exams/de/acc"], 60)
    found = impaired(read_measured(made.read(tmp_path / "open")))
    assert found.verdict == "cannot be judged"
    assert "a loss of 5 points is left open (95%) in 4" in found.evidence


def test_what_no_pruning_shows_by_itself_may_be_shown_by_all_together(tmp_path):
    """Every pruning loses some answers and wins fewer, each others: too little for any, but not for their average."""
    made = study()
    rng = np.random.default_rng(3)
    for name in [name for name in made.arrays if name.startswith("wanda")]:
        for language in LANGUAGES:
            values = made.arrays[name][f"tasks/exams/{language}/acc"].copy()
            values[rng.choice(120, 9, replace=False)] = 0
            values[120 + rng.choice(80, 4, replace=False)] = 1
            made.arrays[name][f"tasks/exams/{language}/acc"] = values
    measured = read_measured(made.read(tmp_path / "out"))
    found = impaired(measured)
    assert found.verdict == "partly shown"
    assert "lower than the dense model's in 16 of 16, measurably so in 0 (Holm over 16)" in found.evidence
    pruned = np.mean([made.arrays[name]["tasks/exams/de/acc"] for name in made.arrays if name != "dense"], axis=0)
    gains = 100 * (pruned - made.arrays["dense"]["tasks/exams/de/acc"])
    [exams] = [of for of in measured.measures if of.tasks and not of.is_pooled]
    mean = _mean_over_prunings(measured, exams, "de")
    assert (mean.value, mean.error) == pytest.approx((gains.mean(), scipy.stats.sem(gains)))
    value, interval, p_value = _together([mean])
    test = scipy.stats.ttest_1samp(gains, 0.0)
    assert (value, p_value) == pytest.approx((gains.mean(), test.pvalue))
    assert interval == pytest.approx(tuple(test.confidence_interval()))


def test_other_abilities_and_dense_models_that_guess_are_not_counted(tmp_path):
    assert impaired(read_measured(study("language").read(tmp_path / "language"))).verdict == "cannot be judged"
    made = study()
    for language in LANGUAGES:
        right(made, 0.3, language, only="dense")
    found = impaired(read_measured(made.read(tmp_path / "guess")))
    assert found.verdict == "cannot be judged"
    assert found.evidence.startswith("No task asked for knowledge or reasoning")


@pytest.mark.parametrize(("pruned", "verdict"), [(0.3, "shown"), (0.79, "not shown"), (0.59, "cannot be judged")])
def test_another_best_language_is_shown_only_beyond_chance(tmp_path, pruned, verdict):
    made = study()
    for language, part in {"ar": 0.8, "de": 0.6, "en": 0.5, "sw": 0.2}.items():
        right(made, part, language)
    right(made, pruned, "ar", only="wanda_0.5_sw")
    found = shifted(read_measured(made.read(tmp_path / "out")))
    assert found.verdict == verdict
    changed = int(pruned < 0.6)
    told = (
        f"Of 4 pairs of a pruning and a task, the best language is another than the dense model's in {changed} and the"
    )
    assert told in found.evidence
    assert "the worst in 0; measurably" in found.evidence


def test_two_languages_have_no_order_to_speak_of(tmp_path):
    made = Study(config(("de", "en"), ("de", "en"), seeds=(0, 1)), Truth(), seed=5)
    found = shifted(read_measured(made.read(tmp_path / "out")))
    assert (found.verdict, found.evidence) == ("cannot be judged", "No task was measured in 3 languages or more.")
