"""A study that failed, was interrupted or has only begun still gives a report, which says so and shows the rest."""

import html
import json
import math
import re

import numpy as np
import pytest

from jaxprune.jobs.report import report
from tests.studies.synthetic import Study, Task, Truth, config, share

LANGUAGES = ("ar", "de", "en", "sw")
POINTS = [f"wanda_0.5_{name}_seed0" for name in ("en", "ar", "de", "sw", "de+en")]


@pytest.fixture
def without_figures(monkeypatch):
    """Spares the drawing where it is about words."""
    monkeypatch.setattr("jaxprune.jobs.report.can_draw", lambda: False)


def planted(**more):
    truth = Truth(nats=lambda mixture, language: 0.3 * (share(mixture, language) > 0))
    return Study(config(seeds=(0,), **{"tasks": (), **more}), truth, seed=5)


def written(made, tmp_path):
    """Returns the summary, and the words of the page and of the Markdown, of a study that is written down."""
    return reported(made.write(tmp_path / "out"))


def reported(out):
    found = report(out, overwrite=False)
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    # Marks of Markdown that are escaped are to be read as they stand.
    table = re.sub(r"\\([^\w\s])", r"\1", (out / "report" / "report.md").read_text(encoding="utf-8"))
    texts = [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split()), " ".join(table.split())]
    for text in texts:
        assert all(line in text for line in found["state"])
        assert not re.search(r"\bnan\b", text.lower())
    return found, *texts


def perplexity(made, name, language):
    nats, tokens = (made.arrays[name][f"perplexity/{language}/{kind}"] for kind in ("nats", "tokens"))
    return math.exp(nats.sum() / tokens.sum())


@pytest.mark.parametrize("case", ["missing", "failed", "damaged", "outdated"])
def test_without_a_dense_model_calibrations_are_compared_with_one_another_only(tmp_path, request, case):
    if case != "missing":
        request.getfixturevalue("without_figures")
    made = planted(tasks=("exams",))
    if case == "missing":
        made.drop("dense")
    elif case == "failed":
        made.results["dense"] |= {"status": "failed", "error": {"stage": "perplexity", "message": "out of memory"}}
    elif case == "outdated":
        made.results["dense"]["asked"] = {}
    out = made.write(tmp_path / "out")
    if case == "damaged":
        (out / "dense" / "result.json").write_text('{"format": 1, "status"')
    found, page, table = reported(out)
    reason = {
        "missing": "The dense model has not been measured yet",
        "failed": "Measuring the dense model failed (perplexity: out of memory)",
        "damaged": "cannot be read (result: dense/result.json is not valid JSON",
        "outdated": "has not been measured as the study file asks by now (perplexity: ",
    }[case]
    assert reason in found["state"][0]
    assert "no calibration can be called the best, only compared with the others" in found["state"][0]
    assert found["dense"]["status"] == case
    assert found["answers"] == []
    assert "Nothing counts of the dense model" in found["undecided"][0]["text"]
    # What there is: values, and differences between calibrations in the tasks' own unit.
    shown = f"{perplexity(made, POINTS[2], 'de'):#.3g}".removesuffix(".")
    row = next(line for line in table.split("| ") if line.startswith(shown))
    assert re.match(rf"{re.escape(shown)} \[[\d.]+, [\d.]+\] ", row)
    assert "exams, knowledge (acc, points)" in page
    points = [one for one in found["comparisons"] if one["measure"] == "exams" and one["calibration"] == "de"]
    assert {one["language"] for one in points} == set(LANGUAGES)
    assert re.search(r"\| exams \| ([+\u2212]?\d+\.\d points)", table)
    expected = math.log(perplexity(made, POINTS[2], "de") / perplexity(made, POINTS[0], "de"))
    [gain] = [
        one["difference"]
        for one in found["comparisons"]
        if (one["measure"], one["calibration"], one["language"], one["against"])
        == ("perplexity", "de", "de", "english")
    ]
    assert gain == pytest.approx(expected)
    assert "| dense | " + case in table
    if case == "missing":
        assert "what is lost against the best of the column, as nothing counts of the dense model" in page


def test_what_many_points_fail_by_is_told_once(tmp_path):
    made = planted()
    for name in POINTS[1:4]:
        made.fail(name, "the disk is full")
    made.fail(POINTS[4], "cannot reach the hub")
    found, *_ = written(made, tmp_path)
    names = (
        f"{POINTS[1]}, {POINTS[2]} and {POINTS[3]} (prune: the disk is full); {POINTS[4]} (prune: cannot reach the hub)"
    )
    assert found["state"][0].endswith(f"did not come out and count nowhere: {names}.")


