"""One point of a study: pruned, measured, written down, and whatever it leaves behind when it is interrupted."""

import datetime
import functools
import logging
import math
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxprune.checkpoints import open_checkpoint
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data.calibration import Calibration, refuse_overlap
from jaxprune.errors import RequestError
from jaxprune.jobs import prune as pruning
from jaxprune.jobs.journal import OtherRequestError
from jaxprune.jobs.manifest import METADATA_FOLDER, read_manifest
from jaxprune.jobs.peak_memory import forget_peak, read_peak
from jaxprune.jobs.prune_record import versions
from jaxprune.jobs.stage_files import Timed, read_stage, stage_files, stage_of, write_stage
from jaxprune.jobs.study_inputs import Inputs, build_method
from jaxprune.jobs.study_stages import Stage, StartBar, add, stages
from jaxprune.pruning.blockwise import Progress
from jaxprune.studies.points import claims
from jaxprune.studies.points.asked import asked_of
from jaxprune.studies.points.files import digest_of, unfinished_files, write_arrays, write_json
from jaxprune.studies.points.grid import Point, job_id
from jaxprune.studies.points.results import FORMAT, ITEMS_FILE, RESULT_FILE, PointResult

MODEL_FOLDER = "model"
# Where ``OutputFolder`` writes it.
_PARTIAL_MODEL_FOLDER = f".{MODEL_FOLDER}.partial"

_logger = logging.getLogger(__name__)


