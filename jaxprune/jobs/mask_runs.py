"""Prunings that are to be compared: their masks, and what their manifests say of how they were made."""

import contextlib
import dataclasses
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.analysis.competition import Competition
from jaxprune.analysis.masks import KernelCounts
from jaxprune.analysis.packed_masks import PackedMasks, check_comparable
from jaxprune.checkpoints.companions import CONFIG_FILE
from jaxprune.checkpoints.json_file import read_object
from jaxprune.checkpoints.masks import MASKS_FILE
from jaxprune.errors import RequestError
from jaxprune.jobs.manifest import METADATA_FOLDER, read_manifest
from jaxprune.pruning import METHODS

# Of a pattern's blocks, where the method has none of its own.
_BLOCK_WIDTH = 128
HEADS_KEY = "num_attention_heads"


@dataclasses.dataclass(frozen=True)
class MaskRun:
    """One pruning.

    Attributes:
      reference: the folder, as it was named.
      masks: its masks.
      made_by: what may differ between two runs, each with its name for readers and its identity: ``model``,
        ``method``, ``pattern``, ``languages``, ``texts``, ``seed``.
      num_heads: query heads of a block, where its config or its manifest says.
      sparsities: of the kernels that its manifest tells of.
      competition: which weights competed.
    """

    reference: str
    masks: PackedMasks
    made_by: Mapping[str, tuple[str, Any]]
    num_heads: int | None
    sparsities: Mapping[str, float]
    competition: Competition


def open_runs(references: Sequence[str]) -> list[MaskRun]:
    """Opens folders that ``jaxprune prune`` wrote, or the subfolders of a comparison.

    Raises:
      RequestError: fewer than two, one that is named twice or is no run, or runs whose masks are of different weights.
    """
    if len(references) < 2:
        raise RequestError(f"overlap needs two runs or more, and {len(references)} was given; name another RUN.")
    # Path.resolve raises for a link that leads to itself.
    places = [os.path.realpath(Path(reference).expanduser()) for reference in references]
    for reference, place in zip(references, places, strict=True):
        if places.count(place) > 1:
            raise RequestError(f"{reference} is given more than once; name each run once.")
    runs = [_open(reference) for reference in references]
    check_comparable([run.masks for run in runs])
    return runs


NAMED_FIRST = ("languages", "method", "pattern", "seed", "texts", "model")
"""What may differ, as names of prunings have it: first the languages, which are what is compared."""


def name_runs(runs: Sequence[MaskRun]) -> list[str]:
    """Returns a short name for each run: of what differs between them, and its folder where that is not enough."""
    folders = [Path(run.reference).name for run in runs]
    if len(set(folders)) < len(folders):
        folders = [run.reference for run in runs]
    varies = [
        factor for factor in NAMED_FIRST if any(run.made_by[factor][1] != runs[0].made_by[factor][1] for run in runs)
    ]
    names = [" · ".join(run.made_by[factor][0] for factor in varies) for run in runs]
    times = Counter(names)
    return [
        name if name and times[name] == 1 else f"{name} ({folder})".strip() if name else folder
        for name, folder in zip(names, folders, strict=True)
    ]


def differences(a: MaskRun, b: MaskRun) -> tuple[str, ...]:
    """Returns in what two runs were made differently."""
    return tuple(factor for factor in a.made_by if a.made_by[factor][1] != b.made_by[factor][1])


def head_dim(runs: Sequence[MaskRun]) -> int | None:
    """Returns the width of an attention head; None if no run says how many heads there are.

    Raises:
      RequestError: runs contradict one another, or their own masks.
    """
    stated = {run.num_heads: run.reference for run in runs if run.num_heads is not None}
    if len(stated) > 1:
        told = " and ".join(f"{number} in {reference}" for number, reference in stated.items())
        raise RequestError(f"the number of attention heads is {told}; give prunings of models of one shape.")
    widths = {
        kernel.d_in if kernel.projection == "o_proj" else kernel.d_out
        for kernel in runs[0].masks.kernels
        if kernel.projection in ("q_proj", "k_proj", "v_proj", "o_proj")
    }
    if not stated or not widths:
        return None
    (number, reference), *_ = stated.items()
    width, rest = divmod(max(widths), number)
    if rest or any(other % width for other in widths):
        raise RequestError(
            f"{reference} states {number} attention heads, which projections of widths "
            f"{', '.join(map(str, sorted(widths)))} cannot have; its parts do not belong together, prune again."
        )
    return width


def check_counts(runs: Sequence[MaskRun], counted: KernelCounts) -> None:
    """Compares how many weights of a kernel each run keeps with what its manifest says.

    Raises:
      RequestError: they are not as many; a file can be damaged and have its length.
    """
    name, num_weights = counted.kernel.name, counted.kernel.num_weights
    for run, kept in zip(runs, np.diagonal(counted.both_RR), strict=True):
        if name not in run.sparsities:
            continue
        stated, found = round(run.sparsities[name] * num_weights), num_weights - int(kept)
        if stated != found:
            raise RequestError(
                f"{run.reference}: {name} has {stated:,} pruned weights of {num_weights:,} by the manifest and "
                f"{found:,} by {MASKS_FILE}; one of them is damaged, or of another run: copy both again or prune again."
            )


