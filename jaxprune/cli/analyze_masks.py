"""``jaxprune analyze masks``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options
from jaxprune.cli.analysis_output import print_analysis

# More are in the file that --out writes.
_MOST_PAIRS = 15
_MOST_HIDDEN = 2
_COLUMNS = ("kept_iou", "kept_chance", "pruned_iou", "pruned_chance")


def command(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Folders that prune wrote, or subfolders of what compare wrote; two or more. Only their masks and "
            "manifests are read.",
            metavar="RUN RUN ...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write masks.json and figures to; it must not exist.", show_default=False),
    ] = None,
    top: Annotated[
        int, numbers.whole("How many channels, heads and neurons to name that have lost most.", least=1)
    ] = 5,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Compare the masks of several prunings of one model.

    Overlap (intersection over union) of the kept and of the pruned weights of each two runs, overall, by block, by
    projection and by kernel, each with its level by chance; which input and output channels have lost most;
    concentration of zeros on channels, attention heads and MLP neurons, beside what chance gives as far as the pattern
    leaves it a choice. Runs that differ in the seed only show the noise that the effect of a language has to exceed.

    [bold]Example:[/]  jaxprune analyze masks compared/de compared/en compared/de+en --out overlap
    """
    from jaxprune.checkpoints.output import OutputFolder
    from jaxprune.jobs import analyze_masks as job
    from jaxprune.jobs.mask_runs import open_runs

    if out is not None:
        OutputFolder(out, overwrite=overwrite)
    opened = open_runs(runs)
    with console.WorkProgress("masks", job.total_work(opened), unit="kernels") as bar:

        def on_kernel(name: str) -> None:
            bar.phase(name)
            bar.advance(1)

        result = job.analyze_masks(opened, out=out, top=top, overwrite=overwrite, on_kernel=on_kernel)
    print_analysis(result, tables, out=out, json=json)


def tables(result: dict[str, Any]) -> list[Any]:
    """Returns the runs, the overlaps by what differs, and if they are few all pairs; nothing of no runs."""
    if not result["runs"]:
        return []
    rows = [
        [
            run["label"],
            f"{run['sparsity']:.2%}",
            *(_concentration(run["concentration"][kind]) for kind in ("query_heads", "key_value_heads", "neurons")),
        ]
        for run in result["runs"]
    ]
    title = "Zeros: Gini coefficient, mean over blocks (by chance)"
    tables = [console.table(title, ["run", "pruned", "query heads", "key-value heads", "neurons"], rows)]
    tables.append(_channel_table(result))
    overlap = result["overlap"]
    columns = ["kept IoU", "by chance", "pruned IoU", "by chance"]
    rows = [
        [", ".join(group["differ"]) or "nothing", str(group["pairs"]), *_measures(group["overall"])]
        for group in overlap["groups"]
    ]
    tables.append(console.table("Overlap, mean over pairs of runs", ["differ in", "pairs", *columns], rows))
    if len(overlap["pairs"]) <= _MOST_PAIRS:
        rows = [[f"{pair['a']} / {pair['b']}", *_measures(pair["overall"])] for pair in overlap["pairs"]]
        tables.append(console.table("Overlap of each pair", ["runs", *columns], rows))
    return tables


def _channel_table(result: dict[str, Any]) -> Any:
    """Returns for each run how unevenly zeros lie on channels, and which have lost most."""
    from jaxprune.studies.numbers.masks import SIDES, concentration, most_pruned

    rows = []
    for run in result["runs"]:
        zeros = result["zeros"][run["label"]]
        for side in SIDES:
            most = most_pruned(zeros, side)
            told = f"block {most.block} {most.projection} {most.channel}: {most.sparsity:.1%}" if most else "–"
            name = run["label"] if side == SIDES[0] else ""
            rows.append([name, side, _concentration(concentration(zeros, side)), told])
        hidden = zeros["hidden_channels"]
        if hidden is not None and hidden["most"]:
            found = {"gini": hidden["gini"], "by_chance": hidden["gini_by_chance"]}
            told = ", ".join(f"{channel}: {sparsity:.1%}" for channel, sparsity in hidden["most"][:_MOST_HIDDEN])
            rows.append(["", "hidden, all blocks", _concentration(found), told])
    title = "Channels: Gini coefficient, mean over kernels (by chance)"
    return console.table(title, ["run", "channels", "Gini", "lost most"], rows)


def _measures(overlap: dict[str, float | None]) -> list[str]:
    return ["undefined" if value is None else f"{value:.4f}" for value in map(overlap.get, _COLUMNS)]


def _concentration(found: dict[str, float] | None) -> str:
    if found is None:
        return "–"
    told = f"{found['gini']:.4f}"
    # The pattern can fix an output's, a head's number of zeros, and does so up to rounding.
    is_fixed = not found["by_chance"] and not float(told)
    return "even by the pattern" if is_fixed else f"{told} ({found['by_chance']:.4f})"
