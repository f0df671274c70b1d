"""The figure of error by depth: lines that say what was given, files that are whole or not there."""

import math
import xml.etree.ElementTree

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from jaxprune.errors import RequestError
from jaxprune.studies.figures.depth import Panel, check_figure, depth_figure, draw_depth

PANELS = [
    Panel("all", {"de": [12.0, 9.5, 8.0], "sw": [math.inf, 7.0, 6.5]}),
    Panel("median", {"de": [11.0, 9.0, 8.5], "sw": [math.inf, 7.5, -math.inf]}),
]


def test_one_line_a_language_with_units_and_no_point_where_nothing_changed(tmp_path, monkeypatch):
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **kw: (drawn.append(figure), save(figure, *args, **kw))
    )
    draw_depth(tmp_path / "figure.png", "a title", PANELS)
    for axes, panel in zip(drawn[0].axes, PANELS, strict=True):
        assert axes.get_title() == panel.title
        assert axes.get_xlabel() == "block"
        for line, values in zip(axes.get_lines(), panel.decibels.values(), strict=True):
            assert list(line.get_xdata()) == [0, 1, 2]
            for found, wanted in zip(line.get_ydata(), values, strict=True):
                assert found == wanted if math.isfinite(wanted) else math.isnan(found)
    assert "(dB)" in drawn[0].axes[0].get_ylabel()
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["de", "sw (no change in 1 of 3)"]
    assert Image.open(tmp_path / "figure.png").width > 600
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_intervals_are_bands_around_the_lines_and_gaps_where_there_is_none():
    panel = Panel("all", {"de": [3.0, 2.0, 1.0], "sw": [4.0, 3.0, 2.0]}, {"de": [(2.5, 3.5), (1.0, 2.5), None]})
    [axes] = depth_figure("", [panel]).axes
    [band] = axes.collections
    [path] = band.get_paths()
    assert {tuple(corner) for corner in path.vertices} == {(0, 2.5), (0, 3.5), (1, 1.0), (1, 2.5)}
    assert tuple(band.get_facecolor()[0][:3]) == to_rgb(axes.get_lines()[0].get_color())


def test_more_languages_than_colours_are_told_apart(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **kw: (drawn.append(figure), path.touch()))
    draw_depth(tmp_path / "figure.png", "", [Panel("all", {str(i): [1.0, 2.0] for i in range(20)})])
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].get_lines()}
    assert len(looks) == 20


def test_equal_numbers_give_an_equal_svg(tmp_path):
    for name in ("a.svg", "b.SVG"):
        draw_depth(tmp_path / name, "a title", PANELS)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.SVG").read_bytes()
    assert xml.etree.ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")


def test_a_figure_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(figure, path, **kw):
        path.write_bytes(b"half")
        raise OSError("no space")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        draw_depth(tmp_path / "figure.png", "", PANELS)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_drawn_is_refused_at_once(tmp_path):
    (tmp_path / "here.png").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(RequestError, match=r"FILE\.png or FILE\.svg"):
        check_figure(tmp_path / "figure.jpg", overwrite=False)
    with pytest.raises(RequestError, match="--overwrite"):
        check_figure(tmp_path / "here.png", overwrite=False)
    with pytest.raises(RequestError, match="exists"):
        check_figure(tmp_path / "folder.png", overwrite=True)
    with pytest.raises(RequestError, match="no folder"):
        check_figure(tmp_path / "missing" / "figure.png", overwrite=False)
    check_figure(tmp_path / "here.png", overwrite=True)
    check_figure(tmp_path / "new.SVG", overwrite=False)
