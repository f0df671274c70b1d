"""What the masks of a study's prunings show, as tables: overlaps by what differs, and where zeros gather."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxprune.analysis.overlap import above_chance
from jaxprune.studies.numbers.masks import SIDES, beyond_chance
from jaxprune.studies.report.table import NOTHING, Table

_COLUMNS = ("kept_iou", "kept_chance", "pruned_iou", "pruned_chance")
_DIFFER = "masks: pairs that differ in"


def mask_tables(result: Mapping[str, Any]) -> list[Table]:
    """Returns the numbers of the figures of ``analyze_masks``, and overlaps of what is pruned."""
    groups = result["overlap"]["groups"]
    overall = [
        [differ, pairs, *(_number(value, 4) for value in map(group["overall"].get, _COLUMNS))]
        for (differ, pairs), group in zip(map(_named, groups), groups, strict=True)
    ]
    projections, blocks = (list(groups[0][by]) for by in ("projections", "blocks"))
    by_projection = [
        [*_named(group), *(_number(above_chance(group["projections"][name]), 3) for name in projections)]
        for group in groups
    ]
    by_block = [
        [*_named(group), *(_number(group["blocks"][block]["kept_iou"], 3) for block in blocks)] for group in groups
    ]
    head = [_DIFFER, "pairs", "IoU of kept", "by chance", "IoU of pruned", "by chance"]
    tables = [
        Table("Overlap of masks", head, overall),
        Table(
            "Overlap of masks by projection: agreement on kept weights, from 0 (by chance) to 1 (the same)",
            [_DIFFER, "pairs", *projections],
            by_projection,
        ),
        Table(
            "Overlap of masks by block: intersection over union of kept weights",
            [_DIFFER, "pairs", *(f"block {block}" for block in blocks)],
            by_block,
        ),
    ]
    for kind in ("query_heads", "neurons"):
        if any(run["concentration"][kind] is not None for run in result["runs"]):
            tables.append(_concentration(result, kind, blocks))
    channels = _channels(result)
    return [*tables, *([channels] if any(set(row[1:]) != {NOTHING} for row in channels.rows) else [])]


def _concentration(result: Mapping[str, Any], kind: str, blocks: Sequence[str]) -> Table:
    """Returns for each run how unevenly zeros lie on units of that kind, by block."""
    rows = []
    for run in result["runs"]:
        of_run = result["zeros"][run["label"]]["blocks"]
        units = [of_run.get(block, {}).get(kind) for block in blocks]
        by_chance = [of["gini_by_chance"] for of in units if of is not None and of["gini_by_chance"] is not None]
        rows.append(
            [
                run["label"],
                _number(statistics.fmean(by_chance) if by_chance else None, 3),
                *(_number(None if of is None else of["gini"], 3) for of in units),
            ]
        )
    title = f"Zeros on {kind.replace('_', ' ')}: Gini coefficient by block (by chance: mean over blocks)"
    return Table(title, ["pruning", "by chance", *(f"block {block}" for block in blocks)], rows)


def _channels(result: Mapping[str, Any]) -> Table:
    """Returns by run and side how far the channels that lost most are beyond chance, by projection."""
    found = {
        f"{run['label']} \u00b7 {side}": beyond_chance(result, run, side) for side in SIDES for run in result["runs"]
    }
    projections = list(dict.fromkeys(name for of in found.values() for name in of))
    rows = [[label, *(_number(of.get(name), 1) for name in projections)] for label, of in found.items()]
    title = (
        "Zeros on channels: what the 5% of a projection's channels that lost most have lost at least, in percentage "
        "points of their weights beyond chance, mean over blocks"
    )
    return Table(title, ["pruning", *projections], rows)


def _named(group: Mapping[str, Any]) -> tuple[str, str]:
    return ", ".join(group["differ"]) or "nothing", str(group["pairs"])


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