def _open(reference: str) -> MaskRun:
    folder = Path(reference).expanduser()
    if not folder.is_dir():
        raise RequestError(f"{reference} is not a folder; name one that jaxprune prune wrote.")
    metadata = folder / METADATA_FOLDER
    manifest = read_manifest(reference)
    if manifest is None or not (metadata / MASKS_FILE).is_file():
        inner = sorted(path.parents[1].name for path in folder.glob(f"*/{METADATA_FOLDER}/{MASKS_FILE}"))
        advice = f"it holds runs in {', '.join(inner[:6])}: name those" if inner else "name a folder of jaxprune prune"
        missing = MASKS_FILE if manifest is not None else "manifest.json"
        raise RequestError(f"{reference} is no pruning: it has no {METADATA_FOLDER}/{missing}; {advice}.")
    made_by = describe(reference, manifest)
    with _reading_manifest_of(reference):
        sparsities = {name: float(share) for name, share in manifest.get("sparsity", {}).get("kernels", {}).items()}
        competition = competition_of(manifest)
    return MaskRun(reference, PackedMasks(metadata), made_by, _num_heads(folder, manifest), sparsities, competition)


@contextlib.contextmanager
def _reading_manifest_of(reference: str) -> Iterator[None]:
    """Turns what goes wrong with a manifest that lacks something, or has it in another form, into a refusal."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RequestError(
            f"the manifest of {reference} does not say how the model was pruned ({type(error).__name__}: {error}); "
            "restore it or prune again."
        ) from error


def describe(reference: str, manifest: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Returns ``MaskRun.made_by`` of a manifest.

    Raises:
      RequestError: it does not say all of that; names the folder.
    """
    with _reading_manifest_of(reference):
        return _made_by(manifest)


def _made_by(manifest: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    source, method, pattern = manifest["source"], manifest["method"], manifest["pattern"]
    # Which weights compete is of the method: Wanda's are those of an output, at the same pattern.
    within = pattern.get("within")
    default = METHODS[method["name"]].default_scope if method["name"] in METHODS else None
    is_usual = within in (None, default)
    made_by: dict[str, tuple[str, Any]] = {
        "model": (str(source["model"]), source["sha256"]),
        "method": (method["name"] if is_usual else f"{method['name']} within {within}", {**method, "within": within}),
        "pattern": (pattern["name"], {key: value for key, value in pattern.items() if key != "within"}),
    }
    account = manifest["calibration"]
    if account is None:
        return made_by | dict.fromkeys(("languages", "texts", "seed"), ("no calibration", None))
    mixture = _mixture({language: used["sequences"] for language, used in account["languages"].items()})
    texts = {key: account[key] for key in ("texts", "fill", "length", "sequences")}
    return made_by | {
        "languages": (mixture, mixture),
        "texts": ("{sequences} x {length} of {texts}".format_map(texts), texts),
        "seed": (f"seed {account['seed']}", account["seed"]),
    }


def competition_of(manifest: Mapping[str, Any]) -> Competition:
    """Returns which weights competed; those of a whole kernel where the manifest does not say.

    Raises:
      ValueError: a group has no weights.
    """
    method, pattern = manifest["method"], manifest["pattern"]
    if "m" in pattern:
        return Competition(_positive(pattern, "m"), is_of_one_output=True)
    # SparseGPT chooses block by block even for single outputs, though not for whole kernels.
    block = _positive(method, "block_size") if "block_size" in method else None
    of_scope = {
        "output": Competition(block, is_of_one_output=True),
        "block": Competition(block or _BLOCK_WIDTH),
    }
    return of_scope.get(pattern.get("within"), Competition())


def _positive(told: Mapping[str, Any], name: str) -> int:
    if int(told[name]) < 1:
        raise ValueError(f"{name} is {told[name]}")
    return int(told[name])


def _mixture(sequences: Mapping[str, int]) -> str:
    """Returns ``de,en`` for equal shares and ``de=3,en=1`` for others, whatever their order and sum."""
    numbers = [int(sequences[language]) for language in sorted(sequences)]
    if max(numbers) - min(numbers) <= 1:  # what does not divide
        return ",".join(sorted(sequences))
    common = math.gcd(*numbers)
    return ",".join(
        f"{language}={number // common}" for language, number in zip(sorted(sequences), numbers, strict=True)
    )


def _num_heads(folder: Path, manifest: Mapping[str, Any]) -> int | None:
    """Returns what the config says, where the weights were kept, or else the manifest."""
    config = read_object(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else {}
    for stated in (config.get(HEADS_KEY), manifest["source"].get(HEADS_KEY)):
        if type(stated) is int and stated > 0:
            return stated
    return None
