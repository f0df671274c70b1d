"""What an unfinished prune has done, so that ``--resume`` continues at its first unfinished block."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxprune.errors import RequestError

JOURNAL_FILE = "journal.json"
_ADVICE = "start again without --resume"


class OtherRequestError(RequestError):
    """What an interrupted run left belongs to another request, or nobody can tell to which."""


class Journal:
    """The blocks that are on the disk, beside the request that they belong to.

    Attributes:
      blocks: what was recorded of each, the first one first.
      is_complete: whether everything but the manifest is in its place.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any], *, num_blocks: int, is_kept: bool):
        """Continues the journal in ``folder``, or begins one.

        Args:
          request: everything that decides the result, as JSON values.
          num_blocks: of the model.
          is_kept: whether this process writes it down; of several one does.

        Raises:
          OtherRequestError: the journal there is damaged, or belongs to another request; names the first field that
            differs.
        """
        self._path = folder / JOURNAL_FILE
        # As JSON has it: tuples become lists.
        self._request = json.loads(json.dumps(request))
        self._is_kept = is_kept
        self.blocks: list[dict[str, Any]] = []
        self.is_complete = False
        if not self._path.exists():
            self._write()
            return
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise OtherRequestError(f"{self._path} is not valid JSON ({error}); {_ADVICE}.") from error
        if not _is_sound(found, num_blocks):
            raise OtherRequestError(f"{self._path} does not say what was done; {_ADVICE}.")
        begun, self.blocks, self.is_complete = found["request"], found["blocks"], found["complete"]
        for field, value in self._request.items():
            if begun.get(field) != value:
                raise OtherRequestError(
                    f"the interrupted run had {field} = {begun.get(field)!r}, and this one asks for {value!r}; repeat "
                    "that request, or start again without --resume."
                )

    def add(self, block: Mapping[str, Any]) -> None:
        """Records a block whose weights and masks are on the disk."""
        self.blocks.append(dict(block))
        self._write()

    def complete(self) -> None:
        """Records that nothing but the manifest is left to write."""
        self.is_complete = True
        self._write()

    def _write(self) -> None:
        if not self._is_kept:
            return
        unfinished = self._path.with_suffix(".new")
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump({"request": self._request, "blocks": self.blocks, "complete": self.is_complete}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)


def _is_sound(found: Any, num_blocks: int) -> bool:
    """Returns whether ``found`` has the form that is written here, and no more blocks than there are."""
    match found:
        case {"request": dict(), "blocks": list() as blocks, "complete": bool() as is_complete}:
            is_possible = len(blocks) == num_blocks if is_complete else len(blocks) <= num_blocks
            return is_possible and all(map(_is_block, blocks))
    return False


def _is_block(entry: Any) -> bool:
    match entry:
        case {"kernels": dict() as kernels, "diagnostics": dict()}:
            return all(_is_count(count) for count in kernels.values())
    return False


def _is_count(count: Any) -> bool:
    match count:
        case {"weights": int() as weights, "pruned": int() as pruned}:
            return 0 <= pruned <= weights and weights > 0
    return False
