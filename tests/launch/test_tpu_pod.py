"""``launch/tpu_pod.sh`` against a stand-in for gcloud that runs two workers here, each in a home of its own."""

import os
import re
import subprocess
import time

import pytest

from tests.launch.stand_ins import calls, expected, launch, write_program

# As gcloud does: all workers run, and the first status that is not 0 is returned.
GCLOUD = r"""
printf '%s\0' "$@" >> "$WORLD/gcloud"; printf '\n\0' >> "$WORLD/gcloud"
if [[ $4 == describe ]]; then
  cat "$WORLD/state"
  exit 0
fi
last=${*: -1:1}
status=0
for worker in 0 1; do
  mkdir -p "$WORLD/home-$worker"
  found=0
  HOME="$WORLD/home-$worker" WORKER=$worker bash -c "${last#--command=}" || found=$?
  if [[ $status == 0 ]]; then status=$found; fi
done
exit "$status"
"""
# pip and uv: an environment whose jaxprune notes its arguments and ends as the test wants.
PYTHON = r"""
mkdir -p ~/jaxprune-environment/bin
printf '%s\0' "$@" >> "$WORLD/python"; printf '\n\0' >> "$WORLD/python"
cp "$WORLD/jaxprune" ~/jaxprune-environment/bin/jaxprune
"""


