"""Tables of masks hold the numbers that their figures show."""

import statistics

import pytest

from jaxprune.studies.numbers.masks import beyond_chance
from jaxprune.studies.report.mask_tables import mask_tables
from tests.studies import made_analyses


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return made_analyses.masks(tmp_path_factory.mktemp("masks"))


@pytest.fixture
def tables(found):
    return {table.title.partition(":")[0]: table for table in mask_tables(found)}


def test_overlaps_by_projection_and_by_block_are_those_of_pairs(found, tables):
    pairs = [pair for pair in found["overlap"]["pairs"] if pair["differ"] == ["seed"]]
    assert len(pairs) == 2
    table = tables["Overlap of masks by block"]
    [row] = [row for row in table.rows if row[0] == "seed"]
    assert table.head[1:] == ["pairs", "block 0", "block 1"]
    means = [statistics.fmean(pair["blocks"][block]["kept_iou"] for pair in pairs) for block in ("0", "1")]
    assert row[1:] == ["2", *(f"{mean:.3f}" for mean in means)]
    table = tables["Overlap of masks by projection"]
    [row] = [row for row in table.rows if row[0] == "seed"]
    of_down = [pair["projections"]["down_proj"] for pair in pairs]
    kept, chance, most = (
        statistics.fmean(of[name] for of in of_down) for name in ("kept_iou", "kept_chance", "kept_most")
    )
    told = float(row[table.head.index("down_proj")])
    assert told == pytest.approx((kept - chance) / (most - chance), abs=0.001)


def test_zeros_on_heads_neurons_and_channels_are_told_by_run(found, tables):
    label = found["runs"][1]["label"]
    for title, kind in (("Zeros on query heads", "query_heads"), ("Zeros on neurons", "neurons")):
        table = tables[title]
        assert [row[0] for row in table.rows] == [run["label"] for run in found["runs"]]
        blocks = found["zeros"][label]["blocks"]
        assert table.rows[1][2:] == [f"{blocks[block][kind]['gini']:.3f}" for block in ("0", "1")]
    table = tables["Zeros on channels"]
    row = dict(zip(table.head[1:], table.rows[1][1:], strict=True))
    assert table.rows[1][0] == f"{label} \u00b7 inputs"
    assert row == {name: f"{of:.1f}" for name, of in beyond_chance(found, found["runs"][1], "inputs").items()}
    assert len(table.rows) == 2 * len(found["runs"])


def test_masks_without_heads_have_no_table_of_them(found):
    runs = [run | {"concentration": {**run["concentration"], "query_heads": None}} for run in found["runs"]]
    titles = [table.title for table in mask_tables({**found, "runs": runs})]
    assert not any("heads" in title for title in titles)
    assert any("neurons" in title for title in titles)
