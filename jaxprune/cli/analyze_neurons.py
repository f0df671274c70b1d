"""``jaxprune analyze neurons``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options


def command(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models, named as for prune. The others are compared with the first, as a rule the dense one.",
            metavar="MODEL [MODEL ...]",
            show_default=False,
        ),
    ],
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: Annotated[
        int | None, numbers.whole("Windows for each language. Default: 16.", least=1, show_default=False)
    ] = None,
    length: options.Length = 2048,
    filter_rate: Annotated[
        float,
        numbers.real(
            "A chosen neuron is more active in some language than this share of the activation probabilities of all "
            "neurons and languages."
        ),
    ] = 0.95,
    top_rate: Annotated[
        float, numbers.real("Share of all neurons that are chosen: those of lowest LAPE that pass the filter.")
    ] = 0.01,
    activation_bar: Annotated[
        float,
        numbers.real(
            "A chosen neuron belongs to the languages in which it is more active than this share of the activation "
            "probabilities."
        ),
    ] = 0.95,
    silence: Annotated[
        bool,
        typer.Option(
            "--silence/--no-silence",
            help="The causal test: silence each language's neurons, and as many others drawn at random, and measure "
            "perplexity in every language. Takes 1 + 2 x languages further passes over the text for each model.",
        ),
    ] = False,
    seed: Annotated[int, numbers.whole("Draws the other neurons that --silence compares with.", least=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write neurons.json and figures to; it must not exist.", show_default=False),
    ] = None,
    overwrite: options.Overwrite = False,
    mesh: options.Mesh = None,
    compute_dtype: options.ComputeDtype = None,
    json: options.Json = False,
) -> None:
    """Find the MLP neurons that serve some languages only, and what pruning made of them.

    LAPE is the entropy of a neuron's activation probabilities over languages: low where it is active in few of them.
    The lowest 1% of the neurons that are active enough are chosen, whatever the text: how many of them are lower than
    windows of mixed languages can be by chance is said beside it. 1000 tokens of each language are needed at least, so
    that a probability has a standard error of 1.6% or less; a hundred times as many make a study.

    [bold]Example:[/]  jaxprune analyze neurons sample:gemma3-270m gemma3-de --texts sample --languages de,en,sw
    --length 512 --out neurons
    """
    from jaxprune.analysis.lape import Thresholds
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.checkpoints.output import OutputFolder
    from jaxprune.data import check_texts
    from jaxprune.errors import RequestError
    from jaxprune.jobs import analyze_neurons as job
    from jaxprune.jobs.settings import parse_compute_dtype, parse_languages
    from jaxprune.sharding import make_mesh, parse_mesh

    if texts is None:
        raise RequestError("no text was named; say where it comes from with --texts, for example --texts sample.")
    asked = [] if texts.startswith(job.TOKENS) else parse_languages(languages)
    job.check_request(texts, asked)
    check_texts(texts)
    thresholds = Thresholds(filter_rate, top_rate, activation_bar)
    if out is not None:
        OutputFolder(out, overwrite=overwrite)
    sizes, dtype = parse_mesh(mesh), parse_compute_dtype(compute_dtype)
    if sizes is not None:
        make_mesh(sizes)
    with console.working(f"opening {', '.join(models)}"):
        checkpoints = [open_checkpoint(model) for model in models]
    with console.working("tokenizing"):
        prepared, leading = job.prepare_neurons(checkpoints, texts, asked, windows=windows, length=length)
    chosen = make_mesh(sizes, sum(len(of_language.tokens_NT) for of_language in prepared.values()))
    with console.WorkProgress("neurons", job.total_work(checkpoints, prepared, is_causal=silence)) as bar:
        result = job.analyze_neurons(
            checkpoints,
            prepared,
            mesh=chosen,
            compute_dtype=dtype,
            texts=texts,
            leading=leading,
            thresholds=thresholds,
            is_causal=silence,
            seed=seed,
            out=out,
            overwrite=overwrite,
            on_tokens=bar.advance,
            on_phase=bar.phase,
        )
    if json:
        console.print_json(result)
        return
    for table in _tables(result):
        console.out.print(table)
    for note in result["notes"]:
        console.out.print(note, markup=False, highlight=False)
    if out is not None:
        console.out.print(f"written: {out}", markup=False, highlight=False)


def _tables(result: dict[str, Any]) -> list[Any]:
    """Returns the models, the languages, and if it was asked for what silencing did."""
    models = result["neurons"]
    rows = [
        [
            label,
            f"{found['specific']:,}",
            "unknown" if found["by_chance"] is None else f"{found['by_chance']['below']:,}",
            f"{found['in_all_languages']:,}",
            _number(found["thresholds"]["lape"]),
            "–" if found["lape"]["quantiles"] is None else _number(_median(found, result)),
            *_against_first(found["against_first"]),
        ]
        for label, found in models.items()
    ]
    title = f"Language-specific neurons (LAPE in nats, at most {result['lape']['highest']:.3f}; in brackets by chance)"
    columns = ["model", "specific", "below chance", "to all languages", "LAPE up to", "median LAPE", "LAPE distance"]
    tables = [console.table(title, [*columns, "IoU with first"], rows)]
    rows = []
    for language in result["languages"]:
        row = [language]
        for found in models.values():
            row.append(f"{found['languages'][language]['size']:,}")
            if found["against_first"] is not None:
                row.append(_overlap(found["against_first"]["languages"][language]))
        rows.append(row)
    columns = ["language"]
    for label, found in models.items():
        columns += [label] if found["against_first"] is None else [label, "IoU with first"]
    tables.append(console.table("Neurons of each language (in brackets IoU by chance)", columns, rows))
    for label, effects in (result["silencing"] or {}).items():
        rows = [
            [silenced, f"{of['own']['neurons']:,}", *(_change(of, language) for language in of["own"]["change"])]
            for silenced, of in effects.items()
        ]
        title = f"{label}: change of log perplexity when a language's neurons are silent (in brackets as many others)"
        tables.append(console.table(title, ["silenced", "neurons", *effects], rows))
    return tables


def _median(found: dict[str, Any], result: dict[str, Any]) -> float:
    return found["lape"]["quantiles"][result["lape"]["quantiles"].index(0.5)]


def _against_first(found: dict[str, Any] | None) -> list[str]:
    return ["–", "–"] if found is None else [_number(found["lape_distance"]), _overlap(found["specific"])]


def _overlap(found: dict[str, Any]) -> str:
    return "undefined" if found["iou"] is None else f"{found['iou']:.3f} ({found['chance']:.3f})"


def _change(effects: dict[str, Any], language: str) -> str:
    own, others = (effects[which]["change"][language]["value"] for which in ("own", "others"))
    return f"{own:+.3f} ({others:+.3f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
