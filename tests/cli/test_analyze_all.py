"""``jaxprune analyze all``: the numbers of the three commands, from one pass of the text."""

import json
import shutil

import pytest

from jaxprune.cli.app import main
from jaxprune.jobs.manifest import read_manifest, write_manifest
from tests.cli.run import kept_logging, run


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("runs")
    for name, pattern in (("third", "0.33"), ("half", "0.5")):
        request = ["prune", str(tiny), str(folder / name), "--method", "magnitude", "--pattern", pattern]
        with kept_logging(), pytest.raises(SystemExit) as exit_:
            main(request)
        assert not exit_.value.code
    return folder


def asked(texts, *more):
    return ["--texts", texts, "--languages", "de,en,sw", "--length", 64, *more]


def numbers(result):
    return {key: value for key, value in result.items() if key != "seconds"}


def test_together_they_are_what_they_are_alone(capsys, tmp_path, tiny, runs, texts):
    models = [tiny, runs / "third", runs / "half"]
    out = tmp_path / "analysis"
    more = ["--sentences", "none"]
    done = run(capsys, "analyze", "all", *models, *asked(texts, *more, "--out", out, "--json"))
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert set(found) == {"masks", "subspaces", "neurons"}
    assert "same weights" not in done.out
    alone = {
        "masks": ["masks", *models[1:], "--json"],
        "subspaces": ["subspaces", *models, *asked(texts, *more, "--json")],
        "neurons": ["neurons", *models, *asked(texts, "--json")],
    }
    for kind, request in alone.items():
        written = json.loads((out / kind / f"{kind}.json").read_text(encoding="utf-8"))
        assert written == found[kind]
        assert numbers(written) == numbers(json.loads(run(capsys, "analyze", *request).out))
        assert list((out / kind).glob("*.png"))


def test_a_table_for_each_part_and_masks_that_are_left_out(capsys, tmp_path, tiny, runs, texts):
    shutil.copytree(runs / "half", tmp_path / "foreign")
    manifest = read_manifest(str(tmp_path / "foreign"))
    write_manifest(tmp_path / "foreign", {**manifest, "source": {**manifest["source"], "sha256": "f" * 64}})
    request = ["analyze", "all", tiny, tmp_path / "foreign", *asked(texts, "--sentences", "none")]
    done = run(capsys, *request, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    note = "Masks are left out: fewer than two of the models were pruned by jaxprune."
    assert done.out.count(note) == 1
    written = json.loads((tmp_path / "out" / "masks" / "masks.json").read_text(encoding="utf-8"))
    assert written == {"runs": [], "notes": [note]}
    for heading in ("Latent subspaces", "Neurons", "subspace kept", "Language-specific neurons"):
        assert heading in done.out
    # With the hidden states and with the neurons.
    assert " ".join(done.out.split()).count("Models were not all pruned from the same weights: dense (sha256") == 2


@pytest.mark.parametrize("kind", ["masks", "subspaces", "neurons", "all"])
@pytest.mark.parametrize("place", ["half", "half/analysis"])
def test_nothing_is_written_into_what_is_read(capsys, runs, texts, kind, place):
    before = sorted(runs.rglob("*"))
    more = [] if kind == "masks" else asked(texts)
    done = run(capsys, "analyze", kind, runs / "third", runs / "half", *more, "--out", runs / place, "--overwrite")
    assert done.status == 2
    assert "is, or lies in, the folder that is read; choose another." in " ".join(done.err.split())
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", ""], "the output is the folder you are in"),
        (["--languages", "de"], "name two or more"),
        (["--rank", 3], "rank"),
        (["--top-rate", 0], "--top-rate is 0.0"),
    ],
)
def test_wrong_requests_end_with_2_and_a_sentence(capsys, tiny, texts, more, said):
    done = run(capsys, "analyze", "all", tiny, *asked(texts, *more))
    assert done.status == 2
    assert said in " ".join(done.err.split())
