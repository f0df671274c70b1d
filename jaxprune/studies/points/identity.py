"""Whether a study file still says what a folder's results were computed from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxprune.errors import RequestError
from jaxprune.studies.config.study import StudyConfig

# They say how results are read and what stays beside them, and change none; of what is measured, each result knows
# what it was asked for.
_FREE = ("title", "decision", "keep", "evaluation")
_GROWING = ("calibration.mixtures", "methods", "patterns", "seeds")


def check_same(begun: StudyConfig, asked: StudyConfig, *, out: Path, file: Path) -> None:
    """Checks that a study can go on in a folder.

    It may have grown: mixtures, methods, patterns and seeds that are new add points and change none. Title,
    criterion and what is kept may change, and so may what is measured, which is then measured again.

    Raises:
      RequestError: names the first key that differs.
    """
    before, now = (_flat(study) for study in (begun, asked))
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) == now.get(key):
            continue
        if key in _GROWING:
            lost = [item for item in before[key] if item not in now[key]]
            if not lost:
                continue
            found = f"{key} has {lost[0]!r} there, and {file} has not"
        else:
            found = f"{key} is {before.get(key)!r} there and {now.get(key)!r} in {file}"
        raise RequestError(f"{out} holds another study: {found}; use another folder, or the file as it was.")


def _flat(study: StudyConfig) -> dict[str, Any]:
    values = study.model_dump(exclude=set(_FREE))
    flat = dict(_items((), values))
    # A mixture without counts is what ``samples`` makes of it.
    flat["calibration.mixtures"] = [
        {mixture.name: study.calibration.sequences(mixture)} for mixture in study.calibration.mixtures
    ]
    flat["methods"] = [method.label for method in study.methods]
    return flat


def _items(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _items((*path, str(key)), item)
    else:
        yield ".".join(path), list(value) if isinstance(value, tuple) else value
