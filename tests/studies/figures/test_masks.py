"""The figures say what the numbers say: cells, lines, their level by chance, and a colour for each language."""

import numpy as np
import pytest

from jaxprune.analysis.overlap import above_chance
from jaxprune.jobs.analyze_masks import analyze_masks
from jaxprune.jobs.mask_runs import open_runs
from jaxprune.studies.figures.masks import mask_figures
from jaxprune.studies.numbers.masks import beyond_chance
from tests.analysis.mask_files import block_masks, write_run


@pytest.fixture
def drawn(tmp_path):
    """Returns a comparison, and by name the axes that were drawn of it."""
    rng = np.random.default_rng(0)
    made_by = [("de", 0), ("de", 1), ("sw", 0)]
    runs = [
        write_run(
            tmp_path / f"{language}{seed}",
            block_masks(rng, 3, kept=0.6),
            languages={language: 8},
            seed=seed,
            num_heads=6,
        )
        for language, seed in made_by
    ]
    dense = {name: np.ones_like(mask) for name, mask in block_masks(rng, 3).items()}
    runs += [
        write_run(tmp_path / f"dense{seed}", dense, languages={"en": 8}, seed=seed, num_heads=6) for seed in (0, 1)
    ]
    result = analyze_masks(open_runs(runs))
    return result, {of.name: of.figure.axes[0] for of in mask_figures(result)}


def texts(axes):
    return {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}


def test_each_pair_stands_in_two_cells(drawn):
    result, figures = drawn
    cells = texts(figures["overlap"])
    labels = [run["label"] for run in result["runs"]]
    expected = {}
    for pair in result["overlap"]["pairs"]:
        level = above_chance(pair["overall"])
        if level is not None:
            a, b = labels.index(pair["a"]), labels.index(pair["b"])
            expected |= {(a, b): f"{level:.2f}", (b, a): f"{level:.2f}"}
    # Where both keep everything, chance is identity: there is nothing to tell.
    assert cells == expected
    assert (3, 4) not in cells
    assert [label.get_text() for label in figures["overlap"].get_yticklabels()] == labels


def test_projections_are_compared_group_by_group(drawn):
    result, figures = drawn
    axes = figures["overlap-by-projection"]
    groups = result["overlap"]["groups"]
    assert axes.get_yticklabels()[0].get_text() == "differ in seed (2 pairs)"
    assert [label.get_text() for label in axes.get_xticklabels()] == list(groups[0]["projections"])
    one = groups[1]["projections"]["v_proj"]
    assert texts(axes)[2, 1] == f"{above_chance(one):.2f}"


def test_lines_go_through_the_values_and_chance_is_marked(drawn):
    result, figures = drawn
    axes = figures["overlap-by-block"]
    named = {line.get_label(): line for line in axes.lines}
    # Of pairs that differ in the language those of one seed are there, which say it alone.
    shown = [group for group in result["overlap"]["groups"] if len(group["differ"]) == 1]
    assert len([name for name in named if name.startswith("differ in")]) == len(shown) == 2
    for group in shown:
        name = f"differ in {', '.join(group['differ'])} ({group['pairs']} pair{'s' * (group['pairs'] > 1)})"
        values = [group["blocks"][str(block)]["kept_iou"] for block in range(3)]
        np.testing.assert_allclose(named[name].get_ydata(), values)
        np.testing.assert_array_equal(named[name].get_xdata(), range(3))
    chance = [group["blocks"]["2"]["kept_chance"] for group in shown]
    dotted = [line.get_ydata()[2] for line in axes.lines if line.get_linestyle() == ":" and len(line.get_ydata())]
    np.testing.assert_allclose(dotted, chance)
    assert "by chance" in named
    assert axes.get_xlabel()
    assert axes.get_ylabel() == "IoU of kept weights"


@pytest.mark.parametrize("kind", ["query_heads", "neurons"])
def test_zeros_are_a_line_for_each_calibration_and_the_mean_over_its_seeds(drawn, kind):
    result, figures = drawn
    axes = figures[f"zeros-on-{kind.replace('_', '-')}"]

    def gini(label):
        return [block[kind]["gini"] for block in result["zeros"][label]["blocks"].values()]

    chance, de, sw = axes.lines  # a run without zeros has no concentration to show
    np.testing.assert_allclose(de.get_ydata(), np.mean([gini("de · seed 0"), gini("de · seed 1")], axis=0))
    np.testing.assert_allclose(sw.get_ydata(), gini("sw · seed 0"))
    assert chance.get_linestyle() == ":"
    assert de.get_color() != sw.get_color()
    assert de.get_marker() != sw.get_marker()


def test_channels_beyond_chance_stand_in_their_cells(drawn):
    result, _ = drawn
    [figure] = [of.figure for of in mask_figures(result) if of.name == "zeros-on-channels"]
    inputs, outputs = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (inputs, outputs)] == ["input channels", "output channels"]
    for axes, side in ((inputs, "inputs"), (outputs, "outputs")):
        expected = {}
        for row, run in enumerate(result["runs"]):
            for column, points in enumerate(beyond_chance(result, run, side).values()):
                if points is not None:
                    expected[column, row] = f"{round(points)}"
        # Nothing of the two runs that keep everything.
        assert texts(axes) == expected
        assert {row for _, row in expected} == {0, 1, 2}
    assert [label.get_text() for label in inputs.get_yticklabels()] == [run["label"] for run in result["runs"]]


def test_of_runs_that_keep_everything_channels_are_not_drawn(tmp_path):
    dense = {name: np.ones_like(mask) for name, mask in block_masks(np.random.default_rng(0)).items()}
    result = analyze_masks(open_runs([write_run(tmp_path / name, dense) for name in "ab"]))
    assert "zeros-on-channels" not in [of.name for of in mask_figures(result)]
