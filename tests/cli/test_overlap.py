"""A set stored in two splits that share documents: found when a model would be measured on what calibrated it."""

import json

import datasets
import numpy as np
import pytest

from tests.cli.conftest import WORDS
from tests.cli.run import run

SMALL = ["--samples", 8, "--length", 16]


@pytest.fixture
def leaky(tmp_path_factory, monkeypatch):
    """A data set of 20 documents to calibrate on and 30 to measure on, 20 of them the same."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("leaky")
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS["de"].split(), 60)) for _ in range(30)]
    for split, part in (("train", texts[:20]), ("validation", texts[::-1])):
        lines = [json.dumps({"text": f"{text}\n" if split == "train" else text}) for text in part]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return f"dataset:{folder}"


def test_perplexity_refuses_documents_that_calibrated_the_model(capsys, tmp_path, tiny, leaky):
    out = tmp_path / "out"
    done = run(capsys, "prune", tiny, out, "--calibration", "de", "--texts", leaky, *SMALL)
    assert done.status == 0, done.err
    used = json.loads((out / "jaxprune/manifest.json").read_text())["calibration"]
    assert used["languages"]["de"]["documents"] == len(used["document_hashes"])
    ask = ["perplexity", out, "--texts", leaky, "--languages", "de", "--length", 16, "--json"]
    # The first ten documents of the held-out split are its own.
    few = run(capsys, *ask, "--windows", 2)
    assert few.status == 0, few.err
    many = run(capsys, *ask, "--windows", 500)
    assert many.status == 2
    assert "served to calibrate this model" in many.err
    assert "measure on text that pruning has not seen" in " ".join(many.err.split())
    assert not many.out


def test_compare_refuses_them_before_it_begins(capsys, tmp_path, tiny, leaky):
    ask = ["--texts", leaky, "--languages", "de", "--calibration", "de", *SMALL, "--windows", 500]
    done = run(capsys, "compare", tiny, tmp_path / "out", *ask)
    assert done.status == 2
    assert "served to calibrate this model" in done.err
    assert not list(tmp_path.iterdir())


def test_what_is_made_of_a_pruned_model_has_seen_its_text_too(capsys, tmp_path, tiny, leaky):
    pruned = tmp_path / "pruned"
    assert run(capsys, "prune", tiny, pruned, "--calibration", "de", "--texts", leaky, *SMALL).status == 0
    assert run(capsys, "convert", pruned, tmp_path / "converted", "--to", "orbax").status == 0
    again = run(capsys, "prune", pruned, tmp_path / "again", "--method", "magnitude", "--pattern", "0.6")
    assert again.status == 0, again.err
    for model in ("converted", "again"):
        ask = ["perplexity", tmp_path / model, "--texts", leaky, "--languages", "de", "--length", 16]
        done = run(capsys, *ask, "--windows", 500)
        assert done.status == 2, model
        assert "served to calibrate this model" in done.err
    masks = [(tmp_path / name / "jaxprune" / "masks.safetensors").read_bytes() for name in ("pruned", "converted")]
    assert masks[0] == masks[1]
