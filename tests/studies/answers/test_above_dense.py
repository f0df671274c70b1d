"""Where pruning raised a score above the dense model's: told once a task, and only beyond chance."""

import numpy as np

from jaxprune.studies.answers.above_dense import above_dense
from jaxprune.studies.numbers.reading import read_measured
from tests.studies.synthetic import Study, Truth, config

LANGUAGES = ("de", "en", "sw")


def answer(made, part, *, language="de", only=""):
    """Lets models answer that part of 200 questions right, the same ones."""
    for name, arrays in made.arrays.items():
        if name.startswith(only):
            arrays[f"tasks/exams/{language}/acc"] = (np.arange(200) < round(200 * part)).astype(float)


def sentences(made, folder):
    return list(above_dense(read_measured(made.read(folder))))


def test_what_is_raised_is_told_with_how_much_and_where(tmp_path):
    made = Study(config(LANGUAGES, LANGUAGES, seeds=(0, 1)), Truth(), seed=1)
    for language in LANGUAGES:
        answer(made, 0.5, language=language)
    assert sentences(made, tmp_path / "same") == []
    answer(made, 0.51, only="wanda_0.5_sw")
    assert sentences(made, tmp_path / "chance") == []
    answer(made, 0.6, only="wanda_0.5_de")
    answer(made, 0.7, only="wanda_0.5_sw")
    answer(made, 0.2, only="wanda_0.5_en")
    [told] = sentences(made, tmp_path / "raised")
    assert told.startswith("exams: in 2 of 9 cases a pruned model is measurably better than the dense one (Holm over ")
    assert "most in German, wanda 0.5 calibrated on sw: +20.0 points, 95% interval +1" in told


def test_what_is_high_by_chance_is_told_with_the_number_of_cases(tmp_path):
    languages = ("ar", "de", "en", "es", "ru", "sw", "zh", "ja")
    made = Study(config(languages, languages, seeds=(0,)), Truth(), seed=1)
    for language in languages:
        answer(made, 0.5, language=language)
    # Seven questions more of 200, none less: by McNemar 0.016, of 64 such cases nothing; and under five points.
    answer(made, 0.535, only="wanda_0.5_sw")
    assert sentences(made, tmp_path / "little") == []
    # Ten points, half of which chance would give: a third of the answers change.
    for name, arrays in made.arrays.items():
        if name.startswith("wanda_0.5_sw"):
            values = (np.arange(200) < 100).astype(float)
            values[80:100], values[100:138] = 0.0, 1.0
            arrays["tasks/exams/de/acc"] = values
    [told] = sentences(made, tmp_path / "some")
    assert told.startswith("exams: German with wanda 0.5 calibrated on sw scores above the dense model (+9.0 points, ")
    assert "p = 0.0" in told
    assert "p = 1.00 after Holm), the most of 64 cases" in told
