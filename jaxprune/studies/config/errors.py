"""What is wrong with a study file, in one line."""

import difflib
import reprlib
import types
from collections.abc import Collection
from typing import Any, Union, get_args, get_origin

import pydantic

from jaxprune.errors import RequestError

_PREFIX = "Input should be "


class FieldError(RequestError):
    """A RequestError about something further inside the value that was being checked."""

    def __init__(self, place: tuple[str | int, ...], message: str):
        """Remembers the place: keys and indices."""
        super().__init__(message)
        self.place = place


def check_known(place: str, value: str, known: Collection[str], *, what: str | None = None) -> None:
    """Raises FieldError unless ``value`` is one of those known; names the nearest."""
    if value not in known:
        what = what or place
        raise FieldError((place,), f"there is no {what} {value!r}{_nearest(value, known)}; known: {', '.join(known)}")


def explain(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> str:
    """Returns the first thing that is wrong, and how many more there are."""
    # A key that is missing may be there, misspelt.
    first, *others = sorted(_independent(error), key=lambda found: found["type"] == "missing")
    place, message = _explain(first, model)
    more = f" ({len(others)} more after this)" if others else ""
    return f"{_path(place)}: {message}{'' if message.endswith('.') else '.'}{more}"


def _independent(error: pydantic.ValidationError) -> list[Any]:
    """Returns what is wrong, without what only follows from something else that is."""
    found = error.errors(include_url=False)
    return [of for of in found if not any(_follows(of, other) for other in found)]


def _follows(found: Any, other: Any) -> bool:
    """Returns whether a list is too short because its items are wrong, or a key is missing because it is misspelt."""
    place, of_other = found["loc"], other["loc"]
    if found["type"] == "too_short":
        return len(of_other) > len(place) and of_other[: len(place)] == place
    is_sibling = other["type"] == "extra_forbidden" and of_other[:-1] == place[:-1]
    return found["type"] == "missing" and is_sibling and bool(_nearest(str(of_other[-1]), [str(place[-1])]))


def _explain(found: Any, model: type[pydantic.BaseModel]) -> tuple[tuple[str | int, ...], str]:
    place = found["loc"]
    match found["type"]:
        case "extra_forbidden":
            known = _keys(model, place[:-1])
            return place, f"unknown key{_nearest(str(place[-1]), known)}; known here: {', '.join(known)}"
        case "missing":
            return place, "is missing; every study needs it" if len(place) == 1 else "is missing"
        case "value_error":
            cause = found["ctx"]["error"]
            return (*place, *getattr(cause, "place", ())), str(cause)
        case "model_type" | "model_attributes_type" | "dict_type":
            return place, f"should hold keys with values and is {_shown(found['input'])}"
        case "tuple_type":
            return place, f"should be a list, in brackets, and is {_shown(found['input'])}"
        case "too_short":
            return place, "is empty; give one at least"
        case "invalid_key":
            return place[:-1], f"{place[-1]!r} is no word, which keys are"
        case "literal_error":
            known = [word.strip("'") for word in found["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            value = found["input"]
            near = _nearest(value, known) if isinstance(value, str) else ""
            return place, f"is {reprlib.repr(value)}{near}; choose {', '.join(known)}"
    message = found["msg"].removeprefix(_PREFIX)
    message = message[0].lower() + message[1:]
    return place, f"is {_shown(found['input'])}, and should be {message}"


def _shown(value: Any) -> str:
    """Returns a value as the file has it: a key without one is empty there, and None is a word of Python's."""
    return "empty" if value is None else reprlib.repr(value)


def _nearest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def _path(place: tuple[str | int, ...]) -> str:
    """Returns ``methods[1].damping``."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return parts.removeprefix(".")


def _keys(model: type[pydantic.BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """Returns the keys of the part of a model that a place leads to."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[pydantic.BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, dict, Union, types.UnionType):
        return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)
    return None
