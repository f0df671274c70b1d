"""Answers what it takes to prune Llama-3 and Aya-23, 8B to 70B, on TPU slices of 1 to 256 chips.

Compiles every step for each slice; no TPU is needed, but their compiler is (``pip install 'jaxprune[plan]'``). With
``--markdown FILE`` the tables are written as well. Interrupted, it shows what it has, and with ``--json FILE`` it goes
on there the next time. ``--renew-hosts --markdown FILE`` renews the column of host memory in tables that are there: it
follows from the shardings alone, and nothing is compiled.
"""

import argparse
import itertools
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxprune.jobs.plan import find_source, lay_out_work, plan
from jaxprune.planning.hosts import host_needs
from jaxprune.planning.phases import Work
from jaxprune.planning.topologies import Topology, find_topology
from jaxprune.pruning import METHODS
from jaxprune.pruning.patterns import parse_pattern

MODELS = ("llama-3-8b", "llama-3-70b", "aya-23-8b", "aya-23-35b")
TOPOLOGIES = ("v5e:2x4", "v5p:2x2x2", "v6e:4x4", "v5e:16x16")
LENGTHS = (2048, 8192)
SEQUENCES = 128


class Case(NamedTuple):
    """One line of a table."""

    model: str
    method: str
    topology: str
    length: int
    mesh: tuple[int, int] | None = None


GRID = [
    Case(m, method, t, n) for m, method, t, n in itertools.product(MODELS, ("wanda", "sparsegpt"), TOPOLOGIES, LENGTHS)
]
ONE_CHIP = [Case("llama-3-70b", "wanda", "v5e:1x1", 2048)]
GROWTH = [
    Case("llama-3-70b", method, topology, 2048)
    for method in ("wanda", "sparsegpt")
    for topology in ("v5e:2x4", "v5e:4x4", "v5e:4x8", "v5e:8x8", "v5e:8x16", "v5e:16x16")
]
SPLIT = [Case("llama-3-70b", "sparsegpt", "v5e:2x4", 2048, mesh) for mesh in ((4, 2), (2, 4), (1, 8))]


def lay_out(case: Case) -> tuple[Work, Topology]:
    """Returns what a case asks, and the chips."""
    method = METHODS[case.method]()
    topology = find_topology(case.topology, None)
    work = lay_out_work(
        find_source(case.model),
        topology,
        method=method,
        pattern=parse_pattern("0.5", None, method.default_scope),
        sequences={"en": SEQUENCES},
        length=case.length,
        sizes=dict(zip(("data", "model"), case.mesh, strict=True)) if case.mesh else None,
        dtype=jnp.dtype("bfloat16"),
        compute_dtype=jnp.dtype("bfloat16"),
    )
    return work, topology


def measure(case: Case) -> dict[str, Any]:
    """Returns a plan, and the seconds that it took to make."""
    start = time.perf_counter()
    found = plan(*lay_out(case))
    return {**case._asdict(), "plan": found, "planned_in": time.perf_counter() - start}


def with_hosts_renewed(text: str) -> str:
    """Returns tables that ``table`` made with the memory of hosts counted anew."""
    lines = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in MODELS:
            model, method, topology, tokens, mesh = cells[:5]
            data, model_size = map(int, mesh.split(" x "))
            work, _ = lay_out(Case(model, method, topology, int(tokens.split(" x ")[1]), (data, model_size)))
            line = f"| {' | '.join([*cells[:-1], gibibytes(host_needs(work).memory_bytes)])} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def gibibytes(size: int) -> str:
    """Returns the memory of a host as the tables have it."""
    return f"{size / 2**30:.1f}"


def table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """Returns a Markdown table."""
    phases = ("collect", "prepare", "solve", "propagate")
    lines = [
        f"### {title}",
        "",
        "| model | method | chips | tokens | mesh | peak GiB | fits | seconds | "
        + " | ".join(phases)
        + " | host GiB |",
        "|---|---|---|---|---|---:|---|---:|" + "---:|" * len(phases) + "---:|",
    ]
    for row in rows:
        found = row["plan"]
        mesh = "{data} x {model}".format(**found["mesh"])
        has = found["device"]["memory_bytes"] / 2**30
        peak = f"{found['device']['peak_bytes'] / 2**30:.2f} of {has:.2f}"
        seconds = [found["phases"][phase]["seconds"] for phase in phases]
        shown = ["-" if value is None else f"{value:.3g}" for value in (found["seconds"], *seconds)]
        what = [row["model"], row["method"], row["topology"], f"{SEQUENCES} x {row['length']}", mesh, peak]
        cells = [*what, "yes" if found["fits"] else "no", *shown, gibibytes(found["host_bytes"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def earlier(file: Path | None) -> dict[Case, dict[str, Any]]:
    """Returns the plans that an interrupted run with the same versions has written."""
    if file is None or not file.exists():
        return {}
    rows = [row for row in json.loads(file.read_text()) if row["plan"]["versions"] == {"jax": jax.__version__}]
    return {Case(*(row[name] for name in Case._fields[:4]), row["mesh"] and tuple(row["mesh"])): row for row in rows}


def main() -> None:
    """Makes all plans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="plan only cases whose words contain this")
    parser.add_argument("--json", type=Path, help="file to write the plans to; those in it are not made again")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--renew-hosts", action="store_true", help="only the memory of hosts, in the --markdown file")
    arguments = parser.parse_args()
    if arguments.renew_hosts:
        if arguments.markdown is None:
            parser.error("--renew-hosts renews the file that --markdown names; name it")
        arguments.markdown.write_text(with_hosts_renewed(arguments.markdown.read_text()))
        return
    groups = {
        "Llama-3-70B on one chip": ONE_CHIP,
        "From 8 to 256 chips": GROWTH,
        "Weights split over more of eight chips": SPLIT,
        "Four models on four slices": GRID,
    }
    done = earlier(arguments.json)
    wanted = [case for cases in groups.values() for case in cases if arguments.only in " ".join(map(str, case))]
    missing = [case for case in dict.fromkeys(wanted) if case not in done]
    try:
        for number, case in enumerate(missing, 1):
            done[case] = measure(case)
            print(f"{number}/{len(missing)} {case}: {done[case]['planned_in']:.0f} s", file=sys.stderr, flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(list(done.values()), indent=1))
    except KeyboardInterrupt:
        print("interrupted: the tables have what there is", file=sys.stderr)
    text = f"jax {jax.__version__}, Python {platform.python_version()}; seconds are lower bounds of the whole prune; "
    text += f"{sum(case in done for case in set(wanted))} of {len(set(wanted))} plans.\n\n"
    text += "\n".join(
        table(title, rows)
        for title, cases in groups.items()
        if (rows := [done[case] for case in cases if case in done])
    )
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(
            "# Plans\n\nMade by `benchmarks/plans.py --markdown benchmarks/plans.md`.\n"
            "host GiB is the most that any host holds; `--renew-hosts` counts it anew, from the shardings.\n\n" + text
        )


if __name__ == "__main__":
    main()
