"""``launch/convert.sh``: there and back by way of a bucket, with jaxprune itself and a stand-in for gcloud."""

import sys

import pytest
from safetensors.numpy import load_file

from tests.launch.stand_ins import ROOT, expected, launch, write_program
from tests.tiny import write_tiny_checkpoint

# rsync: the contents of one folder into another; ls: 1 if nothing is there, and what gcloud says then.
GCLOUD = r"""
here() { [[ $1 == gs://* ]] && echo "$WORLD/buckets/${1#gs://}" || echo "$1"; }
echo "$@" >> "$WORLD/gcloud"
case "$2" in
  rsync)
    [[ $3 == --recursive ]]
    mkdir -p "$(here "$5")"
    cp --recursive --no-target-directory "$(here "$4")" "$(here "$5")"
    ;;
  ls)
    if [[ ! -e $(here "$3") ]]; then
      echo "ERROR: (gcloud.storage.ls) One or more URLs matched no objects." >&2
      exit 1
    fi
    ;;
esac
"""


@pytest.fixture
def world(tmp_path):
    write_program(tmp_path / "bin" / "gcloud", GCLOUD)
    write_program(tmp_path / "bin" / "jaxprune", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m jaxprune "$@"')
    (tmp_path / "a stage").mkdir()
    return tmp_path


def run(world, *arguments, **variables):
    return launch("convert.sh", *arguments, path=world / "bin", WORLD=world, STAGE=world / "a stage", **variables)


def test_to_a_bucket_and_back_is_bit_exact(world):
    write_tiny_checkpoint(world / "tiny", "llama", seed=0)
    there = run(world, world / "tiny", "gs://a-bucket/an orbax", "--to", "orbax")
    assert there.returncode == 0, there.stderr
    assert (world / "buckets" / "a-bucket" / "an orbax" / "orbax").is_dir()
    back = run(world, "gs://a-bucket/an orbax", world / "back", "--to", "huggingface")
    assert back.returncode == 0, back.stderr
    given, found = (load_file(world / name / "model.safetensors") for name in ("tiny", "back"))
    assert {name: tensor.tobytes() for name, tensor in given.items()} == {
        name: tensor.tobytes() for name, tensor in found.items()
    }
    assert (world / "back" / "tokenizer.json").read_bytes() == (world / "tiny" / "tokenizer.json").read_bytes()
    assert not list((world / "a stage").iterdir())


@pytest.fixture
def quick(world):
    """A jaxprune that writes one file, or fails where the model is called so."""
    write_program(world / "bin" / "jaxprune", '[[ $2 != bad ]] || exit 2\nmkdir "$3"; echo "$@" > "$3/file"')
    return world


def test_what_exists_is_not_mixed_with_another(quick):
    assert run(quick, "org/a", "gs://bucket/x", "--to", "orbax").returncode == 0
    before = (quick / "buckets" / "bucket" / "x" / "file").read_text()
    done = run(quick, "org/b", "gs://bucket/x", "--to", "orbax")
    assert done.returncode == 2
    assert "exists" in done.stderr
    assert (quick / "buckets" / "bucket" / "x" / "file").read_text() == before
    assert run(quick, "org/b", "gs://bucket/x", "--to", "orbax", CONTINUE="yes").returncode == 0
    assert "org/b" in (quick / "buckets" / "bucket" / "x" / "file").read_text()


def test_a_conversion_that_fails_uploads_nothing_and_leaves_nothing(quick):
    assert run(quick, "bad", "gs://bucket/x", "--to", "orbax").returncode == 2
    assert not (quick / "buckets").exists()
    assert not list((quick / "a stage").iterdir())


def test_another_copying_command(quick):
    write_program(quick / "bin" / "tool", 'printf "<%s>" "$@" >> "$WORLD/tool"')
    done = run(quick, "s3://a/b c", "s3://d/e", "--to", "orbax", COPY="tool sync --quiet", LIST="false")
    assert done.returncode == 0, done.stderr
    said = (quick / "tool").read_text()
    assert said.startswith("<sync><--quiet><s3://a/b c><")
    assert said.endswith("<s3://d/e>")


@pytest.mark.parametrize(("status", "says"), [(1, "ERROR: no active account\nlog in"), (255, "")])
def test_a_listing_that_fails_is_not_taken_for_a_free_destination(quick, status, says):
    write_program(quick / "bin" / "tool", f"echo -n '{says}' >&2\nexit {status}")
    done = run(quick, "org/a", "gs://bucket/x", "--to", "orbax", LIST="tool ls")
    assert done.returncode == status
    [line] = done.stderr.splitlines()
    assert f'tool ls gs://bucket/x ended with status {status} and said "{" ".join(says.splitlines())}"' in line
    assert "CONTINUE=yes" in line
    assert not (quick / "buckets").exists()
    assert run(quick, "org/a", "gs://bucket/x", "--to", "orbax", LIST="tool ls", CONTINUE="yes").returncode == 0


def test_a_listing_that_is_not_installed_is_said(quick):
    done = run(quick, "org/a", "gs://bucket/x", "--to", "orbax", LIST="no-such-program-here")
    assert done.returncode == 127
    assert "cannot tell whether gs://bucket/x is free" in done.stderr


@pytest.mark.parametrize(
    ("words", "expects"),
    [
        (["a", "gs://b/c", "--to", "nonsense"], "asked for --to nonsense; choose huggingface or orbax"),
        (["a", "gs://b/c", "--to=nonsense", "--overwrite"], "asked for --to nonsense; choose huggingface or orbax"),
        (["a", "gs://b/c", "--to", "huggingface orbax"], "choose huggingface or orbax"),
        (["a", "gs://b/c", "--dtype", "bfloat16"], "asked for --to ''; choose huggingface or orbax"),
        (["a", "gs://b/c", "--dtype", "float64", "--to", "orbax"], "asked for --dtype float64; choose float32"),
        (["--to", "orbax", "a", "gs://b/c"], "put these two first"),
        (["a", "--to", "orbax", "gs://b/c"], "put these two first"),
        (["a", "", "--to", "orbax"], "put these two first"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_wrong_requests_are_refused_in_one_line(quick, words, expects, dry):
    done = run(quick, *dry, *words)
    assert done.returncode == 2
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert expects in line
    assert not (quick / "gcloud").exists()


@pytest.mark.parametrize("options", [["--to=huggingface"], ["--dtype", "float16", "--overwrite", "--to", "orbax"]])
def test_what_jaxprune_convert_takes_is_passed_on(quick, options):
    done = run(quick, "--dry-run", "org/model", "out", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"jaxprune convert org/model out {' '.join(options)}\n"


def test_a_dry_run_prints_and_does_nothing(quick):
    done = launch(
        "convert.sh", "--dry-run", "gs://bucket/a model", "gs://bucket/b", "--to", "orbax", "--dtype", "bfloat16",
        path=quick / "bin", WORLD=quick, STAGE="/local disk",
    )  # fmt: skip
    assert done.stdout == expected("convert.txt")
    done = launch("convert.sh", "--dry-run", "org/model", "/mnt/out", "--to", "orbax", path=quick / "bin", WORLD=quick)
    assert done.stdout == "jaxprune convert org/model /mnt/out --to orbax\n"
    assert not (quick / "gcloud").exists()


def test_what_is_missing_is_said(quick):
    done = run(quick, "org/model", "gs://bucket/b")
    assert done.returncode == 2
    assert "usage" in done.stderr
