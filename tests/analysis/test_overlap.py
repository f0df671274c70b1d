"""Overlap and its level by chance: planted agreement is found exactly, and where none was planted none is found."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from jaxprune.analysis.competition import Competition
from jaxprune.analysis.masks import count_masks
from jaxprune.analysis.overlap import Overlap, above_chance, mean_overlap
from jaxprune.analysis.packed_masks import PackedMasks
from jaxprune.analysis.zeros import summarise
from tests.analysis.mask_files import block_masks, write_masks


def common(tmp_path, *masks):
    for index, of_run in enumerate(masks):
        write_masks(tmp_path / str(index), of_run)
    runs = [PackedMasks(tmp_path / str(index)) for index in range(len(masks))]
    return summarise(count_masks(runs), [Competition()] * len(runs), head_dim=None, top=3)[0]


def iou(a, b):
    """Returns IoU by sets of coordinates, in Python."""
    left = {(name, *map(int, at)) for name, mask in a.items() for at in np.argwhere(mask)}
    right = {(name, *map(int, at)) for name, mask in b.items() for at in np.argwhere(mask)}
    return len(left & right) / len(left | right)


def inverted(masks):
    return {name: ~mask for name, mask in masks.items()}


def test_planted_overlap_is_found_exactly(tmp_path):
    # 27 inputs: five padding bits in each row's last byte, and 37 more in its word.
    name = "model.layers.0.mlp.up_proj.weight"
    a, b = np.zeros((43, 27), bool), np.zeros((43, 27), bool)
    a.flat[:500] = True
    b.flat[300:700] = True
    found = common(tmp_path, {name: a}, {name: b}).overlap(0, 1)
    assert found == Overlap(weights=1161, kept=(500, 400), both=200, both_by_chance=400 * (500 / 1161))
    assert found.kept_iou == 200 / 700
    assert found.pruned_iou == (1161 - 700) / (1161 - 200)


def test_every_grouping_agrees_with_sets(tmp_path):
    rng = np.random.default_rng(1)
    a, b = block_masks(rng, 3, kept=0.4), block_masks(rng, 3, kept=0.7)
    b = {name: mask | (a[name] & (rng.random(mask.shape) < 0.5)) for name, mask in b.items()}
    found = common(tmp_path, a, b).as_json(0, 1)
    groups = {
        "blocks": lambda name: name.split(".")[2],
        "projections": lambda name: name.split(".")[4],
        "kernels": lambda name: name,
    }
    for part, key in groups.items():
        assert set(found[part]) == {key(name) for name in a}
        for group, measures in found[part].items():
            left, right = ({name: of[name] for name in of if key(name) == group} for of in (a, b))
            assert measures["kept_iou"] == pytest.approx(iou(left, right), rel=1e-14)
            assert measures["pruned_iou"] == pytest.approx(iou(inverted(left), inverted(right)), rel=1e-14)
    assert found["overall"]["kept_iou"] > found["overall"]["kept_chance"] + 0.05
    assert found["overall"]["kept_iou"] == pytest.approx(iou(a, b), rel=1e-14)


def test_chance_is_that_of_each_kernels_own_densities(tmp_path):
    names = [f"model.layers.0.mlp.{where}_proj.weight" for where in ("up", "gate")]
    rng = np.random.default_rng(2)
    densities = {names[0]: (0.2, 0.6), names[1]: (0.9, 0.5)}
    runs = [{name: rng.random((40, 50)) < p[run] for name, p in densities.items()} for run in range(2)]
    counts = common(tmp_path, *runs)
    for index, name in enumerate(names):
        p, q = (float(of_run[name].mean()) for of_run in runs)
        found = counts.overlap(0, 1, [index])
        assert found.kept_chance == pytest.approx(p * q / (p + q - p * q), rel=1e-13)
        assert found.pruned_chance == pytest.approx((1 - p) * (1 - q) / (1 - p * q), rel=1e-13)
    expected = sum(2000 * float(runs[0][name].mean()) * float(runs[1][name].mean()) for name in names)
    assert counts.overlap(0, 1).both_by_chance == pytest.approx(expected, rel=1e-13)


def test_half_and_half_is_a_third():
    found = Overlap(weights=100, kept=(50, 50), both=25, both_by_chance=25.0)
    assert found.kept_chance == found.pruned_chance == 1 / 3


def test_the_level_is_iou_at_the_mean_of_the_hypergeometric_distribution():
    weights, a, b = 60, 25, 41
    both = scipy.stats.hypergeom(weights, a, b)
    found = Overlap(weights, (a, b), 0, a * b / weights)
    assert found.both_by_chance == pytest.approx(both.mean())
    exact = sum(both.pmf(c) * c / (a + b - c) for c in range(a + b - weights, a + 1))
    assert abs(exact - found.kept_chance) < 1 / weights


def test_all_masks_of_a_group_of_four_have_the_level_of_two_of_four():
    masks = [set(kept) for kept in itertools.combinations(range(4), 2)]
    mean = np.mean([len(a & b) for a in masks for b in masks])
    assert mean == 2 * 2 / 4


def _deviation(weights, a, b):
    """Returns the standard deviation of IoU to first order in C: d IoU / d C = S / (S - C)^2 with S = A + B."""
    both = scipy.stats.hypergeom(weights, a, b)
    return (a + b) / (a + b - both.mean()) ** 2 * both.std()


@pytest.mark.parametrize("densities", [(0.5, 0.5), (0.3, 0.8), (0.95, 0.9)])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_nothing_is_planted(tmp_path, densities, seed):
    rng = np.random.default_rng(seed)
    name = "model.layers.0.mlp.up_proj.weight"
    masks = [{name: rng.random((300, 333)) < density} for density in densities]
    found = common(tmp_path, *masks).overlap(0, 1)
    pruned = [found.weights - kept for kept in found.kept]
    assert abs(found.kept_iou - found.kept_chance) < 4 * _deviation(found.weights, *found.kept)
    assert abs(found.pruned_iou - found.pruned_chance) < 4 * _deviation(found.weights, *pruned)
    scale = found.kept_most - found.kept_chance
    assert abs(above_chance(found.as_json())) < 4 * _deviation(found.weights, *found.kept) / scale


@pytest.mark.parametrize("pattern", [(2, 4), (4, 8)])
def test_independent_masks_of_a_pattern_are_at_the_level_of_their_density(tmp_path, pattern):
    n, m = pattern
    rng = np.random.default_rng(n)
    name = "model.layers.0.mlp.up_proj.weight"
    masks = []
    for _ in range(2):
        ranks = rng.random((300, 40, m)).argsort(axis=2)
        masks.append({name: (ranks < n).reshape(300, 40 * m)})
    found = common(tmp_path, *masks).overlap(0, 1)
    assert found.kept_chance == pytest.approx(1 / 3, rel=1e-14)
    groups = 300 * 40
    deviation = math.sqrt(groups * scipy.stats.hypergeom(m, n, n).var())
    assert abs(found.both - found.both_by_chance) < 4 * deviation


def test_identical_masks_agree_wholly(tmp_path):
    masks = block_masks(np.random.default_rng(3), 2)
    found = common(tmp_path, masks, masks).as_json(0, 1)
    for part in ("blocks", "projections", "kernels"):
        assert all(one["kept_iou"] == one["pruned_iou"] == 1 for one in found[part].values())
    assert above_chance(found["overall"]) == 1


@pytest.mark.parametrize("kept", [(0.9, 0.4), (0.3, 0.5)])
def test_a_mask_within_another_agrees_with_it_wholly(tmp_path, kept):
    rng = np.random.default_rng(4)
    scores = rng.random((300, 333))
    name = "model.layers.0.mlp.up_proj.weight"
    found = common(tmp_path, *({name: scores < share} for share in kept)).overlap(0, 1)
    assert found.kept_iou == found.kept_most < 1
    assert above_chance(found.as_json()) == 1


def test_opposite_masks_do_not_agree_at_all(tmp_path):
    masks = block_masks(np.random.default_rng(3), 2)
    found = common(tmp_path, masks, inverted(masks)).overlap(0, 1)
    assert found.kept_iou == found.pruned_iou == 0


def test_where_nothing_is_pruned_overlap_of_the_pruned_is_undefined(tmp_path):
    dense = {name: np.ones_like(mask) for name, mask in block_masks(np.random.default_rng(0)).items()}
    half = block_masks(np.random.default_rng(1))
    counts = common(tmp_path, dense, dense, half)
    both = counts.overlap(0, 1)
    assert (both.kept_iou, both.kept_chance, both.pruned_iou, both.pruned_chance) == (1, 1, None, None)
    one = counts.overlap(0, 2)
    assert above_chance(both.as_json()) is None
    assert above_chance(one.as_json()) is None
    assert one.kept_iou == pytest.approx(one.kept_chance) == 1 - counts.sparsity(2)
    assert (one.pruned_iou, one.pruned_chance) == (0, 0)
    assert (counts.sparsity(0), counts.sparsity(2)) == (0, 1 - one.both / one.weights)


def test_where_nothing_is_kept_overlap_of_the_kept_is_undefined():
    found = Overlap(weights=10, kept=(0, 0), both=0, both_by_chance=0.0)
    assert (found.kept_iou, found.kept_chance, found.pruned_iou, found.pruned_chance) == (None, None, 1, 1)


def test_means_are_over_what_is_defined():
    one = Overlap(10, (5, 5), 5, 2.5).as_json()
    dense = Overlap(10, (10, 10), 10, 10.0).as_json()
    assert mean_overlap([one, dense])["kept_chance"] == pytest.approx((1 / 3 + 1) / 2)
    assert mean_overlap([one, dense])["pruned_iou"] == 1
    assert mean_overlap([dense])["pruned_iou"] is None
