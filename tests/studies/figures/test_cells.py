"""Numbers on colours: each in its cell, in the ink that is read better there, on light and on dark pages."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import Normalize, to_rgb

from jaxprune.studies.figures.cells import CellPanel, cells_figure
from jaxprune.studies.figures.files import DARK_TEXT, LIGHT_TEXT


def draw(levels, *, colours="cividis", **more):
    levels = np.array(levels, np.float64)
    texts = [[f"{level:.1f}" for level in row] for row in levels]
    names = [f"row {index}" for index in range(len(levels))], [f"column {index}" for index in range(levels.shape[1])]
    panel = CellPanel("a panel", *names, levels, texts, frozenset({(0, 1)}))
    asked = {"row_label": "r", "column_label": "c", "label": "unit", "size": (0.5, 0.4), **more}
    return cells_figure("a title", [panel], colours=colours, norm=Normalize(0, 1), **asked)


def luminance(colour):
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", ["cividis", "YlOrBr", "PuOr_r"])
def test_numbers_are_legible_on_every_colour(colours):
    levels = np.linspace(0, 1, 20).reshape(2, 10)
    axes = draw(levels, colours=colours).axes[0]
    assert len(axes.texts) == 20
    for text in axes.texts:
        column, row = map(int, text.get_position())
        cell = colormaps[colours](levels[row, column])[:3]
        # No other inks: black and white take a page's colours, which cells do not.
        assert text.get_color() in (DARK_TEXT, LIGHT_TEXT)
        assert contrast(to_rgb(text.get_color()), cell) > 4.2
        assert text.get_text() == f"{levels[row, column]:.1f}"
        assert (text.get_fontweight() == "bold") == ((row, column) == (0, 1))


def test_names_units_and_cells_without_a_number():
    figure = draw([[0.1, np.nan], [0.3, 0.9]])
    axes, bar = figure.axes
    assert {tuple(map(int, text.get_position())) for text in axes.texts} == {(0, 0), (0, 1), (1, 1)}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["row 0", "row 1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["column 0", "column 1"]
    # The first row is at the top.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert (figure.get_supxlabel(), figure.get_supylabel(), bar.get_ylabel()) == ("c", "r", "unit")
    mesh = axes.collections[0]
    assert mesh.get_array().mask.tolist() == [[False, True], [False, False]]
