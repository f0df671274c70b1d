"""``launch/gke_jobset.py``: its YAML against JobSet's schema, and what the pods would run."""

import copy
import os
import re
import subprocess
import time

import pytest
import yaml

from tests.launch.kubernetes import check_schema, process
from tests.launch.stand_ins import calls, environment, expected, launch, write_program

OPTIONS = [
    "--name", "llama-sw", "--image", "registry/jaxprune:0.1.0", "--accelerator", "tpu-v5p-slice", "--topology", "2x2x4",
    "--claim", "shared",
]  # fmt: skip
AWKWARD = 'a: "b" #c \\ {d} ${E} $(HOME) $$ größer 😀\n- f'


def render(*command, options=()):
    done = launch("gke_jobset.py", *OPTIONS, *options, "--dry-run", "--", *command)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def job_of(jobset):
    [replicated] = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def container_of(jobset):
    [container] = job_of(jobset)["template"]["spec"]["containers"]
    return container


@pytest.fixture(scope="module")
def jobset():
    return render("prune", AWKWARD, "/shared/OUT", "--calibration", "sw", options=["--slices", 2])


def test_it_matches_the_schema(jobset):
    check_schema(jobset)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "failurePolicy", "maxRestart"], 3),
        (["spec", "failurePolicy", "maxRestarts"], "3"),
        (["spec", "replicatedJobs", 0, "name"], None),
        (["spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "containers", 0, "argument"], ["a"]),
    ],
)
def test_the_schema_finds_what_is_wrong(jobset, path, value):
    changed = copy.deepcopy(jobset)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=str(path[-1])):
        check_schema(changed)


