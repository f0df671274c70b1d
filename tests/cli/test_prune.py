"""``jaxprune prune`` and ``perplexity`` as interface: files, JSON, exit status, and nothing left after an error."""

import hashlib
import json

import numpy as np
import pytest
import transformers
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import jaxprune
from tests.cli.run import run

SMALL = ["--samples", 6, "--length", 16]


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_the_folder_holds_what_the_interface_says(capsys, tmp_path, tiny, texts, method):
    out = tmp_path / "out"
    done = run(
        capsys, "prune", tiny, out, "--method", method, "--calibration", "de=4,sw=2", "--texts", texts,
        "--length", 16, "--pattern", "1:2", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    manifest = json.loads(done.out)
    assert manifest == json.loads((out / "jaxprune" / "manifest.json").read_text())
    assert manifest["sparsity"]["overall"] == 0.5
    assert set(manifest) >= {
        "method",
        "pattern",
        "calibration",
        "source",
        "sparsity",
        "versions",
        "devices",
        "mesh",
        "seconds",
    }
    assert manifest["method"]["name"] == method
    assert manifest["pattern"]["name"] == "1:2"
    if method == "magnitude":
        assert manifest["calibration"] is None
    else:
        used = manifest["calibration"]
        assert (used["sequences"], used["length"], used["seed"]) == (6, 16, 0)
        assert {name: of["sequences"] for name, of in used["languages"].items()} == {"de": 4, "sw": 2}
        assert all(of["documents"] > 0 and of["tokens"] > 0 for of in used["languages"].values())
    assert transformers.AutoConfig.from_pretrained(out).model_type == "llama"
    assert transformers.AutoTokenizer.from_pretrained(out).encode("Haus")
    with (
        safe_open(out / "model.safetensors", "numpy") as pruned,
        safe_open(tiny / "model.safetensors", "numpy") as dense,
        safe_open(out / "jaxprune" / "masks.safetensors", "numpy") as masks,
    ):
        assert set(pruned.keys()) == set(dense.keys())
        assert set(masks.keys()) == set(manifest["sparsity"]["kernels"])
        for name in pruned.keys():  # noqa: SIM118
            weight, original = pruned.get_tensor(name), dense.get_tensor(name)
            assert weight.dtype == original.dtype
            if name not in masks.keys():  # noqa: SIM118
                np.testing.assert_array_equal(weight, original)
                continue
            kept = np.unpackbits(masks.get_tensor(name), axis=-1, count=weight.shape[1], bitorder="little")
            assert (weight[kept == 0] == 0).all()
            assert (kept.reshape(len(kept), -1, 2).sum(-1) == 1).all()
            if method != "sparsegpt":
                np.testing.assert_array_equal(weight, np.where(kept, original, 0))


def test_prune_then_perplexity_and_the_tables_a_person_reads(capsys, tmp_path, tiny, texts):
    out = tmp_path / "out"
    done = run(capsys, "prune", tiny, out, "--calibration", "de,en", "--texts", texts, *SMALL)
    assert done.status == 0, done.err
    assert "calibration de" in done.out
    assert "50.00%" in done.out
    ask = ["--texts", texts, "--languages", "de,sw", "--length", 16, "--windows", 3]
    table = run(capsys, "perplexity", out, *ask)
    assert table.status == 0, table.err
    assert "bits per byte" in table.out
    assert "95% interval" in table.out
    result = json.loads(run(capsys, "perplexity", out, *ask, "--json").out)
    assert list(result["languages"]) == ["de", "sw"]
    assert result["length"] == 16
    assert result["texts"] == texts
    for found in result["languages"].values():
        assert found["perplexity"] == pytest.approx(np.exp(found["nats_per_token"]))
        assert found["windows"] == 3
        assert found["bits_per_byte"] > 0
        assert found["interval"][0] < found["perplexity"] < found["interval"][1]
    assert result["languages"]["de"]["perplexity"] > 1


def test_tokens_are_used_exactly_as_given_and_need_no_tokenizer(capsys, tmp_path, tiny):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((tiny / name).read_bytes())
    tokens = np.random.default_rng(0).integers(0, 50, (5, 12)).astype(np.int32)
    np.save(tmp_path / "a.npy", tokens)
    np.save(tmp_path / "b.npy", tokens[::-1] // 2)
    done = run(capsys, "prune", bare, tmp_path / "out", "--texts", f"tokens:{tmp_path}/a.npy", "--json")
    assert done.status == 0, done.err
    used = json.loads(done.out)["calibration"]
    assert (used["sequences"], used["length"]) == (5, 12)
    assert used["sha256"] == hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()
    measured = run(capsys, "perplexity", tmp_path / "out", "--texts", f"tokens:{tmp_path}/b.npy", "--json")
    assert measured.status == 0, measured.err
    found = json.loads(measured.out)
    assert list(found["languages"]) == ["tokens"]
    assert found["languages"]["tokens"]["bits_per_byte"] is None
    assert found["languages"]["tokens"]["windows"] == 5
    same = run(capsys, "perplexity", tmp_path / "out", "--texts", f"tokens:{tmp_path}/a.npy")
    assert same.status == 2
    assert "calibrat" in same.err


def test_orbax_output_opens_by_itself_and_converts_back_bit_for_bit(capsys, tmp_path, tiny, texts):
    asked = ["--calibration", "de", "--texts", texts, *SMALL]
    for format in ("orbax", "huggingface"):
        done = run(capsys, "prune", tiny, tmp_path / format, *asked, "--format", format)
        assert done.status == 0, done.err
    done = run(capsys, "convert", tmp_path / "orbax", tmp_path / "back", "--to", "huggingface")
    assert done.status == 0, done.err
    with (
        safe_open(tmp_path / "back" / "model.safetensors", "numpy") as a,
        safe_open(tmp_path / "huggingface" / "model.safetensors", "numpy") as b,
    ):
        for name in b.keys():  # noqa: SIM118
            np.testing.assert_array_equal(a.get_tensor(name), b.get_tensor(name))


@pytest.mark.parametrize("arguments", [
    ["--pattern", "1.0"], ["--pattern", "-0.1"], ["--pattern", "3:2"], ["--pattern", "half"], ["--pattern", "4:7"],
    ["--method", "random"], ["--mesh", "data=99"], ["--mesh", "pods=2"], ["--dtype", "int8"], ["--format", "gguf"],
    ["--calibration", "xx"], ["--calibration", "de=0"], ["--samples", "100000"], ["--fill", "half"],
    ["--compute-dtype", "float64"], ["--damping", "0.1"], ["--within", "row"], ["--texts", "files:/nowhere"],
    ["--texts", "nonsense"], ["--texts", "tokens:/nowhere.npy"],
])  # fmt: skip
def test_a_wrong_request_ends_with_2_and_leaves_nothing(capsys, tmp_path, tiny, texts, arguments):
    asked = {"--calibration": "de", "--texts": texts, "--samples": "4", "--length": "16"}
    asked |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    done = run(capsys, "prune", tiny, tmp_path / "out", *(word for pair in asked.items() for word in pair))
    assert done.status == 2, done.err
    assert "Traceback" not in done.err
    assert done.err.strip()
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_exists_is_kept_unless_told_otherwise(capsys, tmp_path, tiny):
    out = tmp_path / "out"
    asked = ["prune", tiny, out, "--method", "magnitude"]
    assert run(capsys, *asked, "--pattern", "0.25").status == 0
    refused = run(capsys, *asked)
    assert refused.status == 2
    assert "--overwrite" in refused.err
    assert json.loads((out / "jaxprune" / "manifest.json").read_text())["pattern"]["name"] == "0.25"
    assert run(capsys, *asked, "--overwrite").status == 0
    assert json.loads((out / "jaxprune" / "manifest.json").read_text())["pattern"]["name"] == "0.5"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "package.json").write_text("{}")
    assert run(capsys, "prune", tiny, mine, "--method", "magnitude", "--overwrite").status == 2
    assert (mine / "package.json").exists()


def test_names_may_hold_what_looks_like_markup(capsys, tmp_path, tiny, texts):
    out = tmp_path / "o[a] [red] b"
    done = run(capsys, "prune", tiny, out, "--method", "magnitude")
    assert done.status == 0, done.err
    assert "o[a] [red] b" in " ".join(done.out.split())
    asked = ["--texts", texts, "--languages", "de", "--length", 16, "--windows", 2]
    measured = run(capsys, "perplexity", out, *asked)
    assert measured.status == 0, measured.err
    assert "[red]" in measured.out


def test_logits_that_are_not_finite_are_an_error(capsys, tmp_path, tiny, texts):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tiny / "model.safetensors")
    tensors["lm_head.weight"] = tensors["lm_head.weight"] * np.float32(1e38)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * np.float32(1e30)
    save_file(tensors, broken / "model.safetensors")
    asked = ["--texts", texts, "--languages", "de", "--length", 16, "--windows", 2]
    done = run(capsys, "perplexity", broken, *asked, "--json")
    assert done.status == 2
    assert "logits of the de text" in done.err
    # It is computed in float32 already.
    assert "--compute-dtype" not in done.err
    assert "check the checkpoint" in done.err
    assert not done.out


