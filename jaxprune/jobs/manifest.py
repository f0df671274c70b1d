"""The account that lies beside every pruned model: ``jaxprune/manifest.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxprune.errors import RequestError

# Apart from the weights: serving engines read every *.safetensors of the model's folder itself.
METADATA_FOLDER = "jaxprune"
_MANIFEST = "manifest.json"


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest of the model in ``folder``."""
    target = folder / METADATA_FOLDER / _MANIFEST
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(reference: str) -> dict[str, Any] | None:
    """Returns the manifest of a local pruned model; None if ``reference`` is something else.

    Raises:
      RequestError: there is one, and it cannot be read.
    """
    path = Path(reference).expanduser() / METADATA_FOLDER / _MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path} is not valid JSON ({error}); restore it or prune again.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("calibration") or {}, dict):
        raise RequestError(f"{path} is not a manifest of jaxprune; restore it or prune again.")
    return manifest


def calibrations(manifest: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the accounts of all text that a model was calibrated on, that of earlier prunings too."""
    if manifest is None:
        return []
    own = manifest.get("calibration")
    return [*([own] if own else []), *manifest.get("source", {}).get("calibrations", [])]
