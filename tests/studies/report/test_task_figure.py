"""The figure of task scores: which calibrations it shows of a language, and at which scores."""

import re

import numpy as np
import pytest

from jaxprune.studies.report.drawing import draw_figures
from jaxprune.studies.report.figures import AMONG_SEVERAL, DENSE, IN_PAIR, Mark, TaskRow, task_figure
from jaxprune.studies.report.summary import summarise
from tests.studies.synthetic import Study, Truth, config


def legend_of(folder, **more):
    """Returns the words of the figure that a study has of its task."""
    made = Study(config(("de", "en"), seeds=(0,), **more), Truth())
    (folder / "figures").mkdir()
    drawn = draw_figures(folder / "figures", summarise(made.read(folder / "out")))
    [one] = [one for one in drawn if one.section == "tasks"]
    return re.findall(r"<text[^>]*>([^<]*)</text>", one.path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("mixtures", "kinds"),
    [
        (("en", "de"), {"calibrated on English", "calibrated on own language"}),
        (("en", "de", "de,en"), {"calibrated on English", "calibrated on own language", IN_PAIR}),
        (("en", "sw,ar,de"), {"calibrated on English", AMONG_SEVERAL}),
        (("en", "sw,ar"), {"calibrated on English"}),
    ],
)
def test_mixtures_are_shown_that_contain_the_language(tmp_path, mixtures, kinds):
    words = legend_of(tmp_path, mixtures=mixtures)
    every = {"calibrated on English", "calibrated on own language", IN_PAIR, AMONG_SEVERAL}
    assert every & set(words) == kinds
    assert words.count("dense") == 1


def test_marks_are_at_their_scores_and_none_covers_another():
    rows = {
        "de": TaskRow([Mark(DENSE, 50.0, 40.0, 60.0), Mark(IN_PAIR, 30.0, 20.0, 40.0)], {"chance": 25.0}),
        "en": TaskRow([Mark(DENSE, 70.0, 60.0, 80.0)], {}),
    }
    figure = task_figure("knowledge", {"exams": rows, "reviews": {"en": rows["en"]}})
    left, right = figure.axes
    marks = {
        (axes, *(line.get_xydata()[0])) for axes in (left, right) for line in axes.lines if len(line.get_xdata()) == 1
    }
    assert sorted(x for axes, x, _ in marks if axes is left) == [30.0, 50.0, 70.0]
    heights = [y for axes, _, y in marks if axes is left]
    assert np.diff(sorted(heights)).min() >= 1.0
    # A language is at one height in all panels, between the limits.
    [(_, _, of_english)] = [of for of in marks if of[0] is right]
    assert (left, 70.0, of_english) in marks
    for axes in (left, right):
        bottom, top = axes.get_ylim()
        assert top < min(heights) < max(heights) < bottom
        assert [text.get_text() for text in axes.get_yticklabels()] == ["de", "en"]
