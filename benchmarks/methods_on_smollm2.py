"""Asks what the methods cost, and what they keep, on a real model in English.

Prunes SmolLM2-135M with magnitude, Wanda and SparseGPT at 50 % and 2:4, calibrated on the English sample text, and
prints perplexity on held-out English text, seconds and peak memory of the whole process.

    python benchmarks/methods_on_smollm2.py --scratch /tmp/methods
"""

import argparse
import json
import shutil
from pathlib import Path

from command import run

MODEL = "sample:smollm2-135m"


def main() -> None:
    """Prunes and measures, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the pruned models; removed at the end")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    measure = [
        "--texts",
        "sample",
        "--languages",
        "en",
        "--length",
        str(args.length),
        "--windows",
        str(args.windows),
    ]
    calibration = [
        "--texts",
        "sample",
        "--calibration",
        "en",
        "--length",
        str(args.length),
        "--samples",
        str(args.samples),
    ]

    def perplexity(model: str) -> float:
        return run("perplexity", model, *measure).result["languages"]["en"]["perplexity"]

    rows = [{"method": "dense", "pattern": "-", "perplexity": perplexity(MODEL)}]
    print(f"calibration {args.samples} x {args.length} tokens, evaluation {args.windows} x {args.length}")
    print(f"{'method':10} {'pattern':8} {'perplexity':>12} {'seconds':>8} {'peak GB':>8}")
    print(f"{'dense':10} {'-':8} {rows[0]['perplexity']:12.3f}")
    for pattern in ("0.5", "2:4"):
        for method in ("magnitude", "wanda", "sparsegpt"):
            out = args.scratch / f"{method}-{pattern.replace(':', 'of')}"
            out.parent.mkdir(parents=True, exist_ok=True)
            done = run("prune", MODEL, str(out), "--method", method, "--pattern", pattern, *calibration)
            row = {
                "method": method,
                "pattern": pattern,
                "perplexity": perplexity(str(out)),
                "seconds": done.seconds,
                "peak_bytes": done.peak_bytes,
                "seconds_by_phase": done.result["seconds"],
                "compilations": dict(done.compilations),
                "versions": done.result["versions"],
            }
            rows.append(row)
            print(
                f"{method:10} {pattern:8} {row['perplexity']:12.3f} {row['seconds']:8.1f} "
                f"{row['peak_bytes'] / 1e9:8.2f}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    shutil.rmtree(args.scratch)


if __name__ == "__main__":
    main()
