"""The ``jaxprune`` program: its commands, and what becomes of an error."""

import os
import sys
from typing import Annotated, NoReturn

from jaxprune.cli import absent_tpu, compiled_programs, gpu_settings

# Before anything imports them: their own progress bars and start-up chatter would mix with ours.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if absent_tpu.is_looked_for():
    os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.update(gpu_settings.with_defaults(os.environ))
os.environ.update(compiled_programs.with_defaults(os.environ))

import rich.markup
import typer

import jaxprune
from jaxprune.cli import (
    analyze,
    compare,
    console,
    convert,
    evaluate,
    generate,
    perplexity,
    plan,
    prune,
    report,
    snr,
    study,
)
from jaxprune.cli.termination import ended_by_sigterm, hint
from jaxprune.errors import RequestError, refusal

# What Typer makes of Ctrl-C.
_INTERRUPTED = 130

app = typer.Typer(
    help="Prune multilingual language models, calibrated in the languages that they serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool | None) -> None:
    if is_asked:
        console.out.print(jaxprune.__version__, highlight=False)
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        # Typer passes None to a parameter whose callback returns nothing.
        bool | None,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = None,
) -> None:
    """Prune multilingual language models, calibrated in the languages that they serve."""


app.command("prune")(prune.command)
app.command("convert")(convert.command)
app.command("perplexity")(perplexity.command)
app.command("snr")(snr.command)
app.command("compare")(compare.command)
app.command("evaluate")(evaluate.command)
app.command("study")(study.command)
app.command("report")(report.command)
app.command("generate")(generate.command)
app.command("plan")(plan.command)
app.add_typer(analyze.app, name="analyze")


def main(arguments: list[str] | None = None) -> None:
    """Runs the program; exits with 0 (done), 2 (the request was wrong) or 1 (anything else)."""
    console.log_to_stderr()
    # No option of the program itself has a value, so the first word is the command.
    command = next((word for word in arguments or sys.argv[1:] if not word.startswith("-")), "")
    try:
        with ended_by_sigterm(command):
            app(arguments)
    except RequestError as error:
        _refuse(error)
    except SystemExit as exit_:
        if exit_.code != _INTERRUPTED:
            raise
        console.err.print(hint(command))
        sys.exit(1)
    except Exception as error:
        refused = refusal(error)
        if refused is not None:
            _refuse(refused)
        _leave_others(error)
        raise


def _refuse(error: RequestError) -> NoReturn:
    console.err.print(f"[bold red]error:[/] {rich.markup.escape(str(error))}", highlight=False, soft_wrap=True)
    _leave_others(error)
    sys.exit(2)


def _leave_others(error: Exception) -> None:
    """Ends a process that is one of several, if the others do not know of the error."""
    # A command that was refused before it began has not even loaded JAX.
    if "jaxprune.distributed" in sys.modules:
        sys.modules["jaxprune.distributed"].leave(error)
