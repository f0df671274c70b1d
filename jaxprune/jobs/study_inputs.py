"""What the points of a study share, made once: text, tokens, the dense model, statistics of its first block."""

import functools
import json
import logging
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from jaxprune.checkpoints import open_checkpoint
from jaxprune.data import check_languages, check_texts, open_texts
from jaxprune.data.calibration import Calibration, draw_calibration
from jaxprune.data.windows import Windows
from jaxprune.errors import RequestError
from jaxprune.jobs.evaluate import PreparedTasks, prepare_tasks
from jaxprune.jobs.perplexity import prepare_windows
from jaxprune.jobs.prune import check_widths
from jaxprune.jobs.settings import parse_method
from jaxprune.jobs.study_coverage import check_tasks, check_text_languages
from jaxprune.jobs.study_harness import HarnessTasks, open_harness
from jaxprune.pruning.first_block import FirstBlockStatistics
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern, parse_pattern
from jaxprune.resources import parse_compute_dtype
from jaxprune.sharding import make_mesh, parse_mesh
from jaxprune.studies.config.evaluation import Windows as AskedWindows
from jaxprune.studies.config.study import Method, StudyConfig
from jaxprune.studies.points import claims
from jaxprune.studies.points.files import unfinished_files, write_arrays
from jaxprune.studies.points.grid import Point

CALIBRATION_FOLDER = "calibration"

_POLL_SECONDS = 0.5
# A claim to draw, or what was being written.
_LEFT = re.compile(r"\.(.+)\.(?:claim(?:\.\d+)?|npz\.[0-9a-f]{12}\.new)")

T = TypeVar("T")

_logger = logging.getLogger(__name__)


def tidy_calibrations(out: Path) -> None:
    """Removes what processes left in a study's folder that were killed while they drew calibration text."""
    folder = out / CALIBRATION_FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for stem in sorted({found[1] for name in names if (found := _LEFT.fullmatch(name))}):
        claim = claims.take(folder, f".{stem}.claim")
        if claim is not None:
            with claim:
                for path in unfinished_files(folder):
                    if path.name.startswith(f".{stem}.npz."):
                        path.unlink(missing_ok=True)


def build_method(method: Method, pattern: str) -> tuple[PruningMethod, Pattern]:
    """Returns a method and a pattern of a study file.

    Raises:
      RequestError: the method has no such parameter, or the two do not go together.
    """
    built = parse_method(method.name, combine=method.combine, damping=method.damping)
    return built, parse_pattern(pattern, method.within, built.default_scope)


def check_inputs(file: Path, config: StudyConfig) -> HarnessTasks | None:
    """Checks what can be known before a model is opened, or text read; returns the tasks of the harness, if any.

    Raises:
      RequestError: names the file and the key.
    """
    for index, method in enumerate(config.methods):
        for pattern in config.patterns:
            _in_file(file, f"methods[{index}]", functools.partial(build_method, method, pattern))
    _in_file(file, "mesh", lambda: config.mesh and make_mesh(parse_mesh(config.mesh)))
    evaluation = config.evaluation
    texts = {"calibration": config.calibration, "evaluation.perplexity": evaluation.perplexity}
    for place, part in (texts | {"evaluation.snr": evaluation.snr}).items():
        if part is not None:
            _in_file(file, f"{place}.texts", functools.partial(check_texts, part.texts))
    check_text_languages(config, functools.partial(_in_file, file))
    check_tasks(config, functools.partial(_in_file, file))
    if evaluation.harness is None:
        return None
    return open_harness(evaluation.harness, functools.partial(_in_file, file))


def _in_file(file: Path, place: str, check: Callable[[], T]) -> T:
    return _at(f"{file}: {place}", check)


def _at(place: str, do: Callable[[], T]) -> T:
    """Does something; says of what is wrong where in the study file that is."""
    try:
        return do()
    except RequestError as error:
        # The messages name options of the command line; in a study file they are keys of the same names.
        raise RequestError(f"{place}: {str(error).replace('--', '')}") from None


