"""Compares one prune on several meshes, and as two processes: which masks, errors and perplexities come out.

    python benchmarks/equality_over_meshes.py --scratch /tmp/meshes

Every run has eight CPU devices, or two processes of four; the first, on one device, is what the others are compared
with. What rounding alone makes of the masks shows one more run on one device: of a model whose embedding is off by
the last of its 24 bits. ``--measure`` measures the pruned models too, all on one device: perplexity, and in which block
the layer-wise error on held-out text (mean over its linears, given the dense model's inputs) is furthest from the
first run's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from command import measure, run
from digest import digest
from machine import describe
from safetensors.numpy import load_file, save_file

MESHES = (
    "data=1,model=1",
    "data=2,model=1",
    "data=4,model=1",
    "data=8,model=1",
    "data=1,model=2",
    "data=1,model=8",
    "data=2,model=4",
)
PROCESSES = "data=4,model=2"
ROUNDED = "1 device, embedding 1 bit off"
HELD_OUT = ("--texts", "sample", "--languages", "en")


def main() -> None:
    """Prunes once for each mesh and method and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the pruned models; removed at the end")
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--methods", default="magnitude,wanda,sparsegpt")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--measure", action="store_true", help="perplexities and errors too")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    print(describe())
    print(f"{args.model}, {args.samples} x {args.length} tokens")
    print(
        f"{'method':10} {'where':30} {'masks that differ':>18} {'first 10 blocks':>16} {'last block':>11} "
        f"{'perplexity':>11} {'error of a block':>17}"
    )
    moved = args.scratch / "moved"
    move_embedding(args.model, moved)
    rows: list[dict[str, Any]] = []
    for method in args.methods.split(","):
        common = ["--method", method, "--texts", "sample", "--calibration", "en"]
        common += ["--samples", str(args.samples), "--length", str(args.length)]
        first = first_errors = None
        for where in (*MESHES, "again " + MESHES[1], f"2 processes, {PROCESSES}", ROUNDED):
            out = args.scratch / "pruned"
            if where.startswith("2 processes"):
                prune_as_two(["prune", args.model, str(out), *common, "--mesh", PROCESSES], args.scratch / "logs")
            else:
                mesh = MESHES[0] if where == ROUNDED else where.removeprefix("again ")
                model = str(moved) if where == ROUNDED else args.model
                words = [sys.executable, "-m", "jaxprune", "prune", model, str(out), *common, "--mesh", mesh]
                measure(words, JAX_PLATFORMS="cpu", JAX_NUM_CPU_DEVICES="8")
            masks = load_file(out / "jaxprune" / "masks.safetensors")
            first = first or masks
            row = {"method": method, "where": where, **compare(masks, first), "sha256": digest(out)}
            shown = ""
            if args.measure:
                row["perplexity"] = perplexity(out, args.length)
                row["errors"] = errors = block_errors(args.model, out, args.length)
                first_errors = errors if first_errors is None else first_errors
                row["furthest"] = furthest = max(errors / first_errors - 1, key=abs)
                row["errors"] = errors.tolist()
                shown = f"{row['perplexity']:11.3f} {furthest:+17.3%}"
            rows.append(row)
            print(
                f"{method:10} {where:30} {row['all']:18.4%} {row['first_blocks']:16.4%} {row['last_block']:11.4%} "
                f"{shown}",
                flush=True,
            )
            shutil.rmtree(out)
        same = {row["where"]: row["sha256"] for row in rows if row["method"] == method}
        is_same = same[MESHES[1]] == same["again " + MESHES[1]]
        print(f"{method:10} {MESHES[1]} twice: {'the same bytes' if is_same else 'OTHER BYTES'}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    shutil.rmtree(args.scratch)


def move_embedding(model: str, folder: Path) -> None:
    """Writes the model with the last bit of each weight of its embedding turned."""
    measure(
        [sys.executable, "-m", "jaxprune", "convert", model, str(folder), "--to", "huggingface", "--dtype", "float32"]
    )
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        if (table := tensors.get("model.embed_tokens.weight")) is not None:
            tensors["model.embed_tokens.weight"] = (table.view(np.uint32) ^ 1).view(np.float32)
            save_file(tensors, file, metadata={"format": "pt"})
            return
    raise SystemExit(f"{model} has no model.embed_tokens.weight to move.")


def prune_as_two(words: list[str], logs: Path) -> None:
    """Runs the command as two processes of four devices each."""
    launcher = Path(__file__).parents[1] / "launch" / "local_processes.py"
    command = [sys.executable, str(launcher), "--processes", "2", "--logs", str(logs), "--"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    subprocess.run([*command, sys.executable, "-m", "jaxprune", *words], check=True, env=environment)


def compare(masks: dict[str, np.ndarray], first: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns which share of positions differs: in all blocks, in the first ten, in the last."""
    different = {name: int(np.bitwise_count(packed ^ first[name]).sum()) for name, packed in masks.items()}
    blocks = {name: int(name.partition(".layers.")[2].partition(".")[0]) for name in masks}
    last = max(blocks.values())

    def share(names: list[str]) -> float:
        return sum(different[name] for name in names) / sum(masks[name].size * 8 for name in names)

    return {
        "all": share(list(masks)),
        "first_blocks": share([name for name in masks if blocks[name] < 10]),
        "last_block": share([name for name in masks if blocks[name] == last]),
    }


def perplexity(folder: Path, length: int) -> float:
    """Returns that of the English sample text, on one device."""
    told = run("perplexity", str(folder), *HELD_OUT, "--length", str(length), "--windows", "16").result
    return told["languages"]["en"]["perplexity"]


def block_errors(dense: str, folder: Path, length: int) -> np.ndarray:
    """Returns for each block the mean relative error of its linears' outputs, given the dense model's inputs."""
    told = run("snr", dense, str(folder), *HELD_OUT, "--length", str(length), "--windows", "4").result
    by_block: defaultdict[int, list[float]] = defaultdict(list)
    for name, found in told["languages"]["en"]["linears"].items():
        by_block[int(name.partition(".layers.")[2].partition(".")[0])].append(found["relative_error"])
    return np.asarray([np.mean(by_block[block]) for block in sorted(by_block)])


if __name__ == "__main__":
    main()
