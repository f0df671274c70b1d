"""Asks how long a whole prune takes, at which peak memory and to which perplexity, here and in the best peers.

The peers: ``llmcompressor``'s Wanda and SparseGPT, and the published loop in plain PyTorch (peers/torch_loop.py). All
get the same weights, token ids, pattern and number of threads, prune all linears of all blocks, and write a Hugging
Face folder, each in processes of its own that take turns. Every result is scored by ``jaxprune perplexity`` on the same
held-out ids, so that a fast wrong answer shows.

The peers have an environment of their own, because llmcompressor names the transformers that it works with. Without one
the PyTorch loop runs in this project's, and llmcompressor is told as not run.

    python -m venv /tmp/peers
    /tmp/peers/bin/python -m pip install torch==2.13.0 llmcompressor==0.14.0.1
    python benchmarks/against_peers.py --scratch /tmp/against --peers-python /tmp/peers/bin/python

Run it from an environment without PyTorch, such as ``make demo`` sets up: where transformers finds PyTorch it imports
it, seconds that pruning here has no use for. Add ``--samples 4 --length 128 --windows 8 --repetitions 1`` for a small
run, ``--dtype bfloat16`` for the other table. On a machine with other work take ``--threads 1`` and read the processor
seconds: threads that wait for each other lose most there.

Masks agree in the first blocks; further on rounding decides between near equals, and perplexities differ by as much as
that makes.
"""

import argparse
import dataclasses
import itertools
import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# All compute on the same cores; and nobody looks for a TPU whose compiler happens to be installed.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from command import measure, run
from machine import describe, limit_threads

from jaxprune.checkpoints import open_checkpoint
from jaxprune.jobs.calibrate import calibrate
from jaxprune.jobs.perplexity import prepare_windows
from jaxprune.jobs.settings import parse_method

PEERS = Path(__file__).parent / "peers"
PEER_NAMES = ["PyTorch loop", "llmcompressor"]


@dataclasses.dataclass(frozen=True)
class Task:
    """What every contender is asked."""

    model: Path
    calibration: Path
    method: str
    pattern: str
    dtype: str
    batch: int
    threads: int


@dataclasses.dataclass
class Result:
    """What one contender took, by repetition, and what came of it.

    Attributes:
      wall: seconds of the whole process.
      pruning: seconds without start-up, reading and writing.
      cpu: seconds of processor time, of all threads.
      peak_bytes: resident memory.
      phases: seconds by phase of the last repetition, as the contender names them.
      perplexity: of the last repetition's model.
    """

    wall: list[float] = dataclasses.field(default_factory=list)
    pruning: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    peak_bytes: list[int] = dataclasses.field(default_factory=list)
    phases: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    perplexity: float = float("nan")

    def add(self, process: Any, pruning: float, phases: dict[str, float], versions: dict[str, str]) -> None:
        """Adds a repetition."""
        self.wall.append(process.seconds)
        self.pruning.append(pruning)
        self.cpu.append(process.cpu_seconds)
        self.peak_bytes.append(process.peak_bytes)
        self.phases, self.versions = phases, versions


Contender = Callable[[Task, Path, Result], None]
"""Does the task into a folder, in a process of its own, and adds what it took."""


def jaxprune(compute_dtype: str) -> Contender:
    """Returns this project, computing in that dtype."""

    def contend(task: Task, out: Path, result: Result) -> None:
        done = run(
            *("prune", str(task.model), str(out), "--texts", f"tokens:{task.calibration}", "--method", task.method),
            *("--pattern", task.pattern, "--dtype", task.dtype, "--compute-dtype", compute_dtype),
        )
        seconds = dict(done.result["seconds"])
        pruning = seconds.pop("total") - sum(seconds.get(name, 0.0) for name in ("read", "write", "finish"))
        result.add(done, pruning, seconds, done.result["versions"])

    return contend


def peer(script: str, python: str) -> Contender:
    """Returns a script of ``peers/`` in that environment."""

    def contend(task: Task, out: Path, result: Result) -> None:
        process = measure(
            [
                *(python, str(PEERS / script), str(task.model), str(task.calibration), str(out)),
                *("--method", task.method, "--pattern", task.pattern, "--dtype", task.dtype),
                *("--batch", str(task.batch), "--threads", str(task.threads)),
            ]
        )
        told = json.loads(process.output.splitlines()[-1])
        result.add(process, told["pruning"], told["seconds"], told["versions"])

    return contend


def contenders(dtype: str, peers_python: str | None, peers: list[str]) -> dict[str, Contender]:
    """Returns who takes part, by name; ours first."""
    ours = {f"jaxprune, {compute} compute": jaxprune(compute) for compute in dict.fromkeys((dtype, "float32"))}
    theirs = {"PyTorch loop": peer("torch_loop.py", peers_python or sys.executable)}
    if peers_python:
        theirs["llmcompressor"] = peer("with_llmcompressor.py", peers_python)
    return ours | {name: contender for name, contender in theirs.items() if name in peers}


