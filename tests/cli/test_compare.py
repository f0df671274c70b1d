"""``jaxprune compare``: the table, the figure, and what is kept."""

import json
import sys

import pytest
from PIL import Image

from tests.cli.run import run


def ask(tiny, out, texts, *more):
    return [
        "compare", tiny, out, "--texts", texts, "--languages", "de,en,sw",
        "--calibration", "de", "--calibration", "de,sw", "--samples", 4, "--length", 16, "--windows", 3, *more,
    ]  # fmt: skip


def test_one_row_a_mixture_one_column_a_language(capsys, tmp_path, tiny, texts):
    out = tmp_path / "out"
    # One mesh for all: by default each command takes the one that suits what it is asked for, and rounds as it does.
    mesh = ("--mesh", "data=4")
    done = run(capsys, *ask(tiny, out, texts, "--json", *mesh))
    assert done.status == 0, done.err
    results = json.loads(done.out)
    assert results == json.loads((out / "results.json").read_text())
    assert list(results["calibrations"]) == ["de", "de,sw"]
    for found in (results["dense"], *results["calibrations"].values()):
        assert list(found) == ["de", "en", "sw"]
    assert Image.open(out / "perplexity.png").width > 400
    for mixture in ("de", "de+sw"):
        kept = sorted(path.name for path in (out / mixture).rglob("*") if path.is_file())
        assert kept == ["manifest.json", "masks.safetensors"]
    # The same as pruning and measuring by hand.
    single = tmp_path / "single"
    run(
        capsys,
        "prune",
        tiny,
        single,
        "--calibration",
        "de,sw",
        "--texts",
        texts,
        "--samples",
        4,
        "--length",
        16,
        *mesh,
    )
    measured = run(
        capsys,
        "perplexity",
        single,
        "--texts",
        texts,
        "--languages",
        "de,en,sw",
        "--length",
        16,
        "--windows",
        3,
        "--json",
        *mesh,
    )
    assert json.loads(measured.out)["languages"] == results["calibrations"]["de,sw"]


def test_models_are_kept_when_asked_for(capsys, tmp_path, tiny, texts):
    done = run(capsys, *ask(tiny, tmp_path / "out", texts, "--keep-models"))
    assert done.status == 0, done.err
    assert "calibrated on" in done.out
    assert (tmp_path / "out" / "de+sw" / "model.safetensors").exists()


def test_without_matplotlib_only_the_figure_is_left_out(capsys, tmp_path, tiny, texts, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(capsys, *ask(tiny, tmp_path / "out", texts))
    assert done.status == 0, done.err
    assert "calibrated on" in done.out
    assert "figure" not in done.out
    assert "pip install 'jaxprune[figures]'" in " ".join(done.err.split())
    assert not (tmp_path / "out" / "perplexity.png").exists()
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())["calibrations"]) == ["de", "de,sw"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--method", "magnitude"],
        ["--calibration", "de"],
        ["--calibration", "de , sw"],
        ["--calibration", "xx"],
        ["--texts", "tokens:a.npy"],
    ],
)
def test_a_wrong_request_ends_with_2_and_leaves_nothing(capsys, tmp_path, tiny, texts, arguments):
    done = run(capsys, *ask(tiny, tmp_path / "out", texts, *arguments))
    assert done.status == 2, done.err
    assert not list(tmp_path.iterdir())
