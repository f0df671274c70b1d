"""Where the compiler for TPUs is installed, commands look for a TPU only if there can be one."""

import importlib.util

import pytest

from jaxprune.cli import absent_tpu


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with PCI devices of two makers."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for number, vendor in enumerate(("0x8086", "0x10de")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "vendor").write_text(vendor + "\n")
    return tmp_path


def installed(monkeypatch, *names):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in names else None)


def test_none_is_here(machine, monkeypatch):
    installed(monkeypatch, "libtpu")
    assert absent_tpu.is_looked_for(machine)


def test_one_is_here(machine, monkeypatch):
    installed(monkeypatch, "libtpu")
    (machine / "1" / "vendor").write_text("0x1ae0\n")
    assert not absent_tpu.is_looked_for(machine)


def test_nothing_would_look(machine, monkeypatch):
    installed(monkeypatch)
    assert not absent_tpu.is_looked_for(machine)


def test_others_choose(machine, monkeypatch):
    installed(monkeypatch, "libtpu", "jax_cuda13_plugin")
    assert not absent_tpu.is_looked_for(machine)
    installed(monkeypatch, "libtpu")
    monkeypatch.setenv("JAX_PLATFORMS", "tpu,cpu")
    assert not absent_tpu.is_looked_for(machine)
