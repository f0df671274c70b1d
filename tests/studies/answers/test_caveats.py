"""What weakens all numbers of a study: where they were computed."""

import pytest

from jaxprune.studies.answers.caveats import caveats
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.tables import cost_table
from tests.studies.synthetic import Study, Truth, config

MIXED = "Not all was computed on the same devices"


def told(made, folder):
    found = made.read(folder)
    return [line for line in caveats(found, read_measured(found)) if line.startswith(MIXED)]


def planted():
    return Study(config(("de", "en"), ("de", "en"), seeds=(0, 1), tasks=()), Truth(), seed=1)


def test_points_of_other_devices_are_named(tmp_path):
    made = planted()
    assert told(made, tmp_path / "same") == []
    for name in ("wanda_0.5_de_seed1", "wanda_0.5_en_seed0"):
        made.results[name]["devices"] = ["cuda:0"]
    [line] = told(made, tmp_path / "mixed")
    others = len(made.results) - 2
    assert f": {others} results on cpu:0, cpu:1 (" in line
    assert "; 2 results on cuda:0 (wanda_0.5_en_seed0 and wanda_0.5_de_seed1). Seconds and memory" in line


@pytest.mark.parametrize("devices", [None, [], "", 3])
def test_a_result_that_says_nothing_of_its_devices_or_nonsense_is_no_trouble(tmp_path, devices):
    made = planted()
    made.results["wanda_0.5_de_seed1"]["devices"] = devices
    found = told(made, tmp_path / "out")
    assert found == [] if not devices else "1 result on 3 (wanda_0.5_de_seed1)" in found[0]


def test_seconds_of_different_devices_are_not_averaged_without_a_word(tmp_path):
    made = planted()
    made.results["wanda_0.5_de_seed1"]["devices"] = ["cuda:0"]
    rows = {row[0]: row[1] for row in cost_table(summarise(made.read(tmp_path / "out"))).rows}
    assert rows == {"wanda 0.5 \u00b7 de": "40 s (on different devices)", "wanda 0.5 \u00b7 en": "40 s"}
