r"""Asks how long pruning a Llama-3-8B takes on one GPU, here and in the best peers, and how well the GPU is used.

The model has Llama-3-8B's shapes and random bfloat16 weights, the text is random tokens: neither changes what is
computed. So perplexities say nothing; beside the times stands how far each pruned model's output is from the dense
one's, on other tokens (``output_errors.py``).

Everyone prunes the first ``--blocks`` blocks of it, in a process of its own; with ``--whole``, this project prunes all
32. Work is the same in each block, but a process starts, compiles, reads and writes once: times of a block are those
between, by the contenders' own clocks. This project runs twice: a first time with nothing compiled, and again with the
programs that the first time has kept.

The peers' environment is told of in ``against_peers.py``; on a machine with CUDA its PyTorch is CUDA's.

    python benchmarks/against_peers_on_a_gpu.py --scratch /tmp/gpu --peers-python /tmp/peers/bin/python \
        --whole wanda sparsegpt
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from command import measure, run
from machine import describe
from random_checkpoint import write_checkpoint
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from jaxprune.planning.known_models import KNOWN

HERE = Path(__file__).parent
PEERS = {"PyTorch loop": "torch_loop.py", "llmcompressor": "with_llmcompressor.py"}


@dataclasses.dataclass(frozen=True)
class Taken:
    """What one contender took.

    Attributes:
      contender: who.
      method: what.
      blocks: of the model.
      seconds: of the whole process.
      by_phase: of it, by the contender's own clock.
      pruning: seconds without start-up, reading and writing.
      peak_device_bytes: most that arrays took on the GPU.
      peak_bytes: most resident memory of the process.
      versions: of what decides.
      output_error: see ``output_errors.py``; None if it was not measured.
    """

    contender: str
    method: str
    blocks: int
    seconds: float
    by_phase: dict[str, float]
    pruning: float
    peak_device_bytes: int | None
    peak_bytes: int
    versions: dict[str, str]
    output_error: float | None = None


def ours(model: Path, tokens: Path, out: Path, method: str, blocks: int, contender: str = "jaxprune") -> Taken:
    """Prunes with this project."""
    done = run("prune", str(model), str(out), "--texts", f"tokens:{tokens}", "--method", method)
    by_phase = dict(done.result["seconds"])
    total = by_phase.pop("total")
    pruning = total - sum(by_phase.get(name, 0.0) for name in ("read", "write", "finish"))
    return Taken(
        contender,
        method,
        blocks,
        done.seconds,
        by_phase,
        pruning,
        done.result["peak_device_bytes"],
        done.peak_bytes,
        done.result["versions"],
    )


def theirs(
    name: str, python: str, model: Path, tokens: Path, out: Path, method: str, blocks: int, device: str, batch: int
) -> Taken:
    """Prunes with a script of ``peers/``."""
    process = measure(
        [
            *(python, str(HERE / "peers" / PEERS[name]), str(model), str(tokens), str(out), "--method", method),
            *("--pattern", "0.5", "--dtype", "bfloat16", "--device", device, "--batch", str(batch)),
            *("--threads", str(len(os.sched_getaffinity(0)))),
        ]
    )
    told = json.loads(process.output.splitlines()[-1])
    return Taken(
        name,
        method,
        blocks,
        process.seconds,
        told["seconds"],
        told["pruning"],
        told["peak_device_bytes"],
        process.peak_bytes,
        told["versions"],
    )


def output_errors(dense: Path, tokens: Path, pruned: list[Path]) -> dict[str, float]:
    """Returns what ``output_errors.py`` prints."""
    command = [sys.executable, str(HERE / "output_errors.py"), str(dense), str(tokens), *map(str, pruned)]
    return json.loads(measure(command).output.splitlines()[-1])


def print_taken(taken: Taken) -> None:
    """Prints one contender's line."""
    phases = ", ".join(f"{name} {value:.1f}" for name, value in taken.by_phase.items() if value >= 0.05)
    device = f"{taken.peak_device_bytes / 1e9:.1f}" if taken.peak_device_bytes else "?"
    print(
        f"{taken.contender:14} {taken.method:10} {taken.blocks:2} blocks: {taken.seconds:6.1f} s in all, pruning "
        f"{taken.pruning:6.1f} s; GPU {device} GB, host {taken.peak_bytes / 1e9:.1f} GB ({phases})",
        flush=True,
    )


