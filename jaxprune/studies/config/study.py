"""What a study is: the file that a person writes, checked down to its last word.

Nothing here looks at the machine: a study that was made elsewhere can be read where its texts are not.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from jaxprune.data.calibration import FILLS
from jaxprune.data.mixtures import parse_mix
from jaxprune.errors import RequestError
from jaxprune.pruning import METHODS
from jaxprune.pruning.patterns import parse_pattern
from jaxprune.sharding import parse_mesh
from jaxprune.studies.config.errors import FieldError, check_known, explain
from jaxprune.studies.config.evaluation import Evaluation
from jaxprune.studies.config.parts import NAME, Count, Number, Part, Seed, Word, check_repeated, check_sources
from jaxprune.studies.config.yaml_file import read_mapping
from jaxprune.tasks import TASKS


class Mixture(Part):
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
            if isinstance(mixture, dict):
                counts = ",".join(f"{language}={count}" for language, count in mixture.items())
                raise RequestError(f"should be written as text, {{{name}: {counts!r}}}, and is {reprlib.repr(mixture)}")
            if isinstance(mixture, int):
                raise RequestError(f"should be written as text, {name}={mixture}, and is {{{name}: {mixture}}}")
            return {"name": name, "mixture": mixture}
        raise RequestError("should be a mixture such as de,en or one name with its mixture, {NAME: de,en}")

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Mixture":
        if not NAME.fullmatch(self.name):
            raise RequestError(
                f"the name {self.name!r} cannot be part of a file's name; use letters of ASCII, digits and _.+=-"
            )
        return self


class Calibration(Part):
    """Text that pruning looks at; ``samples`` sequences of ``length`` tokens in all, for each mixture."""

    texts: Word
    mixtures: tuple[Mixture, ...] = Field(min_length=1)
    samples: Count = 128
    length: Annotated[int, Field(strict=True, ge=2)] = 2048
    fill: Word = "packed"

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Calibration":
        check_known("fill", self.fill, FILLS)
        check_sources("texts", self.texts)
        seen: list[dict[str, int]] = []
        for index, mixture in enumerate(self.mixtures):
            try:
                sequences = self.sequences(mixture)
            except RequestError as error:
                raise FieldError(("mixtures", index), str(error)) from None
            if sequences in seen:
                raise FieldError(("mixtures", index), f"{mixture.mixture} is the same as an earlier one; leave it out")
            seen.append(sequences)
        check_repeated("mixtures", [mixture.name.casefold() for mixture in self.mixtures])
        return self

    def sequences(self, mixture: Mixture) -> dict[str, int]:
        """Returns how many sequences each language gives.

        Raises:
          RequestError: the mixture cannot be read.
        """
        return parse_mix(mixture.mixture, None if "=" in mixture.mixture else self.samples)


class Method(Part):
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


class Baselines(Part):
    """Mixtures, by name, that others are compared with."""

    english: Word | None = None


class Target(Part):
    """What a calibration has to hold, as a fraction: 0.05 is 5%. One of the two bounds is given."""

    measure: Word
    worse_than_dense_at_most: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] | None = None
    other_languages_lose_at_most: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Target":
        if (self.worse_than_dense_at_most is None) == (self.other_languages_lose_at_most is None):
            raise RequestError("should have one bound, worse_than_dense_at_most or other_languages_lose_at_most")
        return self


class Decision(Part):
    """How the report decides: what it compares with, what counts how much, and what must hold."""

    baselines: Baselines = Baselines()
    weights: dict[Word, Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]] = Field(default={})
    targets: tuple[Target, ...] = ()


class StudyConfig(Part):
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
        check_repeated("patterns", self.patterns)
        check_repeated("seeds", self.seeds)
        check_repeated("methods", [method.label for method in self.methods])
        self._check_decision()
        return self

    def _check_decision(self) -> None:
        names = [mixture.name for mixture in self.calibration.mixtures]
        if self.decision.baselines.english is not None:
            check_known("decision.baselines.english", self.decision.baselines.english, names, what="mixture")
        for measure in self.decision.weights:
            self._check_measure("decision.weights", measure)
        if self.decision.weights and not any(self.decision.weights.values()):
            raise FieldError(
                ("decision", "weights"), "are all 0, so nothing decides; give one measure a weight above 0"
            )
        for index, target in enumerate(self.decision.targets):
            place = f"decision.targets[{index}].measure"
            self._check_measure(place, target.measure)

    def _check_measure(self, place: str, name: str) -> None:
        measures = self.evaluation.measures
        if name in TASKS and name not in measures:
            # It is no misspelling; evaluation may have one.
            known = ", ".join(measures)
            raise FieldError((place,), f"{name} is not measured; name it under evaluation.tasks, or one of {known}")
        check_known(place, name, measures, what="measure")


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
