"""``jaxprune analyze subspaces``."""

from typing import Any

from jaxprune.cli import console, options, processes, state_options
from jaxprune.cli.analysis_output import print_analysis
from jaxprune.cli.decibels import decibels


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
    host_memory: options.HostMemory = None,
    distributed: options.Distributed = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    json: options.Json = False,
) -> None:
    """Split hidden states into what languages share and what tells them apart, before and after pruning.

    After every block: the language-specific subspace (LSAR), how much energy lies in it, and how much of that is a mean
    common to all languages, which tells none of them apart; the principal angles between it and that of the first
    model, smallest to largest; signal-to-noise ratio in either part; centred kernel alignment with the first model, and
    between languages over parallel sentences. As a check from outside, how well each part finds a sentence's
    translation, and its language. 1000 tokens of each language are needed at least; blocks after which two halves of
    the text give different subspaces are named: there more text is needed.

    [bold]Example:[/]  jaxprune analyze subspaces sample:gemma3-270m compared/de compared/en --texts sample
    --languages de,en,sw,zh --length 512 --out subspaces
    """
    asked = dict(locals())
    from jaxprune.analysis.lsar import check_rank
    from jaxprune.distributed import is_first
    from jaxprune.jobs import analyze_subspaces as job
    from jaxprune.jobs.state_inputs import parse_compared

    processes.join(distributed, coordinator, num_processes, process_id)
    processes.check_agreement(asked)
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
        host_memory=host_memory,
        sentences=sentences,
        num_sentences=num_sentences,
    )
    with console.WorkProgress("subspaces", lockstep.total_work, is_shown=is_first()) as bar:
        bar.phase(", ".join(inputs.languages))
        result = job.analyze_subspaces(
            checkpoints, inputs, lockstep, rank=rank, out=out, overwrite=overwrite, on_tokens=bar.advance
        )
    if is_first():
        print_analysis(result, tables, out=out, json=json)


def tables(result: dict[str, Any]) -> list[Any]:
    """Returns for each model what there is after its blocks, mean over languages, and the outside check."""
    tables = []
    rank, width = result["rank"], result["hidden_size"]
    told = f"specific: {rank} of {width} directions, {rank / width:.1%}"
    for model in result["models"]:
        columns = ["block", "specific share", "common\nto all"]
        if model["blocks"][0]["change"]:
            columns += ["subspace kept", "angles", "SNR agnostic (dB)", "SNR specific (dB)", "alignment\nwith first"]
        if model["blocks"][0]["sentences"]:
            columns += ["alignment of\nlanguages"]
            columns += ["retrieval:\nwhole", "retrieval:\nagnostic", "identified:\nspecific", "identified:\nagnostic"]
        rows = [[str(index), *_cells(block)] for index, block in enumerate(model["blocks"])]
        tables.append(console.table(f"{model['label']}, mean over languages\n{told}", columns, rows))
    return tables


def _cells(block: dict[str, Any]) -> list[str]:
    from jaxprune.studies.numbers import subspaces as of

    common = of.common_share(block, "specific")
    cells = [f"{of.mean(block['specific_share']):.1%}", "–" if common is None else f"{common:.0%}"]
    if block["change"]:
        cells += [_number(of.squared_cosine(block)), _angles(of.angle(block, 0), of.angle(block, -1))]
        for part in ("agnostic", "specific"):
            ratio = of.snr_db(block, part)
            assert ratio is not None
            cells.append(decibels(ratio, is_unchanged=of.is_unchanged(block)))
        cells.append(_number(of.alignment_with_first(block)))
    if block["sentences"]:
        cells.append(_number(of.alignment_between(block)))
        cells += [_number(of.check(block, "retrieval", part)) for part in ("whole", "agnostic")]
        cells += [_number(of.check(block, "identification", part)) for part in ("specific", "agnostic")]
    return cells


def _angles(smallest: float | None, largest: float | None) -> str:
    return "–" if smallest is None or largest is None else f"{smallest:.0f} to {largest:.0f}°"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
