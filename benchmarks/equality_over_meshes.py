"""Compares one prune on several meshes, and as two processes: which masks and perplexities come out.

    python benchmarks/equality_over_meshes.py --scratch /tmp/meshes

Every run has eight CPU devices, or two processes of four; the first, on one device, is what the others are compared
with. ``--perplexity`` measures the pruned models too, all on one device.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from command import measure
from digest import digest
from machine import describe
from safetensors.numpy import load_file

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


def main() -> None:
    """Prunes once for each mesh and method and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the pruned models; removed at the end")
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--methods", default="magnitude,wanda,sparsegpt")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--perplexity", action="store_true")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    print(describe())
    print(f"{args.model}, {args.samples} x {args.length} tokens")
    print(
        f"{'method':10} {'where':26} {'masks that differ':>18} {'first 10 blocks':>16} {'last block':>11} "
        f"{'perplexity':>11}"
    )
    rows: list[dict[str, Any]] = []
    for method in args.methods.split(","):
        common = ["prune", args.model, "--method", method, "--texts", "sample", "--calibration", "en"]
        common += ["--samples", str(args.samples), "--length", str(args.length)]
        first = None
        for where in (*MESHES, "again " + MESHES[1], f"2 processes, {PROCESSES}"):
            out = args.scratch / "pruned"
            if where.startswith("2 processes"):
                prune_as_two([*common[:2], str(out), *common[2:], "--mesh", PROCESSES], args.scratch / "logs")
            else:
                mesh = where.removeprefix("again ")
                words = [sys.executable, "-m", "jaxprune", *common[:2], str(out), *common[2:], "--mesh", mesh]
                measure(words, JAX_PLATFORMS="cpu", JAX_NUM_CPU_DEVICES="8")
            masks = load_file(out / "jaxprune" / "masks.safetensors")
            first = first or masks
            row = {"method": method, "where": where, **compare(masks, first), "sha256": digest(out)}
            row["perplexity"] = perplexity(out, args.length) if args.perplexity else None
            rows.append(row)
            shown = "" if row["perplexity"] is None else f"{row['perplexity']:.3f}"
            print(
                f"{method:10} {where:26} {row['all']:18.4%} {row['first_blocks']:16.4%} {row['last_block']:11.4%} "
                f"{shown:>11}",
                flush=True,
            )
            shutil.rmtree(out)
        same = {row["where"]: row["sha256"] for row in rows if row["method"] == method}
        is_same = same[MESHES[1]] == same["again " + MESHES[1]]
        print(f"{method:10} {MESHES[1]} twice: {'the same bytes' if is_same else 'OTHER BYTES'}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    shutil.rmtree(args.scratch)


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
    words = [
        "perplexity",
        str(folder),
        "--texts",
        "sample",
        "--languages",
        "en",
        "--length",
        str(length),
        "--windows",
        "16",
        "--json",
    ]
    done = measure([sys.executable, "-m", "jaxprune", *words])
    return json.loads(done.output)["languages"]["en"]["perplexity"]


if __name__ == "__main__":
    main()
