"""Prunes a checkpoint into a new one, one block at a time from disk to disk."""

import contextlib
import functools
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

import jaxprune
from jaxprune.checkpoints import create_writer, open_checkpoint
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.huggingface import HuggingFaceWriter
from jaxprune.checkpoints.masks import MaskWriter
from jaxprune.checkpoints.output import OutputFolder
from jaxprune.data.calibration import Calibration, check_vocabulary
from jaxprune.distributed import agree, first_then_others, from_first, is_first, together
from jaxprune.errors import RequestError
from jaxprune.jobs.journal import JOURNAL_FILE, Journal
from jaxprune.jobs.manifest import METADATA_FOLDER, calibrations, read_manifest, write_manifest
from jaxprune.jobs.peak_memory import peak_device_bytes
from jaxprune.jobs.prune_record import entry_of, request_of, sparsity_of, versions
from jaxprune.jobs.write_behind import WriteBehind
from jaxprune.mesh_states import most_on_devices
from jaxprune.microbatches import Microbatch, make_microbatches
from jaxprune.models.causal_lm import EMBED, HEAD, CausalLM, block_section
from jaxprune.pruning.blockwise import Progress, PrunedBlock, prune_blocks
from jaxprune.pruning.collecting import Collect, DataParallel, collect_statistics
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.sweep import ReadSection, Sweep, read_ahead

_UNFINISHED = "unfinished"


def total_work(model: CausalLM, method: PruningMethod, calibration: Calibration | None) -> int:
    """Returns the tokens that ``prune`` will report: two passes a block, one in the last; blocks if none is needed."""
    if method.statistic is None or calibration is None:
        return model.num_blocks
    return (2 * model.num_blocks - 1) * calibration.tokens_NT.size


