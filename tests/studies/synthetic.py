"""Studies with known truth: what a calibration does to a language is planted, all else is noise."""

import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jaxprune.studies.config.study import StudyConfig
from jaxprune.studies.points.asked import asked_of
from jaxprune.studies.points.grid import Point, all_points
from jaxprune.studies.points.results import read_study

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Task:
    """A task with right and wrong answers, or with scores between."""

    ability: str = "knowledge"
    accuracy: float = 0.5
    languages: tuple[str, ...] | None = None
    is_binary: bool = True


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is planted.

    Attributes:
      nats: what a calibration takes off the nats a token of a language.
      points: what it adds to the accuracy of a task in a language.
      spread: standard deviation of what a seed does to the nats of a language.
    """

    nats: Callable[[Mapping[str, int], str], float] = lambda mixture, language: 0.0
    points: Callable[[Mapping[str, int], str, str], float] = lambda mixture, language, task: 0.0
    spread: float = 0.01


def share(mixture: Mapping[str, int], language: str) -> float:
    """Returns which part of a mixture is in a language."""
    return mixture.get(language, 0) / sum(mixture.values())


def config(
    languages: Sequence[str] = ("ar", "de", "en", "sw"),
    mixtures: Sequence[Any] = ("en", "ar", "de", "sw", "de,en"),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    windows: int = 40,
    tasks: Sequence[str] = ("exams",),
    **more: Any,
) -> dict[str, Any]:
    """Returns a study file's object."""
    return {
        "title": "Which language should calibrate?",
        "model": "sample:gemma3-270m",
        "calibration": {"texts": "sample", "samples": 64, "length": 512, "mixtures": list(mixtures)},
        "methods": ["wanda"],
        "patterns": [0.5],
        "seeds": list(seeds),
        "evaluation": {
            "languages": list(languages),
            "perplexity": {"texts": "sample", "windows": windows, "length": 512},
            "snr": {"texts": "sample", "windows": 2, "length": 512},
            **({"tasks": {"names": list(tasks)}} if tasks else {}),
        },
        **more,
    }


