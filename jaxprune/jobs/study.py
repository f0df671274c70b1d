"""A study: every point of its grid computed once, by any number of processes that share a folder."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxprune.errors import RequestError
from jaxprune.jobs.study_harness import HarnessTasks
from jaxprune.jobs.study_inputs import Inputs, check_inputs, tidy_calibrations
from jaxprune.jobs.study_point import MODEL_FOLDER, compute, is_tidy, tidy
from jaxprune.jobs.study_stages import Bar
from jaxprune.studies.config.study import StudyConfig, load_config
from jaxprune.studies.points import claims
from jaxprune.studies.points.asked import asked_of, stale
from jaxprune.studies.points.files import unfinished_files, write_whole
from jaxprune.studies.points.grid import Point, Shard, all_jobs, job_id
from jaxprune.studies.points.identity import check_same
from jaxprune.studies.points.results import POINTS_FOLDER, STUDY_FILE, PointResult, job_folder, read_result

_POLL_SECONDS = 5.0
_OURS = (STUDY_FILE, "dense", POINTS_FOLDER, "calibration")


@dataclasses.dataclass(frozen=True)
class Watch:
    """How a caller follows a study.

    Attributes:
      on_stage: told a job's name, which stage of it begins, and how many tokens that will report; gives what shows
        them.
      on_end: told its name, and what went wrong or None.
      on_wait: told the jobs that other processes are at, with who these are, while there is nothing else to do.
    """

    on_stage: Callable[[str, str, int], Bar]
    on_end: Callable[[str, str | None], None] = lambda name, error: None
    on_wait: Callable[[Mapping[str, str]], None] = lambda busy: None


@dataclasses.dataclass(frozen=True)
class Study:
    """A study file, checked, with a folder for its results.

    Attributes:
      file: the study file.
      config: what it says.
      out: the folder.
      jobs: all there are, in order; None measures the dense model.
      own: those of this shard.
      harness: tasks of lm-evaluation-harness, if any.
    """

    file: Path
    config: StudyConfig
    out: Path
    jobs: tuple[Point | None, ...]
    own: tuple[Point | None, ...]
    harness: HarnessTasks | None = None

    def results(self) -> dict[str, PointResult | None]:
        """Returns what is known of each job, by name."""
        return {job_id(job): read_result(self.out, job_id(job), self.config) for job in self.jobs}

    def stages(self, job: Point | None) -> list[str]:
        """Returns what there is to compute of a job; of one that is done or damaged, all."""
        asked = asked_of(self.config, is_dense=job is None)
        found = read_result(self.out, job_id(job), self.config)
        if found is None or found.status != "outdated":
            return ["prune", *asked]
        is_kept = job is None or (found.folder / MODEL_FOLDER).is_dir()
        return [*([] if is_kept else ["prune"]), *stale(found.result, asked)]


def open_study(file: Path, out: Path, shard: Shard) -> Study:
    """Checks everything that can be known before a model is opened; writes nothing.

    Raises:
      RequestError: something in the file is wrong, or ``out`` is something else, or holds another study.
    """
    config = load_config(file)
    jobs = all_jobs(config)
    harness = check_inputs(file, config)
    _check_folder(out)
    _check_same(config, out, file)
    return Study(file, config, out, jobs, shard.take(jobs), harness)


def run_study(study: Study, watch: Watch, *, poll_seconds: float = _POLL_SECONDS) -> None:
    """Computes the jobs of a shard that are not done, one after the other; the results tell how they went.

    Jobs that failed before are tried again, those that fail now are not. Jobs that another process is at are waited
    for, and taken over should it die.

    Raises:
      RequestError: something that concerns all points is wrong: the model cannot be opened, a language is missing.
    """
    _settle_folder(study)
    before = {name: result.result.get("finished") for name, result in study.results().items() if result is not None}
    left = [job for job in study.own if not _is_settled(study, job, before)]
    inputs = Inputs(study.config, study.out, study.harness) if left else None
    while left:
        assert inputs is not None
        busy: dict[str, str] = {}
        for job in list(left):
            name, folder = job_id(job), job_folder(study.out, job_id(job))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                # A file of that name, or no rights: the point stays missing, and the others go on.
                watch.on_end(name, f"start: {folder} cannot be made ({error.strerror}); remove what is in its way")
                left.remove(job)
                continue
            if _is_settled(study, job, before):
                left.remove(job)
                continue
            claim = claims.take(folder)
            if claim is None:
                busy[name] = claims.holder(folder) or "another process"
                continue
            with claim:
                # Another may have been at it between the two.
                if not _is_settled(study, job, before):
                    start_bar = functools.partial(watch.on_stage, name)
                    earlier = read_result(study.out, name, study.config)
                    error = compute(job, inputs, folder, earlier=earlier, start_bar=start_bar, is_held=claim.is_held)
                    watch.on_end(name, error)
                left.remove(job)
            busy.clear()
        if left and len(busy) == len(left):
            watch.on_wait(busy)
            time.sleep(poll_seconds)
    _tidy(study)


def as_json(study: Study, shard: Shard) -> dict[str, Any]:
    """Returns what ``study --json`` prints."""
    results, own = study.results(), [job_id(job) for job in study.own]
    failed = {name: found for name, found in results.items() if found and found.status in ("failed", "damaged")}
    missing = [name for name, found in results.items() if found is None or found.status == "outdated"]
    return {
        "title": study.config.title,
        "out": str(study.out),
        "shard": str(shard),
        "jobs": len(results),
        "done": [name for name, found in results.items() if found is not None and found.status == "done"],
        "failed": [{"id": name, **(found.error or {})} for name, found in failed.items()],
        "missing": missing,
        "own": {
            "jobs": own,
            "failed": [name for name in own if name in failed],
            "missing": [name for name in own if name in missing],
        },
    }


def _is_settled(study: Study, job: Point | None, before: Mapping[str, Any]) -> bool:
    """Returns whether a job is done, or has failed since this run began."""
    found = read_result(study.out, job_id(job), study.config)
    if found is None or found.status in ("damaged", "outdated"):
        return False
    return found.status == "done" or before.get(found.id) != found.result.get("finished")


def _check_folder(out: Path) -> None:
    if out.is_symlink() and not out.exists():
        raise RequestError(f"the output {out} is a link that leads nowhere; name the folder itself.")
    if out.exists() and not out.is_dir():
        raise RequestError(f"the output {out} is a file; name a folder.")
    if not out.exists():
        if not out.absolute().parent.is_dir():
            raise RequestError(f"the output {out} cannot be created: {out.parent} is not a folder; make it first.")
        return
    if not (out / STUDY_FILE).is_file():
        # Hidden files are what another shard is just writing.
        foreign = sorted(p.name for p in out.iterdir() if p.name not in _OURS and not p.name.startswith("."))
        if foreign:
            raise RequestError(
                f"the output folder {out} holds {foreign[0]} and no study; name a folder that does not exist yet, or "
                "one of jaxprune study."
            )


def _check_same(config: StudyConfig, out: Path, file: Path) -> None:
    if (out / STUDY_FILE).is_file():
        check_same(load_config(out / STUDY_FILE), config, out=out, file=file)


def _settle_folder(study: Study) -> None:
    """Writes the study file into the folder, unless the one that is there says the same."""
    study.out.mkdir(exist_ok=True)
    while (claim := claims.take(study.out)) is None:
        time.sleep(0.2)
    with claim:
        # Another shard may have begun with another file.
        _check_same(study.config, study.out, study.file)
        for leftover in unfinished_files(study.out):
            leftover.unlink(missing_ok=True)
        content, target = study.file.read_bytes(), study.out / STUDY_FILE
        if not target.is_file() or target.read_bytes() != content:
            write_whole(target, lambda file: file.write(content))


def _tidy(study: Study) -> None:
    """Removes what processes left that were killed: beside a result, and where text is drawn."""
    tidy_calibrations(study.out)
    for job in study.own:
        folder, found = job_folder(study.out, job_id(job)), read_result(study.out, job_id(job), study.config)
        if found is None or found.status != "done" or is_tidy(folder, study.config.keep):
            continue
        claim = claims.take(folder)
        if claim is not None:
            with claim:
                tidy(folder, study.config.keep)
