"""``jaxprune analyze subspaces``."""

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options

Models = Annotated[
    list[str],
    typer.Argument(
        help="Models of one shape, named as for prune; the others are compared with the first, which as a rule is the "
        "dense one.",
        metavar="MODEL [MODEL ...]",
        show_default=False,
    ),
]
AnalysisWindows = Annotated[int, numbers.whole("Windows of evaluation text for each language.", least=1)]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder to write all numbers and figures to; it must not exist.", show_default=False),
]
Sentences = Annotated[
    str,
    typer.Option(
        help="Parallel sentences, on which the split is checked: sample (verses with which nothing was calibrated), "
        'none, or file:PATH.jsonl with lines like {"de": "..", "en": ".."}.'
    ),
]
NumSentences = Annotated[int, numbers.whole("Sentences for each language, at most.", least=10)]
Rank = Annotated[
    int | None,
    numbers.whole(
        "Directions of the language-specific subspace. Default: one less than there are languages.",
        least=1,
        show_default=False,
    ),
]


def command(
    models: Models,
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: AnalysisWindows = 16,
    length: options.Length = 2048,
    rank: Rank = None,
    sentences: Sentences = "sample",
    num_sentences: NumSentences = 200,
    out: Out = None,
    overwrite: options.Overwrite = False,
    mesh: options.Mesh = None,
    compute_dtype: options.ComputeDtype = None,
    json: options.Json = False,
) -> None:
    """Split hidden states into what languages share and what tells them apart, before and after pruning.

    After every block: the language-specific subspace (LSAR), and how much energy lies in it; the angles between it and
    that of the first model; signal-to-noise ratio in either part; centred kernel alignment with the first model, and
    between languages. As a check from outside, how well each part finds a sentence's translation, and its language.

    [bold]Example:[/]  jaxprune analyze subspaces sample:gemma3-270m compared/de compared/en --texts sample
    --languages de,en,sw,zh --length 512 --out subspaces
    """
    from jaxprune.analysis.lsar import check_rank
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.checkpoints.output import OutputFolder
    from jaxprune.data import check_texts
    from jaxprune.errors import RequestError
    from jaxprune.jobs import analyze_subspaces as job
    from jaxprune.jobs.settings import parse_compute_dtype, parse_languages
    from jaxprune.jobs.state_inputs import prepare_states
    from jaxprune.sharding import make_mesh, parse_mesh
    from jaxprune.tasks.parallel import check_reference

    if texts is None:
        raise RequestError("no text was named; say where it comes from with --texts, for example --texts sample.")
    asked = parse_languages(languages)
    rank = check_rank(rank, len(asked))
    check_texts(texts)
    check_reference(sentences)
    if out is not None:
        OutputFolder(out, overwrite=overwrite)
    sizes, dtype = parse_mesh(mesh), parse_compute_dtype(compute_dtype)
    if sizes is not None:
        make_mesh(sizes)
    with console.working(f"opening {', '.join(models)}"):
        checkpoints = [open_checkpoint(model) for model in models]
    with console.working("tokenizing"):
        inputs = prepare_states(
            checkpoints,
            texts,
            asked,
            windows=windows,
            length=length,
            sentences=sentences,
            num_sentences=num_sentences,
        )
    chosen = make_mesh(sizes, sum(len(of.tokens_NT) for of in inputs.windows.values()))
    lockstep = job.open_lockstep(checkpoints, inputs, mesh=chosen, compute_dtype=dtype)
    with console.WorkProgress("subspaces", lockstep.total_work) as bar:
        bar.phase(", ".join(inputs.languages))
        result = job.analyze_subspaces(checkpoints, inputs, lockstep, rank=rank, on_tokens=bar.advance)
    result = {"texts": texts, "compute_dtype": str(dtype)} | result
    if out is not None:
        job.write(out, result, overwrite=overwrite)
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
    """Returns for each model what there is after its blocks, mean over languages, and the outside check."""
    tables = []
    for model in result["models"]:
        columns = ["block", "specific share"]
        if model["blocks"][0]["change"]:
            columns += ["subspace kept", "SNR agnostic", "SNR specific", "alignment"]
        if model["blocks"][0]["sentences"]:
            columns += ["retrieval: whole", "agnostic", "identified: specific", "agnostic"]
        rows = [[str(index), *_cells(block)] for index, block in enumerate(model["blocks"])]
        tables.append(console.table(f"{model['label']} (means over languages)", columns, rows))
    return tables


def _cells(block: dict[str, Any]) -> list[str]:
    cells = [f"{statistics.fmean(block['specific_share'].values()):.1%}"]
    if change := block["change"]:
        cells.append(_number(change["squared_cosine"]))
        for part in ("agnostic", "specific"):
            values = [parts[part] for parts in change["snr_db"].values()]
            cells.append("identical" if None in values else f"{statistics.fmean(values):.2f} dB")
        alignments = [value for value in change["alignment"].values() if value is not None]
        cells.append(_number(statistics.fmean(alignments) if alignments else None))
    if checks := block["sentences"]:
        cells += [f"{statistics.fmean(checks['retrieval'][part].values()):.3f}" for part in ("whole", "agnostic")]
        cells += [
            f"{statistics.fmean(checks['identification'][part].values()):.3f}" for part in ("specific", "agnostic")
        ]
    return cells


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
