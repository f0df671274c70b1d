"""``jaxprune snr``: numbers, table, figure, and what is no pair."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.cli.run import run
from tests.tiny import write_tiny_checkpoint


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, tiny):
    """The tiny model pruned by magnitude."""
    from jaxprune.cli.app import main

    out = tmp_path_factory.mktemp("pruned") / "half"
    with pytest.raises(SystemExit) as exit_:
        main(["prune", str(tiny), str(out), "--method", "magnitude"])
    assert not exit_.value.code
    return out


def asked(texts, *more):
    return ["--texts", texts, "--languages", "de,sw", "--length", 16, "--windows", 3, *more]


def test_json_has_every_number(capsys, tiny, pruned, texts):
    done = run(capsys, "snr", tiny, pruned, *asked(texts, "--json"))
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert {key: found[key] for key in ("dense", "pruned", "texts", "length", "compute_dtype")} == {
        "dense": str(tiny), "pruned": str(pruned), "texts": texts, "length": 16, "compute_dtype": "float32",
    }  # fmt: skip
    was, now = load_file(tiny / "model.safetensors"), load_file(pruned / "model.safetensors")
    kernels = found["weights"]["kernels"]
    assert set(kernels) == {name for name in was if "_proj" in name}
    noise = signal = 0.0
    for name, measures in kernels.items():
        a, b = was[name].astype(np.float64), now[name].astype(np.float64)
        assert measures["snr_db"] == pytest.approx(10 * math.log10((a**2).sum() / ((a - b) ** 2).sum()), abs=1e-4)
        assert measures["mean_squared_error"] == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)
        assert not measures["identical"]
        signal, noise = signal + (a**2).sum(), noise + ((a - b) ** 2).sum()
    assert found["weights"]["overall"]["relative_error"] == pytest.approx(noise / signal, rel=1e-5)
    assert len(found["weights"]["blocks"]) == 2
    assert list(found["languages"]) == ["de", "sw"]
    for of_language in found["languages"].values():
        assert (of_language["tokens"], of_language["windows"]) == (48, 3)
        assert set(of_language["linears"]) == set(kernels)
        assert len(of_language["blocks"]) == 2
        for block in of_language["blocks"]:
            assert block["snr_db"] == pytest.approx(-10 * math.log10(block["relative_error"]))
            assert block["median_token_snr_db"] == pytest.approx(block["snr_db"], abs=3)
            by_window = block["by_window"]
            assert {name: len(values) for name, values in by_window.items()} == {
                "signal": 3,
                "noise": 3,
                "median_db": 3,
            }
            ratio = sum(by_window["signal"]) / sum(by_window["noise"])
            assert block["snr_db"] == pytest.approx(10 * math.log10(ratio))
            assert block["median_token_snr_db"] == pytest.approx(np.mean(by_window["median_db"]))
            for value, interval in (("snr_db", "interval_db"), ("median_token_snr_db", "median_token_interval_db")):
                low, high = block[interval]
                assert low < block[value] < high


def test_a_table_by_depth_and_a_figure(capsys, tmp_path, tiny, pruned, texts):
    figure = tmp_path / "depth.png"
    done = run(capsys, "snr", tiny, pruned, *asked(texts, "--figure", figure))
    assert done.status == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["block", "weights", "de", "sw"] in lines
    rows = [line for line in lines if line and line[0].isdigit()]
    found = json.loads(run(capsys, "snr", tiny, pruned, *asked(texts, "--json")).out)
    of_languages = found["languages"].values()

    def cells(block, value, interval):
        half = (block[interval][1] - block[interval][0]) / 2
        return [f"{block[value]:.2f}", f"±{half:.2f}"]

    for index in range(2):
        weights = f"{found['weights']['blocks'][index]['snr_db']:.2f}"
        blocks = [of["blocks"][index] for of in of_languages]
        energies, medians = (
            [cell for block in blocks for cell in cells(block, *names)]
            for names in (("snr_db", "interval_db"), ("median_token_snr_db", "median_token_interval_db"))
        )
        assert rows[index] == [str(index), weights, *energies]
        assert rows[2 + index] == [str(index), *medians]
    assert len(rows) == 4
    assert "95% interval for other windows, of 3" in done.out
    assert "all weights" in done.out
    assert Image.open(figure).width > 400
    again = run(capsys, "snr", tiny, pruned, *asked(texts, "--figure", figure))
    assert again.status == 2
    assert "--overwrite" in again.err
    assert run(capsys, "snr", tiny, pruned, *asked(texts, "--figure", figure, "--overwrite")).status == 0


def test_one_window_has_no_interval_and_says_so(capsys, tiny, pruned, texts):
    done = run(capsys, "snr", tiny, pruned, "--texts", texts, "--languages", "de", "--length", 16, "--windows", 1)
    assert done.status == 0, done.err
    assert "±" not in done.out
    assert "no interval: measured on 1 window; weights are exact" in done.out


def test_a_model_and_itself_show_no_change(capsys, tiny, texts):
    table = run(capsys, "snr", tiny, tiny, *asked(texts))
    assert table.status == 0, table.err
    assert "no change" in table.out
    assert "inf" not in table.out
    found = json.loads(run(capsys, "snr", tiny, tiny, *asked(texts, "--json")).out)
    block = found["languages"]["de"]["blocks"][0]
    assert block == {
        "snr_db": None, "relative_error": 0.0, "mean_squared_error": 0.0, "identical": True,
        "interval_db": None, "median_token_snr_db": None, "median_token_interval_db": None,
        "by_window": {"signal": block["by_window"]["signal"], "noise": [0.0] * 3, "median_db": [None] * 3},
    }  # fmt: skip
    assert found["weights"]["overall"]["identical"]


def test_token_files_serve_every_row_unless_a_model_was_calibrated_on_one(capsys, tmp_path, tiny):
    tokens = np.random.default_rng(0).integers(3, 300, (3, 16)).astype(np.int32)
    np.save(tmp_path / "a.npy", tokens)
    np.save(tmp_path / "b.npy", tokens[::-1] + 1)
    out = tmp_path / "out"
    assert run(capsys, "prune", tiny, out, "--texts", f"tokens:{tmp_path}/a.npy").status == 0
    done = run(capsys, "snr", tiny, out, "--texts", f"tokens:{tmp_path}/b.npy", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["languages"]["tokens"]["windows"] == 3
    same = run(capsys, "snr", tiny, out, "--texts", f"tokens:{tmp_path}/a.npy")
    assert same.status == 2
    assert "calibration sequence" in same.err


@pytest.mark.parametrize(
    ("model_type", "changes", "said"),
    [
        ("cohere", {}, ["llama", "cohere"]),
        ("llama", {"intermediate_size": 64}, ["intermediate_size is 56 and 64"]),
        ("llama", {"vocab_size": 396}, ["vocab_size is 397 and 396"]),
        ("llama", {"num_hidden_layers": 3, "rms_norm_eps": 1e-5}, ["num_hidden_layers is 2 and 3", "rms_norm_eps"]),
    ],
)
def test_models_that_are_no_pair_are_refused(capsys, tmp_path, tiny, texts, model_type, changes, said):
    other = tmp_path / "other"
    write_tiny_checkpoint(other, model_type, **changes)
    done = run(capsys, "snr", tiny, other, *asked(texts, "--json"))
    assert done.status == 2
    assert not done.out
    for words in [*said, "pruned from it"]:
        assert words in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--languages", "de,xx"], "xx"),
        (["--languages", ""], "--languages"),
        (["--windows", 9999], "9999 windows"),
        (["--texts", "nonsense"], "nonsense"),
        (["--mesh", "data=99"], "99"),
        (["--compute-dtype", "int8"], "int8"),
        (["--figure", "figure.jpg"], ".png"),
    ],
)
def test_a_wrong_request_ends_with_2(capsys, tiny, pruned, texts, arguments, said):
    done = run(capsys, "snr", tiny, pruned, *asked(texts, *arguments))
    assert done.status == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err


def test_text_must_be_named(capsys, tiny, pruned):
    done = run(capsys, "snr", tiny, pruned, "--languages", "de")
    assert done.status == 2
    assert "--texts" in done.err
