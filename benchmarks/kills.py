"""Kills a prune with SIGKILL at random moments, resumes it, and compares the result with an uninterrupted one.

    python benchmarks/kills.py --scratch /tmp/kills --kills 20

Each kill hits a run of its own, at a moment drawn from the time between its first file and the end, which an
uninterrupted run tells; one that ended before is not counted. ``--full-disk FOLDER`` (a small file system, for example
a tmpfs mounted for this) prunes into a disk with too little room and into one that fills meanwhile, makes room, and
resumes.
"""

import argparse
import contextlib
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
    args.scratch.mkdir(parents=True)
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
        rows += fill(command, args.full_disk, args.scratch / "whole")
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


def fill(command: Any, folder: Path, whole: Path) -> list[dict[str, Any]]:
    """Prunes where another file fills the disk, before the run or after its third block; makes room and resumes."""
    size = sum(file.stat().st_size for file in whole.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    if free < 1.1 * size:
        raise SystemExit(f"{folder} has {free / 1e6:.0f} MB; the result, {size / 1e6:.0f} MB, must fit when resumed.")
    rows = []
    for first in (0, 3):
        out, ballast = folder / "full", folder / "ballast"
        if first == 0:
            take(ballast, free - size // 2)
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while first and process.poll() is None and blocks_done(out) < first:
            time.sleep(0.02)
        if first:
            take(ballast, free)
        _, messages = process.communicate()
        row = {"status": process.returncode, "message": messages.strip().splitlines()[-1], "result_left": out.exists()}
        row["blocks_done"] = blocks_done(out)
        ballast.unlink()
        subprocess.run(command(out, "--resume"), check=True, capture_output=True)
        row["equal"] = digest(out) == digest(whole)
        print(
            f"full disk: status {row['status']} with {row['blocks_done']} blocks done, {row['message']} Resumed: "
            f"{'equal' if row['equal'] else 'DIFFERENT'}",
            flush=True,
        )
        rows.append(row)
        remove(out)
    return rows


def take(ballast: Path, size: int) -> None:
    """Writes so many bytes, or as many as there is room for."""
    piece = bytes(10**6)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while size > 0:
            size -= file.write(piece[:size])


def blocks_done(out: Path) -> int:
    """Returns how many blocks the journal of an unfinished run has."""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        return len(json.loads((partial(out) / "jaxprune" / "journal.json").read_text())["blocks"])
    return 0


def partial(out: Path) -> Path:
    """Returns the folder in which an unfinished run lies."""
    return out.parent / f".{out.name}.partial"


def remove(out: Path) -> None:
    """Removes a result and what a run may have left beside it."""
    for folder in (out, partial(out)):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