class Study:
    """Writes a study's folder as ``jaxprune study`` does.

    Attributes:
      results: by id, ``dense`` among them; to be changed before ``write``.
      arrays: the same.
    """

    def __init__(self, asked: dict[str, Any], truth: Truth, *, tasks: Mapping[str, Task] | None = None, seed: int = 0):
        """Draws everything."""
        self.asked = asked
        self.config = StudyConfig.model_validate(asked)
        names = asked["evaluation"].get("tasks", {}).get("names", ())
        self._tasks = {name: Task() for name in names} | dict(tasks or {})
        self._truth = truth
        self._rng = np.random.default_rng(seed)
        evaluation = self.config.evaluation
        self._windows = evaluation.perplexity.windows if evaluation.perplexity else 0
        self._text = {lang: self._rng.normal(3.0, 0.3, self._windows) for lang in evaluation.languages}
        self._ease = {(n, lang): self._rng.random(200) for n in self._tasks for lang in evaluation.languages}
        self.results: dict[str, dict[str, Any]] = {}
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        self._add("dense", None)
        for point in all_points(self.config):
            self._add(point.id, point)

    def _add(self, name: str, point: Point | None) -> None:
        mixture = None if point is None else point.mixture or {}
        arrays: dict[str, np.ndarray] = {}
        result: dict[str, Any] = {"format": 1, "id": name, "status": "done", "error": None}
        for language in self.config.evaluation.languages if self._windows else ():
            nats = self._text[language]
            if mixture is not None:
                gained = self._truth.nats(mixture, language) - self._rng.normal(0, self._truth.spread)
                nats = nats + 0.9 - gained + self._rng.normal(0, 0.05, self._windows)
            tokens = np.full(self._windows, 511.0)
            arrays |= {f"perplexity/{language}/nats": nats * tokens, f"perplexity/{language}/tokens": tokens}
            result.setdefault("perplexity", {})[language] = {
                "perplexity": float(np.exp(nats.mean())), "interval": [1.0, 2.0], "nats_per_token": float(nats.mean()),
                "bits_per_byte": 1.0, "tokens": 511 * self._windows, "windows": self._windows,
            }  # fmt: skip
        for task_name, task in self._tasks.items():
            for language in task.languages or self.config.evaluation.languages:
                self._answer(arrays, result, task_name, task, language, mixture)
        result |= {"seconds": {"perplexity": 2.0, "tasks": 3.0}, "peak_bytes": 2 * GIB, "model_bytes": GIB}
        result |= {"versions": {"jaxprune": "0.1.0", "jax": "0.10.2"}, "devices": ["cpu:0", "cpu:1"]}
        result["finished"] = "2026-11-24T21:00:00+00:00"
        result["asked"] = asked_of(self.config, is_dense=point is None)
        result["missing"] = [
            [task_name, language]
            for task_name, task in self._tasks.items()
            for language in self.config.evaluation.languages
            if task.languages and language not in task.languages
        ]
        if point is not None:
            result["point"] = point.as_json()
            result["sparsity"] = 0.5
            result["seconds"] |= {"prune": 40.0, "snr": 4.0}
            result["snr"] = self._ratios(name, mixture or {"": 1})
        self.results[name], self.arrays[name] = result, arrays

    def _ratios(self, name: str, mixture: Mapping[str, int]) -> dict[str, Any]:
        """Returns ratios that fall with depth and are 3 dB higher in a language that calibrates alone."""
        # Of its own, so that what is drawn here changes nothing elsewhere.
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        windows, blocks = self.config.evaluation.snr.windows if self.config.evaluation.snr else 0, range(6)
        languages: dict[str, Any] = {}
        for language in self.config.evaluation.languages:
            medians = {str(i): 20.0 - i + 3 * share(mixture, language) + rng.normal(0, 0.1, windows) for i in blocks}
            signal = {i: 100 * rng.gamma(50, 1 / 50, windows) for i in medians}
            noise = {i: signal[i] / 10 ** (median_N / 10) for i, median_N in medians.items()}
            by_window = {"signal": signal, "noise": noise, "median_db": medians}
            languages[language] = {
                "blocks": {i: 10 * np.log10(signal[i].sum() / noise[i].sum()) for i in medians},
                "overall": 10 * np.log10(sum(map(np.sum, signal.values())) / sum(map(np.sum, noise.values()))),
                "median_tokens": {i: median_N.mean() for i, median_N in medians.items()},
                "windows": windows,
                "by_window": {
                    what: {i: of_block.tolist() for i, of_block in of.items()} for what, of in by_window.items()
                },
            }
        return {"weights": {"blocks": {str(i): 20.0 - i for i in blocks}, "overall": 9.5}, "languages": languages}

    def _answer(self, arrays: Any, result: Any, name: str, task: Task, language: str, mixture: Any) -> None:
        ease = self._ease[name, language]
        level = task.accuracy
        if mixture is not None:
            level += self._truth.points(mixture, language, name) - 0.05
        # Every model finds nearly the same questions easy.
        score = ease + self._rng.normal(0, 0.05, len(ease)) < level
        values = score.astype(float) if task.is_binary else np.clip(score * 0.5 + ease * 0.2, 0, 1)
        arrays[f"tasks/{name}/{language}/acc"] = values
        arrays[f"ids/tasks/{name}/{language}"] = np.array([f"{name}-{i}" for i in range(len(ease))])
        of_task = result.setdefault("tasks", {}).setdefault(
            name, {"ability": task.ability, "kind": "choice", "headline": "acc", "languages": {}}
        )
        of_task["languages"][language] = {
            "items": len(ease),
            "metrics": {"acc": {"value": float(values.mean()), "interval": [0.0, 1.0]}},
            "baselines": {"chance": 0.25, "majority": 0.27, "overlap": 0.31},
        }

    def write(self, out: Path) -> Path:
        """Writes what is in ``results`` and ``arrays``."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "study.yaml").write_text(yaml.safe_dump(self.asked, allow_unicode=True), encoding="utf-8")
        for name, result in self.results.items():
            folder = out / name if name == "dense" else out / "points" / name
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
            np.savez(folder / "items.npz", **self.arrays[name])  # pyright: ignore
        return out

    def read(self, out: Path):
        """Writes it, and reads it as a report does."""
        return read_study(self.write(out))

    def fail(self, name: str, message: str = "Cholesky failed") -> None:
        """Makes a point one that failed while it was pruned."""
        self.results[name] = {
            "format": 1, "id": name, "status": "failed", "error": {"stage": "prune", "message": message},
            "point": self.results[name]["point"], "seconds": {},
        }  # fmt: skip
        self.arrays[name] = {}

    def drop(self, *names: str) -> None:
        """Makes points that are not there yet."""
        for name in names:
            del self.results[name], self.arrays[name]