def test_what_the_schema_leaves_to_the_servers(jobset):
    """Rules that the servers' own code checks, in own words: the published schema has plain strings there."""
    policy = jobset["spec"]["failurePolicy"]
    for rule in policy["rules"]:
        assert rule["action"] in {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"}
        assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
        assert set(rule["onJobFailureReasons"]) <= {
            "BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy",
        }  # fmt: skip
    job, pod = job_of(jobset), job_of(jobset)["template"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert pod["restartPolicy"] == "Never"  # a podFailurePolicy asks for it
    for rule in job["podFailurePolicy"]["rules"]:
        assert rule["action"] in {"FailJob", "FailIndex", "Ignore", "Count"}
        assert rule["onExitCodes"]["containerName"] == container_of(jobset)["name"]
        assert rule["onExitCodes"]["operator"] in {"In", "NotIn"}
        assert 0 not in rule["onExitCodes"]["values"]
    assert [mount["name"] for mount in container_of(jobset)["volumeMounts"]] == [pod["volumes"][0]["name"]]
    # The longest name that is made of it, a pod's, is a DNS label.
    assert len(f"{jobset['metadata']['name']}-slice-job-999-999-abcde") <= 63


def test_a_preempted_slice_starts_again_and_a_wrong_request_does_not(jobset):
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 20
    assert job_of(jobset)["backoffLimit"] == 0
    [rule] = job_of(jobset)["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["operator"], rule["onExitCodes"]["values"]) == ("FailJob", "In", [2])
    [rule] = jobset["spec"]["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])


def test_xpk_and_kueue_find_their_labels(jobset):
    labels = jobset["metadata"]["labels"]
    assert labels == {"kueue.x-k8s.io/queue-name": "multislice-queue", "xpk.google.com/workload": "llama-sw"}
    assert job_of(jobset)["template"]["metadata"]["labels"] == {"xpk.google.com/workload": "llama-sw"}


@pytest.mark.parametrize(("topology", "chips", "hosts"), [("2x2x4", 4, 4), ("4x8", 4, 8), ("2x4", 8, 1), ("1x1", 1, 1)])
def test_hosts_follow_from_the_topology(topology, chips, hosts):
    jobset = render("perplexity", "m", options=["--topology", topology, "--chips-per-host", chips])
    job = job_of(jobset)
    assert job["parallelism"] == job["completions"] == hosts
    assert container_of(jobset)["resources"] == {"limits": {"google.com/tpu": str(chips)}}
    assert job["template"]["spec"]["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topology


@pytest.fixture
def pod(tmp_path):
    """Returns what runs a container's process here and gives back jaxprune's arguments, if it was called."""
    log = 'printf \'%s\\0\' "$@" >> "$WORLD/jaxprune"; printf \'\\n\\0\' >> "$WORLD/jaxprune"\n'
    write_program(tmp_path / "bin" / "jaxprune", log + "exit 7")

    def run(container):
        words, variables = process(container)
        variables["WORLD"] = str(tmp_path)
        done = subprocess.run(words, env=environment(tmp_path / "bin", variables), capture_output=True, text=True)
        return done, calls(tmp_path / "jaxprune")

    return run


def test_arguments_reach_the_process_as_they_were(jobset, pod):
    done, called = pod(container_of(jobset))
    assert called == [["prune", AWKWARD, "/shared/OUT", "--calibration", "sw", "--distributed", "--resume"]]
    assert done.returncode == 7


def test_other_commands_are_not_resumed(pod):
    _, called = pod(container_of(render("perplexity", "m", "--texts", "mc4")))
    assert called == [["perplexity", "m", "--texts", "mc4", "--distributed"]]


@pytest.mark.parametrize(("age", "begins"), [(-60, False), (3600, True)])
def test_a_pod_that_starts_again_after_the_end_does_nothing(tmp_path, pod, age, begins):
    container = container_of(render("prune", "m", "/shared/it's $HOME an out", "--calibration", "de"))
    [place] = [entry for entry in container["env"] if entry["name"] == "MANIFEST"]
    place["value"] = place["value"].replace("/shared", str(tmp_path), 1)  # as if that were the volume
    manifest = tmp_path / "it's $HOME an out" / "jaxprune" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    os.utime(manifest, (time.time() - age,) * 2)
    done, called = pod(container)
    assert bool(called) == begins
    assert done.returncode == (7 if begins else 0)


def test_it_is_given_to_kubectl(tmp_path):
    write_program(tmp_path / "bin" / "kubectl", 'echo "$@" > "$WORLD/arguments"; cat > "$WORLD/input"; exit 3')
    done = launch("gke_jobset.py", *OPTIONS, "--", "prune", "m", "/shared/o", path=tmp_path / "bin", WORLD=tmp_path)
    assert done.returncode == 3
    assert (tmp_path / "arguments").read_text() == "apply --filename=-\n"
    assert yaml.safe_load((tmp_path / "input").read_text())["metadata"]["name"] == "llama-sw"


@pytest.mark.parametrize(
    ("options", "expects"),
    [
        (["--topology", "2x"], "--topology: '2x' was given; give chips a side"),
        (["--topology", "3x3"], "change --topology or --chips-per-host"),
        (["--chips-per-host", "0"], "--chips-per-host: '0' was given; give a whole number of at least 1"),
        (["--max-restarts", "-1"], "--max-restarts: '-1' was given; give a whole number of at least 0"),
        (["--name", "A_B"], "--name: 'A_B' is no name for a JobSet"),
        (["--name", "2-languages"], "begin with a letter"),
        (["--name", "a-"], "end with no -"),
        (["--name", "a" * 43, "--slices", "11"], "keep it to 42 characters"),
        (["--claim", "a b"], "--claim: 'a b' is no name in Kubernetes"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(options, expects):
    done = launch("gke_jobset.py", *OPTIONS, *options, "--dry-run", "--", "prune", "m", "/shared/o")
    assert_refused(done, expects)


def assert_refused(done, expects):
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith("gke_jobset: ")
    assert expects in line


def test_the_longest_name_that_fits_is_taken():
    longest = "a" * (63 - len("-slice-job-10-3-abcde"))  # a pod of the last of 11 slices
    assert render("prune", "m", "/shared/o", options=["--name", longest, "--slices", 11])["metadata"]["name"] == longest


@pytest.mark.parametrize(
    ("command", "expects"),
    [
        (["prune", "--calibration", "de", "m", "/shared/o"], "put these two first"),
        (["prune", "m", "--calibration", "de", "/shared/o"], "put these two first"),
        (["prune", "m"], "put these two first"),
        (["prune", "", "/shared/o"], "put these two first"),
        (["jaxprune", "prune", "m", "/shared/o"], "start with prune"),
        (["--quiet", "prune", "m", "/shared/o"], "start with prune"),
        (["prune", "m", "/tmp/o"], "put OUT in /shared"),
        (["prune", "m", "o"], "put OUT in /shared"),
        (["prune", "m", "/shared"], "put OUT in /shared"),
        (["prune", "m", "/shared/../o"], "put OUT in /shared"),
        (["prune", "m", "/sharedo/o"], "put OUT in /shared"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_command_whose_result_would_not_be_found_is_refused(tmp_path, command, expects, dry):
    write_program(tmp_path / "bin" / "kubectl", 'touch "$WORLD/called"')
    done = launch("gke_jobset.py", *OPTIONS, *dry, "--", *command, path=tmp_path / "bin", WORLD=tmp_path)
    assert_refused(done, expects)
    assert f"asked for {command[0]} " in done.stderr
    assert not (tmp_path / "called").exists()


def test_a_dry_run_prints_what_is_expected():
    done = launch(
        "gke_jobset.py", *OPTIONS, "--dry-run", "--", "prune", "org/model", "/shared/it's an out", "--calibration",
        "de=96,en=32", "--mesh", "data=4,model=4",
    )  # fmt: skip
    assert re.sub(r"\b\d{10}\b", "STARTED", done.stdout) == expected("gke_jobset.yaml")
