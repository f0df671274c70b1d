"""Statistics of the first block that serve twice: the same bits, and collected once."""

import numpy as np
import pytest

from jaxprune.checkpoints import open_checkpoint
from jaxprune.data.calibration import load_tokens
from jaxprune.jobs.prune import prune
from jaxprune.microbatches import make_microbatches
from jaxprune.pruning import first_block
from jaxprune.pruning.blockwise import Progress
from jaxprune.pruning.collecting import collect_statistics
from jaxprune.pruning.first_block import FirstBlockStatistics
from jaxprune.pruning.languages import MeanLanguages
from jaxprune.pruning.patterns import NM, Unstructured
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.pruning.wanda import Wanda
from jaxprune.sharding import make_mesh
from jaxprune.sweep import Sweep
from tests.tiny import VOCAB_SIZE, write_tiny_checkpoint

HALF = Unstructured(0.5, within="output")


@pytest.fixture
def checkpoint(tmp_path):
    write_tiny_checkpoint(tmp_path / "dense", "llama", seed=0)
    return open_checkpoint(str(tmp_path / "dense"))


@pytest.fixture
def collected(monkeypatch):
    """Counts the blocks whose statistics are collected."""
    seen = []

    def count(sweep, index, *args, **kwargs):
        seen.append(index)
        return collect_statistics(sweep, index, *args, **kwargs)

    monkeypatch.setattr(first_block, "collect_statistics", count)
    return seen


def draw(tmp_path, seed):
    path = tmp_path / f"tokens-{seed}.npy"
    np.save(path, np.random.default_rng(seed).integers(3, VOCAB_SIZE, (4, 9)).astype(np.int32))
    return load_tokens(path, samples=None)


def run(checkpoint, out, calibration, method, pattern, **more):
    told = []
    prune(
        checkpoint, out, method=method, pattern=pattern, calibration=calibration,
        mesh=make_mesh({"data": 2, "model": 1}), compute_dtype=np.dtype("float32"),
        progress=Progress(on_tokens=told.append), **more,
    )  # fmt: skip
    return {path.name: path.read_bytes() for path in out.rglob("*.safetensors")}, sum(told)


@pytest.mark.parametrize(
    "method", [Wanda(), pytest.param(SparseGPT(), marks=pytest.mark.slow)], ids=lambda method: method.name
)
def test_the_same_to_the_bit_and_collected_once(tmp_path, checkpoint, collected, method):
    calibration, kept = draw(tmp_path, 0), FirstBlockStatistics()
    for name, pattern in (("half", HALF), ("two-of-four", NM(2, 4))):
        alone = run(checkpoint, tmp_path / f"{name}-alone", calibration, method, pattern)
        shared = run(checkpoint, tmp_path / f"{name}-shared", calibration, method, pattern, collect=kept.collect)
        assert shared == alone
    assert collected.count(0) == 1
    assert collected.count(1) == 2


def test_what_differs_upstream_is_collected_anew(tmp_path, checkpoint, monkeypatch):
    collected = []

    def collect_nothing(sweep, index, params, method, **kwargs):
        collected.append(method)
        return {}

    monkeypatch.setattr(first_block, "collect_statistics", collect_nothing)
    kept = FirstBlockStatistics()

    def collect(seed, method, data=2, index=0, dtype="float32"):
        calibration, mesh = draw(tmp_path, seed), make_mesh({"data": data, "model": 1})
        batches = make_microbatches(calibration.tokens_NT, calibration.languages, mesh=mesh)
        sweep = Sweep(checkpoint.model, batches, mesh=mesh, dtype=dtype)
        kept.collect(sweep, index, {}, method, data_parallel="shard_map", on_tokens=lambda tokens: None)
        return len(collected)

    assert collect(0, Wanda()) == 1
    assert collect(0, Wanda()) == 1
    assert collect(1, Wanda()) == 2  # other tokens
    assert collect(0, Wanda()) == 3  # one is kept
    assert collect(0, SparseGPT()) == 4  # another statistic
    assert collect(0, SparseGPT(languages=MeanLanguages())) == 5  # other groups
    # A parameter that changes what is made of the statistics, and not what they are.
    assert collect(0, SparseGPT(languages=MeanLanguages(), damping=0.5)) == 5
    assert collect(0, SparseGPT(languages=MeanLanguages()), data=1) == 6  # another mesh
    assert collect(0, SparseGPT(languages=MeanLanguages()), data=1, dtype="bfloat16") == 7
    for block in (1, 1, 2):
        collect(0, SparseGPT(languages=MeanLanguages()), data=1, dtype="bfloat16", index=block)
    assert len(collected) == 10
    assert collect(0, SparseGPT(languages=MeanLanguages()), data=1, dtype="bfloat16") == 10
