"""Tasks at which a model is no better than without one: they decide nothing, and are told."""

import dataclasses

import numpy as np
import pytest

from jaxprune.studies.answers.caveats import caveats
from jaxprune.studies.answers.criterion import baselines, check_targets, criterion_for
from jaxprune.studies.answers.decision import decide
from jaxprune.studies.answers.findings import answer
from jaxprune.studies.numbers.comparisons import compare_all
from jaxprune.studies.numbers.floors import room
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.report.summary import summarise
from tests.studies.synthetic import Study, Truth, config

LANGUAGES = ("de", "en", "sw")
DENSE = {"measure": "exams", "worse_than_dense_at_most": 0.05}
OTHERS = {"measure": "exams", "other_languages_lose_at_most": 0.05}


def right(made, language, part, *, only=""):
    """Lets models answer that part of the questions right, each others: those from a place that its name draws."""
    for name in made.arrays:
        if name.startswith(only or ""):
            values = (np.arange(200) < round(200 * part)).astype(float)
            made.arrays[name][f"tasks/exams/{language}/acc"] = values


def study(*targets, seeds=(0, 1)):
    return Study(config(LANGUAGES, LANGUAGES, seeds=seeds, decision={"targets": list(targets)}), Truth(), seed=1)


def read(made, folder):
    found = made.read(folder)
    return found, read_measured(found)


def test_the_floor_is_the_best_of_what_needs_no_model(tmp_path):
    made = study()
    right(made, "sw", 0.36, only="dense")
    _, measured = read(made, tmp_path / "out")
    [exams] = [measure for measure in measured.measures if measure.tasks]
    found = room(measured, exams, "sw", measured.dense["sw"])
    assert found.floor == 0.31  # shared words, above chance and the majority
    assert found.above == pytest.approx(0.05)
    assert not found.is_above  # Wilson's interval of 72 of 200 begins at 0.297
    assert room(measured, exams, "de", measured.dense["de"]).is_above


def test_without_baselines_the_floor_is_zero(tmp_path):
    made = study()
    for result in made.results.values():
        result["tasks"]["exams"]["languages"]["sw"]["baselines"] = {"chance": None}
    right(made, "sw", 0.0, only="dense")
    read_study, measured = read(made, tmp_path / "out")
    [exams] = [measure for measure in measured.measures if measure.tasks]
    assert room(measured, exams, "sw", measured.dense["sw"]) == (0, 0, False)
    assert criterion_for(read_study.config, measured, "sw").left_out.keys() == {"exams"}
    assert any("in Swahili nobody has said" in line for line in caveats(read_study, measured))
    # Any score is above that, as nobody knows what a guess would have.
    right(made, "sw", 0.005, only="dense")
    _, measured = read(made, tmp_path / "one")
    assert room(measured, exams, "sw", measured.dense["sw"]).is_above


def test_where_nothing_can_be_lost_nothing_is_decided_and_that_is_said(tmp_path):
    made = Study(config(LANGUAGES, LANGUAGES, seeds=(0,), decision={"weights": {"exams": 1}}), Truth(), seed=1)
    for language in LANGUAGES:
        right(made, language, 0.3)
    summary = summarise(made.read(tmp_path / "out"))
    [setting] = summary.measured.cells
    assert summary.answers == ()
    assert summary.undecided(setting).startswith("In no language does the dense model have anything to lose")


@pytest.mark.parametrize(("part", "is_left_out"), [(0.2, True), (0.36, True), (0.39, False)])
def test_a_task_at_its_floor_is_left_out_of_the_criterion(tmp_path, part, is_left_out):
    made = study()
    right(made, "sw", part, only="dense")
    read_study, measured = read(made, tmp_path / "out")
    criterion = criterion_for(read_study.config, measured, "sw")
    assert (criterion.weights == {"perplexity": 1.0}) is is_left_out
    reasons = [
        f"has nothing to lose (the dense model scores {100 * part:.1f}, not measurably above the 31.0 that are scored "
        "without a model)"
    ]
    assert [*criterion.left_out.values()] == (reasons if is_left_out else [])
    assert criterion_for(read_study.config, measured, "de").left_out == {}
    told = any(
        "exams: in Swahili the dense model is not measurably above" in of for of in caveats(read_study, measured)
    )
    assert told is is_left_out


