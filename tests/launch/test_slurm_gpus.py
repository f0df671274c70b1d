"""``launch/slurm_gpus.sh`` with stand-ins for sbatch, srun and scontrol."""

import os
import signal
import subprocess
import time

import pytest

from tests.launch.stand_ins import ROOT, calls, command, environment, expected, launch, write_program

LOG = 'printf \'%s\\0\' "$@" >> "$WORLD/{0}"; printf \'\\n\\0\' >> "$WORLD/{0}"\n'
PRUNE = ["prune", "org/model", "an out", "--calibration", "de=96,en=32"]


@pytest.fixture
def world(tmp_path):
    write_program(tmp_path / "bin" / "sbatch", LOG.format("sbatch") + 'echo "$JAXPRUNE_STARTED" > "$WORLD/started"')
    write_program(tmp_path / "bin" / "srun", LOG.format("srun") + 'eval "${STEP:-true}"')
    # What the scheduler does to a job that is queued again: its steps are ended.
    write_program(tmp_path / "bin" / "scontrol", LOG.format("scontrol") + 'kill "$(cat "$WORLD/step")"')
    return tmp_path


def run(world, *arguments, **variables):
    return launch("slurm_gpus.sh", *arguments, path=world / "bin", WORLD=world, **variables)


def in_job(world, *arguments, **variables):
    return run(world, *arguments, **({"SLURM_JOB_ID": 42, "JAXPRUNE_STARTED": 1000} | variables))


def test_outside_a_job_it_submits_itself(world):
    assert run(world, *PRUNE, NODES=3, GPUS_PER_NODE=4, CPUS_PER_GPU=6).returncode == 0
    [words] = calls(world / "sbatch")
    at = words.index("launch/slurm_gpus.sh")
    assert words[at + 1 :] == PRUNE
    assert {"--nodes=3", "--ntasks-per-node=4", "--gpus-per-node=4", "--cpus-per-task=6", "--requeue"} <= set(
        words[:at]
    )
    assert abs(int((world / "started").read_text()) - time.time()) < 60
    assert not calls(world / "srun")


def test_inside_it_starts_one_process_a_gpu(world):
    assert in_job(world, *PRUNE, NODES=3, GPUS_PER_NODE=4).returncode == 0
    [words] = calls(world / "srun")
    at = words.index("jaxprune")
    assert words[at + 1 :] == [*PRUNE, "--distributed", "--resume"]
    assert {"--nodes=3", "--ntasks-per-node=4", "--gpu-bind=none", "--kill-on-bad-exit=1"} <= set(words[:at])
    assert in_job(world, "perplexity", "org/model").returncode == 0
    assert calls(world / "srun")[1][-3:] == ["perplexity", "org/model", "--distributed"]


@pytest.mark.parametrize("status", [0, 1, 2, 137])
def test_the_status_is_that_of_the_step(world, status):
    assert in_job(world, *PRUNE, STEP=f"exit {status}").returncode == status


def test_a_job_queued_again_after_its_end_does_nothing(world):
    manifest = world / "out" / "jaxprune" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    os.utime(manifest, (1000, 1000))
    done = in_job(world, "prune", "org/model", world / "out", JAXPRUNE_STARTED=1000)
    assert done.returncode == 0
    assert "finished before" in done.stderr
    assert not calls(world / "srun")
    # A result that is older than the job is not its own: jaxprune decides.
    in_job(world, "prune", "org/model", world / "out", JAXPRUNE_STARTED=1001)
    assert len(calls(world / "srun")) == 1


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_out_of_time_it_is_queued_again_a_bounded_number_of_times(world, restarts):
    variables = {
        "WORLD": world,
        "SLURM_JOB_ID": 42,
        "JAXPRUNE_STARTED": 1000,
        "SLURM_RESTART_COUNT": restarts,
        "MAX_RESTARTS": 2,
        "STEP": 'echo $$ > "$WORLD/new"; mv "$WORLD/new" "$WORLD/step"; exec sleep 60',
    }
    if restarts == 0:
        del variables["SLURM_RESTART_COUNT"]  # as in a job that was never queued again
    with subprocess.Popen(
        command("slurm_gpus.sh", *PRUNE), cwd=ROOT, env=environment(world / "bin", variables), stderr=subprocess.PIPE,
        text=True,
    ) as job:  # fmt: skip
        deadline = time.monotonic() + 30
        while not (world / "step").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        job.send_signal(signal.SIGUSR1)
        assert job.stderr is not None
        said = job.stderr.readline()
        if restarts == 2:
            os.kill(int((world / "step").read_text()), signal.SIGTERM)  # the time is up
    assert job.returncode == 128 + signal.SIGTERM
    assert calls(world / "scontrol") == ([] if restarts == 2 else [["requeue", "42"]])
    assert ("out of time after 2 restarts" if restarts == 2 else "queued again") in said


def test_a_dry_run_prints_and_does_nothing(world):
    done = run(world, "--dry-run", *PRUNE, NODES=2, GPUS_PER_NODE=8)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected("slurm_gpus.txt")
    assert not calls(world / "sbatch")
    assert not calls(world / "srun")


def test_what_is_missing_is_said(world):
    done = run(world, "--dry-run")
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize(
    ("words", "expects"),
    [
        (["prune", "--calibration", "de", "org/model", "out"], "put these two first"),
        (["prune", "org/model", "--calibration", "de", "out"], "put these two first"),
        (["prune", "org/model"], "put these two first"),
        (["prune", "org/model", ""], "put these two first"),
        (["jaxprune", "prune", "org/model", "out"], "start with prune"),
        (["--help", "prune", "org/model", "out"], "start with prune"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_command_whose_result_would_not_be_found_is_refused(world, words, expects, dry):
    done = run(world, *dry, *words)
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"slurm_gpus: asked for {words[0]} {words[1]}")
    assert expects in line
    assert not calls(world / "sbatch")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NODES", "abc"), ("NODES", "0"), ("GPUS_PER_NODE", "0"), ("CPUS_PER_GPU", "1.5"), ("MAX_RESTARTS", "-1"),
        ("JAXPRUNE_STARTED", "now"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_variables_that_are_no_numbers_are_refused(world, name, value, dry):
    done = run(world, *dry, *PRUNE, **{name: value})
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"slurm_gpus: {name} is {value}; set it to a whole number of at least")
    assert not calls(world / "sbatch")
