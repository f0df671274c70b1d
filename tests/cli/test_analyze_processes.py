"""``jaxprune analyze`` over several processes: the numbers of one, written and printed once."""

import json
import os
import shutil

import numpy as np
import pytest
import safetensors.numpy

from jaxprune import distributed
from jaxprune.cli.app import main
from tests import multiprocess
from tests.cli.conftest import WORDS
from tests.cli.run import kept_logging, run

# Beyond any machine's slowness: a test that hangs has to end.
PATIENCE = 600


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("pruned")
    for pattern in ("0.33", "0.5"):
        asked = ["prune", str(tiny), str(folder / pattern), "--method", "magnitude", "--pattern", pattern]
        with kept_logging(), pytest.raises(SystemExit) as exit_:
            main(asked)
        assert not exit_.value.code
    return [str(folder / "0.33"), str(folder / "0.5")]


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Parallel sentences of one length, about: there is one width to compile."""
    path = tmp_path_factory.mktemp("sentences") / "parallel.jsonl"
    rng = np.random.default_rng(2)
    orders = [rng.permutation(6) for _ in range(11)]
    words = {language: np.array(WORDS[language].split()) for language in ("de", "sw")}
    lines = [json.dumps({language: " ".join(of[order]) for language, of in words.items()}) for order in orders]
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"file:{path}"


def asked(models, texts, *more):
    return ["analyze", "all", *models, "--texts", texts, "--languages", "de,sw", "--length", "128", *more]


def flat(value, path=""):
    """Yields every leaf with its place; but for seconds, which differ from run to run."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key != "seconds":
                yield from flat(item, f"{path}/{key}")
    else:
        yield path, value


def split(result):
    """Returns what a result says in floating point, and all else."""
    leaves = dict(flat(result))
    real = {path: value for path, value in leaves.items() if isinstance(value, float)}
    return real, {path: value for path, value in leaves.items() if path not in real}


@pytest.mark.parametrize("mesh", ["data=2", pytest.param("model=2", marks=pytest.mark.slow)])
def test_two_processes_find_what_one_finds(capsys, monkeypatch, tmp_path, pruned, texts, sentences, mesh):
    """With the windows and sentences shared out over them, or the weights."""
    more = ["--sentences", sentences, "--top-rate", "0.1", "--silence", "--mesh", mesh, "--json"]
    out, logs = tmp_path / "analysis", tmp_path / "logs"
    # Figures would take a third of the time, and are tested elsewhere.
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "matplotlib.py").write_text("raise ImportError", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"), prepend=os.pathsep)
    two = multiprocess.start(asked(pruned, texts, *more, "--out", str(out)), processes=2, devices=1, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [0, 0], (logs / "0.err").read_text()
    found = json.loads((logs / "0.out").read_text(encoding="utf-8"))
    assert (logs / "1.out").read_text() == ""
    assert ["figures are left out" in (logs / f"{process}.err").read_text() for process in (0, 1)] == [True, False]
    alone = run(capsys, *asked(pruned, texts, *more))
    assert alone.status == 0, alone.err
    assert set(found) == {"masks", "subspaces", "neurons"}
    real, counts = split(found)
    expected_real, expected_counts = split(json.loads(alone.out))
    assert counts == expected_counts
    assert real == pytest.approx(expected_real, rel=1e-4, abs=1e-5)
    assert {kind: json.loads((out / kind / f"{kind}.json").read_text(encoding="utf-8")) for kind in found} == found


@pytest.mark.slow
def test_processes_that_are_asked_for_different_things_do_nothing(tmp_path, pruned, texts):
    logs, out = tmp_path / "logs", tmp_path / "never"
    request = asked(pruned, texts, "--out", str(out))
    two = multiprocess.start_each([request, [*request, "--rank", "1"]], devices=1, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        said = " ".join((logs / f"{process}.err").read_text().split())
        assert "process 0 was asked for rank = None, and process 1 for '1'" in said
        assert (logs / f"{process}.out").read_text() == ""
    assert not out.exists()


@pytest.mark.slow
def test_a_model_that_one_process_finds_damaged_ends_both_and_leaves_nothing(tmp_path, pruned, texts):
    broken, logs, out = tmp_path / "broken", tmp_path / "logs", tmp_path / "never"
    shutil.copytree(pruned[1], broken)
    path = broken / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    # Only the process that has the last outputs reads it.
    tensors["model.layers.1.mlp.gate_proj.weight"][-1, -1] = np.inf
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
    request = asked([pruned[0], str(broken)], texts, "--sentences", "none", "--mesh", "model=2", "--out", str(out))
    two = multiprocess.start(request, processes=2, devices=1, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "holds 1 NaN or infinite values" in " ".join((logs / f"{process}.err").read_text().split())
    assert not list(tmp_path.glob("*never*"))


@pytest.mark.parametrize("kind", ["all", "subspaces", "neurons"])
def test_processes_that_cannot_meet_are_refused(capsys, tiny, texts, kind):
    done = run(capsys, "analyze", kind, tiny, "--texts", texts, "--languages", "de,sw", "--num-processes", 2)
    assert done.status == 2
    assert "--coordinator and --process-id are not given" in " ".join(done.err.split())


@pytest.mark.parametrize("kind", ["all", "subspaces", "neurons"])
def test_what_processes_are_asked_for_is_compared_before_anything_else(capsys, monkeypatch, tiny, texts, kind):
    """The other process is made up: it was started with another number of windows, and finds its models elsewhere."""
    told = []

    def gather(mine):
        told.append(json.loads(mine))
        return [mine, json.dumps(told[0] | {"windows": "17"}).encode()]

    monkeypatch.setattr(distributed.jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed, "_gather", gather)
    done = run(capsys, "analyze", kind, tiny, "--texts", texts, "--languages", "de,sw", "--host-memory", 1)
    assert done.status == 2
    assert "process 0 was asked for windows = '16', and process 1 for '17'" in " ".join(done.err.split())
    # Once, and of nothing that may differ.
    [request] = told
    assert not {"models", "host_memory", "process_id"} & set(request)
