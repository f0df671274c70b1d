"""Tasks asked item by item, of a model that answers by arithmetic; the harness itself is the judge of the numbers."""

import hashlib
import json

import numpy as np
import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from jaxprune.errors import RequestError
from jaxprune.harness.measuring import Asked, TaskSet
from jaxprune.harness.task_index import open_index
from tests.harness.made_tasks import ACC, questions, write_task


class Arithmetic(LM):
    """Likelihoods and texts that only the request decides; counts the requests."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def _number(self, request):
        self.asked.append(request.args)
        return int(hashlib.sha256(repr(request.args).encode()).hexdigest()[:8], 16)

    def loglikelihood(self, requests, **kwargs):
        numbers = [self._number(request) for request in requests]
        return [(-number / 2**32 - 0.1, number % 3 == 0) for number in numbers]

    def loglikelihood_rolling(self, requests, **kwargs):
        raise NotImplementedError

    def generate_until(self, requests, **kwargs):
        return [f"it is {self._number(request) % 3}" for request in requests]


def open_set(folder, *names):
    return TaskSet(open_index(names, folder))


def judged(folder, name, **options):
    """Returns what the harness's own evaluation says."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(
        Arithmetic(), tasks=[name], task_manager=manager, bootstrap_iters=0, log_samples=True, **options
    )


def test_items_are_what_the_harness_says_of_each(tmp_path):
    write_task(tmp_path, "own", questions(0), num_fewshot=2, fewshot_split="test")
    [found] = open_set(tmp_path, "own").ask(Arithmetic(), [Asked("own", "acc")])
    wanted = judged(tmp_path, "own")
    assert found.ids == tuple(f"own/{sample['doc_id']}" for sample in wanted["samples"]["own"])
    assert found.scores_N.tolist() == [sample["acc"] for sample in wanted["samples"]["own"]]
    assert found.scores_N.mean() == wanted["results"]["own"]["acc,none"]
    assert 0 < found.scores_N.mean() < 1
    assert (found.output_type, found.shots) == ("multiple_choice", (2,))


def test_examples_are_the_same_for_every_model_and_numbers_of_others_stay_as_they_were(tmp_path):
    write_task(tmp_path, "own", questions(0), num_fewshot=2, fewshot_split="test")
    tasks, models = open_set(tmp_path, "own"), [Arithmetic(), Arithmetic()]
    # Python's own numbers are also drawn by whatever checks types here.
    before = np.random.get_state()[1].tolist()
    first, second = (tasks.ask(model, [Asked("own", "acc", limit=5)])[0] for model in models)
    assert models[0].asked == models[1].asked
    assert first.digests == second.digests
    assert len(set(first.digests)) == 5
    assert np.random.get_state()[1].tolist() == before


def test_a_limit_takes_the_same_scattered_items_of_parallel_tasks(tmp_path):
    for name, seed in (("own_de", 0), ("own_en", 5)):
        write_task(tmp_path, name, questions(seed, count=40))
    tasks = open_set(tmp_path, "own_de", "own_en")
    german, english, whole = (
        tasks.choose(Asked(name, "acc", limit=limit)) for name, limit in (("own_de", 9), ("own_en", 9), ("own_de", 40))
    )
    numbers = [number for _, number in german]
    assert numbers == [number for _, number in english] == sorted(set(numbers))
    assert len(numbers) == 9
    # Not the beginning: files are often sorted by subject.
    assert max(numbers) > 20
    assert whole == [("own_de", number) for number in range(40)]
    [found] = tasks.ask(Arithmetic(), [Asked("own_de", "acc", limit=9)])
    wanted = judged(tmp_path, "own_de", samples={"own_de": numbers})["samples"]["own_de"]
    assert found.scores_N.tolist() == [sample["acc"] for sample in wanted]


def test_a_group_is_the_mean_over_the_items_of_its_tasks(tmp_path):
    for name, seed, count in (("one", 0, 5), ("two", 9, 17)):
        write_task(tmp_path, name, questions(seed, count))
    group = {"group": "both", "task": ["one", "two"]}
    aggregate = {"aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(group | aggregate), encoding="utf-8")
    tasks, model = open_set(tmp_path, "both", "two"), Arithmetic()
    both, two = tasks.ask(model, [Asked("both", "acc"), Asked("two", "acc", limit=4)])
    wanted = judged(tmp_path, "both")
    assert both.scores_N.mean() == pytest.approx(wanted["results"]["both"]["acc,none"], rel=1e-12)
    assert len(both.ids) == len(set(both.ids)) == 22
    assert {id_.rpartition("/")[0] for id_ in both.ids} == {"both/one", "both/two"}
    assert {id_.rpartition("/")[0] for id_ in two.ids} == {"two"}
    # The first tasks of a group are not all that a limit leaves of it.
    some = tasks.choose(Asked("both", "acc", limit=11))
    assert {name for name, _ in some} == {"both/one", "both/two"}


def test_what_two_rows_share_is_asked_once(tmp_path):
    write_task(tmp_path, "own", questions(0), metric_list=[ACC, {**ACC, "metric": "acc_norm"}])
    model, alone = Arithmetic(), Arithmetic()
    asked = [Asked("own", "acc"), Asked("own", "acc_norm", limit=3)]
    acc, normed = open_set(tmp_path, "own").ask(model, asked)
    open_set(tmp_path, "own").ask(alone, asked[:1])
    assert model.asked == alone.asked
    wanted = {f"own/{of['doc_id']}": of["acc_norm"] for of in judged(tmp_path, "own")["samples"]["own"]}
    assert [wanted[id_] for id_ in normed.ids] == normed.scores_N.tolist()
    assert (len(acc.ids), len(normed.ids)) == (12, 3)


NUMBER = {"name": "number", "filter": [{"function": "regex", "regex_pattern": r"(\d)"}, {"function": "take_first"}]}
WHOLE = {"name": "whole", "filter": [{"function": "take_first"}]}
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}


