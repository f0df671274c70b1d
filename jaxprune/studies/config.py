"""What a study is: the file that a person writes, checked down to its last word.

Nothing here looks at the machine: a study that was made elsewhere can be read where its texts are not.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from jaxprune.data.calibration import FILLS
from jaxprune.data.mixtures import parse_mix
from jaxprune.data.token_files import TOKENS
from jaxprune.errors import RequestError
from jaxprune.pruning import METHODS
from jaxprune.pruning.patterns import parse_pattern
from jaxprune.sharding import parse_mesh
from jaxprune.studies.config_errors import FieldError, check_known, explain
from jaxprune.studies.yaml_file import read_mapping

PERPLEXITY = "perplexity"

Word = Annotated[str, Field(strict=True, min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_LANGUAGE = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z0-9]+)*")
# Names become names of files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,+=-]*")


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Mixture(_Part):
    """Calibration languages, under a name.

    Attributes:
      name: of its results: ``de``, ``de+en``, or what the file calls it.
      mixture: as ``--calibration`` takes it; counts in it hold whatever ``samples`` says.
    """

    name: Word
    mixture: Word

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Takes ``de,en``, or ``{multilingual: "de,en,sw"}``."""
        if isinstance(value, str):
            text = "".join(value.split())
            return {"name": text.replace(",", "+"), "mixture": text}
        if isinstance(value, dict) and len(value) == 1:
            [(name, mixture)] = value.items()
            return {"name": name, "mixture": mixture}
        raise RequestError("should be a mixture such as de,en or one name with its mixture, {NAME: de,en}")

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Mixture":
        if not _NAME.fullmatch(self.name):
            raise RequestError(f"the name {self.name!r} cannot be part of a file's name; use letters, digits and _.+=-")
        return self


class Calibration(_Part):
    """Text that pruning looks at; ``samples`` sequences of ``length`` tokens in all, for each mixture."""

    texts: Word
    mixtures: tuple[Mixture, ...] = Field(min_length=1)
    samples: Count = 128
    length: Annotated[int, Field(strict=True, ge=2)] = 2048
    fill: Word = "packed"

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Calibration":
        check_known("fill", self.fill, FILLS)
        _check_texts("texts", self.texts)
        seen: list[dict[str, int]] = []
        for index, mixture in enumerate(self.mixtures):
            try:
                sequences = self.sequences(mixture)
            except RequestError as error:
                raise FieldError(("mixtures", index), str(error)) from None
            if sequences in seen:
                raise FieldError(("mixtures", index), f"{mixture.mixture} is the same as an earlier one; leave it out")
            seen.append(sequences)
        _check_repeated("mixtures", [mixture.name.casefold() for mixture in self.mixtures])
        return self

    def sequences(self, mixture: Mixture) -> dict[str, int]:
        """Returns how many sequences each language gives.

        Raises:
          RequestError: the mixture cannot be read.
        """
        return parse_mix(mixture.mixture, None if "=" in mixture.mixture else self.samples)


class Method(_Part):
    """A pruning method, with the parameters that ``prune`` has for it."""

    name: Word
    combine: Word = "sum"
    damping: Number | None = None
    within: Word | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Takes ``wanda``, or ``{name: wanda, combine: mean}``."""
        return {"name": value} if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Method":
        check_known("name", self.name, METHODS, what="method")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from the method as it was published."""
        published = {"combine": "sum", "within": None, "damping": getattr(METHODS[self.name], "damping", None)}
        asked = {"combine": self.combine, "damping": self.damping, "within": self.within}
        return {name: value for name, value in asked.items() if value is not None and value != published[name]}

    @property
    def label(self) -> str:
        """Its part of a point's name: ``wanda``, ``sparsegpt-damping-0.1``."""
        return "-".join([self.name, *(f"{name}-{value}" for name, value in self.settings.items())])

    @property
    def needs_text(self) -> bool:
        """Whether it calibrates at all."""
        return METHODS[self.name].statistic is not None


class Windows(_Part):
    """Windows to measure on, of evaluation text, for each language."""

    texts: Word
    windows: Count
    length: Annotated[int, Field(strict=True, ge=2)] = 2048

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Windows":
        _check_texts("texts", self.texts)
        return self


class PerplexityWindows(Windows):
    """Those of perplexity."""

    windows: Count = 64


class SnrWindows(Windows):
    """Those of signal-to-noise ratios."""

    windows: Count = 16


class Tasks(_Part):
    """Tasks, by name, and how many of their items to take for each language; all without a limit.

    Attributes:
      limits: of single tasks, whose items cost more or less than others'.
    """

    names: tuple[Word, ...] = Field(min_length=1)
    limit: Count | None = None
    limits: dict[Word, Count] = {}

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Tasks":
        _check_repeated("names", self.names)
        for name in self.limits:
            check_known("limits", name, self.names, what="task in names")
        return self

    def limit_of(self, name: str) -> int | None:
        """Returns how many items of a task to take for each language; None: all."""
        return self.limits.get(name, self.limit)


