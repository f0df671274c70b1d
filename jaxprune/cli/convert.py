"""``jaxprune convert``."""

from typing import Annotated

import typer

from jaxprune.cli import console, options


def command(
    model: options.Model,
    out: options.Out,
    to: Annotated[str, typer.Option(help="What to write: huggingface or orbax.", show_default=False)],
    dtype: options.Dtype = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Convert a checkpoint, one block at a time.

    Reads Hugging Face, GGUF and Orbax; writes Hugging Face and Orbax. The same dtype is bit-exact.

    [bold]Example:[/]  jaxprune convert sample:smollm2-135m smollm2-hf --to huggingface
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.checkpoints.output import OutputFolder
    from jaxprune.jobs.convert import convert
    from jaxprune.jobs.settings import parse_dtype, parse_format

    OutputFolder(out, overwrite=overwrite, source=model)
    format, weights = parse_format(to), parse_dtype(dtype)
    with console.working(f"opening {model}"):
        checkpoint = open_checkpoint(model)
    sections = len(checkpoint.model.sections)
    with console.WorkProgress("convert", sections, unit="sections") as progress:

        def on_section(section: str) -> None:
            progress.phase(section)
            progress.advance(1)

        result = convert(checkpoint, out, format=format, dtype=weights, overwrite=overwrite, on_section=on_section)
    if json:
        console.print_json(result)
    else:
        console.out.print(
            f"Wrote {out} ({result['format']}, {result['parameters']:,} parameters, {result['bytes'] / 1e9:.2f} GB).",
            markup=False,
            highlight=False,
        )
