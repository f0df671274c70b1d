"""What the operating system refuses, and what can be refused at once: a message, status 2, and nothing left."""

import builtins
import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.run import run


@pytest.fixture
def lock(monkeypatch):
    """Returns a function after which a path has mode 000, also for root: it cannot be opened, nor what is below."""
    locked: list[Path] = []

    def guard(owner, name, *, itself):
        original = getattr(owner, name)

        def guarded(path, *args, **kwargs):
            if isinstance(path, str | Path) and any(
                folder in Path(path).parents or (itself and folder == Path(path)) for folder in locked
            ):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(path, *args, **kwargs)

        monkeypatch.setattr(owner, name, guarded)

    for name in ("stat", "lstat"):
        guard(os, name, itself=False)
    for owner, name in ((os, "listdir"), (os, "scandir"), (os, "mkdir"), (io, "open"), (builtins, "open")):
        guard(owner, name, itself=True)
    return locked.append


@pytest.fixture
def mine(tmp_path, tiny):
    """Returns a folder with a model, texts and token ids of its own."""
    shutil.copytree(tiny, tmp_path / "place" / "model")
    (tmp_path / "place" / "model" / "jaxprune").mkdir()
    (tmp_path / "place" / "model" / "jaxprune" / "manifest.json").write_text("{}")
    (tmp_path / "place" / "texts").mkdir()
    (tmp_path / "place" / "texts" / "de.txt").write_text("Haus und Baum\n")
    np.save(tmp_path / "place" / "tokens.npy", np.ones((2, 8), np.int32))
    return tmp_path / "place"


@pytest.mark.parametrize(
    ("locked", "options"),
    [
        ("", []),
        ("model/model.safetensors", []),
        ("model/config.json", []),
        ("model/tokenizer.json", []),
        ("model/jaxprune", []),
        ("model/jaxprune/manifest.json", []),
        ("texts", ["--calibration", "de", "--texts", "files:texts"]),
        ("texts", ["--calibration", "de", "--texts", "files:texts/inner"]),
        ("tokens.npy", ["--texts", "tokens:tokens.npy"]),
    ],
)
def test_what_may_not_be_read_is_named(capsys, tmp_path, monkeypatch, mine, lock, locked, options):
    monkeypatch.chdir(tmp_path)
    options = [option.replace(":t", f":{mine}/t") for option in options] or ["--method", "magnitude"]
    before = sorted(os.listdir(tmp_path))
    lock(mine / locked)
    done = run(capsys, "prune", mine / "model", "out", *options)
    assert done.status == 2, done.err
    assert "Traceback" not in done.err
    assert str(mine / locked) in " ".join(done.err.split())
    assert os.strerror(errno.EACCES) in done.err
    assert sorted(os.listdir(tmp_path)) == before


def test_an_output_below_a_locked_folder_is_refused(capsys, tmp_path, tiny, lock):
    (tmp_path / "locked").mkdir()
    lock(tmp_path / "locked")
    done = run(capsys, "prune", tiny, tmp_path / "locked" / "out", "--method", "magnitude")
    assert done.status == 2, done.err
    assert "you may not use it (Permission denied)" in " ".join(done.err.split())


@pytest.mark.parametrize("place", ["loop", "loop/out"])
def test_a_link_that_leads_to_itself(capsys, tmp_path, tiny, place):
    (tmp_path / "loop").symlink_to("loop")
    done = run(capsys, "prune", tiny, tmp_path / place, "--method", "magnitude")
    assert done.status == 2, done.err
    assert done.err.startswith("error: the output")
    assert run(capsys, "prune", tmp_path / place, tmp_path / "out", "--method", "magnitude").status == 2
    assert os.listdir(tmp_path) == ["loop"]


def test_a_limit_on_the_size_of_files(tmp_path, tiny):
    command = [sys.executable, "-m", "jaxprune", "prune", tiny, tmp_path / "out", "--method", "magnitude"]
    limited = f"ulimit -f 8; exec {' '.join(map(str, command))}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 2, done.stderr
    assert "(ulimit -f)" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("prune", ["--samples", "0"], "--samples is 0; give a whole number, 1 or more"),
        ("prune", ["--samples", "many"], "--samples is 'many'; give a whole number, 1 or more"),
        ("prune", ["--length", "1"], "--length is 1; give a whole number, 2 or more"),
        ("prune", ["--damping", "x"], "--damping is 'x'; give a number"),
        ("prune", ["--seed", "1.5"], "--seed is '1.5'; give a whole number"),
        ("prune", ["--calibration", "de=1,,en"], "the mixture 'de=1,,en' is not understood"),
        ("prune", ["--calibration", "de=4", "--samples", "5"], "--samples asks for 5"),
        ("prune", ["--texts", "file:x"], "there is no kind of text 'file'"),
        ("prune", ["--texts", "files:/nowhere"], "there is no folder '/nowhere'"),
        ("prune", ["--texts", "tokens:/nowhere.npy"], "there is no such file"),
        ("prune", ["--fill", "half"], "there is no fill 'half'"),
        ("perplexity", ["--texts", "tokens:/nowhere.npy"], "there is no such file"),
        ("perplexity", ["--texts", "tfds:c4"], "write tfds:NAME@DATA_DIR"),
        ("perplexity", ["--protocol", "other"], "there is no protocol 'other'"),
        ("perplexity", ["--windows", "-1"], "--windows is -1; give a whole number, 1 or more"),
        ("snr", ["--texts", "files:/nowhere"], "there is no folder '/nowhere'"),
        ("snr", ["--windows", "0"], "--windows is 0; give a whole number, 1 or more"),
        ("compare", ["--texts", "files:/nowhere"], "there is no folder '/nowhere'"),
        ("compare", ["--seed", "-1"], "the seed is -1"),
        ("compare", ["--windows", "0"], "--windows is 0; give a whole number, 1 or more"),
        ("generate", ["--max-new-tokens", "0"], "--max-new-tokens is 0; give a whole number, 1 or more"),
        ("generate", ["--top-p", "x"], "--top-p is 'x'; give a number"),
    ],
)
def test_what_can_be_refused_at_once_is_before_the_model_is_opened(
    capsys, tmp_path, monkeypatch, texts, command, options, message
):
    fetched: list[str] = []
    monkeypatch.setattr("jaxprune.checkpoints.fetch_from_hub", lambda name, revision: fetched.append(name))
    out, mixture, source = tmp_path / "out", {"--calibration": "de"}, {"--texts": texts}
    places, request = {
        "prune": ([out], mixture | source),
        "compare": ([out], mixture | source | {"--languages": "de"}),
        "perplexity": ([], source | {"--languages": "de"}),
        "snr": (["org/pruned"], source | {"--languages": "de"}),
        "generate": ([], {"--prompt": "Haus"}),
    }[command]
    request |= dict(zip(options[::2], options[1::2], strict=True))
    places = ["org/model", *places]
    done = run(capsys, command, *places, *(word for pair in request.items() for word in pair))
    assert (done.status, fetched) == (2, []), done.err
    assert message in " ".join(done.err.split())
    assert not list(tmp_path.iterdir())
