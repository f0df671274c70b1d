"""How BIG-bench stores a task: one JSON object with ``examples``."""

import json
from functools import lru_cache
from typing import Any

from jaxprune import bundles
from jaxprune.tasks.packages import BIG_BENCH


@lru_cache(maxsize=1)
def examples(path: str) -> list[dict[str, Any]]:
    """Returns the examples of one of the bundle's files."""
    return json.loads((bundles.fetch_bundle(BIG_BENCH) / path).read_text(encoding="utf-8"))["examples"]


def is_cached() -> bool:
    """Returns whether ``examples`` downloads nothing."""
    return bundles.is_cached(BIG_BENCH)
