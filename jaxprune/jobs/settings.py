"""Values that commands are given as words, checked."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxprune.checkpoints import WRITERS
from jaxprune.errors import RequestError
from jaxprune.pruning import METHODS
from jaxprune.pruning.languages import COMBINATIONS
from jaxprune.pruning.method import PruningMethod

_WEIGHT_DTYPES = ("float32", "bfloat16", "float16")


def parse_dtype(name: str | None) -> np.dtype | None:
    """Returns the dtype in which weights are to be written; None keeps the source's."""
    if name is None:
        return None
    if name not in _WEIGHT_DTYPES:
        raise RequestError(f"--dtype {name!r} is unknown; choose {', '.join(_WEIGHT_DTYPES)}.")
    return jnp.dtype(name)


def parse_format(name: str) -> str:
    """Returns the format in which weights are to be written."""
    if name not in WRITERS:
        raise RequestError(f"the format {name!r} is unknown; choose {' or '.join(WRITERS)}.")
    return name


def parse_languages(text: str | None) -> list[str]:
    """Reads ``de,sw,ja``."""
    languages = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not languages:
        raise RequestError("no language was asked for; say which with --languages, for example --languages de,sw.")
    repeated = {language for language in languages if languages.count(language) > 1}
    if repeated:
        raise RequestError(f"--languages names {', '.join(sorted(repeated))} more than once; name each once.")
    return languages


def parse_method(name: str, *, combine: str = "sum", damping: float | None = None) -> PruningMethod:
    """Returns the method called ``name`` with the options given.

    Raises:
      RequestError: an unknown method or way to combine languages, or an option that the method does not have.
    """
    if name not in METHODS:
        raise RequestError(f"--method {name!r} is unknown; choose {', '.join(METHODS)}.")
    if combine not in COMBINATIONS:
        raise RequestError(f"--combine {combine!r} is unknown; choose {', '.join(COMBINATIONS)}.")
    method = METHODS[name]
    options = {}
    if method.statistic is not None:
        options["languages"] = COMBINATIONS[combine]()
    elif combine != "sum":
        raise RequestError(
            f"--combine {combine} has no meaning for {name}, which uses no calibration text; leave it out."
        )
    if damping is not None:
        if "damping" not in {field.name for field in dataclasses.fields(method)}:
            raise RequestError(f"--damping has no meaning for {name}, which factorises nothing; leave it out.")
        if not 0 < damping < float("inf"):
            raise RequestError(f"--damping {damping} is not a positive number; the published value is 0.01.")
        options["damping"] = damping
    return method(**options)
