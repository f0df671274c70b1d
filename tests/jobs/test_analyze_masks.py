"""The whole comparison: what is grouped with what, and what a noise floor is."""

import itertools
import json
import re

import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.jobs.analyze_masks import analyze_masks, total_work
from jaxprune.jobs.mask_runs import open_runs
from tests.analysis.mask_files import block_masks, write_masks, write_run


def blend(rng, shared, share):
    """Returns masks that have a ``share`` of their bits from ``shared``, and the others at random."""
    return {
        name: np.where(rng.random(mask.shape) < share, mask, rng.random(mask.shape) < 0.5)
        for name, mask in shared.items()
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds each of two languages: seeds share more than languages do; and one of another method."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    everywhere = block_masks(rng, 2)
    references = []
    for language in ("de", "sw"):
        of_language = blend(rng, everywhere, 0.5)
        for seed in (0, 1):
            masks = blend(rng, of_language, 0.9)
            made_by = {"languages": {language: 8}, "seed": seed, "num_heads": 6}
            references.append(write_run(folder / f"{language}{seed}", masks, **made_by))
    other = block_masks(rng, 2)
    references.append(write_run(folder / "other", other, languages={"de": 8}, method="sparsegpt"))
    return references


def test_groups_are_means_over_pairs_that_differ_in_the_same(runs):
    found = analyze_masks(open_runs(runs))
    overlap = found["overlap"]
    assert [(group["differ"], group["pairs"]) for group in overlap["groups"]] == [
        (["seed"], 2),
        (["languages"], 2),
        (["method"], 1),
        (["languages", "seed"], 2),
        (["method", "seed"], 1),
        (["method", "languages"], 1),
        (["method", "languages", "seed"], 1),
    ]
    for group in overlap["groups"]:
        pairs = [pair for pair in overlap["pairs"] if pair["differ"] == group["differ"]]
        for measure, mean in group["overall"].items():
            assert mean == pytest.approx(np.mean([pair["overall"][measure] for pair in pairs]))
        for part, name in (("blocks", "1"), ("projections", "up_proj")):
            assert group[part][name]["kept_iou"] == pytest.approx(
                np.mean([pair[part][name]["kept_iou"] for pair in pairs])
            )
    seed, languages, method, *_ = (group["overall"] for group in overlap["groups"])
    # What was planted: most between seeds, some between languages, none between methods.
    assert seed["kept_iou"] > languages["kept_iou"] + 0.1 > method["kept_iou"] + 0.15
    assert abs(method["kept_iou"] - method["kept_chance"]) < 0.02


def test_languages_are_compared_within_a_method(runs):
    found = analyze_masks(open_runs(runs))["overlap"]
    cells = [(cell["a"], cell["b"], cell["method"], cell["pairs"]) for cell in found["calibrations"]]
    assert cells == [("de", "de", "wanda", 1), ("de", "sw", "wanda", 4), ("sw", "sw", "wanda", 1)]
    de, de_sw, sw = (cell["overall"]["kept_iou"] for cell in found["calibrations"])
    assert min(de, sw) > de_sw + 0.1
    assert len(found["pairs"]) == 10
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == list(
        itertools.combinations([run["label"] for run in analyze_masks(open_runs(runs))["runs"]], 2)
    )


def test_the_result_is_plain_json_and_complete(runs, tmp_path):
    opened = open_runs(runs)
    seen = []
    found = analyze_masks(opened, out=tmp_path / "out", top=2, on_kernel=seen.append)
    assert json.loads((tmp_path / "out" / "masks.json").read_text()) == found
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert len(seen) == total_work(opened) == found["kernels"] == 14
    assert found["weights"] == sum(kernel.num_weights for kernel in opened[0].masks.kernels)
    assert found["notes"] == []
    labels = [run["label"] for run in found["runs"]]
    assert list(found["zeros"]) == labels
    assert labels[0] == "de · wanda · seed 0"
    assert found["runs"][0]["competition"] == {"inputs": None, "is_of_one_output": False}
    for zeros in found["zeros"].values():
        assert set(zeros["blocks"]) == {"0", "1"}
        assert zeros["blocks"]["0"]["query_heads"]["units"] == 6
        assert len(zeros["kernels"]["model.layers.0.mlp.up_proj.weight"]["inputs"]["most"]) == 2
        assert len(zeros["hidden_channels"]["quantiles"]) == len(found["quantiles"])
    figures = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert figures == {
        "overlap.png",
        "overlap-by-block.png",
        "overlap-by-projection.png",
        "zeros-on-query-heads.png",
        "zeros-on-neurons.png",
        "zeros-on-channels.png",
    }


def test_dense_and_pruned_at_nothing_are_the_same(tmp_path):
    dense = {name: np.ones_like(mask) for name, mask in block_masks(np.random.default_rng(0)).items()}
    half = block_masks(np.random.default_rng(1))
    references = [write_run(tmp_path / name, masks) for name, masks in (("a", dense), ("b", dense), ("c", half))]
    found = analyze_masks(open_runs(references), out=tmp_path / "out")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    a_b, a_c, b_c = (pair["overall"] for pair in found["overlap"]["pairs"])
    assert a_b == {"kept_iou": 1.0, "kept_chance": 1.0, "kept_most": 1.0, "pruned_iou": None, "pruned_chance": None}
    assert a_c == b_c
    assert [run["sparsity"] for run in found["runs"][:2]] == [0, 0]
    assert found["zeros"]["a"] == found["zeros"]["b"]
    assert found["runs"][0]["concentration"] == {"query_heads": None, "key_value_heads": None, "neurons": None}
    heads, everything, undefined = found["notes"]
    assert "A run that keeps every weight" in everything
    assert "Attention heads are left out" in heads
    assert "undefined (null)" in undefined


def test_masks_that_are_not_as_their_manifest_says_are_refused_and_nothing_is_left(tmp_path):
    masks = block_masks(np.random.default_rng(0), 2)
    references = [write_run(tmp_path / name, masks) for name in "ab"]
    path = tmp_path / "b" / "jaxprune" / "manifest.json"
    silent = json.loads(path.read_text())
    told = {name: int((~mask).sum()) / mask.size for name, mask in masks.items()}
    path.write_text(json.dumps({**silent, "sparsity": {"kernels": told}}))
    as_stated = analyze_masks(open_runs(references))
    damaged = "model.layers.1.mlp.up_proj.weight"
    pruned = round(told[damaged] * masks[damaged].size)
    first = int(np.flatnonzero(masks[damaged].ravel())[0])
    masks[damaged].ravel()[first] = False
    write_masks(tmp_path / "b" / "jaxprune", masks)
    message = (
        f"/b: {damaged} has {pruned} pruned weights of 1,161 by the manifest and {pruned + 1} by masks.safetensors; "
    )
    with pytest.raises(RequestError, match=re.escape(message)):
        analyze_masks(open_runs(references), out=tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    # A manifest that does not say is not contradicted.
    path.write_text(json.dumps(silent))
    assert analyze_masks(open_runs(references))["runs"][1]["sparsity"] > as_stated["runs"][1]["sparsity"]
