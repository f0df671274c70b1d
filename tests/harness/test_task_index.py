"""Which tasks the harness has, and what can be known of them before their data are there."""

import re
from pathlib import Path

import lm_eval.tasks
import pytest
import yaml

from jaxprune.errors import RequestError
from jaxprune.harness.task_checks import check_filter, check_metric, check_runs
from jaxprune.harness.task_index import check_name, leaves, open_index
from jaxprune.studies.config.study import load_config
from tests.harness.made_tasks import ACC, questions, write_task

CONFIGS = [load_config(path) for path in sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))]


def test_the_studies_that_come_with_the_project_ask_for_what_the_harness_has():
    """All of them at once: the harness reads every folder once."""
    asked = [
        (name, task.metric, task.filter)
        for config in CONFIGS
        for task in (config.evaluation.harness.tasks.values() if config.evaluation.harness else ())
        for name in task.languages.values()
    ]
    manager = open_index({name for name, *_ in asked}, None)
    for name, metric, filter_ in asked:
        check_name(manager, name)
        check_runs(manager, name)
        check_metric(manager, name, metric)
        check_filter(manager, name, filter_)
    assert len({name for name, *_ in asked}) > 20


def test_what_is_not_called_like_its_file_and_groups_of_tags_are_found():
    folder = Path(lm_eval.tasks.__path__[0])
    manager = open_index(["xstorycloze_sw", "global_mmlu_sw"], None)
    assert manager.task_index["xstorycloze_sw"].yaml_path == folder / "xstorycloze" / "default_sw.yaml"
    group = yaml.safe_load((folder / "global_mmlu/default/sw/_global_mmlu_sw.yaml").read_text(encoding="utf-8"))
    assert [name for name, _ in leaves(manager, "global_mmlu_sw")] == group["task"]
    # Groups of groups of what has a tag: the 57 subjects.
    subjects = [name for name, _ in leaves(open_index(["global_mmlu_full_sw"], None), "global_mmlu_full_sw")]
    files = [path.stem for path in (folder / "global_mmlu/full/sw").glob("global_mmlu_full_sw_*.yaml")]
    assert sorted(subjects) == sorted(files)
    assert len(subjects) == 57


def test_own_tasks_come_before_the_harnesss_and_groups_may_mix_both(tmp_path):
    write_task(tmp_path / "own", "xnli_de", questions(0))
    group = {"group": "mixed", "task": ["xnli_de", "xnli_en", {"task": "xnli_fr", "num_fewshot": 3}]}
    (tmp_path / "own" / "mixed.yaml").write_text(yaml.safe_dump(group), encoding="utf-8")
    manager = open_index(["mixed"], tmp_path / "own")
    found = dict(leaves(manager, "mixed"))
    assert [*found] == ["xnli_de", "xnli_en", "xnli_fr"]
    assert found["xnli_de"]["dataset_path"] == "json"
    assert found["xnli_en"]["dataset_path"] == "facebook/xnli"
    assert found["xnli_fr"]["num_fewshot"] == 3


def test_a_name_that_there_is_not_is_told_with_the_nearest():
    manager = open_index(["belebele_de"], None)
    with pytest.raises(RequestError, match=r"no task or group 'belebele_de'; nearest: .*belebele_deu_Latn.*13,\d{3}"):
        check_name(manager, "belebele_de")
    with pytest.raises(RequestError, match=r"there is no folder .*/nowhere;"):
        open_index(["belebele_deu_Latn"], Path("nowhere"))


PERPLEXITY = {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}
STRICT, LOOSE = ({"name": name, "filter": [{"function": "take_first"}]} for name in ("strict", "loose"))


@pytest.mark.parametrize(
    ("check", "asked", "changes", "words"),
    [
        (check_metric, "f1", {}, "own has no metric 'f1', only acc; choose acc."),
        (check_metric, "acc_nrm", {"metric_list": None}, "no metric 'acc_nrm', only acc, acc_norm; choose acc, acc_no"),
        (check_metric, "perplexity", {"metric_list": [ACC, PERPLEXITY]}, "perplexity of own is no mean over items"),
        (check_metric, "acc", {"metric_list": [{**ACC, "higher_is_better": False}]}, "is the better the less it is"),
        (check_filter, None, {"filter_list": [STRICT, LOOSE]}, "2 ways; say which counts: strict, loose."),
        (check_filter, "lose", {"filter_list": [STRICT, LOOSE]}, "own has no filter 'lose'; choose strict, loose,"),
        (check_filter, "strict", {}, "own has no filter 'strict'; choose none, or leave it out."),
        (check_runs, None, {"doc_to_image": ["image"]}, "own is about images or sound"),
        (check_runs, None, {"unsafe_code": True}, "own runs code that the model writes"),
    ],
)
def test_what_a_task_has_not_is_said_with_what_it_has(tmp_path, check, asked, changes, words):
    write_task(tmp_path, "own", questions(0), **changes)
    (tmp_path / "group.yaml").write_text(yaml.safe_dump({"group": "all", "task": ["own"]}), encoding="utf-8")
    manager = open_index(["own", "all"], tmp_path)
    for name in ("own", "all"):
        with pytest.raises(RequestError, match=re.escape(words)):
            check(manager, name, *([] if check is check_runs else [asked]))


def test_what_a_task_has_is_not_refused(tmp_path):
    write_task(tmp_path, "own", questions(0), filter_list=[STRICT, LOOSE], metric_list=[PERPLEXITY, ACC])
    manager = open_index(["own"], tmp_path)
    check_runs(manager, "own")
    check_metric(manager, "own", "acc")
    check_filter(manager, "own", "loose")


def test_code_that_cannot_be_imported_is_told_before_anything_is_computed(tmp_path):
    write_task(tmp_path, "own", questions(0))
    (tmp_path / "code.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    with (tmp_path / "own.yaml").open("a", encoding="utf-8") as file:
        file.write("process_docs: !function code.process\n")
    manager = open_index(["own"], tmp_path)
    with pytest.raises(RequestError, match=r"the code of own cannot be loaded .*nothing_of_that_name"):
        check_runs(manager, "own")
