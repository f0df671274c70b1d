"""A tiny model and a folder of generated text, as a user would have them."""

import json

import numpy as np
import pytest

from tests.tiny import write_tiny_checkpoint

WORDS = {
    "de": "der die das und Haus Baum Wasser geht kommt groß schön über Jahr Zeit",
    "en": "the and house tree water goes comes large fine over year time with",
    "sw": "na ya wa nyumba mti maji anakwenda anakuja kubwa nzuri juu mwaka wakati",
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_checkpoint(folder, "llama", seed=0)
    return folder


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    for language, words in WORDS.items():
        lines = [json.dumps({"text": " ".join(rng.choice(words.split(), 60))}) for _ in range(80)]
        (folder / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return f"files:{folder}"
