"""Options that several commands share, each explained once."""

from pathlib import Path
from typing import Annotated

import typer

from jaxprune.cli import numbers

Model = Annotated[
    str,
    typer.Argument(
        help="The model: a Hugging Face folder, an Orbax folder written by jaxprune, a .gguf file, a hub id "
        "org/name\\[@revision], or a sample that the package index carries: sample:smollm2-135m, sample:gemma3-270m.",
        metavar="MODEL",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Argument(help="Folder to write; it must not exist, but for --overwrite.", metavar="OUT", show_default=False),
]
Texts = Annotated[
    str | None,
    typer.Option(
        help="Where text comes from: mc4 · dataset:NAME\\[:CONFIG]\\[#FIELD] ({language} in CONFIG is replaced) · "
        "tfds:NAME@DATA_DIR · files:FOLDER ({language}.jsonl, .txt or .parquet) · sample (parallel text in ar de en es "
        "ru sw zh ja) · tokens:FILE.npy (int32 \\[sequences, length], used exactly as given). "
        "Measuring on text that calibrated the model is an error; of tokens: only whole rows can be compared.",
        show_default=False,
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(help="ISO 639 codes as mC4 spells them, separated by commas: de,sw,ja.", show_default=False),
]
Length = Annotated[int, numbers.whole("Tokens in a sequence or window.", least=2)]
Seed = Annotated[
    int,
    numbers.whole("Chooses the calibration text; the same seed gives the same token ids on every machine."),
]
Mesh = Annotated[
    str | None,
    typer.Option(
        help="Devices to use: data=4,model=2 splits sequences over 4 and weights over 2. Default: all devices, as many "
        "of them on data as have a sequence to work on.",
        show_default=False,
    ),
]
HostMemory = Annotated[
    float | None,
    numbers.real(
        "Gigabytes of hidden states that each process keeps in memory; more of them go to a file in TMPDIR. "
        "Default: half of the machine's memory.",
        show_default=False,
    ),
]
DeviceStates = Annotated[
    float | None,
    numbers.real(
        "Gigabytes of hidden states that stay in each device's memory between blocks, if all of them find room there; "
        "else the host keeps them. Default: an eighth of a GPU's memory, nothing on TPUs.",
        show_default=False,
    ),
]
Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Work together with the other processes of this SLURM job, Kubernetes JobSet or TPU pod, which are found "
        "through it.",
        rich_help_panel="Several processes",
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of the first process, where nothing says who the processes are; the same for all of them.",
        show_default=False,
        rich_help_panel="Several processes",
    ),
]
NumProcesses = Annotated[
    int | None,
    numbers.whole("How many processes there are.", show_default=False, rich_help_panel="Several processes"),
]
ProcessId = Annotated[
    int | None,
    numbers.whole("Which of them this is, from 0 on.", show_default=False, rich_help_panel="Several processes"),
]
ComputeDtype = Annotated[
    str | None,
    typer.Option(
        help="Precision of the forward passes: float32 or bfloat16. Statistics are float32 always. "
        "Default: float32 on a CPU, bfloat16 on accelerators.",
        show_default=False,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="Precision of the weights that are written: float32, bfloat16 or float16. Default: the source's.",
        show_default=False,
    ),
]
Format = Annotated[
    str,
    typer.Option(help="What to write: huggingface or orbax (takes its place on the disk twice while it is finished)."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUT if it exists, once the new result is complete.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
Method = Annotated[str, typer.Option(help="How weights are scored: magnitude, wanda or sparsegpt.")]
PatternOption = Annotated[
    str,
    typer.Option(
        "--pattern",
        help="0.5: that fraction of the weights, anywhere (rounded down in each group that "
        "competes, see --within). 2:4 (any N:M): N kept of every M neighbours along the "
        "input axis.",
    ),
]
Within = Annotated[
    str | None,
    typer.Option(
        help="Which weights compete under an unstructured pattern: output (each output's inputs), kernel (all of a "
        "matrix), block (128 inputs of all outputs). Default: as the method was published.",
        show_default=False,
    ),
]
Samples = Annotated[
    int | None,
    numbers.whole(
        "Calibration sequences in all. Default: 128, or the sum that --calibration states.",
        least=1,
        show_default=False,
    ),
]
Fill = Annotated[
    str,
    typer.Option(
        help="How a sequence is filled: packed (documents joined end to end) or document (a random window of one "
        "document that is longer, the protocol of the published studies; needs long documents)."
    ),
]
Damping = Annotated[
    float | None,
    numbers.real(
        "SparseGPT: what is added to the diagonal of the statistics, in units of its mean. Default: 0.01.",
        show_default=False,
    ),
]
LanguageWeights = Annotated[
    str,
    typer.Option(
        "--combine",
        help="How statistics of several calibration languages become one: sum (every token counts the same) or mean "
        "(every language counts the same, however many tokens it has).",
    ),
]
