"""The account that lies beside every pruned model: ``jaxprune/manifest.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxprune.checkpoints.json_file import parse_object
from jaxprune.errors import RequestError

# Apart from the weights: serving engines read every *.safetensors of the model's folder itself.
METADATA_FOLDER = "jaxprune"
_MANIFEST = "manifest.json"
_ADVICE = "restore it, or move it away if jaxprune did not prune this model"


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest of the model in ``folder``."""
    target = folder / METADATA_FOLDER / _MANIFEST
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(reference: str) -> dict[str, Any] | None:
    """Returns the manifest of a local pruned model; None if ``reference`` is something else.

    Raises:
      RequestError: there is one, and it is not what ``write_manifest`` writes, as far as that is used.
    """
    path = Path(reference).expanduser() / METADATA_FOLDER / _MANIFEST
    if not path.is_file():
        return None
    manifest = parse_object(path.read_bytes(), str(path), advice=_ADVICE)
    wrong = _wrong_field(manifest)
    if wrong is not None:
        raise RequestError(f"{path} is not a manifest of jaxprune, to judge by its {wrong}; {_ADVICE}.")
    return manifest


def calibrations(manifest: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the accounts of all text that a model was calibrated on, that of earlier prunings too."""
    if manifest is None:
        return []
    own = manifest.get("calibration")
    return [*([own] if own else []), *manifest.get("source", {}).get("calibrations", [])]


def _wrong_field(manifest: Mapping[str, Any]) -> str | None:
    """Returns the first field that is there and has another form than ``prune`` gives it; None if there is none."""
    for name in ("source", "method", "pattern"):
        if not isinstance(manifest.get(name, {}), dict):
            return name
    for owner in ("method", "pattern"):
        if not isinstance(manifest.get(owner, {}).get("name", ""), str):
            return f"{owner}.name"
    earlier = manifest.get("source", {}).get("calibrations", [])
    if not isinstance(earlier, list):
        return "source.calibrations"
    accounts = {f"source.calibrations[{index}]": account for index, account in enumerate(earlier)}
    if manifest.get("calibration") is not None:  # null: a method that needs no text
        accounts = {"calibration": manifest["calibration"], **accounts}
    for place, account in accounts.items():
        if not isinstance(account, dict):
            return place
        for name in ("sequence_hashes", "document_hashes"):
            hashes = account.get(name, [])
            if not isinstance(hashes, list) or not all(isinstance(item, str) for item in hashes):
                return f"{place}.{name}"
    return None
