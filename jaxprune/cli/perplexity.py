"""``jaxprune perplexity``."""

from typing import Annotated

import typer

from jaxprune.cli import console, numbers, options, processes


def command(
    model: options.Model,
    texts: options.Texts = None,
    languages: options.Languages = None,
    windows: Annotated[
        int | None,
        numbers.whole("Windows for each language. Default: 64, or every row of tokens:.", least=1, show_default=False),
    ] = None,
    length: options.Length = 2048,
    protocol: Annotated[
        str,
        typer.Option(
            help="windows (documents joined end to end, total likelihood over tokens) or published (texts joined by "
            "two newlines, tokenized once, mean over windows: what WikiText figures in papers use)."
        ),
    ] = "windows",
    mesh: options.Mesh = None,
    compute_dtype: options.ComputeDtype = None,
    host_memory: options.HostMemory = None,
    distributed: options.Distributed = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    json: options.Json = False,
) -> None:
    """Measure perplexity (exp of nats a token) and bits per byte in each language.

    Non-overlapping windows of evaluation text, never of calibration text; every window is scored from its second token
    on. The interval is where the perplexity of more such text is, with a confidence of 95%: windows are resampled, with
    the same seed every time.

    [bold]Example:[/]  jaxprune perplexity gemma3-de --texts sample --languages de,en,sw --length 512 --windows 16
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.data import check_texts
    from jaxprune.distributed import first_then_others, is_first, together
    from jaxprune.errors import RequestError
    from jaxprune.jobs import perplexity as job
    from jaxprune.jobs.settings import parse_languages
    from jaxprune.resources import parse_compute_dtype, parse_gigabytes
    from jaxprune.sharding import make_mesh, parse_mesh

    processes.join(distributed, coordinator, num_processes, process_id)
    if texts is None:
        raise RequestError("no text was named; say where it comes from with --texts, for example --texts sample.")
    asked = [] if texts.startswith(job.TOKENS) else parse_languages(languages)
    job.check_protocol(protocol)
    with together():
        check_texts(texts)
    sizes, dtype, host_bytes = parse_mesh(mesh), parse_compute_dtype(compute_dtype), parse_gigabytes(host_memory)
    if sizes is not None:
        make_mesh(sizes)
    with console.working(f"opening {model}"):
        checkpoint = first_then_others(lambda: open_checkpoint(model))
    with console.working("tokenizing"), together():
        prepared = job.prepare_windows(checkpoint, texts, asked, windows=windows, length=length, protocol=protocol)
    chosen = make_mesh(sizes, sum(len(of_language.tokens_NT) for of_language in prepared.values()))
    with console.WorkProgress("perplexity", job.total_work(checkpoint, prepared), is_shown=is_first()) as bar:
        bar.phase(", ".join(prepared))
        results = job.perplexity(
            checkpoint,
            prepared,
            mesh=chosen,
            compute_dtype=dtype,
            host_bytes=host_bytes,
            on_tokens=bar.advance,
        )
    if not is_first():
        return
    result = job.as_json(results, prepared, texts)
    if json:
        console.print_json(result)
        return
    rows = [
        [
            language,
            f"{found.perplexity:,.2f}",
            "-" if found.interval is None else "{:,.2f} – {:,.2f}".format(*found.interval),
            "-" if found.bits_per_byte is None else f"{found.bits_per_byte:.3f}",
            f"{found.tokens:,}",
            str(found.windows),
        ]
        for language, found in results.items()
    ]
    title = f"{model}: {result['length']}-token windows of {texts}"
    columns = ["language", "perplexity", "95% interval", "bits per byte", "tokens", "windows"]
    console.out.print(console.table(title, columns, rows))
