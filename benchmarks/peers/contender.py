"""What the peers that use PyTorch share: the command line, the model, the token ids, and the clock.

A contender is a process: it reads the model and the ids, prunes, writes a Hugging Face folder, and prints one line of
JSON with seconds. Needs PyTorch, transformers and NumPy, and nothing of jaxprune.
"""

import argparse
import contextlib
import importlib.metadata
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers


class Request(argparse.Namespace):
    """What a contender is asked.

    Attributes:
      model, tokens, out: the dense folder, the ``.npy`` file of calibration ids, and the folder to write.
      method: ``wanda`` or ``sparsegpt``.
      sparsity, pruned, group: the fraction for unstructured pruning, where ``group`` is 0; else ``pruned`` of each
        ``group`` neighbours.
      batch: sequences that go through the model together.
      device: ``cpu`` or ``cuda``.
    """

    model: Path
    tokens: Path
    out: Path
    method: str
    sparsity: float
    pruned: int
    group: int
    batch: int
    dtype: str
    threads: int
    device: str


class Clock:
    """Seconds by phase, added up."""

    def __init__(self) -> None:
        """Starts empty."""
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a phase."""
        start = time.perf_counter()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[name] += time.perf_counter() - start


def contend(prune: Callable[[Any, torch.Tensor, Request, Clock], None], *packages: str) -> None:
    """Reads the request, the model and the ids, lets ``prune`` change the model, and writes it.

    Args:
      prune: prunes every linear in the decoder's blocks in place.
      packages: whose versions are told besides PyTorch's and transformers'.
    """
    request = _parse()
    clock = Clock()
    torch.set_num_threads(request.threads)
    with clock.phase("load"):
        model = transformers.AutoModelForCausalLM.from_pretrained(request.model, dtype=getattr(torch, request.dtype))
        model.eval()
        tokens_NT = torch.from_numpy(np.load(request.tokens).astype(np.int64))
    start = time.perf_counter()
    prune(model, tokens_NT, request, clock)
    pruning = time.perf_counter() - start
    with clock.phase("save"):
        model.save_pretrained(request.out)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", *packages)}
    peak = torch.cuda.max_memory_allocated() if request.device == "cuda" else None
    print(json.dumps({"seconds": clock.seconds, "pruning": pruning, "versions": versions, "peak_device_bytes": peak}))


def _parse() -> Request:
    parser = argparse.ArgumentParser()
    for name in ("model", "tokens", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--method", choices=("wanda", "sparsegpt"), required=True)
    parser.add_argument("--pattern", required=True, help="0.5, or N:M for N kept of every M")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    request = parser.parse_args(namespace=Request())
    kept, _, group = request.pattern.partition(":")
    request.group = int(group or 0)
    request.pruned = request.group - int(kept) if group else 0
    request.sparsity = request.pruned / request.group if group else float(kept)
    return request
