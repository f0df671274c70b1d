"""Which runs may be compared, and how they are told apart."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxprune.analysis.competition import Competition
from jaxprune.errors import RequestError
from jaxprune.jobs.mask_runs import competition_of, differences, head_dim, name_runs, open_runs
from jaxprune.jobs.model_names import name_models
from tests.analysis.mask_files import block_masks, write_masks, write_run

MASKS = block_masks(np.random.default_rng(0))


def write(tmp_path, **made_by):
    """Writes runs by folder name."""
    return [write_run(tmp_path / name, MASKS, **changes) for name, changes in made_by.items()]


def test_names_say_what_differs_and_nothing_else(tmp_path):
    runs = open_runs(
        write(
            tmp_path,
            a={"languages": {"de": 8}},
            b={"languages": {"de": 8}, "seed": 1},
            c={"languages": {"en": 4, "de": 4}},
            d={"languages": {"de": 6, "en": 2}},
            e={"languages": {"sw": 3, "de": 3, "en": 2}},
        )
    )
    assert name_runs(runs) == [
        "de · seed 0",
        "de · seed 1",
        "de,en · seed 0",
        "de=3,en=1 · seed 0",
        "de,en,sw · seed 0",
    ]
    assert name_runs(runs[::2]) == ["de", "de,en", "de,en,sw"]
    assert differences(runs[0], runs[1]) == ("seed",)
    assert differences(runs[1], runs[2]) == ("languages", "seed")
    assert differences(runs[0], runs[0]) == ()


def test_methods_patterns_models_and_texts_are_told_apart(tmp_path):
    de = {"languages": {"de": 8}}
    runs = open_runs(
        write(
            tmp_path,
            a=de,
            b={**de, "method": "sparsegpt"},
            c={**de, "pattern": "2:4"},
            d={**de, "model": "another"},
            e={**de, "texts": "mc4"},
            f={"method": "magnitude"},
        )
    )
    changed = [differences(runs[0], run) for run in runs[1:]]
    assert changed == [("method",), ("pattern",), ("model",), ("texts",), ("method", "languages", "texts", "seed")]
    assert name_runs([runs[0], runs[4]]) == ["8 x 64 of sample", "8 x 64 of mc4"]
    assert name_runs([runs[0], runs[5]])[1] == "no calibration · magnitude · no calibration · no calibration"


def test_which_weights_compete_is_of_the_method(tmp_path):
    of = {"languages": {"de": 8}}
    folders = write(tmp_path, a=of, b={**of, "method": "sparsegpt"}, c=of)
    for folder, within in zip(folders, ("output", "block", "kernel"), strict=True):
        path = Path(folder) / "jaxprune" / "manifest.json"
        told = json.loads(path.read_text())
        told["pattern"]["within"] = within
        path.write_text(json.dumps(told))
    runs = open_runs(folders)
    assert differences(runs[0], runs[1]) == differences(runs[0], runs[2]) == ("method",)
    assert name_runs(runs) == ["wanda", "sparsegpt", "wanda within kernel"]


def test_runs_are_named_as_the_analyses_of_hidden_states_name_models(tmp_path):
    folders = write(
        tmp_path,
        a={"languages": {"de": 8}},
        b={"languages": {"en": 8}, "method": "sparsegpt"},
        c={"languages": {"de": 8}, "pattern": "2:4", "seed": 1},
    )
    names = ["de · wanda · 0.5 · seed 0", "en · sparsegpt · 0.5 · seed 0", "de · wanda · 2:4 · seed 1"]
    assert name_runs(open_runs(folders)) == name_models(folders) == names


def test_runs_of_the_same_making_are_named_by_their_folders(tmp_path):
    de, en = {"languages": {"de": 8}}, {"languages": {"en": 8}}
    runs = open_runs(write(tmp_path, a=de, b=de, c=en))
    assert name_runs(runs) == ["de (a)", "de (b)", "en"]
    assert name_runs(runs[:2]) == ["a", "b"]
    twins = open_runs([write_run(tmp_path / str(index) / "x", MASKS, **de) for index in (1, 2)])
    assert name_runs(twins) == [str(tmp_path / "1" / "x"), str(tmp_path / "2" / "x")]


def test_one_run_is_too_few(tmp_path):
    with pytest.raises(RequestError, match=r"needs two runs or more, and 1 was given"):
        open_runs(write(tmp_path, a={}))


def test_a_run_is_given_once(tmp_path, monkeypatch):
    write(tmp_path, a={})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=r"a/\. is given more than once|a is given more than once"):
        open_runs(["a", "a/."])


def test_what_is_no_run_is_refused_with_what_is_there(tmp_path):
    [a, _] = write(tmp_path, a={}, b={})
    with pytest.raises(RequestError, match="nowhere is not a folder"):
        open_runs([a, str(tmp_path / "nowhere")])
    with pytest.raises(RequestError, match=r"has no jaxprune/manifest.json; it holds runs in a, b: name those"):
        open_runs([a, str(tmp_path)])
    (tmp_path / "b" / "jaxprune" / "masks.safetensors").unlink()
    with pytest.raises(RequestError, match=r"b is no pruning: it has no jaxprune/masks.safetensors; name a folder"):
        open_runs([a, str(tmp_path / "b")])


@pytest.mark.parametrize("text", ["{}", '{"source": 3}', "[]", "{", '{"calibration": {"languages": {}}}'])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    [a, _] = write(tmp_path, a={}, b={})
    (tmp_path / "b" / "jaxprune" / "manifest.json").write_text(text)
    for read in (open_runs, name_models):
        with pytest.raises(RequestError, match="manifest"):
            read([a, str(tmp_path / "b")])


@pytest.mark.parametrize(
    ("part", "told", "said"),
    [
        ("method", {"name": "sparsegpt", "block_size": -128}, "block_size is -128"),
        ("pattern", {"name": "2:4", "m": 0}, "m is 0"),
    ],
)
def test_groups_without_weights_are_refused(tmp_path, part, told, said):
    a, b = write(tmp_path, a={}, b={})
    path = tmp_path / "b" / "jaxprune" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: told}))
    with pytest.raises(RequestError, match=rf"the manifest of .*/b does not say how .*{said}"):
        open_runs([a, b])


def test_runs_of_other_shapes_are_refused(tmp_path):
    [a] = write(tmp_path, a={})
    write_run(tmp_path / "b", {**MASKS, "model.layers.1.mlp.up_proj.weight": np.ones((2, 2), bool)})
    with pytest.raises(RequestError, match=r"/b/.* has a mask for model\.layers\.1\.mlp\.up_proj\.weight"):
        open_runs([a, str(tmp_path / "b")])


def test_heads_are_known_from_config_or_manifest(tmp_path):
    silent, told, config = write(tmp_path, a={}, b={"num_heads": 6}, c={"num_heads": 3})
    assert head_dim(open_runs([silent, told])) == 5
    # Where the weights were kept, their config is asked first.
    (tmp_path / "c" / "config.json").write_text(json.dumps({"num_attention_heads": 6}))
    assert head_dim(open_runs([silent, config])) == 5
    [other] = write(tmp_path, d={})
    assert head_dim(open_runs([silent, other])) is None


def test_heads_that_cannot_be_are_refused(tmp_path):
    silent, told, other, odd = write(tmp_path, a={}, b={"num_heads": 6}, c={"num_heads": 3}, d={"num_heads": 7})
    with pytest.raises(RequestError, match=r"number of attention heads is 6 in .*/b and 3 in .*/c"):
        head_dim(open_runs([told, other]))
    with pytest.raises(RequestError, match=r"/d states 7 attention heads, which projections of widths 15, 30 cannot"):
        head_dim(open_runs([silent, odd]))


def test_masks_without_attention_have_no_heads(tmp_path):
    masks = {name: mask for name, mask in MASKS.items() if "mlp" in name}
    runs = [write_run(tmp_path / name, masks, num_heads=6) for name in "ab"]
    assert head_dim(open_runs(runs)) is None


def test_a_truncated_file_is_refused(tmp_path):
    a, b = write(tmp_path, a={}, b={})
    path = write_masks(tmp_path / "b" / "jaxprune", MASKS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RequestError, match=r"/b/.*truncated"):
        open_runs([a, b])


@pytest.mark.parametrize(
    ("method", "pattern", "expected"),
    [
        ({}, {"sparsity": 0.5, "within": "output"}, Competition(None, is_of_one_output=True)),
        ({}, {"sparsity": 0.5, "within": "kernel"}, Competition()),
        ({}, {"sparsity": 0.5, "within": "block"}, Competition(128)),
        ({"block_size": 64}, {"sparsity": 0.5, "within": "block"}, Competition(64)),
        # SparseGPT prunes as many of each output in each of its blocks.
        ({"block_size": 64}, {"sparsity": 0.5, "within": "output"}, Competition(64, is_of_one_output=True)),
        ({"block_size": 64}, {"sparsity": 0.5, "within": "kernel"}, Competition()),
        ({"block_size": 64}, {"n": 2, "m": 4}, Competition(4, is_of_one_output=True)),
        ({}, {}, Competition()),
    ],
)
def test_what_competed_is_known_from_method_and_pattern(method, pattern, expected):
    assert competition_of({"method": method, "pattern": pattern}) == expected
