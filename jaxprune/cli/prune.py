"""``jaxprune prune``."""

from typing import Annotated, Any

import typer

from jaxprune.cli import console, options, processes


def command(
    model: options.Model,
    out: options.Out,
    method: options.Method = "wanda",
    pattern: options.PatternOption = "0.5",
    calibration: Annotated[
        str | None,
        typer.Option(
            help="Languages of the calibration text: de · de,en (equal shares) · de=96,en=32 (sequences each).",
            show_default=False,
        ),
    ] = None,
    texts: options.Texts = None,
    samples: options.Samples = None,
    length: options.Length = 2048,
    seed: options.Seed = 0,
    fill: options.Fill = "packed",
    within: options.Within = None,
    combine: options.LanguageWeights = "sum",
    damping: options.Damping = None,
    mesh: options.Mesh = None,
    data_parallel: Annotated[
        str,
        typer.Option(
            help="What runs the scoring of one device on all of them: shard_map, or pmap (one process, a mesh of data "
            "alone; the same bits)."
        ),
    ] = "shard_map",
    host_memory: options.HostMemory = None,
    device_states: options.DeviceStates = None,
    format: options.Format = "huggingface",
    dtype: options.Dtype = None,
    compute_dtype: options.ComputeDtype = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted run of the same request at its first unfinished block; the manifest has the "
            "seconds of the last run only.",
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    distributed: options.Distributed = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    json: options.Json = False,
) -> None:
    """Prune a model, calibrated in the languages that you choose.

    Every linear layer of every block is pruned; embeddings, norms and the head stay dense. The folder OUT loads in
    transformers as it is; OUT/jaxprune holds the manifest and the masks.

    [bold]Example:[/]  jaxprune prune sample:gemma3-270m gemma3-de --calibration de --texts sample --length 512
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.checkpoints.output import OutputFolder
    from jaxprune.distributed import first_then_others, is_first, together
    from jaxprune.jobs import prune as job
    from jaxprune.jobs.calibrate import calibrate, check_request
    from jaxprune.jobs.settings import parse_dtype, parse_format, parse_method
    from jaxprune.pruning.blockwise import Progress
    from jaxprune.pruning.collecting import check_data_parallel
    from jaxprune.pruning.patterns import parse_pattern
    from jaxprune.resources import parse_compute_dtype, parse_gigabytes
    from jaxprune.sharding import make_mesh, parse_mesh

    processes.join(distributed, coordinator, num_processes, process_id)
    # Whatever can be refused at once is, before a model is downloaded.
    with together():
        OutputFolder(out, overwrite=overwrite, resume=resume, source=model)
        chosen = parse_method(method, combine=combine, damping=damping)
        check_request(chosen, calibration, texts, samples=samples, seed=seed, fill=fill)
        wanted = parse_pattern(pattern, within, chosen.default_scope)
        sizes = parse_mesh(mesh)
        if sizes is not None:
            check_data_parallel(data_parallel, make_mesh(sizes))
        settings: dict[str, Any] = {
            "dtype": parse_dtype(dtype),
            "format": parse_format(format),
            "compute_dtype": parse_compute_dtype(compute_dtype),
            "host_bytes": parse_gigabytes(host_memory),
            "device_bytes": parse_gigabytes(device_states, option="--device-states"),
        }
    with console.working(f"opening {model}"):
        # What has to be downloaded, the first process downloads.
        checkpoint = first_then_others(lambda: open_checkpoint(model))
        job.check_widths(checkpoint.model, wanted)
    with console.working("drawing calibration text"), together():
        drawn = calibrate(checkpoint, chosen, calibration, texts, samples=samples, length=length, seed=seed, fill=fill)
    settings["mesh"] = make_mesh(sizes, len(drawn.languages) if drawn else None)
    settings["data_parallel"] = check_data_parallel(data_parallel, settings["mesh"])
    with console.WorkProgress("prune", job.total_work(checkpoint.model, chosen, drawn), is_shown=is_first()) as bar:
        blocks = checkpoint.model.num_blocks
        progress = Progress(
            on_phase=lambda index, phase: bar.phase(f"block {min(index + 1, blocks)}/{blocks} {phase}"),
            on_tokens=bar.advance,
        )
        manifest = job.prune(
            checkpoint,
            out,
            method=chosen,
            pattern=wanted,
            calibration=drawn,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            **settings,
        )
    if not is_first():
        return
    if json:
        console.print_json(manifest)
    else:
        _print_summary(out, manifest)


def _print_summary(out: Any, manifest: dict[str, Any]) -> None:
    sparsity, seconds = manifest["sparsity"], manifest["seconds"]
    rows = [
        ["method", f"{manifest['method']['name']}, {manifest['pattern']['name']}"],
        [
            "pruned",
            f"{sparsity['pruned_weights']:,} of {sparsity['kernel_weights']:,} weights ({sparsity['overall']:.2%})",
        ],
    ]
    if manifest["calibration"]:
        used = manifest["calibration"]
        for language, account in used["languages"].items():
            count = account.get("documents")
            documents = f" from {count:,} document{'s' if count > 1 else ''}" if count else ""
            rows.append(
                [
                    f"calibration {language}",
                    f"{account['sequences']} x {used['length']} tokens{documents} ({used['texts']})",
                ]
            )
    raised = [name for name, found in manifest["diagnostics"].items() if found.get("damping_raised")]
    if raised:
        rows.append(["damping raised", f"for {len(raised)} kernels; see the manifest"])
    phases = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items() if name != "total" and value >= 0.5)
    rows.append(["seconds", f"{seconds['total']:.0f}" + (f" ({phases})" if phases else "")])
    rows.append(["written", str(out)])
    console.out.print(console.summary(rows))
