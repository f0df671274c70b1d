"""The figures say what the numbers say: counts and changes in their cells, shares of a histogram."""

import json

import numpy as np
import pytest

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.neurons import as_json
from jaxprune.analysis.silencing import Effect, Effects
from jaxprune.evaluation.intervals import Estimate
from jaxprune.microbatches import Microbatch
from jaxprune.models import build_model
from jaxprune.studies.figures.neurons import (
    blocks_figure,
    lape_figure,
    largest_change,
    neuron_figures,
    silencing_figure,
)
from tests.tiny import tiny_config

LANGUAGES = ("de", "sw")
CHANGES = {("de", "de"): 0.5, ("de", "sw"): -0.01, ("sw", "de"): 0.02, ("sw", "sw"): 1.25}


def effect(silenced, scale):
    values = {language: scale * CHANGES[silenced, language] for language in LANGUAGES}
    return Effect(
        [[1, 2, 3], [], [0, 5, 7, 9]],
        {language: Estimate(value, (value - 0.1, value + 0.1), 0.5, 8) for language, value in values.items()},
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
    beyond = Estimate(0.4, (0.3, 0.5), 0.01, 8)
    effects = {silenced: Effects(effect(silenced, 1.0), effect(silenced, 0.1), beyond) for silenced in LANGUAGES}
    return as_json(counts, Thresholds(top_rate=0.1), {"org/pruned": effects}, length=300)


def cells(axes):
    """Returns the texts by column and row."""
    return {tuple(map(int, text.get_position())): text for text in axes.texts}


def test_a_panel_a_model_and_a_cell_for_each_language_and_block(result):
    figure = blocks_figure(result)
    *panels, bar = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["dense", "org/pruned"]
    highest = max(
        count
        for of in result["neurons"].values()
        for language in of["languages"].values()
        for count in language["by_block"]
    )
    for axes, found in zip(panels, result["neurons"].values(), strict=True):
        told = cells(axes)
        for row, language in enumerate(LANGUAGES):
            for block, count in enumerate(found["languages"][language]["by_block"]):
                assert told[block, row].get_text() == (str(count) if count else "")
                assert axes.collections[0].get_array()[row, block] == count
        assert [label.get_text() for label in axes.get_yticklabels()] == list(LANGUAGES)
        # One scale for all models, from none on.
        assert axes.collections[0].get_clim() == (0, highest)
    assert [label.get_text() for label in panels[-1].get_xticklabels()] == ["0", "1", "2"]
    assert figure.get_supxlabel().startswith("block")
    assert "of 200" in bar.get_ylabel()


def test_the_first_models_shares_add_up_to_all_and_the_shift_goes_as_far_as_the_distance(result):
    figure = lape_figure(result)
    above, below = figure.axes
    edges = np.array(result["lape"]["edges"])
    [stairs] = above.patches
    shares, drawn_edges, _ = stairs.get_data()
    np.testing.assert_array_equal(drawn_edges, edges)
    assert shares.sum() == pytest.approx(100)
    assert above.get_ylim()[1] <= 100
    distance = result["neurons"]["org/pruned"]["against_first"]["lape_distance"]
    line, zero = below.lines
    assert line.get_label() == f"org/pruned (distance {distance:.3f})"
    assert zero.get_ydata() == [0, 0]
    pruned = np.array(result["neurons"]["org/pruned"]["lape"]["histogram"])
    dense = np.array(result["neurons"]["dense"]["lape"]["histogram"])
    for index in (0, 5, len(pruned)):
        more = pruned[:index].sum() / pruned.sum() - dense[:index].sum() / dense.sum()
        assert line.get_ydata()[index] == pytest.approx(100 * more, abs=1e-9)
    # Between the edges it may go a little further: by less than any bin holds.
    largest_bin = max((pruned / pruned.sum()).max(), (dense / dense.sum()).max())
    furthest = np.abs(line.get_ydata()).max() / 100
    assert distance - largest_bin < furthest <= distance + 1e-9
    assert "nats" in below.get_xlabel()
    assert "%" in above.get_ylabel()
    assert "percentage points" in below.get_ylabel()
    assert len(figure.legends) == 1


def test_of_one_model_there_is_no_shift(result):
    figure = lape_figure({**result, "neurons": {"dense": result["neurons"]["dense"]}})
    (axes,) = figure.axes
    assert "nats" in axes.get_xlabel()
    assert not figure.legends


def test_a_bin_with_all_neurons_ends_at_a_hundred_percent(result):
    found = json.loads(json.dumps(result))
    for of in found["neurons"].values():
        of["lape"]["histogram"] = [0] * (len(of["lape"]["histogram"]) - 1) + [200]
    above, below = lape_figure(found).axes
    assert above.get_ylim()[1] == 100
    assert not below.lines[0].get_ydata().any()


def test_changes_stand_in_their_cells_and_sure_ones_are_bold(result):
    figure = silencing_figure("m", result["silencing"]["org/pruned"], 2.0)
    for axes, scale in zip(figure.axes[:2], (1.0, 0.1), strict=True):
        told = cells(axes)
        for (silenced, language), value in CHANGES.items():
            cell = told[LANGUAGES.index(language), LANGUAGES.index(silenced)]
            change = round(scale * value, 2)
            assert cell.get_text() == (f"{change:+.2f}".replace("-", "−") if change else "0.00")
            assert (cell.get_fontweight() == "bold") == (scale * value > 0.1)
        # Zero is in the middle, and both panels have one scale.
        assert axes.collections[0].get_clim() == (-2.0, 2.0)
    assert figure.get_supxlabel() == "language of the text"
    assert "nats a token" in figure.axes[2].get_ylabel()


def test_a_small_change_that_is_sure_has_a_sign(result):
    effects = json.loads(json.dumps(result["silencing"]["org/pruned"]))
    own = effects["de"]["own"]["change"]
    own["de"] |= {"value": -0.004, "interval": [-0.005, -0.003]}
    own["sw"] |= {"value": 0.004, "interval": [-0.001, 0.009]}
    told = cells(silencing_figure("m", effects, 2.0).axes[0])
    row = LANGUAGES.index("de")
    shown = {language: told[LANGUAGES.index(language), row] for language in ("de", "sw")}
    assert {language: of.get_text() for language, of in shown.items()} == {"de": "\u22120.00", "sw": "0.00"}
    assert [of.get_fontweight() == "bold" for of in shown.values()] == [True, False]


def test_a_language_without_neurons_has_an_empty_row(result):
    effects = {**result["silencing"]["org/pruned"], "sw": None}
    figure = silencing_figure("m", effects, largest_change({"m": effects}))
    for axes in figure.axes[:2]:
        assert sorted(cells(axes)) == [(0, 0), (1, 0)]
        assert axes.collections[0].get_clim() == (-0.5, 0.5)


def test_one_large_change_leaves_others_their_colours(result):
    """On a linear scale a loss of a tenth beside one of three would have a thirtieth of the colours."""
    norm = silencing_figure("m", result["silencing"]["org/pruned"], 3.0).axes[0].collections[0].norm
    assert norm(0.0) == pytest.approx(0.5)
    shares = [2 * norm(change) - 1 for change in (0.01, 0.1, 0.3, 1.0, 3.0)]
    assert 0 < shares[0] < 0.02
    assert 0.1 < shares[1] < 0.2
    # From there on each factor of about three is as far.
    np.testing.assert_allclose(np.diff(shares[1:]), np.log10([3, 10 / 3, 3]) / np.log10(30) * (1 - shares[1]))
    assert norm(-0.3) == pytest.approx(1 - norm(0.3))


def test_all_models_have_one_scale_of_changes(result):
    effects = result["silencing"]["org/pruned"]
    assert largest_change({"a": effects, "b": effects}) == 1.25
    assert largest_change({}) == 0.1
    figures = {of.name: of.figure for of in neuron_figures(result)}
    assert figures["silencing-org-pruned"].axes[0].collections[0].get_clim() == (-1.25, 1.25)


def test_files_are_named_for_what_they_show(result):
    names = [figure.name for figure in neuron_figures(result)]
    assert names == ["neurons-by-block", "lape", "silencing-org-pruned"]
    assert len(neuron_figures({**result, "silencing": None})) == 2


def test_many_models_have_rows_of_panels(result):
    many = {**result, "neurons": {f"model {number}": of for number, of in enumerate([*result["neurons"].values()] * 3)}}
    *panels, _ = [axes for axes in blocks_figure(many).axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == list(many["neurons"])
    assert len({axes.get_position().x0 for axes in panels}) == 2


def test_blocks_that_are_too_many_for_numbers_keep_their_colours(result):
    deep = {
        label: {**of, "languages": {language: {"by_block": list(range(80))} for language in LANGUAGES}}
        for label, of in result["neurons"].items()
    }
    *panels, _ = blocks_figure({**result, "neurons": deep, "blocks": 80}).axes
    for axes in panels:
        assert not axes.texts
        np.testing.assert_array_equal(axes.collections[0].get_array()[0], range(80))
    assert [label.get_text() for label in panels[-1].get_xticklabels()][:4] == ["0", "", "2", ""]


def test_long_names_of_models_fit_beside_the_distribution(result):
    names = {"dense": "dense", "org/pruned": "ar,de,en,es,ja,ru,sw,zh · sparsegpt · 0.5 · seed 1234"}
    figure = lape_figure({**result, "neurons": {names[label]: of for label, of in result["neurons"].items()}})
    figure.draw_without_rendering()
    [legend] = figure.legends
    inside, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= inside.x0 < inside.x1 <= whole.x1
    assert whole.y0 <= inside.y0 < inside.y1 <= whole.y1
    # Beside them there is room for what is shown.
    assert figure.axes[0].get_window_extent().width > whole.width / 3