def test_where_every_point_failed_what_was_measured_before_is_shown(tmp_path):
    made = planted()
    for name in POINTS[1:]:
        made.fail(name, f"cannot reach the hub for {name}")
    made.results[POINTS[0]] |= {"status": "failed", "error": {"stage": "harness", "message": "no <network>"}}
    before = made.results[POINTS[0]]["perplexity"]["de"]["perplexity"]
    found, page, table = written(made, tmp_path)
    assert found["state"][0] == "No point is done: nothing can be said of any calibration."
    assert f"{POINTS[0]} (harness: no <network>)" in found["state"][1]
    assert "5 points of 5 did not come out and count nowhere" in found["state"][1]
    assert (found["answers"], found["findings"], found["comparisons"]) == ([], [], [])
    assert found["values"]["dense"]["de"]["perplexity"]["perplexity"] == pytest.approx(perplexity(made, "dense", "de"))
    assert "dense model: perplexity with 95% intervals calibrated on ar de en sw (dense) " in page
    for text in (page, table):
        assert "no point of the study is done, so nothing is recommended" in text
        assert "cannot reach the hub for wanda_0.5_sw_seed0" in text
        assert f"{before:#.3g}" in text.split("Perplexities of points that count nowhere")[1]
        assert "What it costs" not in text
        assert "Figures are missing" not in text


@pytest.mark.usefixtures("without_figures")
def test_a_study_that_has_only_begun_says_what_is_missing(tmp_path):
    made = planted()
    made.drop("dense", *POINTS)
    found, page, table = written(made, tmp_path)
    assert found["state"] == [
        "The dense model has not been measured yet: what pruning costs is not known, and no calibration can be called "
        "the best.",
        "No point is done: nothing can be said of any calibration.",
        f"Unfinished: 0 of 5 points done, 5 still missing: {', '.join(POINTS[:4])} and {POINTS[4]}.",
    ]
    assert table.count("| missing |") == 6
    assert "Nothing was measured in" not in page


def test_one_point_alone_is_shown_beside_dense_and_compared_with_nothing(tmp_path):
    made = planted()
    made.drop(*POINTS[:2], *POINTS[3:])
    found, page, _ = written(made, tmp_path)
    assert found["state"] == [
        "Unfinished: 1 of 5 points done, 4 still missing: wanda_0.5_en_seed0, wanda_0.5_ar_seed0, wanda_0.5_sw_seed0 "
        "and wanda_0.5_de+en_seed0."
    ]
    assert found["comparisons"] == []
    assert "There are no two calibrations to choose from yet. So nothing is recommended." in page
    [of] = found["values"]["calibrations"]
    assert of["languages"]["de"]["perplexity"]["perplexity"] == pytest.approx(perplexity(made, POINTS[2], "de"))


@pytest.mark.usefixtures("without_figures")
def test_numbers_that_are_not_finite_in_one_language_leave_the_others(tmp_path):
    made = planted()
    for name in POINTS:
        made.arrays[name]["perplexity/de/nats"][:] = np.nan
    found, page, _ = written(made, tmp_path)
    assert found["state"][0].startswith("Left out: 5 measurements of ")
    assert {answer["language"] for answer in found["answers"]} == {"ar", "en", "sw"}
    assert "perplexity in de: 40 of 40 items are not finite" in page


def test_a_dense_model_that_is_not_finite_in_one_language_leaves_its_perplexities(tmp_path):
    made = planted()
    made.arrays["dense"]["perplexity/de/nats"][3] = np.inf
    found, page, table = written(made, tmp_path)
    assert found["state"] == [
        "Left out: 1 measurement of dense; \u201cMeasured, and left out\u201d, near the end, says why.",
        "Of the dense model\u2019s perplexity nothing counts in German: what is lost there is not known.",
    ]
    assert {answer["language"] for answer in found["answers"]} == {"ar", "en", "sw"}
    of_german = [of["languages"]["de"]["perplexity"]["perplexity"] for of in found["values"]["calibrations"]]
    # In the order of the grid.
    assert of_german == pytest.approx([perplexity(made, name, "de") for name in POINTS])
    assert any(one["language"] == "de" for one in found["comparisons"])
    assert "(grey: nothing counts of that)" in page
    [dense] = re.findall(r"\| \(dense\) \|([^|]*)\|([^|]*)\|", table)
    assert "[" in dense[0]
    assert dense[1].strip() == "\u2013"


