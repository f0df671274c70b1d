"""Angles and alignment between languages are drawn as they were measured, with units and on one scale."""

import itertools
import json

import matplotlib.text
import numpy as np
import pytest

from jaxprune.studies.figures.alignment import closest_block
from jaxprune.studies.figures.subspaces import subspace_figures
from tests.studies import made_analyses

PRUNED = ("en · wanda", "de · wanda")


@pytest.fixture(scope="module")
def result():
    """Blocks that differ, and models."""
    found = json.loads(json.dumps(made_analyses.subspaces()))
    for number, model in enumerate(found["models"]):
        for index, block in enumerate(model["blocks"]):
            block["stability_angles"] = [1.0 + index, 3.0 + index]
            between = 0.5 - 0.1 * number
            block["sentences"]["alignment"] = {"de-en": between + 0.2 * (index == 1), "de-sw": 0.1, "en-sw": between}
            if block["change"]:
                block["change"]["angles"] = [10.0 * number + index, 40.0 * number + index]
    return found


@pytest.fixture(scope="module")
def figures(result):
    return {of.name: of for of in subspace_figures(result)}


def lines(axes, names):
    found = [line for line in axes.lines if len(line.get_ydata()) == 3]
    return dict(zip(names, (line.get_ydata().tolist() for line in found), strict=True))


def test_energy_stands_beside_what_as_many_directions_would_hold(figures):
    [axes] = figures["specific-share"].figure.axes
    drawn = lines(axes, ("alike", "dense", *PRUNED))
    assert drawn["alike"] == [2 / 640] * 3
    assert drawn["dense"] == pytest.approx([0.2] * 3)
    assert axes.lines[0].get_linestyle() == ":"
    [legend] = figures["specific-share"].figure.legends
    assert "alike in all directions" in [text.get_text() for text in legend.get_texts()]
    assert "dotted, its share of the 640 directions" in figures["specific-share"].caption


def test_a_model_without_a_change_is_not_in_the_legend_of_ratios(result, figures):
    same = json.loads(json.dumps(result))
    for block in same["models"][1]["blocks"]:
        for parts in block["change"]["snr_db"].values():
            parts.update(dict.fromkeys(parts))
    [ratios] = [of for of in subspace_figures(same) if of.name == "snr-by-part"]
    told = {}
    for name, of in (("same", ratios), ("all", figures["snr-by-part"])):
        [legend] = of.figure.legends
        told[name] = [text.get_text() for text in legend.get_texts()]
    assert told == {"same": ["de · wanda"], "all": list(PRUNED)}
    assert "Nothing changed at all in en · wanda, without a line." in ratios.caption
    assert "Nothing changed at all" not in figures["snr-by-part"].caption


def test_smallest_and_largest_angles_by_depth(figures):
    axes = figures["angles"].figure.axes
    for one, title, halves, turn in zip(axes, ("smallest", "largest"), (1.0, 3.0), (10.0, 40.0), strict=True):
        assert one.get_title() == f"{title} angle"
        assert lines(one, ("halves", *PRUNED)) == {
            "halves": [halves, halves + 1, halves + 2],
            **{name: [turn * n, turn * n + 1, turn * n + 2] for n, name in enumerate(PRUNED, 1)},
        }
        assert one.get_ylim() == (0.0, 90.0)
    assert "degrees" in axes[0].get_ylabel()
    assert "dotted here" in figures["angles"].caption


def test_alignment_with_the_dense_model_is_a_mean_over_languages_and_told_by_language(figures):
    [axes] = figures["alignment"].figure.axes
    assert all(values == pytest.approx([0.9] * 3) for values in lines(axes, PRUNED).values())
    assert "mean over languages" in figures["alignment"].caption


def test_alignment_with_the_dense_model_by_language_is_a_mean_over_halves_of_the_depth(result):
    found = json.loads(json.dumps(result))
    for number, model in enumerate(found["models"][1:]):
        for block, of_block in enumerate(model["blocks"]):
            for place, language in enumerate(found["languages"]):
                of_block["change"]["alignment"][language] = 0.1 * block + 0.2 * number + 0.01 * place
    # Where the states of one language do not vary there is nothing to align.
    found["models"][1]["blocks"][2]["change"]["alignment"]["de"] = None
    [by_language] = [of for of in subspace_figures(found) if of.name == "alignment-by-language"]
    early, late, _ = by_language.figure.axes
    assert [axes.get_title(loc="left") for axes in (early, late)] == ["first half of the blocks", "later half"]
    assert [label.get_text() for label in early.get_yticklabels()] == list(PRUNED)
    for axes, blocks in ((early, (0, 1)), (late, (2,))):
        told = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
        for number, place in itertools.product(range(len(PRUNED)), range(len(found["languages"]))):
            value = 0.1 * np.mean(blocks) + 0.2 * number + 0.01 * place
            is_empty = axes is late and number == 0 and found["languages"][place] == "de"
            assert told.get((place, number)) == (None if is_empty else f"{value:.2f}")
        assert axes.collections[0].get_clim() == (0, 1)


def test_mean_alignment_of_languages_before_and_after(figures):
    [axes] = figures["alignment-between-languages"].figure.axes
    drawn = lines(axes, ("dense", *PRUNED))
    np.testing.assert_allclose(drawn["dense"], [1.1 / 3, 1.3 / 3, 1.1 / 3])
    np.testing.assert_allclose(drawn["de · wanda"], [0.7 / 3, 0.9 / 3, 0.7 / 3])


def test_every_pair_stands_in_its_cell_at_the_block_where_the_dense_models_are_most_alike(result, figures):
    assert closest_block(result["models"][0]) == 1
    *panels, _ = figures["alignment-of-pairs"].figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["dense", *PRUNED]
    for number, axes in enumerate(panels):
        told = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
        pairs = {(0, 1): 0.7 - 0.1 * number, (0, 2): 0.1, (1, 2): 0.5 - 0.1 * number}
        assert told == {cell: f"{of:.2f}" for (a, b), of in pairs.items() for cell in ((a, b), (b, a))}
        assert axes.collections[0].get_clim() == pytest.approx((0.0, 0.7))
    assert "block 1" in figures["alignment-of-pairs"].figure.get_suptitle()


def test_without_sentences_nothing_is_drawn_between_languages(result):
    bare = json.loads(json.dumps(result)) | {"sentences": {}}
    for model in bare["models"]:
        for block in model["blocks"]:
            block["sentences"] = None
    names = [of.name for of in subspace_figures(bare)]
    assert "angles" in names
    assert not any("between" in name or "pairs" in name for name in names)


def test_a_first_model_that_is_pruned_is_not_called_dense(result, figures):
    def told(figures):
        return [[of.caption, *(text.get_text() for text in of.figure.findobj(matplotlib.text.Text))] for of in figures]

    assert sum("dense" in " ".join(of) for of in told(figures.values())) == len(figures)
    first = {**result["models"][0], "label": "sw · wanda", "pruned": {"languages": "sw"}}
    drawn = subspace_figures({**result, "models": [first, *result["models"][1:]]})
    assert len(drawn) == len(figures)
    for of in told(drawn):
        assert "dense" not in " ".join(of)
        assert "sw · wanda" in " ".join(of)
