"""YAML as its version 1.2 has it, read from a file that a person wrote.

The parser's own version, 1.1, takes ``2:4`` for the number 124, the language ``no`` for false and ``1e-3`` for a word.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from jaxprune.checkpoints.json_file import read_small
from jaxprune.errors import RequestError

_PREFIX = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Knows numbers, ``true``, ``false`` and ``null``, and refuses a key that occurs twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the parser's own interface

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Returns a mapping of which no key occurs twice."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no word", key.start_mark)
            line = key.start_mark.line + 1
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice, first in line {seen[key.value]}", key.start_mark
                )
            seen[key.value] = line
        return super().construct_mapping(node, deep=deep)


def _add(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_PREFIX + tag, re.compile(pattern), list(first))


_add("null", r"(?:~|null)?\Z", "~n\0")
_Loader.yaml_implicit_resolvers.setdefault("", []).append((_PREFIX + "null", re.compile(r"\Z")))
_add("bool", r"(?:true|false)\Z", "tf")
_add("int", r"[-+]?[0-9]+\Z", "-+0123456789")
_add("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789")
_Loader.add_constructor(_PREFIX + "int", lambda loader, node: int(node.value))
_Loader.add_constructor(_PREFIX + "float", lambda loader, node: float(node.value))


def read_mapping(path: Path) -> dict[str, Any]:
    """Returns the keys of a YAML file.

    Raises:
      RequestError: it is missing, not valid YAML (says in which line), or holds no keys.
    """
    try:
        text = read_small(path, advice="name one that is, or write it; see configs/ for examples").decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8 ({error}); save it as such.") from error
    try:
        value = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise RequestError(f"{path}{place}: {error.problem or error.context}; correct the YAML there.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{path} is not valid YAML ({reason}); correct it.") from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else "a list" if isinstance(value, list) else "a single value"
        raise RequestError(f"{path} should hold keys with values and holds {found}; see configs/ for examples.")
    return value