@pytest.mark.usefixtures("without_figures")
def test_where_tasks_count_and_dense_perplexity_does_not_tasks_decide(tmp_path):
    made = planted(tasks=("exams",))
    made.arrays["dense"]["perplexity/de/nats"][:] = np.nan
    found, page, _ = written(made, tmp_path)
    [german] = [answer for answer in found["answers"] if answer["language"] == "de"]
    assert german["decision"]["weights"] == {"exams": 1.0}
    assert "In German, perplexity has no numbers of the dense model and does not count." in page
    made = planted(tasks=("exams",))
    made.arrays["dense"]["tasks/exams/de/acc"][:] = np.nan
    made.write(tmp_path / "tasks")
    found, _, table = reported(tmp_path / "tasks")
    [german] = [answer for answer in found["answers"] if answer["language"] == "de"]
    assert german["decision"]["weights"] == {"perplexity": 1.0}
    assert "In German, exams has no numbers of the dense model and does not count." in table


@pytest.mark.usefixtures("without_figures")
def test_other_items_than_the_first_point_has_are_not_compared_where_there_is_no_dense_model(tmp_path):
    made = planted()
    made.drop("dense")
    made.arrays[POINTS[2]]["perplexity/sw/tokens"][:] = 99.0
    found, _, _ = written(made, tmp_path)
    assert found["left_out"] == [
        {
            "point": POINTS[2],
            "what": f"perplexity in sw: other items than {POINTS[0]}'s, so they are not compared",
        }
    ]


@pytest.mark.usefixtures("without_figures")
def test_a_damaged_result_is_a_point_that_did_not_come_out(tmp_path):
    out = planted().write(tmp_path / "out")
    path = out / "points" / POINTS[1] / "result.json"
    path.write_text("{\n" * 3)
    found, page, _ = reported(out)
    [line] = found["state"]
    told = f"points/{POINTS[1]}/result.json is not valid JSON"
    assert line.startswith(f"1 point of 5 did not come out and counts nowhere: {POINTS[1]} (result: {told}")
    assert "\n" not in line
    assert f"{POINTS[1]} damaged result {told}" in page
    assert str(tmp_path) not in page


def generating(seeds=(0, 1)):
    made = Study(
        config(("de", "en"), ("en", "de"), seeds=seeds, tasks=("translate",)),
        Truth(),
        tasks={"translate": Task("language", is_binary=False)},
    )
    for result in made.results.values():
        for of in result["tasks"]["translate"]["languages"].values():
            of["empty"] = 0
    return made


@pytest.mark.usefixtures("without_figures")
def test_where_nothing_came_out_empty_nothing_is_said_of_it(tmp_path):
    found, page, _ = written(generating(), tmp_path)
    assert found["empty_generations"] == {}
    assert "mpty generations" not in page


@pytest.mark.usefixtures("without_figures")
def test_empty_generations_are_told_for_each_calibration_and_language(tmp_path):
    made = generating()
    for seed, empty in ((0, 30), (1, 50)):
        of_task = made.results[f"wanda_0.5_en_seed{seed}"]["tasks"]["translate"]["languages"]
        of_task["de"]["empty"] = empty
    found, page, table = written(made, tmp_path)
    assert (
        "translate: a model that writes nothing scores 0, and did so in 80 of 400 (wanda 0.5 \u00b7 en, German); "
        in page
    )
    assert found["empty_generations"]["translate"]["wanda 0.5 \u00b7 en"] == {
        "de": {"empty": 80, "items": 400},
        "en": {"empty": 0, "items": 400},
    }
    assert "| translate \u00b7 wanda 0.5 \u00b7 en | 80 of 400 | 0 of 400 |" in table
    assert "| translate \u00b7 dense | 0 of 200 | 0 of 200 |" in table


@pytest.mark.usefixtures("without_figures")
def test_empty_generations_that_are_the_same_everywhere_are_told_once(tmp_path):
    made = generating(seeds=(0,))
    for result in made.results.values():
        for of in result["tasks"]["translate"]["languages"].values():
            of["empty"] = 200
    _, page, _ = written(made, tmp_path)
    assert "translate: 100% of generations are empty and score 0, with every model and language." in page


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("empty", ["many", [], None])
def test_a_count_that_is_no_number_is_damage(tmp_path, empty):
    made = generating(seeds=(0,))
    made.results["wanda_0.5_en_seed0"]["tasks"]["translate"]["languages"]["de"]["empty"] = empty
    found, _, _ = written(made, tmp_path)
    assert "to judge by its tasks" in json.dumps(found["failed"])
