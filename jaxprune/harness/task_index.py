"""Which tasks lm-evaluation-harness has, without reading all of its fourteen thousand YAML files as such.

That takes the harness minutes. Here names are looked for in the text of the files, first of those that are called like
what is asked; only the folders that hold it are then read by the harness itself.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks import TaskManager

from jaxprune.errors import RequestError

# What a file calls its task or group; a list is what a group consists of.
_DECLARED = re.compile(
    rb"""^["']?(?:task|group)["']?[ \t]*:[ \t]*(["']?)([^\s#\[\{"']+)\1[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)
_SHOWN = 5


def open_index(names: Collection[str], include: Path | None) -> TaskManager:
    """Returns the harness's own index of some tasks and groups, and of what lies beside them.

    Args:
      names: of tasks and groups; one that there is not is not in the index either.
      include: folder of more tasks, which come before the harness's own of the same names.

    Raises:
      RequestError: there is no such folder.
    """
    if include is not None and not include.is_dir():
        raise RequestError(f"there is no folder {include.absolute()}; name one that holds YAML files of tasks.")
    own: list[str | Path] = [] if include is None else [include]
    manager, folders = TaskManager(include_path=own, include_defaults=False), set[Path]()
    while wanted := _missing(manager.task_index, names):
        more = {path.parent for path in _find(wanted)} - folders
        if not more:
            break
        folders |= more
        manager = TaskManager(include_path=[*_outermost(folders), *own], include_defaults=False)
    if any(is_needed for name, is_needed in wanted.items() if name not in names):
        # A group consists of what has a tag, in files elsewhere.
        return TaskManager(include_path=own)
    return manager


def check_name(manager: TaskManager, name: str) -> None:
    """Checks that an index has a task or group.

    Raises:
      RequestError: it has not; names the nearest of all there are.
    """
    if name in manager.task_index:
        return
    known = {*manager.task_index, *(name for name, _ in _declared(()))}
    near = difflib.get_close_matches(name, sorted(known), n=_SHOWN)
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    raise RequestError(
        f"lm-evaluation-harness has no task or group {name!r}{nearest}; write the name of one of its {len(known):,}, "
        "or of one in the folder of include."
    )


def leaves(manager: TaskManager, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the tasks that a task or group consists of, by name, with what their files say; functions as words."""
    entry = manager.task_index[name]
    if entry.kind.name not in ("GROUP", "TAG"):
        yield name, entry.cfg or {}
        return
    for member in _members(entry):
        if isinstance(member, str) and member in manager.task_index:
            yield from leaves(manager, member)
        elif isinstance(member, dict) and isinstance(member.get("task"), str):
            known = manager.task_index.get(member["task"])
            yield member["task"], {**((known and known.cfg) or {}), **member}


def _members(entry: Any) -> list[Any]:
    """Returns what a group or tag consists of: names, or mappings that change a task or spell one out."""
    if entry.kind.name == "TAG":
        return sorted(entry.tags)
    listed = (entry.cfg or {}).get("task") if entry.kind.name == "GROUP" else None
    return listed if isinstance(listed, list) else []


def _missing(index: Mapping[str, Any], names: Collection[str]) -> dict[str, bool]:
    """Returns names that an index has not, of those and of members of groups; and whether nothing goes without one."""
    missing: dict[str, bool] = {}
    left, seen = [(name, True) for name in names], set[str]()
    while left:
        name, is_needed = left.pop()
        if name not in index:
            missing[name] = is_needed or missing.get(name, False)
        elif name not in seen:
            seen.add(name)
            for member in _members(index[name]):
                # A mapping may spell out a task that is in no other file.
                other = member if isinstance(member, str) else member.get("group", member.get("task"))
                if isinstance(other, str):
                    left.append((other, isinstance(member, str)))
    return missing


def _find(names: Collection[str]) -> set[Path]:
    """Returns the harness's own files of some names, as far as there are any."""
    found: dict[str, Path] = {}
    for name, path in _declared(names):
        if name in names:
            found.setdefault(name, path)
            if len(found) == len(names):
                break
    return set(found.values())


def _declared(likely: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yields the names of the harness's tasks and groups with their files, first of those called like ``likely``."""
    root = Path(lm_eval.tasks.__path__[0])
    roots = {path.name for path in root.iterdir() if any(name.startswith(path.name) for name in likely)}

    def rank(path: Path) -> tuple[bool, bool, str]:
        return path.stem not in likely, path.relative_to(root).parts[0] not in roots, path.as_posix()

    for path in sorted(root.rglob("*.yaml"), key=rank):
        for _, name in _DECLARED.findall(path.read_bytes()):
            yield name.decode("utf-8", "replace"), path


def _outermost(folders: set[Path]) -> list[Path]:
    """Returns the folders that lie in none of the others."""
    return sorted(folder for folder in folders if not any(folder.is_relative_to(of) for of in folders - {folder}))
