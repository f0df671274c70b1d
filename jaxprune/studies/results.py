"""What a study has found so far, however much of it there is."""

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxprune.checkpoints.json_file import parse_object, read_small
from jaxprune.errors import RequestError
from jaxprune.studies.config import StudyConfig, load_config
from jaxprune.studies.grid import DENSE, all_points

FORMAT = 1
STUDY_FILE = "study.yaml"
RESULT_FILE = "result.json"
ITEMS_FILE = "items.npz"
POINTS_FOLDER = "points"

Status = Literal["done", "failed", "damaged"]


@dataclasses.dataclass(frozen=True)
class PointResult:
    """What is known of one point, or of the dense model.

    Attributes:
      id: the point's name; ``dense``.
      folder: where it lies.
      status: ``damaged`` if its result cannot be read; then it is computed anew by the next run.
      error: unless it is done, the ``stage`` and the ``message``.
      result: the object in ``result.json``; empty if it is damaged. A failed one has what was measured before.
    """

    id: str
    folder: Path
    status: Status
    error: Mapping[str, str] | None
    result: Mapping[str, Any]

    def items(self) -> dict[str, np.ndarray]:
        """Returns the numbers of single windows and items by name, ``perplexity/de/nats``; none where there are none.

        Raises:
          RequestError: the file is damaged.
        """
        path = self.folder / ITEMS_FILE
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise RequestError(
                f"{path} is damaged ({error}); remove {self.folder}, and run the study again to compute it anew."
            ) from error


@dataclasses.dataclass(frozen=True)
class StudyResults:
    """A study, finished or not.

    Attributes:
      folder: where it lies.
      config: what was asked.
      dense: the dense model's measurement; None if there is none yet.
      points: those that have a result, in the order of the grid, failed and damaged ones among them.
      missing: names of the points that have none yet.
    """

    folder: Path
    config: StudyConfig
    dense: PointResult | None
    points: tuple[PointResult, ...]
    missing: tuple[str, ...]


def read_study(out: Path) -> StudyResults:
    """Reads the folder that ``jaxprune study`` writes to.

    Raises:
      RequestError: it is no such folder, or its study file cannot be read.
    """
    path = out / STUDY_FILE
    if not path.is_file():
        raise RequestError(f"{out} holds no study ({STUDY_FILE} is not there); name a folder of jaxprune study.")
    config = load_config(path)
    ids = [point.id for point in all_points(config)]
    found = {name: read_result(out, name) for name in (DENSE, *ids)}
    return StudyResults(
        folder=out,
        config=config,
        dense=found[DENSE],
        points=tuple(result for name in ids if (result := found[name]) is not None),
        missing=tuple(name for name in ids if found[name] is None),
    )


def job_folder(out: Path, name: str) -> Path:
    """Returns the folder of a point, or of the dense model."""
    return out / DENSE if name == DENSE else out / POINTS_FOLDER / name


def read_result(out: Path, name: str) -> PointResult | None:
    """Returns what is known of a point, or of the dense model; None if it has no result."""
    folder = job_folder(out, name)
    path = folder / RESULT_FILE
    try:
        text = read_small(path)
    except RequestError as error:
        if not path.exists():
            return None
        return _damaged(name, folder, str(error))
    try:
        result = parse_object(text, str(path), advice="run the study again to compute it anew")
    except RequestError as error:
        return _damaged(name, folder, str(error))
    wrong = _wrong_field(result, name)
    if wrong is not None:
        return _damaged(name, folder, f"{path} is not a result of this study, to judge by its {wrong}")
    return PointResult(name, folder, result["status"], result["error"], result)


def _damaged(name: str, folder: Path, message: str) -> PointResult:
    return PointResult(name, folder, "damaged", {"stage": "result", "message": message}, {})


def _wrong_field(result: Mapping[str, Any], name: str) -> str | None:
    """Returns the first field that has another form than a study gives it; None if there is none."""
    if result.get("format") != FORMAT:
        return "format"
    if result.get("id") != name:
        return "id"
    if result.get("status") not in ("done", "failed"):
        return "status"
    error = result.get("error")
    match error:
        case {"stage": str(), "message": str()} if result["status"] == "failed":
            pass
        case None if result["status"] == "done":
            pass
        case _:
            return "error"
    for field in ("perplexity", "snr", "tasks", "seconds", "point"):
        if not isinstance(result.get(field, {}), dict):
            return field
    return None
