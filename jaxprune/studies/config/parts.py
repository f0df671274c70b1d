"""What the parts of a study file have in common: their kinds of values, and what is checked of several."""

import re
from typing import Annotated, Any

import pydantic
from pydantic import Field

from jaxprune.data.token_files import TOKENS
from jaxprune.studies.config.errors import FieldError

Word = Annotated[str, Field(strict=True, min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,+=-]*")
"""What can be part of a file's name, which names in a study become."""


class Part(pydantic.BaseModel):
    """Some keys with their values, no others."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def check_sources(place: str, texts: str) -> None:
    """Raises FieldError if texts have no languages."""
    if texts.startswith(TOKENS):
        raise FieldError((place,), f"{texts} has no languages, which a study is about; name a source of text")


def check_repeated(place: str | tuple[str, ...], values: Any) -> None:
    """Raises FieldError if a value occurs twice.

    Args:
      place: the key of the values, or the keys that lead to them.
    """
    path = (place,) if isinstance(place, str) else place
    for index, value in enumerate(values):
        if value in values[:index]:
            raise FieldError((*path, index), f"{value!r} is there already; name each once")
