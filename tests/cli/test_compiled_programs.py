"""What one command has compiled, the next one finds; and nobody's own choice of a folder is overruled."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxprune.cli import compiled_programs
from tests.tiny import write_tiny_checkpoint

NAMES = ("JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


def test_a_folder_in_the_cache_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path))
    found = compiled_programs.with_defaults({})
    assert tuple(found) == NAMES
    [folder] = (tmp_path / "compiled").iterdir()
    assert found[NAMES[0]] == str(folder)
    assert NAMES[2] not in compiled_programs.with_defaults({NAMES[2]: "5"})
    assert compiled_programs.with_defaults({NAMES[0]: "/mine"}) == {}


def test_machines_with_other_instructions_share_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path))
    for flags in ("fma avx2", "fma avx2", "fma avx2 avx512f"):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\nMHz : {os.urandom(2).hex()}\n")
        monkeypatch.setattr(compiled_programs, "_PROCESSOR", tmp_path / "cpuinfo")
        compiled_programs.with_defaults({})
    assert len(list((tmp_path / "compiled").iterdir())) == 2
    monkeypatch.setattr(compiled_programs, "_PROCESSOR", tmp_path / "none")
    assert compiled_programs.with_defaults({})


def test_without_a_folder_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "compiled").write_text("a file in its place")
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path))
    assert compiled_programs.with_defaults({}) == {}

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JAXPRUNE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert compiled_programs.with_defaults({}) == {}


@pytest.fixture
def prune(tmp_path):
    """Returns what runs ``jaxprune prune`` in a process of its own, with a cache folder of its own."""
    write_tiny_checkpoint(tmp_path / "dense", "llama", seed=0)
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(3, 200, (4, 9)).astype(np.int32))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMP", "JAX_PERS"))}
    environment["JAXPRUNE_CACHE"] = str(tmp_path / "cache")

    def run(out):
        command = ["prune", str(tmp_path / "dense"), str(tmp_path / out), "--texts", f"tokens:{tmp_path}/tokens.npy"]
        done = subprocess.run(
            [sys.executable, "-m", "jaxprune", *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return {path.name for path in (tmp_path / "cache" / "compiled").rglob("*-cache")}, done.stderr

    return run


def weights(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_a_second_command_compiles_nothing_and_writes_the_same(tmp_path, prune):
    kept, told = prune("first")
    assert any("jit_collect" in name for name in kept)
    assert any("jit_prune" in name for name in kept)
    assert "Warning" not in told
    again, told = prune("second")
    assert again == kept
    assert "Warning" not in told
    assert weights(tmp_path / "first") == weights(tmp_path / "second")


def test_a_program_that_was_cut_off_while_it_was_written_is_compiled_again(tmp_path, prune):
    prune("first")
    for path in (tmp_path / "cache" / "compiled").rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    _, told = prune("second")
    assert "persistent compilation cache" in told
    assert weights(tmp_path / "first") == weights(tmp_path / "second")


def test_the_program_starts_without_what_only_commands_need():
    """Help, versions and refusals are told at once."""
    script = (
        "import sys, jaxprune.cli.app; print(*sorted({'jax', 'numpy', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
