"""What is read of a study that is half done, failed or damaged."""

import json

import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.studies.config.study import load_config
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.points.asked import asked_of
from jaxprune.studies.points.files import digest_of, write_arrays, write_json
from jaxprune.studies.points.grid import all_points
from jaxprune.studies.points.results import read_study
from jaxprune.tasks.items import ChoiceItem, content_digest
from tests.studies import synthetic
from tests.studies.config.test_study import SOUND, load
from tests.studies.synthetic import Study, Truth

POINT = {"calibration": "en", "mixture": {"en": 64}, "method": "wanda", "settings": {}, "pattern": "0.5", "seed": 0}
SCORE = {"metrics": {"acc": {"value": 0.5, "interval": [0.4, 0.6]}}, "baselines": {"chance": 0.5, "overlap": None}}
TASK = {"ability": "knowledge", "headline": "acc", "languages": {"de": SCORE}}


def result(name, **more):
    sound = {"status": "done", "error": None, "seconds": {}, "perplexity": {}, "point": POINT}
    return {"format": 1, "id": name, **sound, **more}


@pytest.fixture
def out(tmp_path):
    (tmp_path / "study.yaml").write_text(SOUND)
    return tmp_path


def write(out, name, value):
    if isinstance(value, dict):
        value = {"asked": asked_of(load_config(out / "study.yaml"), is_dense=False)} | value
    folder = out / "points" / name
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_a_study_that_has_only_begun(out):
    found = read_study(out)
    assert found.dense is None
    assert found.points == ()
    assert list(found.missing) == [point.id for point in all_points(load(out, SOUND))]


def test_each_point_is_what_it_is(out):
    done = write(out, "wanda_0.5_en_seed0", result("wanda_0.5_en_seed0", perplexity={"de": {"nats_per_token": 1.5}}))
    write_arrays(done / "items.npz", {"perplexity/de/nats": np.arange(3.0), "ids/x": np.asarray(["a", "bc"])})
    error = {"stage": "snr", "message": "no"}
    write(out, "wanda_2-4_en_seed0", result("wanda_2-4_en_seed0", status="failed", error=error))
    damaged = {
        "wanda_0.5_no_seed0": "{",
        "wanda_2-4_no_seed0": "[]",
        "wanda_0.5_all_seed0": result("another"),
        "wanda_2-4_all_seed0": result("wanda_2-4_all_seed0", status="failed"),
        "wanda_0.5_all_seed1": result("wanda_0.5_all_seed1", perplexity=[]),
        "wanda_2-4_all_seed1": result("wanda_2-4_all_seed1", format=2),
    }
    for name, value in damaged.items():
        write(out, name, value)
    (out / "points" / "magnitude_0.5").mkdir()  # begun
    found = read_study(out)
    by_name = {point.id: point for point in found.points}
    assert {name for name, point in by_name.items() if point.status == "damaged"} == set(damaged)
    assert all(by_name[name].error["message"] for name in damaged)
    assert by_name["wanda_2-4_en_seed0"].status == "failed"
    assert by_name["wanda_2-4_en_seed0"].error == error
    assert by_name["wanda_0.5_en_seed0"].result["perplexity"]["de"]["nats_per_token"] == 1.5
    items = by_name["wanda_0.5_en_seed0"].items()
    np.testing.assert_array_equal(items["perplexity/de/nats"], [0, 1, 2])
    assert items["ids/x"].tolist() == ["a", "bc"]
    assert by_name["wanda_2-4_en_seed0"].items() == {}
    assert len(found.points) + len(found.missing) == 42
    assert "magnitude_0.5" in found.missing
    (done / "items.npz").write_bytes(b"PK")
    with pytest.raises(RequestError, match="is damaged"):
        by_name["wanda_0.5_en_seed0"].items()


@pytest.mark.parametrize(
    ("before", "after", "stage"),
    [
        ("{names: [next-verse]}", "{names: [next-verse], limit: 9}", "tasks"),
        ("languages: [ar, de, en]", "languages: [ar, de, en, ja]", "perplexity"),
        ("languages: [ar, de, en]", "languages: [en, de, ar]", None),
        ("title: A study", "title: Another", None),
    ],
)
def test_a_point_that_was_asked_otherwise_is_outdated(out, before, after, stage):
    write(out, "wanda_0.5_en_seed0", result("wanda_0.5_en_seed0"))
    assert before in SOUND
    (out / "study.yaml").write_text(SOUND.replace(before, after))
    [point] = read_study(out).points
    assert (point.status, point.error and point.error["stage"]) == ("outdated" if stage else "done", stage)


def test_a_point_that_does_not_say_what_it_was_asked_is_outdated(out):
    write(out, "wanda_0.5_en_seed0", {**result("wanda_0.5_en_seed0"), "asked": None})
    [point] = read_study(out).points
    assert point.status == "outdated"
    assert "run the study again" in point.error["message"]


