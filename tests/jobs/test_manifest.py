"""Manifests that are damaged, or not ours: refused when they are read, and before any work."""

import json

import pytest

from jaxprune.errors import RequestError
from jaxprune.jobs.manifest import calibrations, read_manifest
from tests.cli.run import run
from tests.tiny import write_tiny_checkpoint

ACCOUNT = {"texts": "sample", "sequence_hashes": ["00"], "document_hashes": ["11"]}
WRONG = {
    '[[1]]': "should hold a JSON object",
    '{"source": ': "is not valid JSON",
    '{"source": {"calibrations": [{"texts": "\\ud800"}]}}': "is not valid JSON",
    '{"source": "x"}': "source",
    '{"source": null}': "source",
    '{"source": NaN}': "source",
    '{"method": {"name": ["wanda"]}}': "method.name",
    '{"pattern": 0.5}': "pattern",
    '{"source": {"calibrations": 3}}': "source.calibrations",
    '{"source": {"calibrations": ["a"]}}': r"source.calibrations\[0\]",
    '{"source": {"calibrations": [{}, {"document_hashes": null}]}}': r"source.calibrations\[1\].document_hashes",
    '{"calibration": []}': "calibration",
    '{"calibration": {"sequence_hashes": 3}}': "calibration.sequence_hashes",
    '{"calibration": {"document_hashes": [[1]]}}': "calibration.document_hashes",
}  # fmt: skip


def write_manifest(folder, text):
    (folder / "jaxprune").mkdir(parents=True)
    (folder / "jaxprune" / "manifest.json").write_text(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_has_another_form_is_named(tmp_path, text):
    write_manifest(tmp_path, text)
    with pytest.raises(RequestError, match=WRONG[text]) as refusal:
        read_manifest(str(tmp_path))
    assert str(tmp_path / "jaxprune" / "manifest.json") in str(refusal.value)
    assert "restore it, or move it away" in str(refusal.value)


def test_what_prune_writes_is_read(tmp_path):
    assert read_manifest(str(tmp_path)) is None
    assert read_manifest("org/name") is None
    own, earlier = ACCOUNT | {"seed": 1}, ACCOUNT | {"seed": 2}
    method, pattern = {"name": "wanda"}, {"name": "0.5"}
    source = {"model": "a", "calibrations": [earlier]}
    manifest = {"method": method, "pattern": pattern, "calibration": own, "source": source}
    write_manifest(tmp_path, json.dumps(manifest))
    assert read_manifest(str(tmp_path)) == manifest
    assert calibrations(manifest) == [own, earlier]
    assert calibrations({"calibration": None, "source": {"calibrations": []}}) == []
    assert calibrations(None) == []


@pytest.mark.parametrize("command", ["prune", "convert"])
def test_a_command_refuses_it_before_it_reads_weights(capsys, tmp_path, monkeypatch, command):
    write_tiny_checkpoint(tmp_path / "model", "llama", seed=0)
    write_manifest(tmp_path / "model", '{"source": "x"}')
    monkeypatch.setattr("jaxprune.checkpoints.safetensors_file.SafetensorsFile.read", None)
    options = {"prune": ["--method", "magnitude"], "convert": ["--to", "huggingface"]}[command]
    done = run(capsys, command, tmp_path / "model", tmp_path / "out", *options)
    assert done.status == 2, done.err
    assert "manifest.json is not a manifest of jaxprune" in " ".join(done.err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
