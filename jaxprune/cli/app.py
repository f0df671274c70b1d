"""The ``jaxprune`` program: its commands, and what becomes of an error."""

import os
import sys

# Before anything imports them: their own progress bars and start-up chatter would mix with ours.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from jaxprune.cli import compare, console, convert, perplexity, prune
from jaxprune.errors import RequestError

app = typer.Typer(
    help="Prune multilingual language models, calibrated in the languages that they serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("prune")(prune.command)
app.command("convert")(convert.command)
app.command("perplexity")(perplexity.command)
app.command("compare")(compare.command)


def main(arguments: list[str] | None = None) -> None:
    """Runs the program; exits with 0 (done), 2 (the request was wrong) or 1 (anything else)."""
    console.log_to_stderr()
    try:
        app(arguments)
    except RequestError as error:
        console.err.print(f"[bold red]error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.err.print("interrupted")
        sys.exit(1)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
