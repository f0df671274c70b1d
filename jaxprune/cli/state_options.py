"""What the analyses share that send text through several models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from jaxprune.cli import console, numbers

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from jaxprune.analysis.lockstep import Lockstep
    from jaxprune.checkpoints.checkpoint import Checkpoint
    from jaxprune.jobs.state_inputs import StateInputs

Models = Annotated[
    list[str],
    typer.Argument(
        help="Models of one shape and one tokenizer, named as for prune; the others are compared with the first, which "
        "as a rule is the dense one. One without a tokenizer is given the first's tokens.",
        metavar="MODEL [MODEL ...]",
        show_default=False,
    ),
]
NumWindows = Annotated[int, numbers.whole("Windows of evaluation text for each language.", least=1)]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder to write all numbers and figures to; it must not exist.", show_default=False),
]
Sentences = Annotated[
    str,
    typer.Option(
        help="Parallel sentences, on which the split is checked: sample (verses with which nothing was calibrated), "
        'none, or file:PATH.jsonl with lines like {"de": "..", "en": ".."}.'
    ),
]
NumSentences = Annotated[int, numbers.whole("Sentences for each language, at most.", least=10)]
Rank = Annotated[
    int | None,
    numbers.whole(
        "Directions of the language-specific subspace. Default: one less than there are languages.",
        least=1,
        show_default=False,
    ),
]
FilterRate = Annotated[
    float,
    numbers.real(
        "A chosen neuron is more active in some language than this share of the activation probabilities of all "
        "neurons and languages."
    ),
]
TopRate = Annotated[
    float, numbers.real("Share of all neurons that are chosen: those of lowest LAPE that pass the filter.")
]
ActivationBar = Annotated[
    float,
    numbers.real(
        "A chosen neuron belongs to the languages in which it is more active than this share of the activation "
        "probabilities."
    ),
]
Silence = Annotated[
    bool,
    typer.Option(
        "--silence/--no-silence",
        help="The causal test: silence each language's neurons, and as many others drawn at random, and measure "
        "perplexity in every language. Half of the windows choose, the other half judges. Takes 1 + 2 x languages "
        "further passes over the text for each model.",
    ),
]
SilenceSeed = Annotated[int, numbers.whole("Draws the other neurons that --silence compares with.", least=0)]


class States(NamedTuple):
    """Models that are open, before their embeddings."""

    checkpoints: "list[Checkpoint]"
    inputs: "StateInputs"
    mesh: "Mesh"
    lockstep: "Lockstep"


def open_states(
    models: list[str],
    texts: str | None,
    languages: str | None,
    *,
    windows: int,
    length: int,
    out: Path | None,
    overwrite: bool,
    mesh: str | None,
    compute_dtype: str | None,
    host_memory: float | None,
    sentences: str = "none",
    num_sentences: int = 0,
    is_halved: bool = False,
) -> States:
    """Checks what was asked for, cheap things first, and opens it; see ``prepare_states``.

    Of several processes all call this together; the first one alone has to do with ``out``.

    Raises:
      RequestError: it makes no sense, or a model or text is missing.
    """
    from jaxprune.checkpoints import open_checkpoint
    from jaxprune.data import check_languages, check_texts, open_texts
    from jaxprune.distributed import first_then_others, is_first, together
    from jaxprune.jobs.analysis_files import check_out
    from jaxprune.jobs.state_inputs import check_agreement, open_lockstep, parse_compared, prepare_states
    from jaxprune.resources import parse_compute_dtype, parse_gigabytes
    from jaxprune.sharding import make_mesh, parse_mesh
    from jaxprune.tasks.parallel import check_reference

    asked = parse_compared(texts, languages)
    assert texts is not None
    with together():
        check_texts(texts)
        check_reference(sentences)
        if is_first():
            check_out(out, overwrite=overwrite, read=models)
    sizes, dtype, host_bytes = parse_mesh(mesh), parse_compute_dtype(compute_dtype), parse_gigabytes(host_memory)
    if sizes is not None:
        make_mesh(sizes)
    with console.working(f"looking for languages in {texts}"), together():
        # Before sentences are, which would be blamed for a language that there is no text in at all.
        check_languages(open_texts(texts), asked)
    with console.working(f"opening {', '.join(models)}"):
        # What has to be downloaded, the first process downloads.
        checkpoints = first_then_others(lambda: [open_checkpoint(model) for model in models])
    with console.working("tokenizing"), together():
        inputs = prepare_states(
            checkpoints,
            texts,
            asked,
            windows=windows,
            length=length,
            sentences=sentences,
            num_sentences=num_sentences,
            is_halved=is_halved,
        )
    check_agreement(checkpoints, inputs)
    chosen = make_mesh(sizes, inputs.num_windows)
    lockstep = open_lockstep(checkpoints, inputs, mesh=chosen, compute_dtype=dtype, host_bytes=host_bytes)
    return States(checkpoints, inputs, chosen, lockstep)
