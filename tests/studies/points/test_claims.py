"""Claims, taken by real processes: each once, given back by those that end and taken over from those that die."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from jaxprune.studies.points import claims

# Claims whatever it can of the folders given, and keeps it.
HOLD = """
import sys, time
from pathlib import Path
from jaxprune.studies.points.claims import take
held = [folder for folder in sys.argv[1:] if take(Path(folder), renewed_seconds=0.05)]
print(len(held), *held, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def hold():
    """Returns a function that starts a process which holds claims."""
    started = []

    def start(*folders):
        words = [sys.executable, "-c", HOLD, *map(str, folders)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def held_by(process):
    count, *folders = process.stdout.readline().split()
    assert int(count) == len(folders)
    return folders


def pretend_elsewhere(folder, *, silent_for):
    """Makes the claim look like one from another machine that was renewed so many seconds ago."""
    path = max(folder.glob(".claim*"))
    claim = json.loads(path.read_text())
    path.write_text(json.dumps(claim | {"machine": "another", "host": "far-away"}))
    os.utime(path, (time.time() - silent_for,) * 2)


def test_of_many_processes_one_has_each_claim(tmp_path, hold):
    folders = [tmp_path / str(index) for index in range(40)]
    for folder in folders:
        folder.mkdir()
    processes = [hold(*folders) for _ in range(4)]
    held = [folder for process in processes for folder in held_by(process)]
    assert sorted(held) == sorted(map(str, folders))
    assert claims.take(folders[0]) is None
    assert claims.holder(folders[0]).startswith("process ")


def test_a_claim_is_given_back(tmp_path):
    with claims.take(tmp_path) as claim:
        assert claim.is_held()
        assert claims.take(tmp_path) is None
        with claims.take(tmp_path, ".another"):
            pass
    assert list(tmp_path.iterdir()) == []
    assert claims.holder(tmp_path) is None
    with claims.take(tmp_path):
        pass


def test_from_a_process_that_was_killed_on_this_machine_it_is_taken_over_at_once(tmp_path, hold):
    process = hold(tmp_path)
    assert held_by(process) == [str(tmp_path)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    with claims.take(tmp_path) as claim:
        assert claim.is_held()
        assert claims.take(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_from_one_that_is_stopped_it_is_not(tmp_path, hold):
    """It will go on: two would then work on the same."""
    process = hold(tmp_path)
    held_by(process)
    process.send_signal(signal.SIGSTOP)
    [path] = tmp_path.iterdir()
    os.utime(path, (0, 0))
    assert claims.take(tmp_path) is None
    process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 30
    while path.stat().st_mtime == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.stat().st_mtime > 0  # renewed


def test_a_number_that_another_process_has_by_now_is_not_taken_for_the_first(tmp_path):
    claims.take(tmp_path)
    path = tmp_path / ".claim"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "1"}))
    assert claims.take(tmp_path) is not None


@pytest.mark.parametrize(("silent_for", "is_taken"), [(0, False), (170, False), (190, True)])
def test_from_another_machine_it_is_taken_over_after_three_minutes(tmp_path, silent_for, is_taken):
    first = claims.take(tmp_path, renewed_seconds=1000.0)
    pretend_elsewhere(tmp_path, silent_for=silent_for)
    second = claims.take(tmp_path)
    assert (second is not None) == is_taken
    assert first.is_held() != is_taken
    if second is None:
        return
    # The first one wakes up: what it gives back is not the second one's.
    first.__exit__()
    assert second.is_held()
    assert claims.take(tmp_path) is None
    second.__exit__()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_find_it_abandoned_one_takes_it_over(tmp_path, hold):
    folders = [tmp_path / str(index) for index in range(20)]
    for folder in folders:
        folder.mkdir()
        (folder / ".claim").write_text("")  # killed before it could write who it was
        os.utime(folder / ".claim", (time.time() - 1000,) * 2)
    processes = [hold(*folders) for _ in range(3)]
    held = [folder for process in processes for folder in held_by(process)]
    assert sorted(held) == sorted(map(str, folders))
