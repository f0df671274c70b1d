"""``jaxprune compare``."""

import contextlib
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options


def command(
    model: options.Model,
    out: options.Out,
    calibration: Annotated[
        list[str],
        typer.Option(
            help="A calibration mixture, as for prune; give the option once for each that is to be compared.",
            show_default=False,
        ),
    ],
    texts: options.Texts = None,
    languages: options.Languages = None,
    method: options.Method = "wanda",
    pattern: options.PatternOption = "0.5",
    samples: options.Samples = None,
    length: options.Length = 2048,
    windows: Annotated[int, numbers.whole("Evaluation windows for each language.", least=1)] = 64,
    seed: options.Seed = 0,
    fill: options.Fill = "packed",
    within: options.Within = None,
    combine: options.LanguageWeights = "sum",
    damping: options.Damping = None,
    mesh: options.Mesh = None,
    dtype: options.Dtype = None,
    compute_dtype: options.ComputeDtype = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the pruned weights, not only masks and manifests.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Prune with several calibration mixtures and compare what each does to every language.

    Writes OUT/results.json, OUT/perplexity.png (a heat map: calibration by evaluation language), and the manifest and
    masks of each pruned model.

    [bold]Example:[/]  jaxprune compare sample:gemma3-270m compared --texts sample --calibration en --calibration de
    --languages de,en,sw --length 512
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.checkpoints.output import OutputFolder
    from jaxprune.data import check_texts
    from jaxprune.data.calibration import check_draw, parse_mix
    from jaxprune.errors import RequestError
    from jaxprune.jobs import compare as job
    from jaxprune.jobs import perplexity, prune
    from jaxprune.jobs.calibrate import calibrate
    from jaxprune.jobs.settings import parse_dtype, parse_languages, parse_method
    from jaxprune.pruning.blockwise import Progress
    from jaxprune.pruning.patterns import parse_pattern
    from jaxprune.resources import parse_compute_dtype
    from jaxprune.sharding import make_mesh, parse_mesh

    chosen = parse_method(method, combine=combine, damping=damping)
    if chosen.statistic is None:
        raise RequestError(f"{method} uses no calibration text, so there is nothing to compare; use jaxprune prune.")
    if texts is None or texts.startswith(perplexity.TOKENS):
        raise RequestError(
            "compare needs a source of text in several languages; name one with --texts, for example --texts sample."
        )
    check_texts(texts)
    check_draw(fill, seed)
    mixtures = ["".join(mixture.split()) for mixture in calibration]
    parsed = [parse_mix(mixture, samples) for mixture in mixtures]
    for i, mixture in enumerate(mixtures):
        if parsed[i] in parsed[:i]:
            raise RequestError(f"--calibration {mixture} is the same as an earlier one; give each mixture once.")
    OutputFolder(out, overwrite=overwrite, source=model)
    sizes = parse_mesh(mesh)
    settings: dict[str, Any] = {
        "method": chosen,
        "pattern": parse_pattern(pattern, within, chosen.default_scope),
        "mesh": make_mesh(sizes, min(sum(mix.values()) for mix in parsed)),
        "dtype": parse_dtype(dtype),
        "compute_dtype": parse_compute_dtype(compute_dtype),
        "keep_models": keep_models,
        "overwrite": overwrite,
    }
    asked = parse_languages(languages)
    with console.working(f"opening {model}"):
        checkpoint = open_checkpoint(model)
    with console.working("drawing text"):
        prepared = perplexity.prepare_windows(
            checkpoint, texts, asked, windows=windows, length=length, protocol="windows"
        )
        drawn = {}
        for mixture in mixtures:
            of_mixture = calibrate(
                checkpoint, chosen, mixture, texts, samples=samples, length=length, seed=seed, fill=fill
            )
            assert of_mixture is not None
            drawn[mixture] = of_mixture
    blocks = checkpoint.model.num_blocks
    with contextlib.ExitStack() as bars:

        def start_bar(title: str, total: int) -> console.WorkProgress:
            bars.close()
            return bars.enter_context(console.WorkProgress(title, total))

        def on_prune(mixture: str) -> Progress:
            bar = start_bar(f"prune ({mixture})", prune.total_work(checkpoint.model, chosen, drawn[mixture]))
            return Progress(
                on_phase=lambda index, phase: bar.phase(f"block {min(index + 1, blocks)}/{blocks} {phase}"),
                on_tokens=bar.advance,
            )

        def on_perplexity(of: str) -> Any:
            return start_bar(f"perplexity ({of})", perplexity.total_work(checkpoint, prepared)).advance

        watch = job.Watch(on_prune, on_perplexity)
        results = job.compare(checkpoint, out, calibrations=drawn, windows=prepared, watch=watch, **settings)
    if json:
        console.print_json(results)
        return
    rows = [[name, *(f"{found[language]['perplexity']:.4g}" for language in asked)] for name, found in _rows(results)]
    title = f"{model}, {method} {pattern}: perplexity by evaluation language"
    console.out.print(console.table(title, ["calibrated on", *asked], rows))
    figure = f"figure: {out / job.FIGURE}   " if (out / job.FIGURE).exists() else ""
    console.out.print(
        f"{figure}numbers: {out / job.RESULTS}   {results['seconds'] / 60:.1f} minutes", markup=False, highlight=False
    )


def _rows(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("(dense)", results["dense"]), *results["calibrations"].items()]
