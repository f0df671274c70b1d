"""What an unfinished prune has done, so that ``--resume`` continues at its first unfinished block."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxprune.errors import RequestError

_FILE = "journal.json"


class Journal:
    """The blocks that are on the disk, beside the request that they belong to."""

    def __init__(self, folder: Path, request: Mapping[str, Any]):
        """Continues the journal in ``folder``, or begins one.

        Args:
          request: everything that decides the result, as JSON values.

        Raises:
          RequestError: the journal there belongs to another request; names the first field that differs.
        """
        self._path = folder / _FILE
        self._request = dict(request)
        self.blocks: list[dict[str, Any]] = []
        if not self._path.exists():
            return
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            begun, self.blocks = found["request"], found["blocks"]
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"{self._path} cannot be read ({error}); start again without --resume.") from error
        # As JSON has it: tuples become lists.
        wanted = json.loads(json.dumps(self._request))
        for field, value in wanted.items():
            if begun.get(field) != value:
                raise RequestError(
                    f"the interrupted run had {field} = {begun.get(field)!r}, and this one asks for {value!r}; repeat "
                    "that request, or start again without --resume."
                )

    def add(self, block: Mapping[str, Any], *, on_disk: bool = True) -> None:
        """Records a block whose weights and masks are on the disk; of several processes one writes that down."""
        self.blocks.append(dict(block))
        if not on_disk:
            return
        unfinished = self._path.with_suffix(".new")
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump({"request": self._request, "blocks": self.blocks}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)

    def finish(self) -> None:
        """Removes the journal: the manifest says the rest."""
        self._path.unlink(missing_ok=True)