class Inputs:
    """The parts that points share; made when it is certain that there is something to do.

    Attributes:
      checkpoint: the dense model.
      perplexity: windows by language; None where it is not asked for.
      snr: the same for signal-to-noise ratios.
      tasks: prepared; None where none are asked for.
      harness: the same for tasks of lm-evaluation-harness.
      statistics: of the first block.
      compute_dtype: of all forward passes.
      dtype: of pruned weights; None: the source's.
    """

    def __init__(self, config: StudyConfig, out: Path, harness: HarnessTasks | None = None):
        """Opens the model and draws the text to measure on.

        Args:
          config: the study's.
          out: its folder.
          harness: what ``check_inputs`` returned.

        Raises:
          RequestError: the model cannot be opened, a language or enough text is missing, or a pattern does not fit.
        """
        self.config = config
        self._folder = out / CALIBRATION_FOLDER
        self.compute_dtype = parse_compute_dtype(config.compute_dtype)
        self.dtype = None if config.dtype is None else jnp.dtype(config.dtype)
        self.checkpoint = open_checkpoint(config.model)
        for method in config.methods:
            for pattern in config.patterns:
                check_widths(self.checkpoint.model, build_method(method, pattern)[1])
        self._source = open_texts(config.calibration.texts)
        if any(method.needs_text for method in config.methods):
            mixtures = [config.calibration.sequences(mixture) for mixture in config.calibration.mixtures]
            check_languages(self._source, list(dict.fromkeys(language for mix in mixtures for language in mix)))
        self.perplexity = _at("evaluation.perplexity", lambda: self._cut(config.evaluation.perplexity))
        self.snr = _at("evaluation.snr", lambda: self._cut(config.evaluation.snr))
        self.tasks = self._prepare_tasks()
        self.harness = harness
        self.statistics = FirstBlockStatistics()
        self._sizes = parse_mesh(config.mesh)

    def mesh(self, num_sequences: int | None) -> Any:
        """Returns the mesh for so many sequences."""
        return make_mesh(self._sizes, num_sequences)

    def calibration(self, point: Point) -> Calibration:
        """Returns a point's tokens: from the study's folder, or drawn and put there.

        Raises:
          RequestError: there is too little text.
        """
        assert point.mixture is not None
        assert point.seed is not None
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{point.calibration}.seed{point.seed}.npz"
        while True:
            found = self._load(path, point.mixture, point.seed)
            if found is not None:
                return found
            claim = claims.take(self._folder, f".{path.stem}.claim")
            if claim is None:
                time.sleep(_POLL_SECONDS)
                continue
            with claim:
                # It may have been written between the two.
                found = self._load(path, point.mixture, point.seed)
                return found or self._draw(path, point.mixture, point.seed)

    def _draw(self, path: Path, mixture: Mapping[str, int], seed: int) -> Calibration:
        asked = self.config.calibration
        drawn = _at(
            "calibration",
            lambda: draw_calibration(
                self._source, self.checkpoint.tokenizer(), mixture, length=asked.length, seed=seed, fill=asked.fill
            ),
        )
        arrays = {
            "tokens": drawn.tokens_NT,
            "languages": np.asarray(drawn.languages),
            "account": np.asarray(json.dumps(drawn.account, ensure_ascii=False)),
        }
        write_arrays(path, arrays)
        return drawn

    def _load(self, path: Path, mixture: Mapping[str, int], seed: int) -> Calibration | None:
        """Returns what was drawn before; None if there is none, or it is not what this study draws."""
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                languages = tuple(stored["languages"].tolist())
                found = Calibration(stored["tokens"], languages, json.loads(str(stored["account"])))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            _logger.warning("%s is damaged (%s); it is drawn again", path, error)
            return None
        asked, account = self.config.calibration, found.account
        counts = {language: languages.count(language) for language in mixture}
        same = (account.get("texts"), account.get("fill"), account.get("seed"), found.tokens_NT.shape[1], counts)
        if same != (asked.texts, asked.fill, seed, asked.length, dict(mixture)):
            _logger.warning("%s is of another study; it is drawn again", path)
            return None
        return found

    def _cut(self, asked: AskedWindows | None) -> dict[str, Windows] | None:
        if asked is None:
            return None
        return prepare_windows(
            self.checkpoint,
            asked.texts,
            self.config.evaluation.languages,
            windows=asked.windows,
            length=asked.length,
            protocol="windows",
        )

    def _prepare_tasks(self) -> PreparedTasks | None:
        asked = self.config.evaluation.tasks
        if asked is None:
            return None
        return prepare_tasks(asked.names, self.config.evaluation.languages, asked.limit_of, only=asked.only)
