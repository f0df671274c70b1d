"""The points of a study, and its division into parts."""

import itertools

import pytest

from jaxprune.errors import RequestError
from jaxprune.studies.points.grid import Shard, all_jobs, all_points, job_id, parse_shard
from tests.studies.config.test_study import SOUND, load


def test_every_combination_is_one_point_and_methods_without_text_have_one_a_pattern(tmp_path):
    study = load(tmp_path, SOUND)
    names = [point.id for point in all_points(study)]
    of_text = itertools.product(
        (0, 1), ("en", "no", "de+en", "ar=16", "all"), ("wanda", "sparsegpt-damping-0.1"), ("0.5", "2-4")
    )
    wanted = [f"{method}_{pattern}_{mixture}_seed{seed}" for seed, mixture, method, pattern in of_text]
    assert names == ["magnitude_0.5", "magnitude_2-4", *wanted]
    magnitude, wanda = all_points(study)[0], all_points(study)[2]
    assert magnitude.as_json() == {
        "calibration": None, "mixture": None, "method": "magnitude", "settings": {}, "pattern": "0.5", "seed": None,
    }  # fmt: skip
    assert (wanda.as_json()["mixture"], wanda.as_json()["seed"]) == ({"en": 64}, 0)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 42, 43, 44, 100])
def test_each_job_is_in_exactly_one_part_and_parts_differ_by_one_at_most(tmp_path, count):
    jobs = all_jobs(load(tmp_path, SOUND))
    assert len(jobs) == 43
    assert job_id(jobs[0]) == "dense"
    parts = [Shard(index, count).take(jobs) for index in range(1, count + 1)]
    assert tuple(itertools.chain(*parts)) == jobs
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_two_points_of_one_name_are_refused(tmp_path):
    study = load(tmp_path, SOUND.replace('{all: "ar,de,en"}', '{a_seed0: "ar"}, {a: "de"}'))
    assert len(all_points(study)) == 2 + 2 * 6 * 2 * 2
    with pytest.raises(RequestError, match="'en' is there already"):
        load(tmp_path, SOUND.replace("{all:", "{EN:"))


def test_shards_are_read():
    assert (parse_shard("3/16"), parse_shard(None)) == (Shard(3, 16), Shard(1, 1))
    for text in ("0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/2/3", "", " 1/2"):
        with pytest.raises(RequestError, match="write I/N"):
            parse_shard(text)