def compute(
    job: Point | None,
    inputs: Inputs,
    folder: Path,
    *,
    earlier: PointResult | None = None,
    start_bar: StartBar,
    is_held: Callable[[], bool],
) -> str | None:
    """Computes a job and writes its result; returns what went wrong, None if nothing did.

    What an interrupted or failed run has finished of it is not done again, nor what an outdated result has as it is
    asked for now.

    Args:
      job: a point; None measures the dense model.
      folder: for the result; this process has the claim to it.
      earlier: the result that is there.
      start_bar: called for each stage.
      is_held: whether it still has.
    """
    can_forget = forget_peak()
    asked = asked_of(inputs.config, is_dense=job is None)
    result: dict[str, Any] = {"format": FORMAT, "id": job_id(job)}
    if job is not None:
        result["point"] = job.as_json()
    found: dict[str, Any] = {"seconds": {}, "asked": {}}
    items: dict[str, np.ndarray] = {}
    stage = "prepare"
    error: dict[str, str] | None = None
    try:
        model = inputs.checkpoint
        if job is not None:
            stage = "prune"
            found |= _prune(job, inputs, folder, start_bar)
            model = open_checkpoint(str(folder / MODEL_FOLDER))
        else:
            found["model_bytes"] = _bytes_in_memory(inputs)
        for stage, measure in stages(inputs, is_dense=job is None).items():
            seconds, measured = (
                stage_of(earlier, stage, asked[stage])
                or read_stage(folder, stage, asked[stage])
                or _measure(measure, inputs, model, start_bar)
            )
            # On the disk for a run after this, should it not come to its end.
            write_stage(folder, stage, asked[stage], seconds, measured)
            add(found, measured)
            found["seconds"][stage] = seconds
            found["asked"][stage] = asked[stage]
            items |= measured.items
    except Exception as caught:  # Whatever it is, the other points go on.
        error = _describe(stage, caught)
    peak = read_peak(is_forgotten=can_forget)
    result |= {
        "status": "done" if error is None else "failed",
        "error": error,
        **found,
        "peak_bytes": peak.bytes,
        "peak_of": peak.of,
        "device_peak_bytes": _device_peak(),
        "compute_dtype": str(inputs.compute_dtype),
        "versions": versions(),
        "devices": [str(device) for device in jax.devices()],
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    if not is_held():
        # This process was stopped for so long that another has taken the point over.
        _logger.warning("%s was taken over by another process; what was computed here is dropped", job_id(job))
        return None
    if items:
        write_arrays(folder / ITEMS_FILE, items)
        result["items_sha256"] = digest_of(folder / ITEMS_FILE)
    # Last: where it is, everything else is.
    write_json(folder / RESULT_FILE, result)
    if error is None:
        tidy(folder, inputs.config.keep)
    return None if error is None else f"{error['stage']}: {error['message']}"


def tidy(folder: Path, keep: str) -> None:
    """Removes what a finished point needs no more; this process has the claim to it."""
    for leftover in (*stage_files(folder), *unfinished_files(folder)):
        leftover.unlink(missing_ok=True)
    # Of a point that was to be pruned again for measures that nobody asks for any more.
    if (folder / _PARTIAL_MODEL_FOLDER).exists():
        shutil.rmtree(folder / _PARTIAL_MODEL_FOLDER)
    model, metadata = folder / MODEL_FOLDER, folder / METADATA_FOLDER
    if keep == "models" or not model.exists():
        return
    if keep == "masks" and (model / METADATA_FOLDER).is_dir():
        shutil.rmtree(metadata, ignore_errors=True)
        (model / METADATA_FOLDER).rename(metadata)
    shutil.rmtree(model)


def is_tidy(folder: Path, keep: str) -> bool:
    """Returns whether ``tidy`` was through with a finished point, and the claim given back, when its process ended."""
    if any(stage_files(folder)) or any(unfinished_files(folder)) or claims.holder(folder) is not None:
        return False
    models = [folder / _PARTIAL_MODEL_FOLDER] + ([] if keep == "models" else [folder / MODEL_FOLDER])
    return not any(model.exists() for model in models)


def _prune(point: Point, inputs: Inputs, folder: Path, start_bar: StartBar) -> dict[str, Any]:
    """Prunes, unless that is done, and returns what is to be said of it."""
    calibration = None if point.mixture is None else inputs.calibration(point)
    if calibration is not None:
        _refuse_overlap(inputs, calibration)
    target = folder / MODEL_FOLDER
    manifest = read_manifest(str(target)) if target.is_dir() else None
    if manifest is None:
        run = functools.partial(_run_prune, point, inputs, target, calibration, start_bar)
        try:
            manifest = run(resume=True)
        except OtherRequestError as error:
            # Another mesh, for example: the point was begun on another machine.
            _logger.warning("%s cannot be resumed (%s); it begins anew", point.id, error)
            manifest = run(resume=False)
    return {
        "seconds": {"prune": manifest["seconds"]["total"]},
        "resumed_at_block": manifest["resumed_at_block"],
        "sparsity": manifest["sparsity"]["overall"],
        "model_bytes": sum(path.stat().st_size for path in target.glob("*.safetensors")),
    }


def _run_prune(
    point: Point,
    inputs: Inputs,
    target: Path,
    calibration: Calibration | None,
    start_bar: StartBar,
    *,
    resume: bool,
) -> dict[str, Any]:
    method, pattern = build_method(point.method, point.pattern)
    model = inputs.checkpoint.model
    bar = start_bar("prune", pruning.total_work(model, method, calibration))
    return pruning.prune(
        inputs.checkpoint,
        target,
        method=method,
        pattern=pattern,
        calibration=calibration,
        mesh=inputs.mesh(None if calibration is None else len(calibration.languages)),
        compute_dtype=inputs.compute_dtype,
        dtype=inputs.dtype,
        resume=resume,
        collect=inputs.statistics.collect,
        progress=Progress(
            on_phase=lambda index, phase: bar.phase(
                f"block {min(index + 1, model.num_blocks)}/{model.num_blocks} {phase}"
            ),
            on_tokens=bar.advance,
        ),
    )


def _refuse_overlap(inputs: Inputs, calibration: Calibration) -> None:
    for windows in (inputs.perplexity, inputs.snr):
        for of_language in (windows or {}).values():
            refuse_overlap(of_language.tokens_NT, of_language.documents, calibration.account)


def _measure(stage: Stage, inputs: Inputs, model: Checkpoint, start_bar: StartBar) -> Timed:
    start = time.perf_counter()
    measured = stage(inputs, model, start_bar)
    return time.perf_counter() - start, measured


def _describe(stage: str, error: Exception) -> dict[str, str]:
    if isinstance(error, RequestError):
        return {"stage": stage, "message": str(error)}
    _logger.error("%s", "".join(traceback.format_exception(error)).rstrip())
    return {
        "stage": stage,
        "message": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def _device_peak() -> int | None:
    """Returns the most that one device of this process has held so far; None where devices do not say (CPUs)."""
    told = [device.memory_stats() for device in jax.local_devices()]
    return max((stats["peak_bytes_in_use"] for stats in told if stats and "peak_bytes_in_use" in stats), default=None)


def _bytes_in_memory(inputs: Inputs) -> int:
    """Returns what the dense weights take in the dtype in which pruned ones are written."""
    model, total = inputs.checkpoint.model, 0
    for section in model.sections:
        dtypes = inputs.checkpoint.dtypes(section)
        for path, (_, shape, _) in model.owned_tensors(section).items():
            total += math.prod(shape) * (inputs.dtype or np.dtype(dtypes[path])).itemsize
    return total
