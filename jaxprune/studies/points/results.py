"""What a study has found so far, however much of it there is."""

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxprune.checkpoints.json_file import parse_object, read_small
from jaxprune.errors import RequestError
from jaxprune.studies.config.study import StudyConfig, load_config
from jaxprune.studies.points.asked import asked_of, stale
from jaxprune.studies.points.files import digest_of
from jaxprune.studies.points.grid import DENSE, all_points

FORMAT = 1
STUDY_FILE = "study.yaml"
RESULT_FILE = "result.json"
ITEMS_FILE = "items.npz"
POINTS_FOLDER = "points"

_AGAIN = "run the study again to compute it anew"

Status = Literal["done", "failed", "damaged", "outdated"]


@dataclasses.dataclass(frozen=True)
class PointResult:
    """What is known of one point, or of the dense model.

    Attributes:
      id: the point's name; ``dense``.
      folder: where it lies.
      status: ``damaged`` if its result cannot be read, or the items that it tells of are not there; then it is
        computed anew by the next run. ``outdated`` if it is done, and the study file now asks for other measures, which
        the next run makes.
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
            where = job_folder(Path(), self.id)
            raise RequestError(
                f"{where / ITEMS_FILE} is damaged ({error}); remove {where} in the study's folder, and {_AGAIN}."
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

    @property
    def done(self) -> tuple[PointResult, ...]:
        """The results that are done, the dense model's first."""
        return tuple(of for of in (self.dense, *self.points) if of is not None and of.status == "done")

    @property
    def is_dense_done(self) -> bool:
        """Whether there is a dense model to compare with."""
        return self.dense is not None and self.dense.status == "done"


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
    found = {name: read_result(out, name, config) for name in (DENSE, *ids)}
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


def read_result(out: Path, name: str, config: StudyConfig) -> PointResult | None:
    """Returns what is known of a point, or of the dense model; None if it has no result."""
    folder = job_folder(out, name)
    path = folder / RESULT_FILE
    # A report is read on other machines: what is wrong is told as it lies in the study's folder.
    shown = job_folder(Path(), name)
    try:
        text = read_small(path)
    except RequestError as error:
        if not path.exists():
            return None
        return _damaged(name, folder, str(error).replace(str(folder), str(shown)))
    try:
        result = parse_object(text, str(shown / RESULT_FILE), advice=_AGAIN)
    except RequestError as error:
        return _damaged(name, folder, str(error))
    wrong = _wrong_field(result, name)
    if wrong is not None:
        found = f"{shown / RESULT_FILE} is not a result of this study, to judge by its {wrong}"
        return _damaged(name, folder, f"{found}; {_AGAIN}.")
    if result["status"] == "done" and _has_items(result):
        items = folder / ITEMS_FILE
        if not items.is_file():
            found = f"{shown / ITEMS_FILE} is not there, without which {RESULT_FILE} cannot be compared"
            return _damaged(name, folder, f"{found}; {_AGAIN}.")
        # Whole files end in a table of what they hold. Damage further inside shows when the items are read.
        if not zipfile.is_zipfile(items):
            found = f"{shown / ITEMS_FILE} is no file of arrays, or only the beginning of one"
            return _damaged(name, folder, f"{found}; {_AGAIN}.")
        # Results of earlier versions do not say which file is theirs.
        if "items_sha256" in result and result["items_sha256"] != digest_of(items):
            return _damaged(name, folder, f"{shown / ITEMS_FILE} is another than {RESULT_FILE} tells of; {_AGAIN}.")
    old = stale(result, asked_of(config, is_dense=name == DENSE)) if result["status"] == "done" else []
    if old:
        message = "measured as an earlier study file asked, or not at all; run the study again"
        return PointResult(name, folder, "outdated", {"stage": old[0], "message": message}, result)
    return PointResult(name, folder, result["status"], result.get("error"), result)


def _has_items(result: Mapping[str, Any]) -> bool:
    """Returns whether something was measured item by item."""
    return bool(result.get("perplexity")) or any(task["languages"] for task in result.get("tasks", {}).values())


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
    match result.get("error"):
        case {"stage": str(), "message": str()} if result["status"] == "failed":
            pass
        case None if result["status"] == "done":
            pass
        case _:
            return "error"
    # Nobody asks how a point that failed was pruned.
    if result["status"] == "done" and name != DENSE and not _is_point(result.get("point")):
        return "point"
    checks = {"perplexity": _is_perplexity, "snr": _is_snr, "tasks": _is_tasks, "seconds": _are_numbers}
    for field, is_right in checks.items():
        if field in result and not is_right(result[field]):
            return field
    missing = result.get("missing", [])
    if not isinstance(missing, list) or not all(map(_is_pair, missing)):
        return "missing"
    return None


def _is_point(value: Any) -> bool:
    """Returns whether it says how a point was pruned, as ``Point.as_json`` does."""
    match value:
        case {
            "calibration": str() | None,
            "mixture": dict() | None as mixture,
            "method": str(),
            "pattern": str(),
            "seed": int() | None,
        }:
            return _are_numbers(mixture or {}) and isinstance(value.get("settings", {}), dict)
    return False


def _is_perplexity(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(of_language, dict) for of_language in value.values())


def _is_snr(value: Any) -> bool:
    match value:
        case {"languages": dict() as languages}:
            return all(isinstance(of, dict) and _is_snr_of_language(of) for of in languages.values())
    return value == {}


def _is_snr_of_language(of: Mapping[str, Any]) -> bool:
    by_block = [of.get("blocks", {}), of.get("median_tokens", {})]
    if "by_window" in of:
        match of["by_window"]:
            case {"signal": dict() as signal, "noise": dict() as noise, "median_db": dict() as medians}:
                of_blocks = [*signal.values(), *noise.values(), *medians.values()]
            case _:
                return False
        if not all(isinstance(values, list) and all(map(_is_number_or_null, values)) for values in of_blocks):
            return False
        if len(set(map(len, of_blocks))) > 1:
            return False
        by_block += [signal, noise, medians]
    return all(isinstance(numbers, dict) and all(block.isdecimal() for block in numbers) for numbers in by_block)


def _is_tasks(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_task, value.values()))


def _is_task(value: Any) -> bool:
    match value:
        case {"ability": str(), "headline": str() as headline, "languages": dict() as languages}:
            return all(_is_score(of_language, headline) for of_language in languages.values())
    return False


def _is_score(value: Any, headline: str) -> bool:
    """Returns whether it has a score and baselines; what JSON has no number for is null."""
    match value:
        case {"metrics": dict() as metrics, "baselines": dict() as baselines}:
            # Of what is not generated nothing can be empty.
            if "empty" in value and not (isinstance(value["empty"], int) and isinstance(value.get("items"), int)):
                return False
            match metrics.get(headline):
                case {"value": value, "interval": [low, high]}:
                    return all(map(_is_number_or_null, (value, low, high, *baselines.values())))
                case {"value": value, "interval": None}:
                    return all(map(_is_number_or_null, (value, *baselines.values())))
    return False


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _is_number_or_null(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _is_pair(value: Any) -> bool:
    """Returns whether it is a task and a language that it has no items in."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(name, str) for name in value)
