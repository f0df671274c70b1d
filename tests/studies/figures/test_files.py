"""Figures as files: names in them are read as they stand, and powers as what they are."""

import re

import pytest
from matplotlib.figure import Figure

from jaxprune.studies.figures.files import save_figure
from jaxprune.studies.figures.heatmap import draw_heatmap
from jaxprune.studies.report.figures import DENSE, Mark, TaskRow, task_figure

NAMES = ("a $ question", "costs $5 or $6_x", r"$\nothing{$", r"\$1")


def texts_of(svg):
    return [" ".join(text.split()) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_task_stands_in_its_figure(tmp_path, name):
    row = TaskRow([Mark(DENSE, 50.0, 40.0, 60.0)], {"chance": 25.0})
    figure = task_figure("knowledge tasks", {name: {"de": row}})
    for kind in ("svg", "png"):
        save_figure(figure, tmp_path / f"figure.{kind}")
    assert any(name in text for text in texts_of((tmp_path / "figure.svg").read_text(encoding="utf-8")))


def test_titles_labels_ticks_and_legends_are_read_as_they_stand(tmp_path):
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    places = ["over all", "title", "x axis", "y axis", "tick", "legend", "note"]
    texts = {place: f"{place}: $a_1$" for place in places}
    figure.suptitle(texts["over all"])
    axes.set_title(texts["title"])
    axes.set_xlabel(texts["x axis"])
    axes.set_ylabel(texts["y axis"])
    axes.set_xticks([0.5], [texts["tick"]])
    axes.plot([0, 1], label=texts["legend"])
    axes.text(0.5, 0.5, texts["note"])
    axes.legend()
    save_figure(figure, tmp_path / "figure.svg")
    found = texts_of((tmp_path / "figure.svg").read_text(encoding="utf-8"))
    assert set(texts.values()) <= set(found)


def test_the_heat_map_of_perplexities_too(tmp_path):
    draw_heatmap(tmp_path / "figure.svg", "$a_1$", {"de": 10.0}, {"$b_1$": {"de": 20.0}})
    found = texts_of((tmp_path / "figure.svg").read_text(encoding="utf-8"))
    assert {"$a_1$", "$b_1$"} <= set(found)


def test_powers_at_logarithmic_axes_stay_powers(tmp_path):
    figure = Figure()
    axes = figure.add_subplot(xlabel="$a_1$")
    axes.plot([1e2, 1e5], [1, 2])
    axes.set_xscale("log")
    save_figure(figure, tmp_path / "figure.svg")
    svg = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "$a_1$" in texts_of(svg)
    assert "mathdefault" not in re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
