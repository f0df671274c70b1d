"""Comparisons over a study: they are the tests they claim to be, find what is planted, and nothing else."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from jaxprune.evaluation.seed_spread import Spread
from jaxprune.evaluation.seeds import Part, criterion_over_seeds
from jaxprune.studies.answers.criterion import baselines
from jaxprune.studies.answers.decision import decide
from jaxprune.studies.numbers.comparisons import compare, compare_all, corrected
from jaxprune.studies.numbers.measured import Cell, Measure, Measured, Scores, Setting
from jaxprune.studies.numbers.reading import read_measured
from tests.studies.synthetic import Study, Task, Truth, config, share

PERPLEXITY = Measure("perplexity", "language modelling", (), "")
EXAMS = Measure("exams", "knowledge", ("exams",), "acc")


def scores(totals, counts=None):
    totals = np.asarray(totals, np.float64)
    return Scores(tuple(range(len(totals))), totals, np.ones(totals.shape[1]) if counts is None else counts)


def test_one_seed_of_answers_is_mcnemars_exact_test():
    rng = np.random.default_rng(0)
    a, b = rng.random(80) < 0.7, rng.random(80) < 0.5
    found = compare({"exams": scores([a])}, {"exams": scores([b])}, EXAMS, spread=None)
    wanted = scipy.stats.binomtest(int((a & ~b).sum()), int((a != b).sum())).pvalue
    assert found is not None
    assert found.p_value == pytest.approx(wanted)
    assert found.value == pytest.approx(a.mean() - b.mean())


def test_grades_of_zero_are_no_wrong_answers():
    """Of chrF 0 and 1 are grades like any: no exact test of right and wrong."""
    chrf = Measure("translate", "language", ("translate",), "chrf")
    a, b = np.zeros(40), (np.arange(40) < 3).astype(float)
    found = compare({"translate": scores([a])}, {"translate": scores([b])}, chrf, spread=None)
    assert found is not None
    assert found.test == "paired bootstrap"
    acc = dataclasses.replace(chrf, metric="acc")
    found = compare({"translate": scores([a])}, {"translate": scores([b])}, acc, spread=None)
    assert found is not None
    assert found.test == "McNemar's exact test"


def test_one_seed_of_windows_is_a_bootstrap_of_nats_over_tokens():
    rng = np.random.default_rng(0)
    tokens = rng.integers(100, 500, 60).astype(float)
    a = 3 * tokens
    b = a + tokens * rng.normal(0.03, 0.1, 60)
    found = compare({"perplexity": scores([a], tokens)}, {"perplexity": scores([b], tokens)}, PERPLEXITY, spread=None)
    assert found is not None
    assert found.value == pytest.approx((a - b).sum() / tokens.sum())
    picks = rng.integers(0, 60, (20_000, 60))
    drawn = (a - b)[picks].sum(1) / tokens[picks].sum(1)
    np.testing.assert_allclose(found.interval, np.quantile(drawn, [0.025, 0.975]), atol=0.003)


def test_where_items_agree_and_seeds_matter_alike_it_is_the_t_test_of_analysis_of_variance():
    """With no variance of items: Fisher's least significant difference, by hand from scipy's t."""
    rng = np.random.default_rng(1)
    levels = [rng.normal(0.3 * group, 1, 3) for group in range(4)]
    cells = [{"exams": scores(np.repeat(level[:, None], 8, axis=1))} for level in levels]

    def pooled(groups):
        return Spread(float(np.mean([level.var(ddof=1) for level in groups])), np.inf, 2.0 * len(groups))

    found = compare(cells[3], cells[0], EXAMS, spread=pooled(levels))
    within = np.mean([level.var(ddof=1) for level in levels])
    t = (levels[3].mean() - levels[0].mean()) / np.sqrt(within * 2 / 3)
    assert found is not None
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(t), 8))
    # Two groups: the classic test with equal variances.
    two = compare(cells[1], cells[0], EXAMS, spread=pooled(levels[:2]))
    assert two is not None
    assert two.p_value == pytest.approx(scipy.stats.ttest_ind(levels[1], levels[0]).pvalue)


def test_each_calibration_is_judged_by_its_own_seeds_as_well():
    """One whose seeds lie far apart is less certain: Student's t with the variances that both are believed to have."""
    steady, unsteady = np.asarray([0.9, 0.92]), np.asarray([0.6, 1.22])
    english = np.asarray([0.5, 0.5])
    cells = [{"exams": scores(np.repeat(level[:, None], 8, axis=1))} for level in (steady, unsteady, english)]
    spread = Spread(0.01, 4.0, 12.0)
    p_values = []
    for cell, level in zip(cells[:2], (steady, unsteady), strict=True):
        found = compare(cell, cells[2], EXAMS, spread=spread)
        variances = [(4 * 0.01 + of.var(ddof=1)) / 5 for of in (level, english)]
        freedom = 1 / (1 / 5 + 0.8**2 / 12)
        t = (level.mean() - 0.5) / np.sqrt(sum(variances) / 2)
        assert found is not None
        assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(t, freedom))
        p_values.append(found.p_value)
    assert p_values[0] < 0.02 < p_values[1]


def test_measures_add_up_by_weight():
    rng = np.random.default_rng(0)
    parts = [
        Part(w, rng.normal(0.1, 1, (1, n)), rng.normal(0, 1, (1, n)), np.ones(n)) for w, n in ((0.25, 40), (2.0, 90))
    ]
    found = criterion_over_seeds(parts)
    differences = [part.first_SN[0] - part.second_RN[0] for part in parts]
    assert found.value == pytest.approx(0.25 * differences[0].mean() + 2 * differences[1].mean())
    errors = [0.25 * scipy.stats.sem(differences[0]), 2 * scipy.stats.sem(differences[1])]
    assert found.error_of_items == pytest.approx(np.hypot(*errors))