def test_a_target_at_the_floor_cannot_be_judged(tmp_path):
    made = study(DENSE)
    # Dense guesses, and pruned models guess worse: a loss of a half, of nothing.
    right(made, "sw", 0.1)
    right(made, "sw", 0.2, only="dense")
    read_study, measured = read(made, tmp_path / "out")
    comparisons = compare_all(measured, baselines(read_study.config, measured))
    [decision] = [of for of in decide(read_study.config, measured, comparisons) if of.language == "sw"]
    for candidate in decision.candidates:
        [result] = candidate.targets
        assert result.is_met is None
        assert candidate.holds_targets
    text = answer(measured, decision, comparisons).text
    assert (
        "cannot be judged: \u201cexams at most 5% worse than dense\u201d (nothing to lose in Swahili: the dense model "
        "scores 20.0, not measurably above the 31.0 that are scored without a model)"
    ) in text
    assert "holds the target" not in text
    assert "no calibration holds" not in text


def test_a_target_that_cannot_be_judged_says_why_where_nothing_was_measured(tmp_path):
    made = study(DENSE, OTHERS)
    for name in made.arrays:
        for language in ("en", "sw"):
            del made.arrays[name][f"tasks/exams/{language}/acc"]
            del made.results[name]["tasks"]["exams"]["languages"][language]
    read_study, measured = read(made, tmp_path / "out")
    found = compare_all(measured, baselines(read_study.config, measured))
    texts = {of.language: answer(measured, of, found).targets for of in decide(read_study.config, measured, found)}
    assert "cannot be judged: \u201cexams at most 5% worse than dense\u201d (no numbers in English)" in texts["en"]
    assert texts["de"].endswith("gives them in exams\u201d (no numbers in other languages)")


def setting(measured):
    [found] = measured.cells
    return found


def test_other_languages_at_the_floor_are_left_out_of_a_target(tmp_path):
    made = study(OTHERS)
    right(made, "en", 0.6)
    right(made, "sw", 0.5)
    right(made, "sw", 0.1, only="wanda_0.5_de")
    right(made, "sw", 0.33, only="wanda_0.5_en")
    read_study, measured = read(made, tmp_path / "out")
    # With English calibration Swahili is at its floor, from which nobody can take more.
    [result] = check_targets(read_study.config, measured, setting(measured), "de", "de")
    assert result.is_met
    assert result.language == "en"
    assert result.nothing_to_lose["sw"].startswith("the model calibrated on English scores 33.0, not measurably above")
    right(made, "sw", 0.5, only="wanda_0.5_en")
    read_study, measured = read(made, tmp_path / "above")
    [result] = check_targets(read_study.config, measured, setting(measured), "de", "de")
    assert result.is_met is False
    assert result.language == "sw"
    assert dict(result.nothing_to_lose) == {}


def test_where_all_others_are_at_the_floor_the_target_is_open(tmp_path):
    made = study(OTHERS)
    for language in ("en", "sw"):
        right(made, language, 0.3)
    read_study, measured = read(made, tmp_path / "out")
    [result] = check_targets(read_study.config, measured, setting(measured), "de", "de")
    assert result.is_met is None
    assert set(result.nothing_to_lose) == {"en", "sw"}
    assert not dataclasses.replace(result, nothing_to_lose={}).without_numbers


def test_few_points_above_the_floor_are_told(tmp_path):
    made = study()
    for result in made.results.values():
        result["tasks"]["exams"]["languages"]["sw"]["baselines"] = {"chance": 0.005, "overlap": 0.01}
    right(made, "sw", 0.05)
    read_study, measured = read(made, tmp_path / "out")
    told = " ".join(caveats(read_study, measured))
    left_out = criterion_for(read_study.config, measured, "sw").left_out
    assert "scores 5.0, less than 5 points above the 1.0 that are scored without a model" in left_out["exams"]
    assert "No task asked for language or reasoning, of which nothing is known; what is said of tasks rests on" in told
    assert "without a model, 4.0 in Swahili, where a point is 20% of its score: a few items would decide" in told
    right(made, "sw", 0.5)
    assert "few items would decide" not in " ".join(caveats(*read(made, tmp_path / "more")))


def test_a_dense_score_that_does_not_count_is_not_called_missing_data(tmp_path):
    made = study()
    made.arrays["dense"]["tasks/exams/de/acc"][0] = np.nan
    for name in made.arrays:
        del made.arrays[name]["tasks/exams/sw/acc"]
        del made.results[name]["tasks"]["exams"]["languages"]["sw"]
    read_study, measured = read(made, tmp_path / "out")
    reasons = {language: criterion_for(read_study.config, measured, language).left_out for language in ("de", "sw")}
    assert reasons == {
        "de": {"exams": "has nothing of the dense model that counts"},
        "sw": {"exams": "has no data in this language"},
    }
