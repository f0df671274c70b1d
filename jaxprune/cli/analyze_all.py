"""``jaxprune analyze all``."""

from jaxprune.cli import (
    analyze_masks,
    analyze_neurons,
    analyze_subspaces,
    console,
    options,
    processes,
    state_options,
)
from jaxprune.cli.analysis_output import print_analyses

_TABLES = {
    "masks": ("Masks", analyze_masks.tables),
    "subspaces": ("Latent subspaces", analyze_subspaces.tables),
    "neurons": ("Neurons", analyze_neurons.tables),
}


def command(
    models: state_options.Models,
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: state_options.NumWindows = 16,
    length: options.Length = 2048,
    rank: state_options.Rank = None,
    sentences: state_options.Sentences = "sample",
    num_sentences: state_options.NumSentences = 200,
    filter_rate: state_options.FilterRate = 0.95,
    top_rate: state_options.TopRate = 0.01,
    activation_bar: state_options.ActivationBar = 0.95,
    silence: state_options.Silence = False,
    seed: state_options.SilenceSeed = 0,
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
    """Analyse masks, latent subspaces and neurons together: one pass of the text per model.

    The numbers are those of the three commands, whose help says what they mean. Masks are those of the models that
    jaxprune pruned, if there are two or more. In OUT each has a folder; with --out STUDY/analysis, or a folder in it,
    jaxprune report STUDY tells of them too.

    [bold]Example:[/]  jaxprune analyze all sample:gemma3-270m compared/de compared/en --texts sample
    --languages de,en,sw,zh --length 512 --out analysis
    """
    asked = dict(locals())
    from jaxprune.analysis.lape import Thresholds
    from jaxprune.analysis.lsar import check_rank
    from jaxprune.distributed import is_first, together
    from jaxprune.jobs import analyze_all as job
    from jaxprune.jobs.analyze_neurons import silencing_work
    from jaxprune.jobs.state_inputs import parse_compared

    processes.join(distributed, coordinator, num_processes, process_id)
    processes.check_agreement(asked)
    thresholds = Thresholds(filter_rate, top_rate, activation_bar)
    rank = check_rank(rank, len(parse_compared(texts, languages)))
    with together():
        masks = job.find_masks(models)
    checkpoints, inputs, chosen, lockstep = state_options.open_states(
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
        is_halved=silence,
    )
    work = lockstep.total_work + silence * silencing_work(checkpoints, inputs)
    with console.WorkProgress("analysis", work, is_shown=is_first()) as bar:
        found = job.analyze_all(
            checkpoints,
            inputs,
            lockstep,
            masks=masks,
            rank=rank,
            mesh=chosen,
            thresholds=thresholds,
            is_causal=silence,
            seed=seed,
            out=out,
            overwrite=overwrite,
            on_tokens=bar.advance,
            on_phase=bar.phase,
        )
    if not is_first():
        return
    if json:
        console.print_json(found)
        return
    print_analyses(found, _TABLES, out)
