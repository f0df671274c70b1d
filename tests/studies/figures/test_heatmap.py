"""The figure: a PNG of some size whose cells say what was given."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from jaxprune.studies.figures.heatmap import draw_heatmap


def test_every_value_stands_in_its_cell_and_the_lowest_of_a_column_is_framed(tmp_path, monkeypatch):
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **kw: (drawn.append(figure), save(figure, *args, **kw))
    )
    dense = {"de": 10.0, "sw": 50.0}
    pruned = {
        "en": {"de": 20.0, "sw": 99.5},
        "de": {"de": 15.0, "sw": 120.0},
        "de,sw": {"de": 16.0, "sw": 70.25},
    }
    draw_heatmap(tmp_path / "figure.png", "a title", dense, pruned)
    axes = drawn[0].axes[0]
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "20", (1, 0): "99.5", (0, 1): "15", (1, 1): "120", (0, 2): "16", (1, 2): "70.25"}
    framed = {(round(p.get_x() + p.get_width() / 2), round(p.get_y() + p.get_height() / 2)) for p in axes.patches}
    assert framed == {(0, 1), (1, 2)}
    np.testing.assert_allclose(
        axes.images[0].get_array(),
        [[np.log(2), np.log(1.99)], [np.log(1.5), np.log(2.4)], [np.log(1.6), np.log(1.405)]],
    )
    assert Image.open(tmp_path / "figure.png").width > 300
