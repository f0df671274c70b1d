"""What JSON can hold."""

import math
from collections.abc import Mapping
from typing import Any


def storable(value: Any) -> Any:
    """Returns a value with keys as text and null for each number that JSON lacks: NaN and the infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
