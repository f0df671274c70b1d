"""``launch/local_processes.py``, run for real."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.launch.stand_ins import ROOT, command, environment, expected, launch

# What a stand-in does is decided by the process's number.
PREAMBLE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
index = int(sys.argv[sys.argv.index("--process-id") + 1])
here = Path(__file__).parent
def on_signal(number, frame):
    with open(here / f"signals-{index}", "a") as file:
        file.write(f"{number}\\n")
    if on_signal.status is not None:
        sys.exit(on_signal.status)
on_signal.status = 0
signal.signal(signal.SIGTERM, on_signal)
signal.signal(signal.SIGINT, on_signal)
(here / f"started-{index}").touch()
def wait_for_others(count):
    while len(list(here.glob("started-*"))) < count:
        time.sleep(0.01)
"""


@pytest.fixture
def program(tmp_path):
    def write(text):
        (tmp_path / "program.py").write_text(PREAMBLE + text, encoding="utf-8")
        return [sys.executable, tmp_path / "program.py"]

    return write


def run(tmp_path, processes, words, *options):
    return launch(
        "local_processes.py", "--processes", processes, "--logs", tmp_path / "logs", *options, "--", *words
    )  # fmt: skip


def signals(tmp_path, index):
    path = tmp_path / f"signals-{index}"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_each_process_gets_its_number_and_a_log(tmp_path, program):
    words = program('print(json.dumps(sys.argv[1:])); print("oh", file=sys.stderr)')
    done = run(tmp_path, 3, [*words, "an argument", "", 'it\'s "$HOME"'])
    assert done.returncode == 0, done.stderr
    seen = [(tmp_path / "logs" / f"process-{index}.log").read_text().splitlines() for index in range(3)]
    addresses = set()
    for index, lines in enumerate(seen):
        assert "oh" in lines
        lines.remove("oh")
        arguments = json.loads(lines[0])
        assert arguments[:4] == ["an argument", "", 'it\'s "$HOME"', "--coordinator"]
        assert arguments[5:] == ["--num-processes", "3", "--process-id", str(index)]
        addresses.add(arguments[4])
    assert len(addresses) == 1
    host, port = addresses.pop().split(":")
    assert host == "127.0.0.1"
    assert int(port) > 1023


def test_when_one_dies_the_others_are_ended_and_its_log_is_shown(tmp_path, program):
    words = program("""
wait_for_others(3)
if index == 1:
    print("the reason")
    sys.exit(3)
time.sleep(60)
""")
    done = run(tmp_path, 3, words)
    assert done.returncode == 3
    assert "process 1 ended with status 3; ending the other 2" in done.stderr
    assert "the reason" in done.stderr
    assert signals(tmp_path, 0) == signals(tmp_path, 2) == [signal.SIGTERM]


def test_a_process_killed_by_a_signal_counts_as_in_a_shell(tmp_path, program):
    words = program("""
wait_for_others(2)
if index == 0:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
""")
    done = run(tmp_path, 2, words)
    assert done.returncode == 128 + signal.SIGKILL
    assert "process 0 ended with signal SIGKILL" in done.stderr


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path, program):
    words = program("""
on_signal.status = None
if index == 1:
    child = subprocess.Popen(["sleep", "60"])
    (here / "child").write_text(str(child.pid))
wait_for_others(2)
while not (here / "child").exists() or not (here / "child").read_text():
    time.sleep(0.01)
if index == 0:
    sys.exit(4)
while True:
    time.sleep(60)
""")
    done = run(tmp_path, 2, words, "--grace", "0.2")
    assert done.returncode == 4
    assert "1 processes have not ended after 0.2 seconds: killed" in done.stderr
    assert signals(tmp_path, 1) == [signal.SIGTERM]
    child = (tmp_path / "child").read_text()
    state = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, text=True).stdout.strip()
    assert state[:1] in ("", "Z")  # gone, or waiting to be collected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("statuses", "worst"), [([0, 0, 0], 0), ([5, 7, 6], 7)])
def test_a_signal_is_sent_on_once_and_the_worst_status_counts(tmp_path, program, number, statuses, worst):
    words = program(f"on_signal.status = {statuses}[index]\nwhile True: time.sleep(60)")
    arguments = ["--processes", 3, "--logs", tmp_path / "logs", "--", *words]
    with subprocess.Popen(
        command("local_processes.py", *arguments), cwd=ROOT, env=environment(None, {}), stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("started-*"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == worst
    assert f"{number.name}: sent on to 3 processes" in err
    assert "ended with" not in err
    assert [signals(tmp_path, index) for index in range(3)] == [[number]] * 3


def test_a_command_that_is_not_there(tmp_path):
    done = run(tmp_path, 2, ["no-such-program-here"])
    assert done.returncode == 127
    assert "no-such-program-here is no command here" in done.stderr
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("options", "expects"),
    [
        (["--processes", 0], "--processes: '0' was given; give a whole number"),
        (["--processes", "two"], "--processes: 'two' was given; give a whole number"),
        (["--processes", 2, "--port", 99999], "--port: '99999' was given; give a whole number from 1 to 65535"),
        (["--processes", 2, "--grace", "nan"], "--grace: 'nan' was given; give seconds"),
        (["--processes", 2, "--logs", "README.md/x/y"], "README.md is no folder to write in; name another"),
        (["--processes", 2, "--logs", "README.md"], "README.md is no folder to write in; name another"),
        ([], "required: --processes"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_wrong_requests_are_refused_in_one_line(options, expects, dry):
    done = launch("local_processes.py", *options, *dry, "--", "true")
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith("local_processes: ")
    assert expects in line


def test_the_default_folder_of_logs_is_checked_too(tmp_path):
    (tmp_path / "logs").touch()
    words = [sys.executable, ROOT / "launch" / "local_processes.py", "--processes", "1", "--", "true"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "logs is no folder to write in" in line


def test_a_dry_run_prints_the_commands():
    done = launch(
        "local_processes.py", "--processes", 2, "--gpus-each", 2, "--port", 12345, "--logs", "some logs", "--dry-run",
        "--", "jaxprune", "prune", "org/model", "an out", "--calibration", "de=96,en=32",
    )  # fmt: skip
    assert done.stdout == expected("local_processes.txt")


def test_gpus_are_divided(tmp_path, program):
    words = program('print(os.environ["CUDA_VISIBLE_DEVICES"])')
    assert run(tmp_path, 2, words, "--gpus-each", 3).returncode == 0
    assert [(tmp_path / "logs" / f"process-{i}.log").read_text() for i in range(2)] == ["0,1,2\n", "3,4,5\n"]


def test_processes_of_jax_find_each_other(tmp_path):
    (tmp_path / "program.py").write_text(
        """
import argparse
import jax
parser = argparse.ArgumentParser()
parser.add_argument("--coordinator")
parser.add_argument("--num-processes", type=int)
parser.add_argument("--process-id", type=int)
given = parser.parse_args()
jax.distributed.initialize(given.coordinator, given.num_processes, given.process_id)
print("process", jax.process_index(), "of", jax.process_count(), jax.local_device_count(), jax.device_count())
"""
    )
    arguments = ["--processes", 2, "--logs", tmp_path / "logs", "--", sys.executable, tmp_path / "program.py"]
    done = launch("local_processes.py", *arguments, JAX_PLATFORMS="cpu", JAX_NUM_CPU_DEVICES=3)
    assert done.returncode == 0, done.stderr
    for index in range(2):
        assert f"process {index} of 2 3 6" in (tmp_path / "logs" / f"process-{index}.log").read_text()