WINDOWS = {name: {"0": [1.0, 2.0]} for name in ("signal", "noise", "median_db")}


def test_windows_of_ratios_are_read(out):
    of = {"blocks": {"0": 0.0}, "median_tokens": {"0": None}, "by_window": WINDOWS | {"median_db": {"0": [None, 1.0]}}}
    name = "wanda_0.5_en_seed0"
    write(out, name, result(name, snr={"languages": {"de": of}}))
    assert read_study(out).points[0].status == "done"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("point", None),
        ("point", {}),
        ("point", {**POINT, "mixture": {"en": "64"}}),
        ("point", {**POINT, "settings": []}),
        ("perplexity", {"de": 1.5}),
        ("snr", {"languages": {"de": {"blocks": {"first": 1.0}}}}),
        ("snr", {"languages": {"de": {"median_tokens": {"first": 1.0}}}}),
        ("snr", {"languages": {"de": {"by_window": {"signal": {"0": [1.0]}, "noise": {"0": [1.0]}}}}}),
        ("snr", {"languages": {"de": {"by_window": WINDOWS | {"noise": {"0": [1.0]}}}}}),
        ("snr", {"languages": {"de": {"by_window": WINDOWS | {"noise": {"0": ["a", "b"]}}}}}),
        ("snr", {"languages": {"de": {"by_window": WINDOWS | {"median_db": {"0": 3.0}}}}}),
        ("tasks", {"exams": {}}),
        ("tasks", {"exams": {**TASK, "languages": {"de": {**SCORE, "metrics": {}}}}}),
        ("tasks", {"exams": {**TASK, "languages": {"de": {**SCORE, "baselines": {"chance": "half"}}}}}),
        ("seconds", {"prune": None}),
        ("missing", [["exams"]]),
    ],
)
def test_a_result_that_lacks_what_a_report_reads_is_damaged(out, field, value):
    name = "wanda_0.5_en_seed0"
    write(out, name, result(name, **{field: value}))
    [point] = read_study(out).points
    assert point.status == "damaged"
    told = f"points/{name}/result.json is not a result of this study, to judge by its {field}; run the study again"
    assert point.error["message"].startswith(told)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(RequestError, match="holds no study"):
        read_study(tmp_path)


def test_numbers_that_json_has_not_are_null(tmp_path):
    write_json(tmp_path / "a.json", {"a": [np.inf, float("nan"), 1.5], "b": {0: (2, None)}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, None, 1.5], "b": {"0": [2, None]}}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("left", ["nothing", "garbage", "a beginning"])
def test_a_point_whose_items_are_gone_is_damaged(out, left):
    name = "wanda_0.5_en_seed0"
    write(out, name, result(name, perplexity={"de": {"nats_per_token": 3.0}}))
    path = out / "points" / name / "items.npz"
    write_arrays(path, {"perplexity/de/nats": np.ones(4), "perplexity/de/tokens": np.ones(4)})
    assert read_study(out).points[0].status == "done"
    content = {"nothing": None, "garbage": b"garbage", "a beginning": path.read_bytes()[:200]}[left]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    [point] = read_study(out).points
    assert point.status == "damaged"
    assert point.error["message"].startswith(f"points/{name}/items.npz is n")
    assert "run the study again" in point.error["message"]


def test_the_items_of_another_point_are_not_taken_for_its_own(out):
    name = "wanda_0.5_en_seed0"
    folder = write(out, name, result(name, perplexity={"de": {"nats_per_token": 3.0}}))
    path = folder / "items.npz"
    write_arrays(path, {"perplexity/de/nats": np.ones(4)})
    found = json.loads((folder / "result.json").read_text()) | {"items_sha256": digest_of(path)}
    (folder / "result.json").write_text(json.dumps(found))
    assert read_study(out).points[0].status == "done"
    write_arrays(path, {"perplexity/de/nats": np.zeros(4)})
    [point] = read_study(out).points
    assert point.status == "damaged"
    assert point.error["message"].startswith(f"points/{name}/items.npz is another than result.json tells of; run ")


def test_items_of_another_content_under_the_same_ids_are_not_paired(tmp_path):
    made = Study(synthetic.config(seeds=(0,)), Truth())
    for name, arrays in made.arrays.items():
        for language in ("de", "en"):
            answers = [int(name == "wanda_0.5_de_seed0" and language == "de" and i == 3) for i in range(200)]
            digests = [content_digest(ChoiceItem(str(i), "a", ("b", "c"), of)) for i, of in enumerate(answers)]
            arrays[f"digests/tasks/exams/{language}"] = np.asarray(digests)
    [problem] = read_measured(made.read(tmp_path / "out")).problems
    assert problem.point == "wanda_0.5_de_seed0"
    assert problem.what.startswith("exams in de: 1 of 200 items have the dense model's ids and another content")
