"""Compares the masks of several prunings: what they have in common, and where each has put its zeros."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxprune.analysis.masks import KernelCounts, count_masks
from jaxprune.analysis.overlap import CommonCounts, above_chance, mean_overlap
from jaxprune.analysis.spread import QUANTILES
from jaxprune.analysis.units import HEADS
from jaxprune.analysis.zeros import Zeros, summarise
from jaxprune.jobs.analysis_files import analysis_folder
from jaxprune.jobs.mask_runs import MaskRun, check_counts, differences, head_dim, name_runs
from jaxprune.studies.analyses import MASKS

TOP = 5


def total_work(runs: Sequence[MaskRun]) -> int:
    """Returns how many kernels ``analyze_masks`` will report."""
    return len(runs[0].masks.kernels)


def analyze_masks(
    runs: Sequence[MaskRun],
    *,
    out: Path | None = None,
    top: int = TOP,
    overwrite: bool = False,
    on_kernel: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Returns the comparison, and writes it to the folder ``out`` if one is given, with figures where matplotlib is.

    Args:
      runs: two or more, from ``open_runs``.
      out: folder to be.
      top: how many channels, heads and neurons are named that have lost most.
      overwrite: whether ``out`` may replace an earlier result.
      on_kernel: called with the name of each kernel that has been counted.

    Returns:
      ``{"runs": [..], "overlap": {"pairs": [..], "groups": [..], "calibrations": [..]}, "zeros": {run: ..}, ..}``.

    Raises:
      RequestError: masks are damaged or not as their manifest says, or ``out`` cannot be written.
    """
    with analysis_folder(out, overwrite=overwrite, read=[of.reference for of in runs]) as write:
        result = compare_runs(runs, top=top, on_kernel=on_kernel)
        write(MASKS, result)
    return result


def compare_runs(
    runs: Sequence[MaskRun], *, top: int = TOP, on_kernel: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """Returns what ``analyze_masks`` does.

    Raises:
      RequestError: masks are damaged or not as their manifest says.
    """
    start = time.perf_counter()
    labels = name_runs(runs)
    width = head_dim(runs)
    counts = _watched(runs, count_masks([run.masks for run in runs]), on_kernel)
    common, zeros = summarise(counts, [run.competition for run in runs], head_dim=width, top=top)
    pairs = [
        {"a": labels[a], "b": labels[b], "differ": list(differences(runs[a], runs[b])), **common.as_json(a, b)}
        for a, b in itertools.combinations(range(len(runs)), 2)
    ]
    return {
        "runs": [
            _account(label, run, common, index, zeros[index])
            for index, (label, run) in enumerate(zip(labels, runs, strict=True))
        ],
        "kernels": len(common.kernels),
        "weights": sum(kernel.num_weights for kernel in common.kernels),
        "overlap": {"pairs": pairs, "groups": _group(pairs), "calibrations": _by_calibration(runs, pairs)},
        "quantiles": list(QUANTILES),
        "zeros": {label: found.as_json() for label, found in zip(labels, zeros, strict=True)},
        "notes": list(_notes(pairs, width)),
        "seconds": time.perf_counter() - start,
    }


def _watched(
    runs: Sequence[MaskRun], counts: Iterable[KernelCounts], on_kernel: Callable[[str], None]
) -> Iterator[KernelCounts]:
    for counted in counts:
        check_counts(runs, counted)
        yield counted
        on_kernel(counted.kernel.name)


def _account(label: str, run: MaskRun, common: CommonCounts, index: int, zeros: Zeros) -> dict[str, Any]:
    return {
        "label": label,
        "folder": run.reference,
        **{factor: name for factor, (name, _) in run.made_by.items()},
        "competition": run.competition._asdict(),
        "sparsity": common.sparsity(index),
        "concentration": {kind: zeros.mean_gini(kind) for kind in (*HEADS, "neurons")},
    }


def _group(pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns mean overlaps of the pairs that differ in the same ways, those that differ in least first.

    Pairs that differ in the seed only show the noise: another sample of the same text. What languages change has
    to be seen against that.
    """
    differ = sorted(
        {tuple(pair["differ"]) for pair in pairs}, key=lambda names: (len(names), "seed" not in names, names)
    )
    groups = []
    for names in differ:
        of_group = [pair for pair in pairs if tuple(pair["differ"]) == names]
        parts = {
            part: {name: mean_overlap([pair[part][name] for pair in of_group]) for name in of_group[0][part]}
            for part in ("blocks", "projections")
        }
        overall = mean_overlap([pair["overall"] for pair in of_group])
        groups.append({"differ": list(names), "pairs": len(of_group), "overall": overall, **parts})
    return groups


def _by_calibration(runs: Sequence[MaskRun], pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns mean overlaps between calibration mixtures over the pairs that differ in nothing else but the seed."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (a, b), pair in zip(itertools.combinations(runs, 2), pairs, strict=True):
        if {*pair["differ"]} <= {"languages", "seed"}:
            mixtures = sorted((a.made_by["languages"][0], b.made_by["languages"][0]))
            same = (a.made_by[factor][0] for factor in ("model", "method", "pattern", "texts"))
            groups.setdefault((*mixtures, *same), []).append(pair["overall"])
    names = ("a", "b", "model", "method", "pattern", "texts")
    return [
        dict(zip(names, key, strict=True)) | {"pairs": len(found), "overall": mean_overlap(found)}
        for key, found in sorted(groups.items())
    ]


def _notes(pairs: Sequence[dict[str, Any]], width: int | None) -> Iterator[str]:
    if width is None:
        yield (
            "Attention heads are left out: neither a config.json nor the manifest of any run says how many there are."
        )
    if any(above_chance(pair["overall"]) is None for pair in pairs):
        yield (
            "A run that keeps every weight has as much in common with any other as by chance: such pairs say nothing "
            "of how far masks agree, and count in no mean of it."
        )
    if any(found["pruned_iou"] is None for pair in pairs for found in (pair["overall"], *pair["kernels"].values())):
        yield (
            "Where neither of two runs has pruned anything, the IoU of pruned weights is undefined (null); so is the "
            "concentration of zeros where there are none."
        )
