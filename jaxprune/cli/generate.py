"""``jaxprune generate``."""

import sys
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options, processes


def command(
    model: options.Model,
    prompt: Annotated[
        list[str],
        typer.Option(help="Text to continue; give the option once for each prompt.", show_default=False),
    ],
    max_new_tokens: Annotated[int, numbers.whole("Tokens to make for each prompt, at most.", least=1)] = 64,
    temperature: Annotated[
        float, numbers.real("0: always the likeliest token. Above: drawn, the more freely the higher.")
    ] = 0.0,
    top_p: Annotated[
        float, numbers.real("Draw among the likeliest tokens that together have this probability; 1: among all.")
    ] = 1.0,
    top_k: Annotated[int, numbers.whole("Draw among this many likeliest tokens; 0: among all.")] = 0,
    seed: Annotated[
        int, numbers.whole("Of the draws. The same seed and prompt give the same tokens, whatever other prompts.")
    ] = 0,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Precision of weights and computation: float32 or bfloat16. Default: float32 on a CPU, bfloat16 on "
            "accelerators.",
            show_default=False,
        ),
    ] = None,
    mesh: options.Mesh = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Put each prompt into the model's chat template, as a user's message.")
    ] = False,
    distributed: options.Distributed = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
    json: options.Json = False,
) -> None:
    """Continue prompts.

    Ends at the model's end tokens, or after --max-new-tokens. The whole model has to fit into memory, unlike for the
    other commands; where one device is too small for it, --mesh model=N splits it over N.

    [bold]Example:[/]  jaxprune generate sample:gemma3-270m --prompt "Die Hauptstadt von Deutschland ist"
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.distributed import first_then_others, is_first, together
    from jaxprune.evaluation.sampling import Sampling
    from jaxprune.jobs import generate as job
    from jaxprune.resources import parse_compute_dtype
    from jaxprune.sharding import make_mesh, parse_mesh

    processes.join(distributed, coordinator, num_processes, process_id)
    with together():
        sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
        compute_dtype = parse_compute_dtype(dtype, option="--dtype")
        chosen_mesh = make_mesh(parse_mesh(mesh), len(prompt))
    with console.working(f"opening {model}"):
        checkpoint = first_then_others(lambda: open_checkpoint(model))
    with together():
        prepared = job.prepare_prompts(checkpoint, prompt, max_new_tokens=max_new_tokens, is_chat=chat)
    job.check_agreement(
        checkpoint,
        prepared,
        mesh=chosen_mesh,
        dtype=compute_dtype,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
    )
    sections = len(checkpoint.model.sections)
    with console.WorkProgress("read", sections, unit="sections", is_shown=is_first()) as bar:

        def on_section(section: str) -> None:
            bar.phase(section)
            bar.advance(1)

        generator = job.load(checkpoint, mesh=chosen_mesh, dtype=compute_dtype, on_section=on_section)
    asked = len(prompt) * max_new_tokens
    with console.WorkProgress("generate", asked, unit="tokens asked for", is_shown=is_first()) as bar:
        result = job.generate(
            generator, prepared, max_new_tokens=max_new_tokens, sampling=sampling, on_tokens=bar.advance
        )
    if not is_first():
        return
    if json:
        console.print_json(result)
    else:
        _print_texts(result)


def _print_texts(result: dict[str, Any]) -> None:
    for output in result["outputs"]:
        # Written as they are: a layout would count the columns of other scripts wrongly, and break their lines.
        sys.stdout.write(f"> {output['prompt']}\n{output['text']}\n\n")
    tokens = sum(len(output["tokens"]) for output in result["outputs"])
    speed = result["tokens_per_second"]
    console.err.print(f"{tokens} tokens" + ("" if speed is None else f", {speed:.1f} tokens a second"), highlight=False)
