"""What is on the disk of a stage: of an unfinished point its own files, of one that is done a part of the result.

Each knows what it was asked for, so that what is still right serves a study file that asks for other measures.
"""

import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.errors import RequestError
from jaxprune.jobs.study_stages import STAGES, Measured
from jaxprune.studies.points.files import write_arrays, write_json
from jaxprune.studies.points.results import PointResult

Timed = tuple[float, Measured]
"""The seconds that a stage took, and what it measured."""

_logger = logging.getLogger(__name__)


def stage_files(folder: Path) -> Iterator[Path]:
    """Yields those that an unfinished point has."""
    for name in STAGES:
        yield from (path for path in (folder / f".{name}.json", folder / f".{name}.npz") if path.exists())


def write_stage(folder: Path, name: str, asked: Any, seconds: float, measured: Measured) -> None:
    """Writes what a stage of an unfinished point measured."""
    if measured.items:
        write_arrays(folder / f".{name}.npz", measured.items)
    write_json(folder / f".{name}.json", {"asked": asked, "seconds": seconds, "result": measured.result})


def read_stage(folder: Path, name: str, asked: Any) -> Timed | None:
    """Returns what an earlier run of an unfinished point measured; None if it did not, or was asked otherwise."""
    path, of_items = folder / f".{name}.json", folder / f".{name}.npz"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["asked"] != asked:
            return None
        items = {}
        if of_items.exists():
            with np.load(of_items, allow_pickle=False) as stored:
                items = {key: stored[key] for key in stored.files}
        return found["seconds"], Measured(found["result"], items)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        _logger.warning("%s is damaged (%s); it is measured again", path, error)
        return None


def stage_of(earlier: PointResult | None, name: str, asked: Any) -> Timed | None:
    """Returns what a point that was done has of a stage; None if it has not, or was asked otherwise."""
    if earlier is None or earlier.status != "outdated" or earlier.result.get("asked", {}).get(name) != asked:
        return None
    try:
        items = earlier.items()
    except RequestError as error:
        _logger.warning("%s; it is measured again", error)
        return None
    return earlier.result["seconds"][name], _part(earlier.result, items, name, asked)


def _part(result: Mapping[str, Any], items: Mapping[str, np.ndarray], name: str, asked: Mapping[str, Any]) -> Measured:
    """Returns a stage's part of a result: of tasks, which two stages measure, those that it was asked for."""
    if name in ("perplexity", "snr"):
        return Measured(
            {name: result[name]}, {key: value for key, value in items.items() if key.startswith(f"{name}/")}
        )
    tasks = [task for task in result["tasks"] if task in asked["names" if name == "tasks" else "tasks"]]
    missing = [[task, language] for task, language in result["missing"] if task in tasks]
    beginnings = tuple(f"{kind}tasks/{task}/" for kind in ("", "ids/", "digests/") for task in tasks)
    return Measured(
        {"tasks": {task: result["tasks"][task] for task in tasks}, "missing": missing},
        {key: value for key, value in items.items() if key.startswith(beginnings)},
    )