class World:
    """A slice of two workers; what its programs were called with."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / "shared" / "it's $HOME an out"
        write_program(folder / "bin" / "gcloud", GCLOUD)
        write_program(folder / "bin" / "python3", PYTHON)
        self.be("READY")

    def be(self, state):
        (self.folder / "state").write_text(state)

    def jaxprune(self, text):
        log = 'printf \'%s\\0\' "$@" >> "$WORLD/jaxprune-$WORKER"; printf \'\\n\\0\' >> "$WORLD/jaxprune-$WORKER"\n'
        attempt = 'attempt=$(wc --lines < "$WORLD/jaxprune-$WORKER")\n'
        write_program(self.folder / "jaxprune", f"OUT=$3\n{log}{attempt}{text}")

    def run(self, *command, **variables):
        given = {"TPU": "my-slice", "ZONE": "us-east5-a", "PACKAGE": "jaxprune[tpu] @ file:///a b.whl", "WAIT": 0}
        return launch("tpu_pod.sh", *command, path=self.folder / "bin", WORLD=self.folder, **(given | variables))

    def prune(self, **variables):
        return self.run("prune", "org/model", self.out, "--calibration", "de=96,en=32", **variables)

    def calls(self, name):
        return calls(self.folder / name)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


PUBLISH = 'mkdir -p "$OUT/jaxprune"; touch "$OUT/jaxprune/manifest.json"\n'


def test_every_worker_gets_the_same_command_with_its_words_as_they_were(world):
    world.jaxprune("exit 0")
    done = world.prune(PROJECT="a-project")
    assert done.returncode == 0, done.stderr
    for worker in range(2):
        assert world.calls(f"jaxprune-{worker}") == [
            ["prune", "org/model", str(world.out), "--calibration", "de=96,en=32", "--distributed", "--resume"]
        ]
    assert world.calls("python")[-1][-1] == "jaxprune[tpu] @ file:///a b.whl"
    describe, ssh = world.calls("gcloud")
    assert describe[:6] == ["compute", "tpus", "tpu-vm", "describe", "my-slice", "--zone=us-east5-a"]
    assert ssh[:6] == ["compute", "tpus", "tpu-vm", "ssh", "my-slice", "--zone=us-east5-a"]
    assert "--project=a-project" in describe
    assert {"--project=a-project", "--worker=all"} <= set(ssh)


def test_other_commands_are_not_resumed(world):
    world.jaxprune("exit 0")
    assert world.run("perplexity", "org/model", "--texts", "mc4").returncode == 0
    assert world.calls("jaxprune-1") == [["perplexity", "org/model", "--texts", "mc4", "--distributed"]]


def test_an_attempt_that_fails_is_followed_by_another(world):
    world.jaxprune("if [[ $attempt == 1 && $WORKER == 1 ]]; then exit 9; fi")
    done = world.prune()
    assert done.returncode == 0, done.stderr
    assert "attempt 1 ended with status 9" in done.stderr
    assert len(world.calls("jaxprune-0")) == len(world.calls("jaxprune-1")) == 2


def test_attempts_are_bounded_and_the_last_status_is_returned(world):
    world.jaxprune("exit $((10 + attempt))")
    done = world.prune(ATTEMPTS=3)
    assert done.returncode == 13
    assert len(world.calls("jaxprune-0")) == 3
    assert "given up after 3 attempts" in done.stderr


def test_a_wrong_request_is_not_repeated(world):
    world.jaxprune("exit 2")
    assert world.prune().returncode == 2
    assert len(world.calls("jaxprune-0")) == 1


def test_a_result_that_was_finished_although_an_attempt_failed_is_enough(world):
    world.jaxprune(PUBLISH + "if [[ $WORKER == 1 ]]; then exit 255; fi")
    done = world.prune()
    assert done.returncode == 0, done.stderr
    assert "already done" in done.stdout
    # Worker 1 starts after worker 0 has published, in this stand-in.
    assert len(world.calls("jaxprune-0")) == 1


def test_an_old_result_is_not_taken_for_the_new_one(world):
    manifest = world.out / "jaxprune" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    os.utime(manifest, (time.time() - 3600,) * 2)
    world.jaxprune("exit 2")
    assert world.prune().returncode == 2
    assert len(world.calls("jaxprune-0")) == 1


def test_a_slice_that_is_gone_is_made_again(world):
    world.jaxprune("exit 0")
    world.be("PREEMPTED")
    done = world.prune(RECREATE='echo made >> "$WORLD/made"; printf READY > "$WORLD/state"')
    assert done.returncode == 0, done.stderr
    assert (world.folder / "made").read_text() == "made\n"
    assert world.prune(RECREATE='echo made >> "$WORLD/made"').returncode == 0
    assert (world.folder / "made").read_text() == "made\n"


def test_setup_comes_first_and_its_failure_counts(world):
    world.jaxprune("[[ -e ~/mounted ]] || exit 77")
    assert world.prune(SETUP="touch ~/mounted").returncode == 0
    assert world.prune(SETUP="false", ATTEMPTS=1).returncode == 1


def test_a_process_of_a_broken_connection_is_waited_for(world):
    world.jaxprune('[[ $WORKER == 1 || -e "$WORLD/ended" ]] || exit 77')
    home = world.folder / "home-0"
    home.mkdir()
    holder = f'touch "{world.folder}/held"; sleep 0.5; touch "{world.folder}/ended"'
    with subprocess.Popen(["flock", home / ".jaxprune.lock", "bash", "-c", holder]):
        while not (world.folder / "held").exists():
            time.sleep(0.01)
        assert world.prune(ATTEMPTS=1).returncode == 0


@pytest.mark.parametrize("missing", ["TPU", "ZONE", "PACKAGE"])
def test_what_is_missing_is_said(world, missing):
    done = world.prune(**{missing: ""})
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert not world.calls("gcloud")


def test_a_dry_run_prints_and_does_nothing(world):
    done = world.run(
        "--dry-run", "prune", "org/model", "/mnt/shared/it's an out", "--calibration", "de=96,en=32", "--mesh",
        "data=4,model=4", SETUP="mountpoint -q /mnt/shared || sudo mount -t nfs 10.0.0.2:/share /mnt/shared",
        RECREATE="./make-slice.sh", PROJECT="a-project",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.sub(r"\b\d{10}\b", "STARTED", done.stdout) == expected("tpu_pod.txt")
    assert not world.calls("gcloud")


@pytest.mark.parametrize(
    ("words", "expects"),
    [
        (["prune", "--calibration", "de", "org/model", "out"], "put these two first"),
        (["prune", "org/model", "--calibration", "de", "out"], "put these two first"),
        (["prune", "org/model"], "put these two first"),
        (["prune", "", "out"], "put these two first"),
        (["jaxprune", "prune", "org/model", "out"], "start with prune"),
        (["--help", "prune", "org/model", "out"], "start with prune"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_command_whose_result_would_not_be_found_is_refused(world, words, expects, dry):
    done = world.run(*dry, *words)
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"tpu_pod: asked for {words[0]} ")
    assert expects in line
    assert not world.calls("gcloud")


@pytest.mark.parametrize(
    ("name", "value"), [("ATTEMPTS", "abc"), ("ATTEMPTS", "0"), ("WAIT", "abc"), ("WAIT", "-1"), ("WAIT", "1m")]
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_variables_that_are_no_numbers_are_refused(world, name, value, dry):
    done = world.run(*dry, "prune", "org/model", "out", **{name: value})
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"tpu_pod: {name} is {value}; set it to a whole number")
    assert not world.calls("gcloud")