def prepare(args: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Writes the dense model and the two files of ids; returns their paths."""
    args.scratch.mkdir(parents=True)
    model = args.scratch / "dense"
    run("convert", args.model, str(model), "--to", "huggingface", "--dtype", args.dtype)
    source = open_checkpoint(args.model)
    drawn = calibrate(
        source,
        parse_method("wanda"),
        "en",
        "sample",
        samples=args.samples,
        length=args.length,
        seed=0,
        fill="packed",
    )
    assert drawn is not None
    windows = prepare_windows(source, "sample", ["en"], windows=args.windows, length=args.length, protocol="windows")[
        "en"
    ]
    for name, tokens_NT in (("calibration", drawn.tokens_NT), ("held-out", windows.tokens_NT)):
        np.save(args.scratch / f"{name}.npy", tokens_NT)
    return model, args.scratch / "calibration.npy", args.scratch / "held-out.npy"


def compete(
    task: Task, taking_part: dict[str, Contender], repetitions: int, scratch: Path, held_out: Path
) -> dict[str, Result]:
    """Returns what everyone took, in turns: A B C, A B C."""
    results = {name: Result() for name in taking_part}
    for repetition, (name, contend) in itertools.product(range(repetitions), taking_part.items()):
        out = scratch / "pruned"
        contend(task, out, results[name])
        if repetition == repetitions - 1:
            results[name].perplexity = perplexity(out, held_out)
        shutil.rmtree(out)
    return results


def perplexity(model: Path, held_out: Path) -> float:
    """Returns the held-out perplexity, computed in float32 whoever made the model."""
    done = run("perplexity", str(model), "--texts", f"tokens:{held_out}", "--compute-dtype", "float32")
    return done.result["languages"]["tokens"]["perplexity"]


def print_results(task: Task, results: dict[str, Result]) -> None:
    """Prints a table, each contender beside the fastest peer."""
    fastest = min(statistics.median(found.wall) for name, found in results.items() if not name.startswith("jaxprune"))
    print(f"\n{task.method}, {task.pattern}, {task.dtype} weights")
    print(f"{'':28} {'process s (min-max)':>24} {'pruning s':>10} {'CPU s':>8} {'peak GB':>8} {'perplexity':>11} speed")
    for name, found in results.items():
        wall = statistics.median(found.wall)
        spread = f"{wall:.1f} ({min(found.wall):.1f}-{max(found.wall):.1f})"
        print(
            f"{name:28} {spread:>24} {statistics.median(found.pruning):10.1f} {statistics.median(found.cpu):8.1f} "
            f"{max(found.peak_bytes) / 1e9:8.2f} {found.perplexity:11.3f} {fastest / wall:4.2f}x",
            flush=True,
        )


def main() -> None:
    """Prepares, lets everyone prune, prints, cleans up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder to be made for models; removed at the end")
    parser.add_argument("--peers-python", help="Python of the environment that has llmcompressor")
    parser.add_argument("--peers", nargs="+", default=PEER_NAMES, choices=PEER_NAMES)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--methods", nargs="+", default=["wanda", "sparsegpt"])
    parser.add_argument("--patterns", nargs="+", default=["0.5", "2:4"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the weights")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8, help="sequences that the peers take together")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores that everyone gets")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    limit_threads(args.threads)
    model, calibration, held_out = prepare(args)
    taking_part = contenders(args.dtype, args.peers_python, args.peers)
    dense = perplexity(model, held_out)
    print(describe())
    print(f"{args.model}, {args.samples} x {args.length} tokens, {args.threads} threads, dense perplexity {dense:.3f}")
    if args.peers_python is None and "llmcompressor" in args.peers:
        print("llmcompressor: not run, because --peers-python names no environment that has it")
    rows = []
    for method, pattern in itertools.product(args.methods, args.patterns):
        task = Task(model, calibration, method, pattern, args.dtype, args.batch, args.threads)
        results = compete(task, taking_part, args.repetitions, args.scratch, held_out)
        print_results(task, results)
        rows += [
            {"contender": name, "method": method, "pattern": pattern, **dataclasses.asdict(found)}
            for name, found in results.items()
        ]
    for name, found in results.items():
        print(f"{name}: {', '.join(f'{package} {version}' for package, version in found.versions.items())}")
    if args.json:
        options = {name: value for name, value in vars(args).items() if name not in ("scratch", "json", "peers_python")}
        figures = {"machine": describe(), "options": options, "dense_perplexity": dense, "results": rows}
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    shutil.rmtree(args.scratch)


if __name__ == "__main__":
    main()