def prune(
    checkpoint: Checkpoint,
    out: Path,
    *,
    method: PruningMethod,
    pattern: Pattern,
    calibration: Calibration | None,
    mesh: Mesh,
    compute_dtype: np.dtype,
    dtype: np.dtype | None = None,
    format: str = "huggingface",
    resume: bool = False,
    overwrite: bool = False,
    data_parallel: DataParallel = "shard_map",
    host_bytes: int | None = None,
    device_bytes: int | None = None,
    collect: Collect = collect_statistics,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the pruned model to the folder ``out`` and returns its manifest.

    Several processes call this together, on a folder that all of them see: each reads and writes the weights that its
    devices have, the first one everything that there is once.

    Args:
      calibration: sequences with their languages; None only for a method that needs none.
      compute_dtype: of the forward passes.
      dtype: of the written weights; calibration sees them as they will be written. None: the source's.
      format: ``huggingface`` or ``orbax``.
      resume: continue an interrupted run of the same request, if there is one.
      data_parallel: what runs the scoring of one device on all of them.
      host_bytes: hidden states that may lie in each process's memory; None: half of what the machine has.
      device_bytes: hidden states that may stay in each device's memory, if all do; None: an eighth of a GPU's.
      collect: what gives the statistics of a block.

    Raises:
      RequestError: the request cannot be met; nothing is left under ``out``.
    """
    progress = progress or Progress()
    model = checkpoint.model
    if method.statistic is None:
        calibration = None
    elif calibration is None:
        raise RequestError(f"{method.name} needs calibration text; name it with --calibration and --texts.")
    check_widths(model, pattern)
    if calibration is not None:
        check_vocabulary(calibration.tokens_NT, model.config.vocab_size)
    # A model that is pruned again has seen what it was calibrated on before.
    with together():
        earlier = calibrations(read_manifest(checkpoint.reference))
    read = functools.partial(checkpoint.parameters, dtype=dtype)
    start = time.perf_counter()
    request = request_of(checkpoint, method, pattern, calibration)
    request |= {
        "format": format,
        "dtype": str(dtype) if dtype is not None else "source",
        "compute_dtype": str(np.dtype(compute_dtype)),
        "mesh": dict(mesh.shape),
    }
    agree({**request, "resume": resume, "overwrite": overwrite, "data_parallel": data_parallel})
    with contextlib.ExitStack() as stack:
        output = OutputFolder(
            out,
            overwrite=overwrite,
            resume=resume,
            resumed_from=f"{METADATA_FOLDER}/{JOURNAL_FILE}",
            source=checkpoint.reference,
        )
        # Unfinished work is safetensors whatever is asked for: written in place and read again when a run is resumed.
        unfinished = output.partial if format == "huggingface" else output.partial / _UNFINISHED

        def begin() -> Journal:
            if is_first():
                # The journal goes last, when the result has its name: until then it says what there is.
                stack.callback((Path(out) / METADATA_FOLDER / JOURNAL_FILE).unlink, missing_ok=True)
                stack.enter_context(output)
                (output.partial / METADATA_FOLDER).mkdir(exist_ok=True)
            return Journal(output.partial / METADATA_FOLDER, request, num_blocks=model.num_blocks, is_kept=is_first())

        journal = first_then_others(begin)
        _check_shared(output.partial)
        first = from_first(len(journal.blocks))
        if not journal.is_complete:
            writers = first_then_others(lambda: _open_writers(checkpoint, unfinished, output.partial, format, dtype))
            behind = stack.enter_context(WriteBehind())
            memory = {
                "host_bytes": host_bytes,
                "device_bytes": most_on_devices(mesh) if device_bytes is None else device_bytes,
            }
            make_sweep = functools.partial(Sweep, model, mesh=mesh, dtype=compute_dtype, **memory)
            sweep = _start_sweep(make_sweep, read, calibration, mesh, progress)
            behind.start(functools.partial(_write_dense, writers, read))
            if sweep is not None:
                _replay(sweep, writers.weights, first, progress)
            blocks = prune_blocks(
                read,
                sweep,
                model,
                method,
                pattern,
                mesh=mesh,
                progress=progress,
                first=first,
                data_parallel=data_parallel,
                collect=collect,
            )

            def record(entry: Mapping[str, Any]) -> None:
                journal.add(entry)
                output.holds_work = True

            _write_blocks(blocks, model, writers, behind, record, progress)
            with progress.phase(model.num_blocks, "finish"), together():
                writers.masks.finish()
                if is_first():
                    writers.weights.finish()
                    if unfinished != output.partial:
                        _rewrite(unfinished, output.partial, format)
                    journal.complete()
        if is_first() and unfinished != output.partial:
            shutil.rmtree(unfinished, ignore_errors=True)
        manifest = {
            "jaxprune": jaxprune.__version__,
            "method": request["method"],
            "pattern": request["pattern"],
            "calibration": calibration.account if calibration is not None else None,
            "source": {
                "model": checkpoint.reference,
                "sha256": checkpoint.fingerprint,
                "calibrations": earlier,
                # For whoever has the masks only: which of their rows make up a head.
                "num_attention_heads": model.config.num_attention_heads,
            },
            "format": format,
            "dtype": request["dtype"],
            "compute_dtype": request["compute_dtype"],
            "sparsity": sparsity_of(journal.blocks),
            "diagnostics": {name: found for block in journal.blocks for name, found in block["diagnostics"].items()},
            "versions": versions(),
            "devices": [str(device) for device in mesh.devices.flat],
            "mesh": request["mesh"],
            "peak_device_bytes": peak_device_bytes(mesh.local_devices),
            # Of this run: what an interrupted one took is not known.
            "resumed_at_block": first if first else None,
            "seconds": {**progress.seconds, "total": time.perf_counter() - start},
        }
        if is_first():
            write_manifest(output.partial, manifest)
    return manifest


class _Writers(NamedTuple):
    """What blocks are written with."""

    weights: HuggingFaceWriter
    masks: MaskWriter


def _open_writers(
    checkpoint: Checkpoint, unfinished: Path, folder: Path, format: str, dtype: np.dtype | None
) -> _Writers:
    if is_first():
        unfinished.mkdir(exist_ok=True)
        checkpoint.write_companions(unfinished, dtype)
    writers = _Writers(
        HuggingFaceWriter(unfinished, checkpoint, dtype=dtype), MaskWriter(folder / METADATA_FOLDER, checkpoint.model)
    )
    if is_first() and unfinished != folder:
        # What is written at the end must fit as well: whoever opens it makes sure of that.
        create_writer(folder, checkpoint, format=format, dtype=dtype)
    return writers


def _write_dense(writers: _Writers, read: ReadSection) -> None:
    """Writes what is not pruned and stands outside of the blocks."""
    for section in (EMBED, HEAD):
        writers.weights.write(section, read(section))


def _start_sweep(
    make_sweep: Callable[[list[Microbatch]], Sweep],
    read: ReadSection,
    calibration: Calibration | None,
    mesh: Mesh,
    progress: Progress,
) -> Sweep | None:
    """Returns the sequences as the embedding leaves them; None without text."""
    if calibration is None:
        return None
    with progress.phase(0, "embed"):
        sweep = make_sweep(make_microbatches(calibration.tokens_NT, calibration.languages, mesh=mesh))
        sweep.embed(read)
        return sweep


def _write_blocks(
    blocks: Iterable[PrunedBlock],
    model: CausalLM,
    writers: _Writers,
    behind: WriteBehind,
    record: Callable[[Mapping[str, Any]], None],
    progress: Progress,
) -> None:
    """Writes each block while the next is pruned; ``write`` is the time for which that had to be waited."""
    for block in blocks:
        section = block_section(block.index)
        with progress.phase(block.index, "write"):
            # Before this one's come off the devices: so that the host never holds more than two.
            behind.finish()
            work = writers.weights.begin(section, block.params), writers.masks.begin(section, block.masks)
            # Only when all processes have written theirs.
            then = functools.partial(record, entry_of(model, block))
            behind.start(functools.partial(_do_all, work), then)
        # The next one comes when this one's memory is free again.
        del block, work
    with progress.phase(model.num_blocks, "write"):
        behind.finish()


def _check_shared(partial: Path) -> None:
    """Makes sure that all processes see the folder that the first one writes to.

    Raises:
      RequestError: in every process, if one does not.
    """
    journal = partial / METADATA_FOLDER / JOURNAL_FILE
    found = zlib.crc32(journal.read_bytes()) % 2**31 if journal.is_file() else -1
    of_first = from_first(found)
    with together():
        if found != of_first:
            raise RequestError(
                f"{partial} was made by process 0, and is not there for this one; name an output in a folder that all "
                "processes share."
            )


def _do_all(work: Iterable[Callable[[], None]]) -> None:
    for piece in work:
        piece()


def _rewrite(unfinished: Path, folder: Path, format: str) -> None:
    """Turns the finished safetensors into the format that was asked for."""
    pruned = open_checkpoint(str(unfinished))
    writer = create_writer(folder, pruned, format=format, dtype=None)
    for section in pruned.model.sections:
        writer.write(section, pruned.parameters(section))
    writer.finish()


def _replay(sweep: Sweep, writer: HuggingFaceWriter, first: int, progress: Progress) -> None:
    """Takes the hidden states through the blocks that an interrupted run has pruned."""
    done = range(min(first, sweep.model.num_blocks - 1))
    for index, params in read_ahead(writer.parameters, done, mesh=sweep.mesh):
        with progress.phase(index, "replay"):
            sweep.advance(index, params, lambda tokens: progress.on_tokens(2 * tokens))


def check_widths(model: CausalLM, pattern: Pattern) -> None:
    """Refuses a pattern that a kernel's width does not allow, before anything is computed."""
    tensors = model.tensors(block_section(0))
    for linear in model.family.reads:
        tensor = tensors[f"{linear}/kernel"]
        try:
            pattern.check_width(tensor.shape[1])
        except RequestError as error:
            raise RequestError(f"{tensor.name}: {error}") from None
