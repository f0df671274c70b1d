"""An interrupted prune continues at its first unfinished block, and the result is the same to the byte."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from jaxprune.checkpoints import open_checkpoint, orbax_folder
from jaxprune.checkpoints.orbax_folder import OrbaxWriter
from jaxprune.checkpoints.safetensors_file import StreamedSafetensors
from jaxprune.data.calibration import load_tokens
from jaxprune.disk import OutOfRoomError
from jaxprune.errors import RequestError
from jaxprune.jobs import prune as job
from jaxprune.jobs.journal import Journal
from jaxprune.jobs.prune import prune
from jaxprune.models.causal_lm import EMBED
from jaxprune.pruning.blockwise import Progress
from jaxprune.pruning.magnitude import Magnitude
from jaxprune.pruning.patterns import NM, Unstructured
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.pruning.wanda import Wanda
from jaxprune.sharding import make_mesh
from tests.tiny import VOCAB_SIZE, write_tiny_checkpoint

TWO_OF_FOUR = NM(2, 4)


class Killed(BaseException):
    """What a signal is to a process."""


@pytest.fixture
def inputs(tmp_path):
    write_tiny_checkpoint(tmp_path / "dense", "gemma3_text", seed=0)
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(3, VOCAB_SIZE, (4, 9)).astype(np.int32))
    calibration = load_tokens(tmp_path / "tokens.npy", samples=None)
    return open_checkpoint(str(tmp_path / "dense")), calibration


def run(inputs, out, *, method, pattern=TWO_OF_FOUR, kill_at=None, seen=None, **more):
    checkpoint, calibration = inputs
    phases = []

    def on_phase(index, phase):
        phases.append((index, phase))
        if seen is not None:
            seen.append((index, phase))
        if len(phases) == kill_at:
            raise Killed

    return prune(
        checkpoint, out, method=method, pattern=pattern, calibration=calibration,
        mesh=make_mesh({"data": 1, "model": 1}), compute_dtype=np.dtype("float32"), progress=Progress(on_phase), **more,
    )  # fmt: skip


def contents(folder: Path):
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(files.pop("jaxprune/manifest.json"))
    manifest.pop("seconds")
    manifest.pop("resumed_at_block")
    return files, manifest


@pytest.mark.parametrize("method", [Magnitude(), Wanda(), SparseGPT()], ids=lambda method: method.name)
def test_killed_at_any_phase_and_resumed_is_the_same_to_the_byte(tmp_path, inputs, method):
    phases: list[tuple[int, str]] = []
    run(inputs, tmp_path / "whole", method=method, seen=phases)
    wanted = contents(tmp_path / "whole")
    for kill_at in range(2, len(phases) + 1):
        out = tmp_path / f"killed-{kill_at}"
        with pytest.raises(Killed):
            run(inputs, out, method=method, kill_at=kill_at)
        assert not out.exists()
        run(inputs, out, method=method, resume=True)
        assert contents(out) == wanted, phases[kill_at - 1]


@pytest.mark.parametrize("method", [Wanda(), SparseGPT()], ids=lambda method: method.name)
def test_where_hidden_states_wait_changes_nothing_and_a_resumed_run_may_choose_anew(tmp_path, inputs, method):
    run(inputs, tmp_path / "host", method=method, host_bytes=0)
    wanted = contents(tmp_path / "host")
    run(inputs, tmp_path / "device", method=method, device_bytes=10**9)
    assert contents(tmp_path / "device") == wanted
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=method, kill_at=9)
    run(inputs, tmp_path / "out", method=method, resume=True, device_bytes=10**9)
    assert contents(tmp_path / "out") == wanted


def test_finished_blocks_are_not_pruned_again(tmp_path, inputs):
    phases: list[tuple[int, str]] = []
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=Wanda(), kill_at=9)
    run(inputs, tmp_path / "out", method=Wanda(), resume=True, seen=phases)
    assert (0, "replay") in phases
    assert (0, "solve") not in phases
    assert (1, "solve") in phases


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"method": SparseGPT(damping=0.5)}, "method"),
        ({"pattern": Unstructured(0.5, within="block")}, "pattern"),
        ({"dtype": np.dtype("float16")}, "dtype"),
        ({"format": "orbax"}, "format"),
    ],
)
def test_another_request_is_refused_with_the_field_named_and_the_work_is_kept(tmp_path, inputs, change, field):
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=SparseGPT(), kill_at=9)
    with pytest.raises(RequestError, match=f"had {field} ="):
        run(inputs, tmp_path / "out", **({"method": SparseGPT(), "resume": True} | change))
    phases: list[tuple[int, str]] = []
    run(inputs, tmp_path / "out", method=SparseGPT(), resume=True, seen=phases)
    assert (0, "replay") in phases


def test_a_resume_that_is_refused_changes_nothing(tmp_path, inputs):
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=Wanda(), kill_at=9)
    before = {path: path.read_bytes() for path in (tmp_path / ".out.partial").rglob("*") if path.is_file()}
    with pytest.raises(RequestError, match="had format ="):
        run(inputs, tmp_path / "out", method=Wanda(), resume=True, format="orbax")
    assert {path: path.read_bytes() for path in (tmp_path / ".out.partial").rglob("*") if path.is_file()} == before


def test_what_another_command_left_is_not_resumed(tmp_path, inputs):
    (tmp_path / ".out.partial").mkdir()
    for name in (".lock", "model-00001-of-00002.safetensors"):
        (tmp_path / ".out.partial" / name).write_bytes(b"")
    run(inputs, tmp_path / "whole", method=Wanda())
    run(inputs, tmp_path / "out", method=Wanda(), resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("format", ["huggingface", pytest.param("orbax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("moment", ["complete", "write_manifest"])
def test_killed_at_the_very_end_it_is_still_known_what_was_done(tmp_path, inputs, monkeypatch, format, moment):
    """After the last weight is written: nothing of another request is taken for this one, and nothing is done again."""
    complete = job.Journal.complete

    def die(*args):
        if moment == "complete":
            complete(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(job.Journal if moment == "complete" else job, moment, die)
        with pytest.raises(Killed):
            run(inputs, tmp_path / "out", method=Wanda(), format=format)
    with pytest.raises(RequestError, match="had method ="):
        run(inputs, tmp_path / "out", method=SparseGPT(), format=format, resume=True)
    phases: list[tuple[int, str]] = []
    run(inputs, tmp_path / "out", method=Wanda(), format=format, resume=True, seen=phases)
    assert phases == []
    run(inputs, tmp_path / "whole", method=Wanda(), format=format)
    whole, found = open_checkpoint(str(tmp_path / "whole")), open_checkpoint(str(tmp_path / "out"))
    for section in whole.model.sections:
        for path, value in whole.read(section).items():
            np.testing.assert_array_equal(found.read(section)[path], value)
    names = [{str(path.relative_to(tmp_path / out)) for path in (tmp_path / out).iterdir()} for out in ("whole", "out")]
    assert names[0] == names[1]
    assert sorted(path.name for path in (tmp_path / "out" / "jaxprune").iterdir()) == [
        "manifest.json",
        "masks.safetensors",
    ]


def test_what_was_typed_is_named_before_hashes_are(tmp_path, inputs):
    def drawn(seed):
        account = inputs[1].account | {"seed": seed, "sha256": f"of seed {seed}"}
        return inputs[0], dataclasses.replace(inputs[1], account=account)

    with pytest.raises(Killed):
        run(drawn(0), tmp_path / "out", method=Wanda(), kill_at=9)
    with pytest.raises(RequestError, match="had seed = 0, and this one asks for 1"):
        run(drawn(1), tmp_path / "out", method=Wanda(), resume=True)


def test_other_calibration_text_is_refused(tmp_path, inputs):
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=Wanda(), kill_at=9)
    np.save(tmp_path / "tokens.npy", np.ones((4, 9), np.int32))
    other = (inputs[0], load_tokens(tmp_path / "tokens.npy", samples=None))
    with pytest.raises(RequestError, match="calibration tokens"):
        run(other, tmp_path / "out", method=Wanda(), resume=True)


def test_without_resume_an_interrupted_run_is_cleared(tmp_path, inputs):
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=Wanda(), kill_at=9)
    phases: list[tuple[int, str]] = []
    run(inputs, tmp_path / "out", method=Wanda(), seen=phases)
    assert (0, "solve") in phases


def test_orbax_is_resumed_too(tmp_path, inputs):
    run(inputs, tmp_path / "whole", method=SparseGPT())
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=SparseGPT(), format="orbax", kill_at=9)
    run(inputs, tmp_path / "out", method=SparseGPT(), format="orbax", resume=True)
    a, b = open_checkpoint(str(tmp_path / "whole")), open_checkpoint(str(tmp_path / "out"))
    for section in a.model.sections:
        for path, value in a.read(section).items():
            np.testing.assert_array_equal(b.read(section)[path], value)
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["jaxprune", "orbax"]


@pytest.mark.parametrize(
    "change",
    [
        {"request": []},
        {"request": None},
        {"blocks": {}},
        {"blocks": [3]},
        {"blocks": [{"kernels": {}}]},
        {"blocks": [{"kernels": {"a": 4}, "diagnostics": {}}]},
        {"blocks": [{"kernels": {"a": {"weights": 1, "pruned": 2}}, "diagnostics": {}}]},
        {"blocks": [{"kernels": {}, "diagnostics": {}}] * 99},
        {"complete": True},
        {"complete": 0},
        [],
    ],
)
def test_a_damaged_journal_is_refused(tmp_path, inputs, change):
    with pytest.raises(Killed):
        run(inputs, tmp_path / "out", method=Magnitude(), kill_at=3)
    journal = tmp_path / ".out.partial" / "jaxprune" / "journal.json"
    damaged = json.loads(journal.read_text()) | change if isinstance(change, dict) else change
    journal.write_text(json.dumps(damaged))
    with pytest.raises(RequestError, match="does not say what was done; start again without --resume"):
        run(inputs, tmp_path / "out", method=Magnitude(), resume=True)
    assert journal.exists()


def test_a_disk_that_fills_while_orbax_is_written_loses_no_block(tmp_path, inputs, monkeypatch):
    run(inputs, tmp_path / "whole", method=Wanda(), format="orbax")
    save = OrbaxWriter.write

    def fill_up(writer, section, params):
        if section != EMBED:
            raise OutOfRoomError("the disk is full.")
        save(writer, section, params)

    with monkeypatch.context() as patch:
        patch.setattr(OrbaxWriter, "write", fill_up)
        with pytest.raises(RequestError, match="repeat the command with --resume"):
            run(inputs, tmp_path / "out", method=Wanda(), format="orbax")
    phases: list[tuple[int, str]] = []
    run(inputs, tmp_path / "out", method=Wanda(), format="orbax", resume=True, seen=phases)
    assert not {"collect", "solve"} & {phase for _, phase in phases}
    again, whole = (open_checkpoint(str(tmp_path / name)) for name in ("out", "whole"))
    for section in whole.model.sections:
        wanted = whole.parameters(section)
        for path, array in again.parameters(section).items():
            np.testing.assert_array_equal(np.asarray(array), np.asarray(wanted[path]))


def test_room_for_orbax_is_asked_for_before_the_first_block(tmp_path, inputs, monkeypatch):
    asked: list[int] = []
    phases: list[tuple[int, str]] = []

    def refuse(folder, needed):
        asked.append(needed)
        raise OutOfRoomError("the disk is full.")

    monkeypatch.setattr(orbax_folder, "require_space", refuse)
    with pytest.raises(OutOfRoomError):
        run(inputs, tmp_path / "out", method=Wanda(), format="orbax", seen=phases)
    weights = sum(path.stat().st_size for path in (tmp_path / "dense").glob("*.safetensors"))
    # About half of the weights, however much of the folder the safetensors have already taken.
    assert 0.45 * weights < asked[0] < 0.55 * weights
    assert not phases
    assert not (tmp_path / ".out.partial").exists()


def test_a_block_is_on_the_disk_before_the_journal_says_so(tmp_path, inputs, monkeypatch):
    events: list[str] = []
    sync, add = StreamedSafetensors.sync, Journal.add

    def note_sync(file):
        sync(file)
        events.append("sync")

    def note_add(journal, block):
        events.append("journal")
        add(journal, block)

    monkeypatch.setattr(StreamedSafetensors, "sync", note_sync)
    monkeypatch.setattr(Journal, "add", note_add)
    run(inputs, tmp_path / "out", method=Magnitude())
    blocks = open_checkpoint(str(tmp_path / "dense")).model.num_blocks
    # Of every block the weights and the masks, before the embedding and the head or after them.
    assert "".join(event[0] for event in events).count("ssj") == blocks


def test_languages_in_another_order_are_named(tmp_path, inputs):
    checkpoint, calibration = inputs
    account = dict(calibration.account)

    def of(*languages):
        counts = {language: {"sequences": 2} for language in languages}
        return checkpoint, dataclasses.replace(calibration, account={**account, "languages": counts})

    with pytest.raises(Killed):
        run(of("de", "en"), tmp_path / "out", method=Wanda(), kill_at=9)
    with pytest.raises(RequestError, match=r"calibration = \[\['de', 2\], \['en', 2\]\], .* asks for \[\['en', 2\]"):
        run(of("en", "de"), tmp_path / "out", method=Wanda(), resume=True)
