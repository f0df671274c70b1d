"""The points of a study, in an order that every machine agrees on, and which machine computes which."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from jaxprune.errors import RequestError
from jaxprune.studies.config.study import Method, StudyConfig

DENSE = "dense"
"""The job that measures the model as it was; not a point, and never the name of one."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One pruning of the grid.

    Attributes:
      id: names it and its folder, ``wanda_0.5_de+en_seed0``; of a method without text ``magnitude_0.5``.
      method: with its parameters.
      pattern: as it is typed.
      calibration: name of the mixture; None for a method without text, as are the next two.
      mixture: sequences by language.
      seed: of the calibration text.
    """

    id: str
    method: Method
    pattern: str
    calibration: str | None
    mixture: Mapping[str, int] | None
    seed: int | None

    def as_json(self) -> dict[str, Any]:
        """Returns what a result says of it."""
        return {
            "calibration": self.calibration,
            "mixture": None if self.mixture is None else dict(self.mixture),
            "method": self.method.name,
            "settings": self.method.settings,
            "pattern": self.pattern,
            "seed": self.seed,
        }


def all_points(config: StudyConfig) -> tuple[Point, ...]:
    """Returns every point once: first those without text, then by seed, mixture, method and pattern.

    Neighbours share most: the same tokens, then the same statistics.

    Raises:
      RequestError: two points would have one name.
    """
    points = [
        _point(method, pattern) for method in config.methods if not method.needs_text for pattern in config.patterns
    ]
    for seed in config.seeds:
        for mixture in config.calibration.mixtures:
            sequences = config.calibration.sequences(mixture)
            points += [
                _point(method, pattern, mixture.name, sequences, seed)
                for method in config.methods
                if method.needs_text
                for pattern in config.patterns
            ]
    # Some file systems do not tell capitals from small letters.
    names = [point.id.casefold() for point in points]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RequestError(f"two points of the study are called {repeated[0]}; name a mixture otherwise.")
    return tuple(points)


def all_jobs(config: StudyConfig) -> tuple[Point | None, ...]:
    """Returns the jobs of a study in their order: None, which is the dense model's measurement, then the points."""
    return (None, *all_points(config))


def job_id(job: Point | None) -> str:
    """Returns the name of a job."""
    return DENSE if job is None else job.id


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of a study that is computed here: the ``index``-th of ``count``, from 1 on."""

    index: int
    count: int

    def __str__(self) -> str:
        """Returns what a user types."""
        return f"{self.index}/{self.count}"

    def take(self, jobs: tuple[Point | None, ...]) -> tuple[Point | None, ...]:
        """Returns its jobs, neighbours of each other; all shards together have each job once."""
        begin, end = (len(jobs) * index // self.count for index in (self.index - 1, self.index))
        return jobs[begin:end]


def parse_shard(text: str | None) -> Shard:
    """Reads ``3/16``; None is the whole.

    Raises:
      RequestError: something else.
    """
    if text is None:
        return Shard(1, 1)
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise RequestError(f"--shard {text!r} is not understood; write I/N with I from 1 to N, for example 3/16.")
    return Shard(int(found[1]), int(found[2]))


def _point(
    method: Method,
    pattern: str,
    calibration: str | None = None,
    mixture: Mapping[str, int] | None = None,
    seed: int | None = None,
) -> Point:
    of_text = () if calibration is None else (calibration, f"seed{seed}")
    # A colon separates drives and streams on other systems.
    name = "_".join([method.label, pattern.replace(":", "-"), *of_text])
    return Point(name, method, pattern, calibration, mixture, seed)