class Evaluation(_Part):
    """What is measured of every point, and in which languages."""

    languages: tuple[Word, ...] = Field(min_length=1)
    perplexity: PerplexityWindows | None = None
    snr: SnrWindows | None = None
    tasks: Tasks | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Evaluation":
        _check_repeated("languages", self.languages)
        for index, language in enumerate(self.languages):
            if not _LANGUAGE.fullmatch(language):
                raise FieldError(("languages", index), f"{language!r} is no code of a language; write one such as de")
        if self.perplexity is None and self.snr is None and self.tasks is None:
            raise RequestError("nothing is measured; give perplexity, snr or tasks")
        return self

    @property
    def measures(self) -> tuple[str, ...]:
        """What a criterion can weigh: ``perplexity``, and the tasks by name."""
        return (*(() if self.perplexity is None else (PERPLEXITY,)), *(self.tasks.names if self.tasks else ()))


class Baselines(_Part):
    """Mixtures, by name, that others are compared with."""

    english: Word | None = None


class Target(_Part):
    """What a calibration has to hold, as a fraction: 0.05 is 5 %. One of the two bounds is given."""

    measure: Word
    worse_than_dense_at_most: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] | None = None
    other_languages_lose_at_most: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Target":
        if (self.worse_than_dense_at_most is None) == (self.other_languages_lose_at_most is None):
            raise RequestError("should have one bound, worse_than_dense_at_most or other_languages_lose_at_most")
        return self


class Decision(_Part):
    """How the report decides: what it compares with, what counts how much, and what must hold."""

    baselines: Baselines = Baselines()
    weights: dict[Word, Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]] = {}
    targets: tuple[Target, ...] = ()


class StudyConfig(_Part):
    """A study: one model, a grid of prunings, and what is measured of each."""

    title: Word
    model: Word
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    compute_dtype: Literal["float32", "bfloat16"] | None = None
    mesh: Word | None = None
    calibration: Calibration
    methods: tuple[Method, ...] = Field(min_length=1)
    patterns: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    keep: Literal["models", "masks", "nothing"] = "masks"
    evaluation: Evaluation
    decision: Decision = Decision()

    @pydantic.field_validator("patterns", mode="before")
    @classmethod
    def _read_patterns(cls, value: Any) -> Any:
        """Takes numbers as well as words: 0.5 and 2:4."""
        if not isinstance(value, list | tuple):
            return value
        patterns = []
        for index, item in enumerate(value):
            if isinstance(item, bool) or not isinstance(item, int | float | str):
                raise FieldError((index,), f"{item!r} is no pattern; write 0.5 or 2:4")
            try:
                patterns.append(str(parse_pattern(str(item), None, "output")))
            except RequestError as error:
                raise FieldError((index,), str(error)) from None
        return patterns

    @pydantic.model_validator(mode="after")
    def _check(self) -> "StudyConfig":
        try:
            parse_mesh(self.mesh)
        except RequestError as error:
            raise FieldError(("mesh",), str(error).removeprefix("--mesh ")) from None
        _check_repeated("patterns", self.patterns)
        _check_repeated("seeds", self.seeds)
        _check_repeated("methods", [method.label for method in self.methods])
        self._check_decision()
        return self

    def _check_decision(self) -> None:
        names = [mixture.name for mixture in self.calibration.mixtures]
        if self.decision.baselines.english is not None:
            check_known("decision.baselines.english", self.decision.baselines.english, names, what="mixture")
        for measure in self.decision.weights:
            check_known("decision.weights", measure, self.evaluation.measures, what="measure")
        if self.decision.weights and not any(self.decision.weights.values()):
            raise FieldError(
                ("decision", "weights"), "are all 0, so nothing decides; give one measure a weight above 0"
            )
        for index, target in enumerate(self.decision.targets):
            place = f"decision.targets[{index}].measure"
            check_known(place, target.measure, self.evaluation.measures, what="measure")


def load_config(path: Path) -> StudyConfig:
    """Reads a study file.

    Raises:
      RequestError: in one line: the file, the key, what was found there and what to write.
    """
    values = read_mapping(path)
    try:
        return StudyConfig.model_validate(values)
    except pydantic.ValidationError as error:
        raise RequestError(f"{path}: {explain(error, StudyConfig)}") from None


def _check_texts(place: str, texts: str) -> None:
    if texts.startswith(TOKENS):
        raise FieldError((place,), f"{texts} has no languages, which a study is about; name a source of text")


def _check_repeated(place: str, values: Any) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise FieldError((place, index), f"{value!r} is there already; name each once")
