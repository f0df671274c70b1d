"""``jaxprune snr``."""

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options
from jaxprune.cli.decibels import decibels


def command(
    dense: Annotated[
        str, typer.Argument(help="The model as it was, named as for prune.", metavar="DENSE", show_default=False)
    ],
    pruned: Annotated[
        str,
        typer.Argument(
            help="A model that was pruned from it; without a tokenizer of its own it is given the dense one's tokens.",
            metavar="PRUNED",
            show_default=False,
        ),
    ],
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: Annotated[
        int | None,
        numbers.whole("Windows for each language. Default: 16, or every row of tokens:.", least=1, show_default=False),
    ] = None,
    length: options.Length = 2048,
    mesh: options.Mesh = None,
    compute_dtype: options.ComputeDtype = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw the ratios by block to this file, .png or .svg: a line for each language.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the figure's FILE if it exists.")] = False,
    json: options.Json = False,
) -> None:
    """Measure what pruning changed, as signal-to-noise ratios in dB: of weights, and of activations in each language.

    10 dB: the change has a tenth of the energy of what was there; 20 dB: a hundredth. Each model runs its own hidden
    states through its blocks, so that errors add up. In the middle blocks of many models a few tokens with huge
    activations are nearly all of the energy, so the median token of each window has a table of its own, as the mean
    over windows. Intervals are 95 %, for other windows; of weights, which are all known, there is none. --json has
    every linear besides, given the dense model's inputs, and what each window gave.

    [bold]Example:[/]  jaxprune snr sample:gemma3-270m gemma3-de --texts sample --languages de,en,sw --length 512
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.data import check_texts
    from jaxprune.errors import RequestError
    from jaxprune.jobs import snr as job
    from jaxprune.jobs.perplexity import TOKENS
    from jaxprune.jobs.settings import parse_languages
    from jaxprune.resources import parse_compute_dtype
    from jaxprune.sharding import make_mesh, parse_mesh
    from jaxprune.studies.figures.depth import Panel, check_figure, draw_depth

    if texts is None:
        raise RequestError("no text was named; say where it comes from with --texts, for example --texts sample.")
    asked = [] if texts.startswith(TOKENS) else parse_languages(languages)
    check_texts(texts)
    if figure is not None:
        check_figure(figure, overwrite=overwrite)
    sizes, dtype = parse_mesh(mesh), parse_compute_dtype(compute_dtype)
    if sizes is not None:
        make_mesh(sizes)
    with console.working(f"opening {dense} and {pruned}"):
        checkpoints = open_checkpoint(dense), open_checkpoint(pruned)
    with console.working("tokenizing"):
        prepared = job.prepare_snr(*checkpoints, texts, asked, windows=windows, length=length)
    with console.WorkProgress("snr", job.total_work(checkpoints[0], prepared)) as bar:
        bar.phase(", ".join(prepared))
        chosen = make_mesh(sizes, sum(len(of_language.tokens_NT) for of_language in prepared.values()))
        found = job.snr(*checkpoints, prepared, mesh=chosen, compute_dtype=dtype, on_tokens=bar.advance)
    if figure is not None:
        panels = [
            Panel(
                "all tokens together",
                {name: [b.snr_db for b in of.blocks] for name, of in found.languages.items()},
                {name: job.energy_intervals(of) for name, of in found.languages.items()},
            ),
            Panel(
                "median token",
                {name: of.median_tokens_db for name, of in found.languages.items()},
                {name: job.median_intervals(of) for name, of in found.languages.items()},
            ),
        ]
        draw_depth(figure, f"{pruned} against {dense}", panels)
    if json:
        request = {"dense": dense, "pruned": pruned, "texts": texts, "compute_dtype": str(dtype)}
        console.print_json(job.as_json(found, prepared, request))
        return
    _print_tables(f"{pruned} against {dense}: signal-to-noise ratio by block (dB)", found)
    if figure is not None:
        console.out.print(f"figure: {figure}", markup=False, highlight=False)


def _print_tables(title: str, found: Any) -> None:
    from jaxprune.evaluation.distortion import add_up
    from jaxprune.jobs import snr as job

    languages = found.languages.values()
    energies = [
        [f"{_decibels(block)}{_half(interval)}" for block, interval in zip(of.blocks, ends, strict=True)]
        for of, ends in ((of, job.energy_intervals(of)) for of in languages)
    ]
    rows = [[str(index), *row] for index, row in enumerate(zip(map(_decibels, found.blocks), *energies, strict=True))]
    console.out.print(console.table(title, ["block", "weights", *found.languages], rows))
    medians = [
        [
            f"{decibels(db, is_unchanged=block.is_identical)}{_half(interval)}"
            for block, db, interval in zip(of.blocks, of.median_tokens_db, ends, strict=True)
        ]
        for of, ends in ((of, job.median_intervals(of)) for of in languages)
    ]
    rows = [[str(index), *row] for index, row in enumerate(zip(*medians, strict=True))]
    console.out.print(console.table("the same of the median token (dB)", ["block", *found.languages], rows))
    linears = [f"{language} {_median(list(of.linears.values()))}" for language, of in found.languages.items()]
    summary = [
        ["all weights", _decibels(add_up(found.blocks), " dB")],
        ["linears", f"{', '.join(linears)} (median; each with the dense model's inputs)"],
        ["intervals", _interval_words(min(of.windows for of in languages))],
    ]
    console.out.print(console.summary(summary))


def _half(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ±{(interval[1] - interval[0]) / 2:.2f}"


def _interval_words(windows: int) -> str:
    if windows == 1:
        return "no interval: measured on 1 window; weights are exact"
    return f"±: half of the 95% interval for other windows, of {windows} (its ends: --json); weights are exact"


def _decibels(found: Any, unit: str = "") -> str:
    return decibels(found.snr_db, unit, is_unchanged=found.is_identical)


def _median(linears: list[Any]) -> str:
    median = statistics.median(linear.snr_db for linear in linears)
    return decibels(median, " dB", is_unchanged=all(linear.is_identical for linear in linears))
