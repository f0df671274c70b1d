"""Whether gains in perplexity are gains in tasks: judged only where tasks could have shown either."""

import numpy as np
import pytest

from jaxprune.studies.answers.carries_over import carries_over
from jaxprune.studies.answers.criterion import baselines
from jaxprune.studies.answers.own_language import own_against_english
from jaxprune.studies.numbers.comparisons import compare_all
from jaxprune.studies.numbers.reading import read_measured
from tests.studies.synthetic import Study, Truth, config, share

LANGUAGES = ("ar", "de", "en", "sw")
OWN = Truth(nats=lambda mixture, language: 0.3 * (share(mixture, language) > 0), spread=0.002)


def right(made, part, language, *, only=""):
    """Lets models answer that part of the questions right, all the same ones."""
    for name in made.arrays:
        if name.startswith(only):
            made.arrays[name][f"tasks/exams/{language}/acc"] = (np.arange(200) < round(200 * part)).astype(float)


def lost(made, dense, pruned, language):
    """Lets every calibration lose alike, what the dense model knew."""
    right(made, pruned, language)
    right(made, dense, language, only="dense")


def study(**more):
    return Study(config(LANGUAGES, LANGUAGES, seeds=(0, 1), **more), OWN, seed=5)


def judge(made, folder):
    read = made.read(folder)
    measured = read_measured(read)
    [finding] = carries_over(measured, compare_all(measured, baselines(read.config, measured)))
    return finding


def test_where_tasks_stay_and_had_room_it_is_shown(tmp_path):
    made = study()
    for language in LANGUAGES:
        lost(made, 0.6, 0.5, language)
    finding = judge(made, tmp_path / "out")
    assert finding.verdict == "shown"
    assert "Of 3 cases" in finding.evidence
    assert "ruled out (95%) in 3, and 0 are open" in finding.evidence
    assert "left out" not in finding.evidence


def test_what_english_did_not_lose_cannot_be_won_back(tmp_path):
    made = study()
    for language in LANGUAGES:
        lost(made, 0.6, 0.57 if language == "sw" else 0.5, language)
    finding = judge(made, tmp_path / "out")
    assert "1 is left out: Swahili (wanda 0.5), as with English calibration less than 5 points are lost" in (
        finding.evidence
    )
    assert "ruled out (95%) in 2," in finding.evidence
    # A gain that is measured was possible, whatever English lost.
    right(made, 0.9, "sw", only="wanda_0.5_sw")
    finding = judge(made, tmp_path / "gained")
    assert "left out" not in finding.evidence
    assert "measurably better in 1" in finding.evidence


def test_a_dense_model_with_little_above_its_floor_rules_nothing_out(tmp_path):
    made = study()
    for language in LANGUAGES:
        lost(made, 0.6, 0.5, language)
    # Measurably above chance, by four points: no calibration can bring five.
    for name in made.results:
        made.results[name]["tasks"]["exams"]["languages"]["sw"]["baselines"] = {"chance": 0.005, "overlap": 0.01}
    right(made, 0.05, "sw")
    finding = judge(made, tmp_path / "out")
    assert "1 is left out: Swahili (wanda 0.5), as the dense model is less than 5 points above" in finding.evidence
    assert "ruled out (95%) in 2," in finding.evidence


def test_where_nothing_has_room_it_cannot_be_judged(tmp_path):
    made = study()
    for language in LANGUAGES:
        right(made, 0.3, language)
    finding = judge(made, tmp_path / "out")
    assert finding.verdict == "cannot be judged"
    assert "3 are left out" in finding.evidence
    assert "the dense model is not measurably above what is scored without a model" in finding.evidence


def test_pruned_models_that_both_guess_rule_nothing_out(tmp_path):
    made = study()
    for language in LANGUAGES:
        right(made, 0.3, language)
        right(made, 0.6, language, only="dense")
    finding = judge(made, tmp_path / "out")
    assert finding.verdict == "cannot be judged"
    assert "neither pruned model is measurably above what is scored without a model" in finding.evidence
    # One that does not guess: English took what its own calibration kept.
    right(made, 0.6, "de", only="wanda_0.5_de")
    finding = judge(made, tmp_path / "kept")
    assert finding.verdict == "not shown"
    assert "measurably better in 1" in finding.evidence
    assert "the opposite of the claim" in finding.evidence


def test_own_calibrations_against_english_are_one_family(tmp_path):
    """Holm's steps by hand, over three languages and no other calibration."""
    made = study()
    for language, (own, english) in {"ar": (0.6, 0.54), "de": (0.6, 0.5), "sw": (0.6, 0.57)}.items():
        right(made, own, language)
        right(made, english, language, only="wanda_0.5_en")
    read = made.read(tmp_path / "out")
    measured = read_measured(read)
    found = own_against_english(compare_all(measured, baselines(read.config, measured)), measured, "exams")
    raw = {one.case[1]: one.comparison.difference.p_value for one in found}
    by_hand = {"de": 3 * raw["de"], "ar": 2 * raw["ar"], "sw": raw["sw"]}
    assert raw["de"] < raw["ar"] < raw["sw"]
    assert {one.case[1]: one.p_value for one in found} == pytest.approx(by_hand)
    assert "(Holm over 3 comparisons)" in judge(made, tmp_path / "judged").evidence


def test_cases_of_two_methods_are_said_to_hang_together(tmp_path):
    found = []
    for methods in (["wanda"], ["wanda", "sparsegpt"]):
        made = study(methods=methods)
        for language in LANGUAGES:
            lost(made, 0.6, 0.5, language)
        found.append(judge(made, tmp_path / str(len(methods))).evidence)
    one, two = found
    assert "not independent" not in one
    assert two.endswith("Cases of one language share its items and are not independent.")


def test_one_language_alone_does_not_show_it(tmp_path):
    made = study(methods=["wanda", "sparsegpt"])
    for language in LANGUAGES:
        lost(made, 0.6 if language == "de" else 0.3, 0.5 if language == "de" else 0.3, language)
    finding = judge(made, tmp_path / "out")
    assert finding.verdict == "cannot be judged"
    assert "ruled out (95%) in 2, and 0 are open" in finding.evidence
    assert finding.evidence.endswith("One language alone does not show it of others.")
