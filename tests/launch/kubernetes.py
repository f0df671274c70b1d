"""What Kubernetes would say to a file, and what it would run: its schemas, and its rule for ``$(NAME)``."""

import re
from typing import Any

from kubeflow_trainer_api import models

_KINDS = {"JobSet": models.JobsetV1alpha2JobSet, "Job": models.IoK8sApiBatchV1Job}


def check_schema(manifest: dict[str, Any]) -> None:
    """Compares a manifest with the published schema of its kind: types, required fields, no unknown ones.

    The models are generated from the OpenAPI documents of Kubernetes and JobSet. They drop what they do not know, so
    an unknown field is one that is missing from the copy.

    Raises:
      ValueError: something does not match; pydantic's error for a type or a missing field is one.
    """
    found = _KINDS[manifest["kind"]].from_dict(manifest)
    assert found is not None
    copy = found.to_dict()
    if copy != manifest:
        raise ValueError(f"unknown or changed: {list(_differences(manifest, copy, ''))}")


def _differences(given: Any, copy: Any, path: str):
    if isinstance(given, dict) and isinstance(copy, dict):
        for name in given.keys() | copy.keys():
            yield from _differences(given.get(name), copy.get(name), f"{path}.{name}")
    elif isinstance(given, list) and isinstance(copy, list) and len(given) == len(copy):
        for index, pair in enumerate(zip(given, copy, strict=True)):
            yield from _differences(*pair, f"{path}[{index}]")
    elif given != copy:
        yield path


def expand(text: str, variables: dict[str, str]) -> str:
    """Returns a word of ``command``, ``args`` or ``env`` as the kubelet gives it to the process.

    ``$(NAME)`` is replaced if NAME is a variable of the container and stays as it is otherwise; ``$$`` becomes ``$``.
    """

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replace, text)


def process(container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Returns the words and the variables of a container's process."""
    variables: dict[str, str] = {}
    for entry in container.get("env", []):
        variables[entry["name"]] = expand(entry["value"], variables)
    words = [*container["command"], *container["args"]]
    return [expand(word, variables) for word in words], variables
