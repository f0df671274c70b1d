"""``jaxprune analyze neurons``: numbers, tables, files, and requests that are wrong."""

import json
from pathlib import Path

import pytest

from jaxprune.cli.app import main
from tests.cli.run import kept_logging, run
from tests.tiny import write_tiny_checkpoint


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, tiny):
    """The tiny model pruned by magnitude, at nothing and at one half."""
    folder = tmp_path_factory.mktemp("pruned")
    for name, pattern in (("nothing", "0"), ("half", "0.5")):
        asked = ["prune", str(tiny), str(folder / name), "--method", "magnitude", "--pattern", pattern]
        with kept_logging(), pytest.raises(SystemExit) as exit_:
            main(asked)
        assert not exit_.value.code
    return folder


def asked(texts, *more):
    return ["--texts", texts, "--languages", "de,sw", "--length", 64, "--top-rate", 0.1, *more]


def test_a_model_pruned_at_nothing_is_the_dense_one(capsys, tiny, pruned, texts):
    done = run(capsys, "analyze", "neurons", tiny, pruned / "nothing", pruned / "half", *asked(texts, "--json"))
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert [model["label"] for model in found["models"]] == ["dense", "0.0", "0.5"]
    assert found["texts"] == texts
    assert found["thresholds"] == {"filter_rate": 0.95, "top_rate": 0.1, "activation_bar": 0.95}
    # BOS is no token of a language.
    assert found["languages"] == {language: {"tokens": 16 * 63, "windows": 16} for language in ("de", "sw")}
    assert found["leading_tokens"] == 1
    dense, nothing, half = ({**found["neurons"][name], "against_first": None} for name in ("dense", "0.0", "0.5"))
    assert dense == nothing != half
    assert dense["chosen"] <= 11
    shift = found["neurons"]["0.0"]["against_first"]
    assert shift["lape_distance"] == 0
    assert {of["iou"] for of in shift["languages"].values()} <= {1, None}
    assert found["neurons"]["0.5"]["against_first"]["lape_distance"] > 0
    assert found["silencing"] is None


def test_tables_and_files_for_a_person(capsys, tmp_path, tiny, pruned, texts):
    out = tmp_path / "out"
    more = ("--silence", "--windows", 32, "--out", out)
    done = run(capsys, "analyze", "neurons", tiny, pruned / "half", *asked(texts, *more))
    assert done.status == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("dense", "magnitude")] == ["dense", "magnitude"]
    assert ["silenced", "neurons", "de", "sw", "beyond", "others"] in lines
    assert done.out.count("are silent") == 2
    assert "standard error" in done.out
    told = " ".join(done.out.split())
    assert "Neurons of each language, chosen on all windows" in told
    assert told.count("chosen on every other window, judged on the rest") == 2
    assert "they are not those that all windows choose, nor as many." in told
    assert f"written: {out}" in done.out.replace("\n", "")
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        "neurons.json", "neurons-by-block.png", "lape.png", "silencing-dense.png", "silencing-magnitude.png",
    }  # fmt: skip
    written = json.loads((out / "neurons.json").read_text())
    assert set(written["silencing"]["magnitude"]["sw"]["own"]["change"]) == {"de", "sw"}
    again = run(capsys, "analyze", "neurons", tiny, *asked(texts, "--out", out))
    assert again.status == 2
    assert "--overwrite" in again.err


def test_wrong_requests_end_with_2_and_a_sentence(capsys, tmp_path, tiny, pruned, texts):
    write_tiny_checkpoint(tmp_path / "cohere", "cohere")
    before = sorted(path.name for path in tmp_path.iterdir())
    for models, more, said in [
        ([tiny, tmp_path / "cohere"], [], "the first is a llama model and the second a cohere model"),
        ([tiny, tiny], [], "more than once; name each model once"),
        ([tiny], ["--languages", "de"], "de was asked for; name two or more with --languages"),
        ([tiny], ["--languages", ""], "--languages"),
        ([tiny], ["--languages", "de,xx"], "xx"),
        ([tiny], ["--texts", "tokens:a.npy"], "has no languages"),
        ([tiny], ["--texts", "nonsense"], "nonsense"),
        ([tiny], ["--windows", 15], "15 windows of 64 tokens are 945 for each language, and fewer than 1000"),
        ([tiny], ["--silence", "--windows", 7, "--length", 512], "it takes four to tell an effect from chance"),
        ([tiny], ["--silence"], "8 windows are 504 tokens of each language, fewer than 1000; ask for more (--windows)"),
        ([tiny], ["--windows", 0], "--windows is 0"),
        ([tiny], ["--filter-rate", 1], "--filter-rate is 1.0; give 0 or more and less than 1"),
        ([tiny], ["--top-rate", 2], "--top-rate is 2.0"),
        ([tiny], ["--activation-bar", "high"], "--activation-bar is 'high'"),
        ([tiny], ["--seed", -1], "--seed is -1"),
        ([tiny], ["--mesh", "data=99"], "99"),
        ([tiny], ["--compute-dtype", "int8"], "int8"),
        ([tiny], ["--out", tmp_path / "no" / "out"], "cannot be created"),
    ]:
        done = run(capsys, "analyze", "neurons", *models, *asked(texts, *more))
        assert done.status == 2, (said, done.err)
        assert said in " ".join(done.err.split()), done.err
        assert done.out == ""
        assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    done = run(capsys, "analyze", "neurons", tiny, "--languages", "de,sw")
    assert (done.status, "--texts" in done.err) == (2, True)


def test_text_that_calibrated_any_of_the_models_is_refused(capsys, tmp_path, tiny, texts):
    """Not only the first's: here the first documents to be measured on have calibrated the other."""
    out, ours, theirs = tmp_path / "out", tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    for language in ("de", "sw"):
        lines = Path(texts.removeprefix("files:"), f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
        (ours / f"{language}.evaluation.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (theirs / f"{language}.calibration.jsonl").write_text("\n".join(lines[:2]), encoding="utf-8")
    calibrated = ["--calibration", "sw", "--texts", f"files:{theirs}", "--samples", 4, "--length", 16]
    assert run(capsys, "prune", tiny, out, *calibrated).status == 0
    done = run(capsys, "analyze", "neurons", tiny, out, *asked(f"files:{ours}"))
    assert done.status == 2, done.err
    assert "calibrat" in done.err


def test_help(capsys):
    assert "neurons" in run(capsys, "analyze", "--help").out
    done = run(capsys, "analyze", "neurons", "--help")
    assert done.status == 0
    for option in ("--texts", "--filter-rate", "--top-rate", "--activation-bar", "--silence", "--out", "--json"):
        assert option in done.out
