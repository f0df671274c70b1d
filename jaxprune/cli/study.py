"""``jaxprune study``."""

import contextlib
import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxprune.cli import console, options, study_plan


def command(
    config: Annotated[
        Path,
        typer.Argument(help="The study file (YAML); configs/ has examples.", metavar="CONFIG.yaml", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help="Folder for the results. If it holds a part of this study, that goes on.",
            metavar="OUT",
            show_default=False,
        ),
    ],
    shard: Annotated[
        str | None,
        typer.Option(
            help="Compute only the I-th of N parts, I from 1 on: 3/16. Default: all that no other process is at.",
            metavar="I/N",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the points and their work in tokens and items, and compute nothing."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Prune a model in every way that a study file names, and measure each.

    Every point is computed once, by any number of processes and machines that see OUT. A point that is interrupted
    goes on where it was, also on another machine: at once if its process died on the same one, otherwise when nothing
    has been heard of it for three minutes. A point that fails leaves the others alone, and is tried again by the next
    run. A file that asks for more later, points or measures, is answered by computing what is new; new measures prune
    again unless the file says [bold]keep: models[/]. Exit status 1: a point of this part failed.

    [bold]Example:[/]  jaxprune study configs/quick.yaml quick
    """
    from jaxprune.jobs import study as job
    from jaxprune.studies.points.grid import parse_shard

    part = parse_shard(shard)
    study = job.open_study(config, out, part)
    if dry_run:
        study_plan.print_plan(study, part, is_json=json)
        return
    _print_start(study, part)
    with _Follow(study) as follow:
        job.run_study(study, follow.watch())
    result = job.as_json(study, part)
    if json:
        console.print_json(result)
    else:
        _print_results(study, result)
    if result["own"]["failed"] or result["own"]["missing"]:
        raise typer.Exit(1)


class _Follow:
    """Shows a bar for each stage of a point, and a line when the point is through."""

    def __init__(self, study: Any):
        from jaxprune.studies.points.grid import job_id

        self._numbers = {job_id(job): number for number, job in enumerate(study.own, start=1)}
        self._bars = contextlib.ExitStack()
        self._waits_for: Mapping[str, str] = {}

    def __enter__(self) -> "_Follow":
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.close()

    def watch(self) -> Any:
        from jaxprune.jobs.study import Watch

        return Watch(on_stage=self._start, on_end=self._end, on_wait=self._wait)

    def _start(self, name: str, stage: str, total: int) -> console.WorkProgress:
        self._bars.close()
        return self._bars.enter_context(console.WorkProgress(f"{self._title(name)}  {stage}", total))

    def _end(self, name: str, error: str | None) -> None:
        self._bars.close()
        what = "done" if error is None else f"failed at {error}"
        console.err.print(f"{self._title(name)}  {what}", highlight=False, markup=False, soft_wrap=True)

    def _wait(self, busy: Mapping[str, str]) -> None:
        if busy.keys() != self._waits_for.keys():
            told = "; ".join(f"{name} ({holder})" for name, holder in busy.items())
            console.err.print(f"waiting for what others work on: {told}", highlight=False, markup=False, soft_wrap=True)
        self._waits_for = dict(busy)

    def _title(self, name: str) -> str:
        return f"point {self._numbers[name]}/{len(self._numbers)} {name}"


def _print_start(study: Any, part: Any) -> None:
    from jaxprune.jobs.study_coverage import describe_gaps
    from jaxprune.studies.points.grid import job_id

    found = study.results()
    status = {name: None if result is None else result.status for name, result in found.items()}
    own = [status[job_id(job)] for job in study.own]
    again = sum(of not in (None, "done", "outdated") for of in own)
    outdated = sum(of == "outdated" for of in own)
    parts = [
        f"{len(status)} points in all, the dense model's among them",
        f"{sum(of == 'done' for of in status.values())} done",
        f"{sum(of in ('failed', 'damaged') for of in status.values())} failed",
        f"{sum(of != 'done' for of in own)} to do here"
        + (f" (part {part})" if part.count > 1 else "")
        + (f", {again} of them again" if again else "")
        + (f", {outdated} of them only what the file asks for anew" if outdated else ""),
    ]
    console.err.print(f"{study.config.title}: {'; '.join(parts)}", highlight=False, markup=False, soft_wrap=True)
    for gap in describe_gaps(study.config):
        console.err.print(gap, highlight=False, markup=False, soft_wrap=True)


def _print_results(study: Any, result: Mapping[str, Any]) -> None:
    found = study.results()
    if study.config.evaluation.perplexity is not None:
        for title, rows in _tables(study, found):
            columns = ["calibrated on", *study.config.evaluation.languages]
            console.out.print(console.table(f"{study.config.title}: {title}", columns, rows))
    lines = [["done", f"{len(result['done'])} of {result['jobs']} points"]]
    # What all fail by is told once.
    by_reason: dict[str, list[str]] = {}
    for failure in result["failed"]:
        by_reason.setdefault(f"at {failure['stage']}: {failure['message']}", []).append(failure["id"])
    lines += [["failed", f"{', '.join(names)} {reason}"] for reason, names in by_reason.items()]
    if result["missing"]:
        lines.append(["missing", ", ".join(result["missing"])])
    lines.append(["results", f"{study.out}; jaxprune report {study.out} makes a page of them"])
    console.out.print(console.summary(lines))


def _tables(study: Any, found: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """Yields a table for each method and pattern: perplexities, the mean over seeds of nats a token."""
    languages = study.config.evaluation.languages
    grids: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for job in study.jobs:
        result = found["dense" if job is None else job.id]
        if job is not None and result is not None and result.result.get("perplexity"):
            rows = grids.setdefault((job.method.label, job.pattern), {})
            rows.setdefault(job.calibration or "(no text)", []).append(result.result["perplexity"])
    dense = found["dense"]
    head = [["(dense)", *_cells([dense.result["perplexity"]], languages)]] if _is_measured(dense) else []
    for (method, pattern), rows in grids.items():
        of_rows = [[name, *_cells(measured, languages)] for name, measured in rows.items()]
        most = max(len(measured) for measured in rows.values())
        yield f"{method} {pattern}, perplexity" + (f", {most} seeds" if most > 1 else ""), head + of_rows


def _is_measured(result: Any) -> bool:
    return result is not None and bool(result.result.get("perplexity"))


def _cells(measured: list[Mapping[str, Any]], languages: tuple[str, ...]) -> list[str]:
    cells = []
    for language in languages:
        nats = [of[language].get("nats_per_token") for of in measured if of.get(language)]
        # No number is written where it would be infinite.
        mean = statistics.fmean(nats) if all(isinstance(number, int | float) for number in nats) and nats else math.inf
        cells.append(f"{math.exp(mean):.4g}" if mean < 700 else "inf")
    return cells
