"""SIGTERM: a word on how to go on, whatever the process is doing, and a prune that can be resumed."""

import signal
import subprocess
import sys

import numpy as np

from tests import multiprocess
from tests.analysis.mask_files import block_masks, write_run
from tests.cli.run import run

# Locks a mutex twice: unlike a sleep, no signal interrupts that, and Python has no chance to run a handler.
BUSY_BELOW_PYTHON = """
import ctypes
from jaxprune.cli.termination import ended_by_sigterm
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(128)
with ended_by_sigterm("prune"):
    print("ready", flush=True)
    lock(mutex), lock(mutex)
"""


def test_a_process_that_is_busy_below_python_ends_at_once():
    with subprocess.Popen(
        [sys.executable, "-c", BUSY_BELOW_PYTHON], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "--resume" in err


def test_a_prune_says_how_to_go_on_and_does(capsys, tmp_path, tiny):
    asked = ["prune", str(tiny), str(tmp_path / "out"), "--method", "magnitude", "--mesh", "data=1"]
    hold = multiprocess.Hold("jaxprune.jobs.journal", "Journal.add", 1, tmp_path / "held")
    process = multiprocess.start_alone(asked, devices=1, logs=tmp_path / "logs", hold=hold)
    hold.wait(process)
    process.terminate()
    assert multiprocess.wait([process], seconds=60) == [128 + signal.SIGTERM]
    err = (tmp_path / "logs" / "0.err").read_text()
    assert "continued by the same command with --resume" in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert run(capsys, *asked, "--resume").status == 0


def test_only_what_can_be_continued_is_said_to_be(capsys, monkeypatch):
    monkeypatch.setattr("jaxprune.jobs.report.report", interrupted)
    monkeypatch.setattr("jaxprune.jobs.study.open_study", interrupted)
    assert run(capsys, "report", "study").err.strip() == "interrupted"
    told = run(capsys, "study", "study.yaml", "study").err
    assert told.strip() == "interrupted; what had begun is continued by the same command"


def test_an_analysis_that_is_interrupted_wrote_nothing_and_says_so(capsys, monkeypatch, tmp_path):
    for name in "ab":
        write_run(tmp_path / name, block_masks(np.random.default_rng(0)))
    monkeypatch.setattr("jaxprune.jobs.analyze_masks.compare_runs", interrupted)
    before = sorted(tmp_path.iterdir())
    done = run(capsys, "analyze", "masks", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert done.status == 1
    assert done.err.strip() == "interrupted; nothing was written, and the same command starts anew"
    assert sorted(tmp_path.iterdir()) == before


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


def test_afterwards_sigterm_is_what_it_was(capsys):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    run(capsys, "--version")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
