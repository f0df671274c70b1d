"""``jaxprune report``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxprune.cli import console, options


def command(
    out: Annotated[
        Path, typer.Argument(help="The folder of a study, finished or not.", metavar="OUT", show_default=False)
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT/report if it exists.")] = False,
    json: options.Json = False,
) -> None:
    """Say which calibration each language should have, what that brings and costs, who pays, and how sure it is.

    Writes OUT/report: index.html (one page that needs no network), report.md, summary.json (every number) and figures
    as PNG and SVG. What is best, and what must hold, the study file says under decision.

    [bold]Example:[/]  jaxprune report study-results
    """
    from jaxprune.jobs import report as job

    with console.working("reporting"):
        found = job.report(out, overwrite=overwrite)
    if json:
        console.print_json(found)
        return
    for line in found["state"]:
        console.err.print(line, markup=False, highlight=False, soft_wrap=True)
    for of in [*found["own_or_mix"], *found["by_method"]]:
        console.out.print(of["text"], markup=False, highlight=False, soft_wrap=True)
    shown = ""
    for answer in found["answers"]:
        setting = f"{answer['method']} {answer['pattern']}"
        if setting != shown:
            console.out.print(setting, style="bold", markup=False, highlight=False)
            shown = setting
            for of in found["for_all"]:
                if (of["method"], of["pattern"]) == (answer["method"], answer["pattern"]):
                    console.out.print(of["text"], markup=False, highlight=False, soft_wrap=True)
        console.out.print(answer["text"], markup=False, highlight=False, soft_wrap=True)
    for of in found["undecided"]:
        console.out.print(f"{of['method']} {of['pattern']}", style="bold", markup=False, highlight=False)
        console.out.print(of["text"], markup=False, highlight=False, soft_wrap=True)
    folder = out / job.FOLDER
    figures = f"   figures: {folder / job.FIGURES}" if (folder / job.FIGURES).is_dir() else ""
    paths = f"page: {folder / job.PAGE}   table: {folder / job.TABLE}   numbers: {folder / job.SUMMARY}{figures}"
    console.out.print(paths, markup=False, highlight=False, soft_wrap=True)
