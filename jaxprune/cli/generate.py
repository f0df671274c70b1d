"""``jaxprune generate``."""

import sys
from typing import Annotated, Any

import typer

from jaxprune.cli import console, numbers, options


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
    json: options.Json = False,
) -> None:
    """Continue prompts.

    Ends at the model's end tokens, or after --max-new-tokens. The whole model has to fit into memory, unlike for the
    other commands.

    [bold]Example:[/]  jaxprune generate sample:gemma3-270m --prompt "Die Hauptstadt von Deutschland ist"
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.evaluation.sampling import Sampling
    from jaxprune.jobs import generate as job
    from jaxprune.jobs.settings import parse_compute_dtype
    from jaxprune.sharding import make_mesh, parse_mesh

    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
    chosen_mesh, compute_dtype = make_mesh(parse_mesh(mesh)), parse_compute_dtype(dtype, option="--dtype")
    with console.working(f"opening {model}"):
        checkpoint = open_checkpoint(model)
    prepared = job.prepare_prompts(checkpoint, prompt, max_new_tokens=max_new_tokens, is_chat=chat)
    with console.WorkProgress("read", len(checkpoint.model.sections), unit="sections") as bar:

        def on_section(section: str) -> None:
            bar.phase(section)
            bar.advance(1)

        generator = job.load(checkpoint, mesh=chosen_mesh, dtype=compute_dtype, on_section=on_section)
    with console.WorkProgress("generate", len(prompt) * max_new_tokens, unit="tokens asked for") as bar:
        result = job.generate(
            generator, prepared, max_new_tokens=max_new_tokens, sampling=sampling, on_tokens=bar.advance
        )
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