def test_ctrl_c_ends_with_1_and_says_how_to_go_on(capsys, tmp_path, tiny, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxprune.jobs.prune.write_manifest", interrupt)
    done = run(capsys, "prune", tiny, tmp_path / "out", "--method", "magnitude")
    assert done.status == 1
    assert "--resume" in done.err
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    assert run(capsys, "prune", tiny, tmp_path / "out", "--method", "magnitude", "--resume").status == 0


@pytest.mark.parametrize(
    "arguments",
    [["--texts", "files:" + "x" * 300], ["--texts", "tokens:" + "x" * 300], ["--mesh", "data=" + "9" * 5000]],
)
def test_absurdly_long_words_are_refused(capsys, tmp_path, tiny, arguments):
    asked = ["--calibration", "de", "--samples", 4, "--length", 16]
    assert run(capsys, "prune", tiny, tmp_path / "out", *asked, *arguments).status == 2
    assert run(capsys, "prune", "m" * 300, tmp_path / "out", *asked).status == 2
    assert run(capsys, "prune", tiny, tmp_path / ("o" * 300), *asked).status == 2
    assert not list(tmp_path.iterdir())


def test_help_teaches(capsys):
    for command in ("prune", "convert", "perplexity", "snr", "compare"):
        done = run(capsys, command, "--help")
        assert done.status == 0
        assert "Example" in done.out
    words = run(capsys, "prune", "--help").out
    for written in ("[@revision]", "[:CONFIG]", "[#FIELD]", "[sequences,"):
        assert written in words
    assert run(capsys, "--version").out.strip() == jaxprune.__version__
    assert run(capsys, "prune", "--samples").status == 2
    assert run(capsys, "nonsense").status == 2


@pytest.mark.parametrize(
    "option",
    [
        *(["--host-memory", "inf"], ["--host-memory", "-1"], ["--device-states", "-3"]),
        *(["--fill", "bogus"], ["--seed", "-5"]),
    ],
)
def test_numbers_and_words_without_meaning_are_refused_for_token_files_too(capsys, tmp_path, tiny, option):
    np.save(tmp_path / "tokens.npy", np.ones((2, 8), np.int32))
    done = run(capsys, "prune", tiny, tmp_path / "out", "--texts", f"tokens:{tmp_path / 'tokens.npy'}", *option)
    assert done.status == 2, done.err
    assert option[1].lstrip("-") in done.err
    assert not (tmp_path / "out").exists()