def write_tokenizer(folder: Path) -> None:
    """Writes a tokenizer of one word: llmcompressor opens one, and has no use for it."""
    Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def gpu() -> str:
    """Returns what the driver calls the GPU, with its version."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"


def main() -> None:
    """Makes models, lets everyone prune, prints, cleans up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder to be made for models; removed at the end")
    parser.add_argument("--peers-python", help="Python of the environment that has the peers; none: no peers")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--model", default="llama-3-8b", choices=sorted(KNOWN))
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: fields of its config to change")
    parser.add_argument("--methods", nargs="+", default=["wanda", "sparsegpt"])
    parser.add_argument("--blocks", type=int, default=8, help="of the model that everyone prunes; 0: none")
    parser.add_argument("--whole", nargs="*", default=[], help="methods with which this project prunes all blocks")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=8, help="sequences that the peers take together")
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"], help="of the peers")
    parser.add_argument("--json", type=Path, help="file to write the figures to, after each run")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True)
    # Nothing is compiled at first, whatever this machine has done before.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(args.scratch / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    config = {**KNOWN[args.model], **args.config}
    rng = np.random.default_rng(1)
    tokens, held_out = args.scratch / "tokens.npy", args.scratch / "held-out.npy"
    np.save(tokens, rng.integers(0, config["vocab_size"], (args.samples, args.length), dtype=np.int32))
    np.save(held_out, rng.integers(0, config["vocab_size"], (2, args.length), dtype=np.int32))
    print(f"{gpu()}; {describe()}; jax {importlib.metadata.version('jax')}")
    print(f"{args.model}, {args.samples} x {args.length} tokens, bfloat16, 50 %", flush=True)
    found: list[Taken] = []

    def keep(taken: Taken) -> None:
        found.append(taken)
        print_taken(taken)
        write()

    def write() -> None:
        if args.json:
            options = {name: value for name, value in vars(args).items() if name not in ("scratch", "json")}
            told = {"gpu": gpu(), "machine": describe(), "options": options}
            told["results"] = [dataclasses.asdict(taken) for taken in found]
            args.json.write_text(json.dumps(told, indent=2, default=str) + "\n")

    def make(blocks: int) -> Path:
        start = time.perf_counter()
        dense = args.scratch / f"dense-{blocks}"
        size = write_checkpoint(dense, {**config, "num_hidden_layers": blocks}, are_blocks_alike=True)
        write_tokenizer(dense)
        print(f"{blocks} blocks, {size / 1e9:.1f} GB, written in {time.perf_counter() - start:.0f} s", flush=True)
        return dense

    if args.blocks:
        dense = make(args.blocks)
        for method in args.methods:
            contend(found, keep, dense, tokens, held_out, method, args)
            write()
        shutil.rmtree(dense)
    if args.whole:
        dense = make(config["num_hidden_layers"])
        for method in args.whole:
            out = args.scratch / "pruned"
            keep(ours(dense, tokens, out, method, config["num_hidden_layers"]))
            shutil.rmtree(out)
    shutil.rmtree(args.scratch)


def contend(
    found: list[Taken], keep: Any, dense: Path, tokens: Path, held_out: Path, method: str, args: argparse.Namespace
) -> None:
    """Lets everyone prune ``dense`` with a method, and puts what came of it beside what it took."""
    outs = {"jaxprune": args.scratch / "by-jaxprune"}
    for contender in ("jaxprune, new", "jaxprune"):
        shutil.rmtree(outs["jaxprune"], ignore_errors=True)
        keep(ours(dense, tokens, outs["jaxprune"], method, args.blocks, contender))
    for name in args.peers if args.peers_python else ():
        out = args.scratch / f"by-{PEERS[name]}"
        try:
            keep(theirs(name, args.peers_python, dense, tokens, out, method, args.blocks, args.device, args.batch))
        except RuntimeError as error:
            print(f"{name} {method}: {error}", flush=True)
            continue
        outs[name] = out
    errors = output_errors(dense, held_out, list(outs.values()))
    for index, taken in enumerate(found):
        if taken.method == method and taken.output_error is None and taken.contender in outs:
            error = errors[str(outs[taken.contender])]
            found[index] = dataclasses.replace(taken, output_error=error)
            print(f"{taken.contender:14} {method:10} relative error of the last block's output {error:.4f}", flush=True)
    for out in outs.values():
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
