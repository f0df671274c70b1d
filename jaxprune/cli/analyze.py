"""``jaxprune analyze``: what pruning removed."""

import typer

from jaxprune.cli import analyze_all, analyze_masks, analyze_neurons, analyze_subspaces

app = typer.Typer(
    help="Analyse what pruning removed, language by language: masks, latent subspaces, neurons.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

app.command("masks")(analyze_masks.command)
app.command("subspaces")(analyze_subspaces.command)
app.command("neurons")(analyze_neurons.command)
app.command("all")(analyze_all.command)
