"""``jaxprune analyze masks`` on what ``prune`` and ``compare`` really write."""

import json
import re
import sys

import pytest

from jaxprune.checkpoints.masks import Masks
from jaxprune.cli.app import main
from tests.cli.run import kept_logging, run

SMALL = ["--samples", 4, "--length", 16]


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, tiny, texts):
    """Prunes a tiny model for two languages, and for one of them with two seeds."""
    folder = tmp_path_factory.mktemp("pruned")
    for name, language, seed in (("de", "de", 0), ("de-1", "de", 1), ("sw", "sw", 0)):
        asked = ["prune", tiny, folder / name, "--calibration", language, "--texts", texts, *SMALL, "--seed", seed]
        with kept_logging(), pytest.raises(SystemExit) as exit_:
            main([str(word) for word in asked])
        assert not exit_.value.code
    return [folder / name for name in ("de", "de-1", "sw")]


def test_the_numbers_are_those_of_the_masks(capsys, pruned):
    done = run(capsys, "analyze", "masks", *pruned, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert [one["label"] for one in found["runs"]] == ["de · seed 0", "de · seed 1", "sw · seed 0"]
    assert found["notes"] == []
    masks = [Masks(folder / "jaxprune") for folder in pruned]
    for pair, (a, b) in zip(found["overlap"]["pairs"], [(0, 1), (0, 2), (1, 2)], strict=True):
        for name, overlap in pair["kernels"].items():
            left, right = masks[a].read(name), masks[b].read(name)
            assert overlap["kept_iou"] == pytest.approx((left & right).sum() / (left | right).sum(), rel=1e-14)
            # Wanda at one half, of even widths.
            assert overlap["kept_chance"] == pytest.approx(1 / 3)
    assert [group["differ"] for group in found["overlap"]["groups"]] == [["seed"], ["languages"], ["languages", "seed"]]
    for one in found["runs"]:
        assert one["sparsity"] == 0.5
        assert one["concentration"]["query_heads"]["gini"] > 0
    # Wanda prunes every output alike: no output stands out, inputs do.
    for kernel in found["zeros"]["sw · seed 0"]["kernels"].values():
        assert kernel["outputs"]["most"] == []
        assert len(kernel["inputs"]["most"]) == 5
        assert kernel["outputs"]["gini_by_chance"] == 0 < kernel["inputs"]["gini_by_chance"]
    assert found["runs"][0]["competition"] == {"inputs": None, "is_of_one_output": True}


def test_masks_and_manifest_are_enough(capsys, tmp_path, pruned):
    for folder in pruned[::2]:
        target = tmp_path / folder.name / "jaxprune"
        target.mkdir(parents=True)
        for name in ("manifest.json", "masks.safetensors"):
            (target / name).write_bytes((folder / "jaxprune" / name).read_bytes())
    done = run(capsys, "analyze", "masks", tmp_path / "de", tmp_path / "sw", "--json")
    assert done.status == 0, done.err
    bare, whole = json.loads(done.out), json.loads(run(capsys, "analyze", "masks", *pruned[::2], "--json").out)
    for key in ("overlap", "zeros", "notes", "kernels", "weights"):
        assert bare[key] == whole[key]


def test_tables_and_figures_for_a_person(capsys, tmp_path, pruned):
    done = run(capsys, "analyze", "masks", *pruned, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert "by chance" in done.out
    assert "0.3333" in done.out
    # Wanda prunes as many of each output: of the models, nothing is said.
    lines = [line for line in done.out.splitlines() if line.split()[:1] == ["outputs"]]
    assert len(lines) == 3
    assert all(line.split() == ["outputs", "even", "by", "the", "pattern", "–"] for line in lines)
    assert len(re.findall(r"inputs +\d\.\d{4} \(\d\.\d{4}\) +block \d \w+_proj \d+: \d+\.\d%", done.out)) == 3
    assert len(re.findall(r"hidden, all blocks +\d\.\d{4} \(\d\.\d{4}\) +\d+: \d+\.\d%, \d+: \d", done.out)) == 3
    assert "seed" in done.out
    assert str(tmp_path / "out") in done.out.replace("\n", "")
    assert {path.suffix for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")} == {".json", ".png"}


def test_without_matplotlib_only_figures_are_left_out(capsys, tmp_path, pruned, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(capsys, "analyze", "masks", *pruned, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert "pip install 'jaxprune[figures]'" in " ".join(done.err.split())
    assert [path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")] == ["masks.json"]


def test_identical_runs(capsys, tmp_path, pruned):
    target = tmp_path / "copy" / "jaxprune"
    target.mkdir(parents=True)
    for path in (pruned[0] / "jaxprune").iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    done = run(capsys, "analyze", "masks", pruned[0], tmp_path / "copy", "--json")
    found = json.loads(done.out)
    assert [one["label"] for one in found["runs"]] == ["de", "copy"]
    [pair] = found["overlap"]["pairs"]
    assert pair["differ"] == []
    assert pair["overall"]["kept_iou"] == pair["overall"]["pruned_iou"] == 1


def test_wrong_requests_end_with_2_and_leave_nothing(capsys, tmp_path, tiny, pruned):
    (tmp_path / "empty").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, message in [
        ([pruned[0]], "two runs or more"),
        ([pruned[0], tiny], "is no pruning"),
        ([pruned[0], pruned[0]], "more than once"),
        ([pruned[0], tmp_path / "missing"], "is not a folder"),
        ([pruned[0], tmp_path / "empty"], "is no pruning"),
        ([pruned[0], tmp_path / "loop"], "is not a folder"),
        ([*pruned, "--top", 0], "--top is 0; give a whole number, 1 or more"),
        ([*pruned, "--out", ""], "the output is the folder you are in"),
        ([*pruned, "--out", tmp_path / "there"], "exists"),
        ([*pruned, "--out", tmp_path / "there", "--overwrite"], "does not look like a result"),
        ([*pruned, "--out", tmp_path / "no" / "out"], "cannot be created"),
    ]:
        done = run(capsys, "analyze", "masks", *arguments)
        assert done.status == 2, done.err
        assert message in done.err.replace("\n", " ")
        assert done.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_help(capsys):
    assert "masks" in run(capsys, "analyze", "--help").out
    done = run(capsys, "analyze", "masks", "--help")
    assert done.status == 0
    for option in ("--out", "--top", "--json", "--overwrite"):
        assert option in done.out