def test_the_filter_that_was_asked_for_counts(tmp_path):
    write_task(
        tmp_path, "own", questions(0), output_type="generate_until", doc_to_choice=None, metric_list=[EXACT],
        doc_to_target="{{answer}}", filter_list=[WHOLE, NUMBER], generation_kwargs={"until": ["."]},
    )  # fmt: skip
    tasks = open_set(tmp_path, "own")
    number, whole = tasks.ask(Arithmetic(), [Asked("own", "exact_match", of) for of in ("number", "whole")])
    results = judged(tmp_path, "own")["results"]["own"]
    assert number.scores_N.mean() == results["exact_match,number"] > 0
    assert whole.scores_N.mean() == results["exact_match,whole"] == 0
    assert number.baselines == {}
    assert number.output_type == "generate_until"


def test_baselines_are_those_of_the_choices(tmp_path):
    documents = questions(0)
    write_task(tmp_path, "own", documents)
    letters = [{**document, "answer": "AB"[document["answer"]]} for document in documents]
    write_task(tmp_path, "letters", letters, doc_to_choice=["A", "B", "C"])
    write_task(tmp_path, "likely", documents, output_type="loglikelihood", doc_to_target=" the", doc_to_choice=None)
    names = ("own", "letters", "likely")
    own, lettered, likely = open_set(tmp_path, *names).ask(Arithmetic(), [Asked(name, "acc") for name in names])
    right = [document["answer"] for document in documents]
    most = max(right.count(0), right.count(1)) / len(right)
    assert own.baselines["chance"] == pytest.approx(np.mean([1 / len(of["choices"]) for of in documents]))
    assert own.baselines["majority"] == lettered.baselines["majority"] == most
    assert lettered.baselines["chance"] == pytest.approx(1 / 3)
    assert likely.baselines == {}


def test_a_score_of_a_tasks_own_has_no_baseline_and_no_other_name(tmp_path):
    write_task(tmp_path, "own", questions(0))
    (tmp_path / "scores.py").write_text(
        "def half(doc, results):\n    return {'acc': 0.5}\n",
        encoding="utf-8",
    )
    described = (tmp_path / "own.yaml").read_text(encoding="utf-8").replace("task: own", "task: half")
    (tmp_path / "half.yaml").write_text(f"{described}process_results: !function scores.half\n", encoding="utf-8")
    [found] = open_set(tmp_path, "half").ask(Arithmetic(), [Asked("half", "acc")])
    assert found.scores_N.tolist() == [0.5] * 12
    assert found.baselines == {}
    with pytest.raises(RequestError, match="half gives no f1 for document 0; choose acc"):
        open_set(tmp_path, "half").ask(Arithmetic(), [Asked("half", "f1")])
    f1 = {**ACC, "metric": "f1", "aggregation": "f1"}
    write_task(tmp_path / "pairs", "own", questions(0), metric_list=[ACC, f1], doc_to_choice=["A", "B"])
    with pytest.raises(RequestError, match="own gives f1, but no number, for document 0; choose acc"):
        open_set(tmp_path / "pairs", "own").ask(Arithmetic(), [Asked("own", "f1")])


def test_data_that_cannot_be_had_are_told_in_one_line(tmp_path):
    write_task(tmp_path, "own", questions(0))
    tasks = open_set(tmp_path, "own")
    text = (tmp_path / "own.jsonl").read_text(encoding="utf-8")
    (tmp_path / "own.jsonl").unlink()
    with pytest.raises(
        RequestError, match=r"cannot load own \(FileNotFoundError: .*own\.jsonl.*; see that its"
    ) as told:
        tasks.choose(Asked("own", "acc"))
    assert "\n" not in str(told.value)
    # Once they are there, the same object goes on.
    (tmp_path / "own.jsonl").write_text(text, encoding="utf-8")
    assert len(tasks.choose(Asked("own", "acc"))) == len(text.splitlines())


def test_a_document_that_changed_is_another_item(tmp_path):
    documents = questions(0)
    digests = []
    for folder, answer in (("before", 0), ("after", 1)):
        documents[3] = {**documents[3], "answer": answer}
        write_task(tmp_path / folder, "own", documents)
        [found] = open_set(tmp_path / folder, "own").ask(Arithmetic(), [Asked("own", "acc")])
        digests.append(found.digests)
    assert [index for index, pair in enumerate(zip(*digests, strict=True)) if pair[0] != pair[1]] == [3]
    assert json.loads((tmp_path / "after" / "own.jsonl").read_text(encoding="utf-8").splitlines()[3])["answer"] == 1
