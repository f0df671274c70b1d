"""Kills a prune with SIGKILL at random moments, resumes it, and compares the result with an uninterrupted one.

    python benchmarks/kills.py --scratch /tmp/kills --kills 20

Each kill hits a run of its own, at a moment drawn from the time between its first file and the end, which an
uninterrupted run tells; one that ended before is not counted. ``--full-disk FOLDER``
(a small file system, for example a tmpfs mounted for this) prunes into a full disk first, makes room, and resumes.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from digest import digest
from machine import describe


def main() -> None:
    """Prunes, kills, resumes and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the pruned models; removed at the end")
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--method", default="wanda")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--full-disk", type=Path, help="folder on a file system with too little room")
    parser.add_argument("--json", type=Path, help="file to write what happened to")
    args = parser.parse_args()
    print(describe())
    args.scratch.mkdir(parents=True, exist_ok=True)
    words = ["--method", args.method, "--texts", "sample", "--calibration", "en"]
    words += ["--samples", str(args.samples), "--length", str(args.length)]

    def command(out: Path, *more: str) -> list[str]:
        return [sys.executable, "-m", "jaxprune", "prune", args.model, str(out), *words, *more]

    process = start(command(args.scratch / "whole"), args.scratch / "whole")
    began = time.perf_counter()
    process.wait()
    seconds, expected = time.perf_counter() - began, digest(args.scratch / "whole")
    print(f"uninterrupted: {seconds:.1f} s after its first file")
    moments = random.Random(args.seed)
    rows = []
    while len(rows) < args.kills:
        out = args.scratch / "killed"
        row = kill_once(command(out), moments.uniform(0, seconds), out)
        if out.exists():
            # Programs that the first run has compiled make the others faster: no later moment can hit one.
            seconds = row["after"]
            print(f"ended before {seconds:5.1f} s, and does not count")
            remove(out)
            continue
        subprocess.run(command(out, "--resume"), check=True, capture_output=True)
        row["equal"] = digest(out) == expected
        rows.append(row)
        equal = "equal" if row["equal"] else "DIFFERENT"
        print(f"kill {len(rows):2} after {row['after']:5.1f} s: {row['found']:20} {equal}", flush=True)
        remove(out)
    if args.full_disk:
        rows.append(fill(command, args.full_disk, expected))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    shutil.rmtree(args.scratch)
    if not all(row["equal"] for row in rows):
        sys.exit("a resumed run has other bytes than an uninterrupted one")


def start(words: list[str], out: Path) -> subprocess.Popen[bytes]:
    """Starts a run and returns when it has written its first file."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not partial(out).exists():
        time.sleep(0.01)
    return process


def kill_once(words: list[str], after: float, out: Path) -> dict[str, Any]:
    """Starts a run, kills it so many seconds after its first file, and says what it left."""
    process = start(words, out)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    journal = partial(out) / "jaxprune" / "journal.json"
    blocks = len(json.loads(journal.read_text())["blocks"]) if journal.exists() else None
    found = "nothing begun" if blocks is None else f"{blocks} blocks done"
    return {"after": after, "found": found}


def fill(command: Any, folder: Path, expected: str) -> dict[str, Any]:
    """Prunes into a file system that another file has nearly filled, then makes room and resumes."""
    out, ballast = folder / "full", folder / "ballast"
    free = shutil.disk_usage(folder).free
    ballast.write_bytes(bytes(int(free - 100e6)))
    refused = subprocess.run(command(out), capture_output=True, text=True, check=False)
    message = refused.stderr.strip().splitlines()[-1]
    left = out.exists()
    ballast.unlink()
    subprocess.run(command(out, "--resume"), check=True, capture_output=True)
    row = {"status": refused.returncode, "message": message, "result_left": left, "equal": digest(out) == expected}
    print(f"full disk: status {row['status']}, {message}; resumed: {'equal' if row['equal'] else 'DIFFERENT'}")
    remove(out)
    return row


def partial(out: Path) -> Path:
    """Returns the folder in which an unfinished run lies."""
    return out.parent / f".{out.name}.partial"


def remove(out: Path) -> None:
    """Removes a result and what a run may have left beside it."""
    for folder in (out, partial(out)):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
