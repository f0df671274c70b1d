"""``jaxprune analyze subspaces``."""

import statistics
from typing import Any

from jaxprune.cli import console, options, state_options
from jaxprune.cli.analysis_output import print_analysis


def command(
    models: state_options.Models,
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: state_options.NumWindows = 16,
    length: options.Length = 2048,
    rank: state_options.Rank = None,
    sentences: state_options.Sentences = "sample",
    num_sentences: state_options.NumSentences = 200,
    out: state_options.Out = None,
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
    from jaxprune.jobs import analyze_subspaces as job
    from jaxprune.jobs.state_inputs import parse_compared

    rank = check_rank(rank, len(parse_compared(texts, languages)))
    checkpoints, inputs, _, lockstep = state_options.open_states(
        models,
        texts,
        languages,
        windows=windows,
        length=length,
        out=out,
        overwrite=overwrite,
        mesh=mesh,
        compute_dtype=compute_dtype,
        sentences=sentences,
        num_sentences=num_sentences,
    )
    with console.WorkProgress("subspaces", lockstep.total_work) as bar:
        bar.phase(", ".join(inputs.languages))
        result = job.analyze_subspaces(
            checkpoints, inputs, lockstep, rank=rank, out=out, overwrite=overwrite, on_tokens=bar.advance
        )
    print_analysis(result, tables, out=out, json=json)


def tables(result: dict[str, Any]) -> list[Any]:
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
