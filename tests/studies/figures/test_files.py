"""Figures as files: names in them are read as they stand, and powers as what they are."""

import re

import pytest
from matplotlib.figure import Figure

from jaxprune.studies.figures import glyphs
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


def test_letters_that_no_font_has_are_told_once_and_in_one_line(tmp_path, caplog, recwarn, monkeypatch):
    real, cuneiform = glyphs._has, "\U00012000"
    monkeypatch.setattr(glyphs, "_has", lambda font, letter: letter != cuneiform and real(font, letter))
    glyphs._tell.cache_clear()
    glyphs._fonts_for.cache_clear()
    for number in range(2):
        row = TaskRow([Mark(DENSE, 50.0, 40.0, 60.0)], {"chance": 25.0})
        save_figure(task_figure("tasks", {f"exams {cuneiform}{number}": {"de": row}}), tmp_path / "figure.png")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    [told] = [record.getMessage() for record in caplog.records if "no font of this machine" in record.getMessage()]
    assert cuneiform in told
    assert "\n" not in told
    glyphs._fonts_for.cache_clear()


def test_letters_of_another_font_are_drawn(tmp_path, monkeypatch):
    """DejaVu Sans Mono stands for a font of another script: its own letters are taken from the figures' font."""
    real = glyphs._has
    monkeypatch.setattr(
        glyphs, "_has", lambda font, letter: real(font, letter) and (font != glyphs._OWN or letter != "ж")
    )
    glyphs._fonts_for.cache_clear()
    figure = Figure()
    figure.text(0.1, 0.5, "ж")
    figure.text(0.1, 0.2, "a")
    glyphs.supply_glyphs(figure)
    families = [text.get_fontfamily() for text in figure.texts]
    assert families[0][0] == glyphs._OWN
    assert len(families[0]) == 2
    assert families[1] == Figure().text(0, 0, "a").get_fontfamily()
    glyphs._fonts_for.cache_clear()
