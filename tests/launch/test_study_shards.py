"""``launch/study_shards.py``: every shard once, in an array and in an indexed Job."""

import subprocess

import pytest
import yaml

from tests.launch.kubernetes import check_schema, process
from tests.launch.stand_ins import calls, environment, expected, launch, write_program

CONFIG, OUT = "a $(HOME) `study`.yaml", "it's an out"
SHARED = f"/shared/{OUT}"
IMAGE = ["--image", "registry/jaxprune:0.1.0", "--claim", "shared"]


@pytest.fixture
def world(tmp_path):
    log = 'printf \'%s\\0\' "$@" >> "$WORLD/jaxprune"; printf \'\\n\\0\' >> "$WORLD/jaxprune"\n'
    write_program(tmp_path / "bin" / "jaxprune", log)
    return tmp_path


def shards(count, out):
    return [["study", CONFIG, out, "--shard", f"{index}/{count}"] for index in range(1, count + 1)]


def test_slurm_runs_every_shard(world):
    # As sbatch does with --wrap: a script for sh, once for every index.
    write_program(
        world / "bin" / "sbatch",
        'echo "$@" > "$WORLD/sbatch"\nlast=${*: -1:1}\n'
        'for index in 1 2 3; do SLURM_ARRAY_TASK_ID=$index sh -c "${last#--wrap=}"; done',
    )
    done = launch("study_shards.py", "slurm", "--shards", 3, CONFIG, OUT, path=world / "bin", WORLD=world)
    assert done.returncode == 0, done.stderr
    assert calls(world / "jaxprune") == shards(3, OUT)
    assert "--array=1-3 " in (world / "sbatch").read_text()


def test_kubernetes_runs_every_shard(world):
    done = launch("study_shards.py", "kubernetes", "--shards", 3, *IMAGE, "--dry-run", CONFIG, SHARED)
    job = yaml.safe_load(done.stdout)
    check_schema(job)
    assert (job["spec"]["completions"], job["spec"]["completionMode"]) == (3, "Indexed")
    [container] = job["spec"]["template"]["spec"]["containers"]
    words, _ = process(container)
    for index in range(3):
        variables = {"WORLD": world, "JOB_COMPLETION_INDEX": index}
        subprocess.run(words, env=environment(world / "bin", variables), check=True)
    assert calls(world / "jaxprune") == shards(3, SHARED)


def test_a_preempted_shard_does_not_count_and_a_wrong_request_is_not_repeated():
    done = launch("study_shards.py", "kubernetes", "--shards", 3, *IMAGE, "--retries", 4, "--dry-run", CONFIG, SHARED)
    spec = yaml.safe_load(done.stdout)["spec"]
    assert spec["backoffLimitPerIndex"] == 4
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # backoffLimitPerIndex asks for it
    wrong, preempted = spec["podFailurePolicy"]["rules"]
    assert (wrong["action"], wrong["onExitCodes"]["values"]) == ("FailIndex", [2])
    assert (preempted["action"], preempted["onPodConditions"]) == (
        "Ignore",
        [{"type": "DisruptionTarget", "status": "True"}],
    )


@pytest.mark.parametrize(
    ("options", "out", "expects"),
    [
        (["--shards", "0"], SHARED, "--shards: '0' was given; give a whole number of at least 1"),
        (["--shards", "3", "--retries", "-1"], SHARED, "--retries: '-1' was given; give a whole number of at least 0"),
        (["--shards", "3", "--limit", "gpu"], SHARED, "--limit: 'gpu' was given; give NAME=VALUE"),
        (["--shards", "3", "--name", "A_B"], SHARED, "--name: 'A_B' is no name for a Job"),
        (["--shards", "101", "--name", "a" * 60], SHARED, "keep it to 59 characters"),
        (["--shards", "3", "--secret", "a/b"], SHARED, "--secret: 'a/b' is no name in Kubernetes"),
        (["--shards", "3"], OUT, "put it in /shared"),
        (["--shards", "3"], "/shared/../out", "put it in /shared"),
        ([], SHARED, "required: --shards"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(options, out, expects):
    done = launch("study_shards.py", "kubernetes", *IMAGE, *options, "--dry-run", CONFIG, out)
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith("study_shards: ")
    assert expects in line


def test_the_longest_name_that_fits_is_taken():
    longest = "0" + "a" * 58  # and -100 for the last of 101
    done = launch(
        "study_shards.py", "kubernetes", *IMAGE, "--shards", 101, "--name", longest, "--dry-run", CONFIG, SHARED
    )
    assert yaml.safe_load(done.stdout)["metadata"]["name"] == longest


def test_dry_runs_print_what_is_expected():
    done = launch("study_shards.py", "slurm", "--shards", 16, "--dry-run", "a study.yaml", OUT)
    assert done.stdout == expected("study_shards_slurm.txt")
    done = launch(
        "study_shards.py", "kubernetes", "--shards", 16, "--parallel", 4, *IMAGE, "--limit", "nvidia.com/gpu=1",
        "--node", "cloud.google.com/gke-accelerator=nvidia-h100-80gb", "--dry-run",
        "/shared/a study.yaml", "/shared/out",
    )  # fmt: skip
    assert done.stdout == expected("study_shards_kubernetes.yaml")
