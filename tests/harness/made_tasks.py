"""Tasks in lm-evaluation-harness's own format, over local files."""

import json

import numpy as np
import yaml

from tests.tiny import generated_text

ACC = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}


def questions(seed, count=12):
    """Returns documents with two to four choices each, and a right one."""
    rng = np.random.default_rng(seed)
    return [
        {
            "question": generated_text(seed + index, words=6),
            "choices": [generated_text(seed + 100 * index + of, words=2) for of in range(2 + index % 3)],
            "answer": int(rng.integers(2)),
        }
        for index in range(count)
    ]


def write_task(folder, name, documents, **changes):
    """Writes a task of multiple choice, or what ``changes`` to its YAML make of it; None removes a key."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    described = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [ACC],
        **changes,
    }
    text = yaml.safe_dump({key: value for key, value in described.items() if value is not None})
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
