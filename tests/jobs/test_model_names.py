"""What models are called that are compared, and that they are of the same weights before pruning."""

import shutil

import pytest
import safetensors.numpy

from jaxprune.checkpoints import open_checkpoint
from jaxprune.jobs.manifest import write_manifest
from jaxprune.jobs.model_names import account_models, name_models, source_notes
from tests.tiny import write_tiny_checkpoint


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models that are not pruned, ``base`` and ``other``, two prunings of the one, and one of the other."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_checkpoint(folder / "base", "llama")
    shutil.copytree(folder / "base", folder / "other")
    tensors = safetensors.numpy.load_file(folder / "base" / "model.safetensors")
    less = {name: tensor / 2 for name, tensor in tensors.items()}
    safetensors.numpy.save_file(less, folder / "other" / "model.safetensors", metadata={"format": "pt"})
    for name, language, source in (("de", "de", "base"), ("sw", "sw", "base"), ("foreign", "en", "other")):
        shutil.copytree(folder / "base", folder / name)
        used = {"languages": {language: {"sequences": 8}}, "texts": "t", "fill": 1, "length": 9, "sequences": 8}
        manifest = {
            "source": {"model": "a-model", "sha256": open_checkpoint(str(folder / source)).fingerprint},
            "method": {"name": "wanda"},
            "pattern": {"name": "0.5"},
            "calibration": {**used, "seed": 0},
        }
        write_manifest(folder / name, manifest)
    return {name: open_checkpoint(str(folder / name)) for name in ("base", "other", "de", "sw", "foreign")}


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["base"], ["dense"]),
        (["base", "de", "sw"], ["dense", "de", "sw"]),
        (["de", "base", "sw"], ["de", "dense", "sw"]),
        (["de", "sw"], ["de", "sw"]),
        (["de"], ["de"]),
        (["base", "other", "de"], ["base", "other", "de"]),
    ],
)
def test_only_the_one_that_is_not_pruned_is_dense(models, names, labels):
    assert name_models([models[name].reference for name in names]) == labels
    accounts = account_models([models[name] for name in names])
    assert [of["pruned"] is None for of in accounts] == [name in ("base", "other") for name in names]


def test_prunings_of_other_weights_are_told(models):
    def told(*names):
        return list(source_notes([models[name] for name in names]))

    assert told("base", "de", "sw") == told("de", "sw") == told("foreign") == told("base", "other") == []
    [note] = told("base", "foreign", "de")
    ours, theirs = (models[name].fingerprint[:12] for name in ("base", "other"))
    assert ours != theirs
    assert f"the same weights: dense, de · a-model (sha256 {ours}); en · a-model (sha256 {theirs})." in note
    [note] = told("sw", "foreign")
    assert f"sw · a-model (sha256 {ours}); en · a-model (sha256 {theirs})." in note
