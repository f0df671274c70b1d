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
    assert "most in German, wanda 0.5 calibrated on sw: +20.0 points, 95 % interval +1" in told
