"""Asks how long it takes to compare the masks of eight prunings of Llama-3-70B, and how much memory.

Writes eight runs with masks of the real shapes, every bit of them on the disk and no two files alike, then runs
``jaxprune analyze masks`` on them as a process of its own, from a page cache as cold as the system makes it. A weight's
bit is that of a mask which all runs share where a coin of the run's own says so (three times of four), and elsewhere
that of a random mask of the run's own. Two runs both keep a weight with probability 1/2 (3/4)^2 + 1/4 (1 - (3/4)^2) =
25/64, so that IoU should be 25/39; what is found is printed beside it.

With fewer than 80 blocks (one takes 0.86 GB in eight runs) the time of all 80 is extrapolated, and named so.

    python benchmarks/masks_of_a_70b.py --scratch /tmp/masks --blocks 8
"""

import argparse
import json
import os
import platform
import shutil
from pathlib import Path

import numpy as np
from command import run

from jaxprune.checkpoints.masks import MASKS_FILE
from jaxprune.checkpoints.safetensors_file import StreamedSafetensors
from jaxprune.checkpoints.tensors import TensorSpec

BLOCKS = 80
SHAPES = {
    "self_attn.q_proj": (8192, 8192),
    "self_attn.k_proj": (1024, 8192),
    "self_attn.v_proj": (1024, 8192),
    "self_attn.o_proj": (8192, 8192),
    "mlp.gate_proj": (28672, 8192),
    "mlp.up_proj": (28672, 8192),
    "mlp.down_proj": (8192, 28672),
}
HEADS = 64
# Two seeds each of four languages.
RUNS = [(language, seed) for language in ("ar", "de", "en", "sw") for seed in (0, 1)]
EXPECTED_IOU = 25 / 39


def write_runs(scratch: Path, num_blocks: int) -> list[Path]:
    """Writes the runs and drops them from the page cache; returns their folders."""
    shapes = {
        f"model.layers.{block}.{where}.weight": shape for block in range(num_blocks) for where, shape in SHAPES.items()
    }
    specs = {name: TensorSpec((d_out, d_in // 8), np.dtype(np.uint8)) for name, (d_out, d_in) in shapes.items()}
    folders = [scratch / f"{language}-{seed}" for language, seed in RUNS]
    files = []
    for folder, (language, seed) in zip(folders, RUNS, strict=True):
        (folder / "jaxprune").mkdir(parents=True)
        (folder / "jaxprune" / "manifest.json").write_text(json.dumps(manifest(language, seed)))
        metadata = {"format": "pt", "layout": "synthetic", "shapes": json.dumps(shapes)}
        files.append(StreamedSafetensors(folder / "jaxprune" / MASKS_FILE, specs, metadata))
    rng = np.random.default_rng(0)
    for name, spec in specs.items():
        shared = random_words(rng, spec.num_bytes)
        for file in files:
            is_shared = random_words(rng, spec.num_bytes) | random_words(rng, spec.num_bytes)
            words = (shared & is_shared) | (random_words(rng, spec.num_bytes) & ~is_shared)
            file.write(name, words.view(np.uint8).reshape(spec.shape))
    for folder, file in zip(folders, files, strict=True):
        file.finish()
        with (folder / "jaxprune" / MASKS_FILE).open("rb") as written:
            if hasattr(os, "posix_fadvise"):  # not on macOS
                os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return folders


def random_words(rng: np.random.Generator, num_bytes: int) -> np.ndarray:
    """Returns random 64-bit words."""
    return rng.integers(0, 2**64, num_bytes // 8, dtype=np.uint64)


def manifest(language: str, seed: int) -> dict[str, object]:
    """Returns what ``jaxprune prune`` would have said of such a run, as far as it is read."""
    return {
        "method": {"name": "wanda"},
        "pattern": {"name": "0.5"},
        "source": {"model": "synthetic-70b", "sha256": "none", "num_attention_heads": HEADS},
        "calibration": {
            "texts": "none",
            "fill": "packed",
            "length": 2048,
            "sequences": 128,
            "seed": seed,
            "languages": {language: {"sequences": 128}},
        },
    }


def main() -> None:
    """Writes, compares, prints, cleans up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8, help=f"of {BLOCKS}; all of them take 69 GB")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the masks; removed at the end")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    needed = args.blocks * len(RUNS) * sum(d_out * d_in // 8 for d_out, d_in in SHAPES.values())
    if args.scratch.exists():
        parser.error(f"--scratch {args.scratch} exists, and would be removed at the end; name a folder that does not.")
    args.scratch.mkdir(parents=True)
    try:
        if shutil.disk_usage(args.scratch).free < needed:
            raise SystemExit(f"{args.blocks} blocks take {needed / 1e9:.1f} GB, more than is free; ask for fewer.")
        folders = write_runs(args.scratch, args.blocks)
        done = run("analyze", "masks", *map(str, folders))
    finally:
        shutil.rmtree(args.scratch)
    found = [pair["overall"]["kept_iou"] for pair in done.result["overlap"]["pairs"]]
    start_up = done.seconds - done.result["seconds"]
    extrapolated = round(start_up + done.result["seconds"] * BLOCKS / args.blocks)
    figures = {
        "blocks": args.blocks,
        "bytes_read": needed,
        "seconds": round(done.seconds, 1),
        "seconds_after_start_up": round(done.result["seconds"], 1),
        "seconds_of_80_blocks_extrapolated": extrapolated if args.blocks < BLOCKS else None,
        "peak_resident_bytes": done.peak_bytes,
        "pairs": len(found),
        "iou_expected": EXPECTED_IOU,
        "iou_found": [min(found), max(found)],
        "processors": os.cpu_count(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}",
    }
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