def test_corrections_are_holms():
    p_values = {("a",): 0.01, ("b",): 0.04, ("c",): 0.03}
    assert corrected(p_values) == pytest.approx({("a",): 0.03, ("b",): 0.06, ("c",): 0.06})


def null_study(rng, languages, calibrations, *, seeds, spread):
    dense, cells = {}, {name: {} for name in calibrations}
    for language in languages:
        # So few that no bootstrap is needed, which would take most of the time.
        items = rng.normal(3, 0.3, 12)
        dense[language] = {"perplexity": scores([items - 0.5])}
        for of in cells.values():
            noise = rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 0.05, (seeds, 12))
            of[language] = {"perplexity": scores(items + noise)}
    mixtures = {name: {name: 4} for name in calibrations}
    by_name = {name: Cell({}, of) for name, of in cells.items()}
    return Measured(tuple(languages), (PERPLEXITY,), dense, {Setting("wanda", "0.5"): by_name}, mixtures, ())


@pytest.mark.parametrize(("seeds", "spread"), [pytest.param(2, 0.0, marks=pytest.mark.slow), (2, 0.05)])
def test_null_study_equal_calibrations_come_out_equal(seeds, spread):
    """Counts whole studies that claim anything at all: after correction at most 5 in 100 may."""
    from jaxprune.studies.config.study import StudyConfig

    rng = np.random.default_rng(seeds)
    names = ["en", "de", "sw", "ar", "zh"]
    asked = StudyConfig.model_validate(config(names, names, tasks=()))
    studies, single, tests, over_languages, families, over_all, decided = 120, 0, 0, 0, 0, 0, 0
    for _ in range(studies):
        measured = null_study(rng, names, names, seeds=seeds, spread=spread)
        against = {"english": baselines(asked, measured)["english"]}
        found = compare_all(measured, against)
        single += sum(one.difference.p_value < 0.05 for one in found)
        tests += len(found)
        for name in names[1:]:
            over_languages += any(one.p_languages < 0.05 for one in found if one.calibration == name)
            families += 1
        over_all += any(one.p_all < 0.05 for one in found)
        decided += any(decision.beats_english for decision in decide(asked, measured, found))
    assert scipy.stats.binomtest(over_all, studies, 0.06, alternative="greater").pvalue > 0.01, over_all
    assert scipy.stats.binomtest(decided, studies, 0.06, alternative="greater").pvalue > 0.01, decided
    assert over_languages / families < 0.09
    assert single / tests < 0.07
    if spread:
        assert single / tests > 0.02, "a test that never finds anything is no test"


def test_planted_effects_are_found_and_absent_ones_are_not(tmp_path):
    truth = Truth(nats=lambda mixture, language: 0.3 * (share(mixture, language) > 0))
    study = Study(config(), truth, seed=3).read(tmp_path / "study")
    measured = read_measured(study)
    found = compare_all(measured, baselines(study.config, measured))
    by = {(one.against, one.measure.name, one.calibration, one.language): one for one in found}
    for language in ("ar", "de", "sw"):
        one = by["english", "perplexity", language, language]
        assert one.difference.value == pytest.approx(-0.3, abs=0.05)
        assert one.p_all < 0.05
        assert one.difference.interval[0] < -0.3 < one.difference.interval[1]
    assert by["english", "perplexity", "de", "sw"].p_all > 0.05
    assert by["target", "perplexity", "de+en", "de"].p_all > 0.05
    assert by["target", "perplexity", "en", "de"].gain < 0
    assert all(one.p_all > 0.05 for one in found if one.measure.tasks)
    assert len(by["english", "exams", "de", "de"].difference.by_seed) == 3


def test_other_items_and_nan_are_left_out_and_told(tmp_path):
    made = Study(config(), Truth())
    made.arrays["wanda_0.5_de_seed0"]["perplexity/de/nats"][2] = np.nan
    made.arrays["wanda_0.5_de_seed1"]["perplexity/de/tokens"][2] += 1
    made.arrays["wanda_0.5_de_seed1"]["ids/tasks/exams/de"] = made.arrays["dense"]["ids/tasks/exams/de"][::-1]
    measured = read_measured(made.read(tmp_path / "study"))
    cell = measured.cells[Setting("wanda", "0.5")]["de"].scores["de"]
    assert cell["perplexity"].seeds == (2,)
    assert cell["exams"].seeds == (0, 2)
    told = {
        (problem.point, problem.what.split(":")[0], problem.what.split(":")[1][:16]) for problem in measured.problems
    }
    assert ("wanda_0.5_de_seed0", "perplexity in de", " 1 of 40 items a") in told
    assert ("wanda_0.5_de_seed1", "perplexity in de", " other items tha") in told
    assert ("wanda_0.5_de_seed1", "exams in de", " other items tha") in told


def test_several_tasks_of_an_ability_are_also_told_as_one(tmp_path):
    made = Study(config(tasks=("exams", "facts"), seeds=(0,)), Truth(), tasks={"facts": Task(is_binary=False)})
    study = made.read(tmp_path / "study")
    measured = read_measured(study)
    assert [measure.name for measure in measured.measures] == ["perplexity", "exams", "facts", "knowledge"]
    found = compare_all(measured, baselines(study.config, measured))
    tests = {one.measure.name: one.difference.test for one in found}
    assert tests["exams"] == "McNemar's exact test"
    assert tests["facts"] == tests["perplexity"] == "paired bootstrap"
    of = {one.measure.name: one.difference.value for one in found if (one.calibration, one.language) == ("de", "de")}
    assert of["knowledge"] == pytest.approx((of["exams"] + of["facts"]) / 2)
