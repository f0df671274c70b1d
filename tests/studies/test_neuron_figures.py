"""The figures say what the numbers say: sizes by block, shares of a histogram, changes in their cells."""

import numpy as np
import pytest

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.neurons import as_json
from jaxprune.analysis.silencing import Effect, Effects
from jaxprune.evaluation.intervals import Estimate
from jaxprune.microbatches import Microbatch
from jaxprune.models import build_model
from jaxprune.studies.colours import language_colours
from jaxprune.studies.neuron_figures import blocks_figure, lape_figure, neuron_figures, silencing_figure
from tests.tiny import tiny_config

LANGUAGES = ("de", "sw")
CHANGES = {("de", "de"): 0.5, ("de", "sw"): -0.01, ("sw", "de"): 0.02, ("sw", "sw"): 1.25}


def effect(silenced, scale):
    values = {language: scale * CHANGES[silenced, language] for language in LANGUAGES}
    return Effect(
        7, {language: Estimate(value, (value - 0.1, value + 0.1), 0.5, 8) for language, value in values.items()}
    )


@pytest.fixture(scope="module")
def result():
    model = build_model(tiny_config("llama", num_hidden_layers=3, intermediate_size=200))
    rng = np.random.default_rng(0)
    counts = {}
    for label in ("dense", "org/pruned"):
        counts[label] = GateCounts(LANGUAGES, model)
        for language in LANGUAGES:
            batch = Microbatch(np.zeros((4, 300), np.int32), np.ones(4, np.float32), language)
            for block in range(3):
                opened = rng.binomial(300, rng.beta(0.5, 2, 200), (4, 200))
                counts[label].accumulate(block, batch, opened.astype(np.int32))
    effects = {silenced: Effects(effect(silenced, 1.0), effect(silenced, 0.1)) for silenced in LANGUAGES}
    return as_json(counts, Thresholds(top_rate=0.1), {"org/pruned": effects}, length=300)


def test_a_panel_a_model_and_a_line_a_language(result):
    figure = blocks_figure(result)
    assert [axes.get_title() for axes in figure.axes] == ["dense", "org/pruned"]
    for axes, found in zip(figure.axes, result["neurons"].values(), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        for language in LANGUAGES:
            np.testing.assert_array_equal(lines[language].get_ydata(), found["languages"][language]["by_block"])
            assert lines[language].get_color() == language_colours(LANGUAGES)[language]
        assert axes.get_xlabel().startswith("block")
    assert "of 200" in figure.axes[0].get_ylabel()


def test_shares_of_the_histogram_add_up_to_all(result):
    figure = lape_figure(result)
    (axes,) = figure.axes
    labels = [patch.get_label() for patch in axes.patches]
    distance = result["neurons"]["org/pruned"]["against_first"]["lape_distance"]
    assert labels == ["dense", f"org/pruned (distance {distance:.3f})"]
    for patch in axes.patches:
        values, edges, _ = patch.get_data()
        assert values.sum() == pytest.approx(100)
        np.testing.assert_allclose(edges, result["lape"]["edges"])
    assert "nats" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()


def test_changes_stand_in_their_cells_and_sure_ones_are_bold(result):
    figure = silencing_figure("m", result["silencing"]["org/pruned"])
    for axes, scale in zip(figure.axes[:2], (1.0, 0.1), strict=True):
        cells = {tuple(map(int, text.get_position())): text for text in axes.texts}
        for (silenced, language), value in CHANGES.items():
            cell = cells[LANGUAGES.index(language), LANGUAGES.index(silenced)]
            assert cell.get_text() == f"{scale * value:+.2f}"
            assert (cell.get_fontweight() == "bold") == (scale * value > 0.1)
        # Zero is in the middle, and both panels have one scale.
        assert axes.images[0].get_clim() == (-1.25, 1.25)
        assert axes.get_xlabel() == "language of the text"


def test_files_are_named_for_what_they_show(result):
    names = [figure.name for figure in neuron_figures(result)]
    assert names == ["neurons-by-block", "lape", "silencing-org-pruned"]
    assert len(neuron_figures({**result, "silencing": None})) == 2


def test_many_models_have_rows_of_panels(result):
    many = {**result, "neurons": {f"model {number}": of for number, of in enumerate([*result["neurons"].values()] * 3)}}
    shown = [axes for axes in blocks_figure(many).axes if axes.axison]
    assert [axes.get_title() for axes in shown] == list(many["neurons"])
    for axes in shown:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] >= max(line.get_ydata().max() for panel in shown for line in panel.get_lines())
