"""The result folder: what is there after success, failure and interruption."""

import errno
import os
import resource

import pytest

from jaxprune.checkpoints.output import OutputFolder
from jaxprune.disk import OutOfRoomError
from jaxprune.errors import RequestError


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _run(path, content="new", **options):
    with OutputFolder(path, **options) as folder:
        (folder / "config.json").write_text(content)
        (folder / "sub").mkdir()


def _fail(path, error, content="begun", **options):
    """Writes something, then raises."""
    with OutputFolder(path, **options) as folder:
        (folder / "config.json").write_text(content)
        raise error


def _work_and_fail(path, error):
    output = OutputFolder(path, resumed_from="config.json")
    with output as folder:
        (folder / "config.json").write_text("done")
        output.holds_work = True
        raise error


def _interrupt(path):
    with pytest.raises(KeyboardInterrupt):
        _fail(path, KeyboardInterrupt())


def test_the_result_appears_at_the_end(tmp_path):
    out = tmp_path / "out"
    with OutputFolder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
        assert folder.parent == tmp_path
        assert folder.name.startswith(".")
    assert _names(tmp_path) == ["out"]
    assert _names(out) == [".jaxprune", "a"]


def test_a_relative_path_stays_where_it_was_asked_for(tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(tmp_path / "first")
    output = OutputFolder(type(tmp_path)("out"))
    monkeypatch.chdir(tmp_path / "second")
    with output:
        pass
    assert _names(tmp_path / "first") == ["out"]


@pytest.mark.parametrize("error", [RequestError("bad"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failed_request_leaves_nothing(tmp_path, error):
    with pytest.raises(RequestError):
        _fail(tmp_path / "out", error)
    assert _names(tmp_path) == []


def test_a_limit_on_the_size_of_files_is_not_called_a_full_disk(tmp_path, monkeypatch):
    error = OSError(errno.EFBIG, "File too large")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (2**20, resource.RLIM_INFINITY))
    with pytest.raises(RequestError, match=r"may have at most 1,048,576 bytes \(ulimit -f\)") as refusal:
        _fail(tmp_path / "out", error)
    assert "full" not in str(refusal.value)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with pytest.raises(RequestError, match=r"the file system of .* holds no file so large"):
        _fail(tmp_path / "out", error)
    assert _names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENAMETOOLONG])
def test_a_name_that_cannot_be_used_leaves_nothing(tmp_path, number):
    with pytest.raises(OSError, match="in the way"):
        _fail(tmp_path / "out", OSError(number, "in the way", "a tokenizer's file"))
    assert _names(tmp_path) == []


def test_a_full_disk_is_a_request_error_that_says_what_is_free(tmp_path):
    with pytest.raises(RequestError, match=r"is full: more was needed, [\d,]+ bytes are free"):
        _fail(tmp_path / "out", OSError(errno.ENOSPC, "No space left on device"))


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError), OutputFolder(tmp_path / "out"):
        raise ZeroDivisionError
    assert _names(tmp_path) == []  # nothing had been written that a later run could use


def test_an_interrupted_run_is_resumed(tmp_path):
    _interrupt(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    output = OutputFolder(tmp_path / "out", resume=True)
    with output as folder:
        assert output.is_resumed
        assert (folder / "config.json").read_text() == "begun"
    assert _names(tmp_path) == ["out"]
    assert _names(tmp_path / "out") == [".jaxprune", "config.json"]


def test_without_resume_an_interrupted_run_is_cleared(tmp_path):
    _interrupt(tmp_path / "out")
    output = OutputFolder(tmp_path / "out")
    with output as folder:
        assert not output.is_resumed
        assert not (folder / "config.json").exists()
        (folder / "b").write_text("b")
    assert _names(tmp_path / "out") == [".jaxprune", "b"]


def test_resume_without_anything_to_resume_starts(tmp_path):
    output = OutputFolder(tmp_path / "out", resume=True)
    with output:
        assert not output.is_resumed


def test_a_refused_resume_keeps_the_work(tmp_path):
    _interrupt(tmp_path / "out")
    with pytest.raises(RequestError), OutputFolder(tmp_path / "out", resume=True):
        raise RequestError("another seed")
    with OutputFolder(tmp_path / "out", resume=True) as folder:
        assert (folder / "config.json").read_text() == "begun"


def test_an_existing_folder_is_refused_before_anything_happens(tmp_path):
    _run(tmp_path / "out", "old")
    with pytest.raises(RequestError, match="exists; choose another name, or replace it with --overwrite"):
        OutputFolder(tmp_path / "out")
    with pytest.raises(RequestError, match="exists: it is complete, nothing is left to resume"):
        OutputFolder(tmp_path / "out", resume=True)
    assert (tmp_path / "out/config.json").read_text() == "old"
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="exists"):
        OutputFolder(tmp_path / "empty")


def test_a_folder_that_appears_while_working_is_not_replaced(tmp_path):
    output = OutputFolder(tmp_path / "out")
    folder = output.__enter__()
    (folder / "config.json").write_text("new")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/theirs").write_text("theirs")
    with pytest.raises(RequestError, match=r"the result is complete in \S+\.out\.partial: rename it"):
        output.__exit__(None, None, None)
    assert _names(tmp_path / "out") == ["theirs"]
    assert (folder / "config.json").read_text() == "new"


def test_overwrite_replaces_at_the_end(tmp_path):
    out = tmp_path / "out"
    _run(out, "old")
    with OutputFolder(out, overwrite=True) as folder:
        (folder / "config.json").write_text("new")
        assert (out / "config.json").read_text() == "old"
    assert (out / "config.json").read_text() == "new"
    assert not (out / "sub").exists()
    assert _names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RequestError("bad"), KeyboardInterrupt(), ValueError("bug")])
def test_a_failed_overwrite_leaves_the_old_result(tmp_path, error):
    _run(tmp_path / "out", "old")
    with pytest.raises(type(error)):
        _fail(tmp_path / "out", error, "new", overwrite=True)
    assert (tmp_path / "out/config.json").read_text() == "old"


def test_a_replacement_cut_off_between_its_renames_is_undone(tmp_path, monkeypatch):
    out = tmp_path / "out"
    _run(out, "old")
    rename = type(out).rename

    def crash(self, target):
        if self.name == ".out.partial":
            raise SystemExit
        return rename(self, target)

    monkeypatch.setattr(type(out), "rename", crash)
    with pytest.raises(SystemExit):
        _run(out, "new", overwrite=True)
    monkeypatch.undo()
    assert not out.exists()
    with pytest.raises(RequestError, match="exists"):
        _run(out)
    assert (out / "config.json").read_text() == "old"
    _run(out, "newer", overwrite=True)
    assert _names(tmp_path) == ["out"]
    assert (out / "config.json").read_text() == "newer"


def test_overwrite_spares_what_is_no_result(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_text("sun")
    with pytest.raises(RequestError, match="does not look like a result"):
        OutputFolder(photos, overwrite=True)
    _run(tmp_path / "here")
    (tmp_path / "here" / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "here" / "inner")
    with pytest.raises(RequestError, match="does not look like a result"):
        OutputFolder(tmp_path / "here", overwrite=True)
    _run(tmp_path / "repository")
    (tmp_path / "repository/.git").mkdir()
    with pytest.raises(RequestError, match="does not look like a result"):
        OutputFolder(tmp_path / "repository", overwrite=True)


@pytest.mark.parametrize("entry", ["package.json", "config.json", "jaxprune/manifest.json", "results.json"])
def test_overwrite_spares_folders_that_merely_look_like_ours(tmp_path, entry):
    for name in ("mine", ".out.old"):
        (tmp_path / name / entry).parent.mkdir(parents=True)
        (tmp_path / name / entry).write_text("mine")
    with pytest.raises(RequestError, match="does not look like a result"):
        OutputFolder(tmp_path / "mine", overwrite=True)
    _run(tmp_path / "out")
    assert (tmp_path / ".out.old" / entry).read_text() == "mine"
    (tmp_path / ".next.partial").mkdir()
    (tmp_path / ".next.partial" / "notes").write_text("mine")
    with pytest.raises(RequestError, match="is in the way"):
        _run(tmp_path / "next")
    assert (tmp_path / ".next.partial" / "notes").read_text() == "mine"


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    out = tmp_path / "out"
    with OutputFolder(out) as folder:
        (folder / "config.json").write_text("first")
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(RequestError, match="another run is writing to"), OutputFolder(out, **options):
                raise AssertionError
        assert (folder / "config.json").read_text() == "first"
    assert (out / "config.json").read_text() == "first"
    assert _names(tmp_path) == ["out"]


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        with OutputFolder(tmp_path / "out") as folder:
            (folder / "config.json").write_text("killed")
            os.write(write_end, b"x")
            os.kill(os.getpid(), 9)
    assert os.read(read_end, 1) == b"x"
    os.waitpid(child, 0)
    with OutputFolder(tmp_path / "out", resume=True) as folder:
        assert (folder / "config.json").read_text() == "killed"


def test_impossible_places_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "model").mkdir()
    for path, message in [
        (tmp_path / "file", "is a file"),
        (tmp_path / "link", "is a symbolic link"),
        (tmp_path / "no/out", "/no is not a folder; make it first"),
        (tmp_path / "file/out", "/file is not a folder"),
        (tmp_path / "loop/out", "/loop is not a folder"),
        (type(tmp_path)("/"), "exists"),
    ]:
        with pytest.raises(RequestError, match=message):
            OutputFolder(path, source=str(tmp_path / "model"))
    with pytest.raises(RequestError, match="is a file"):
        OutputFolder(tmp_path / "file", overwrite=True)
    with (
        pytest.raises(RequestError, match="cannot be created: File name too long"),
        OutputFolder(tmp_path / ("n" * 250)),
    ):
        pass
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RequestError, match="is not writable"):
        OutputFolder(tmp_path / "out")
    assert _names(tmp_path) == ["file", "link", "loop", "model"]


@pytest.mark.parametrize("name", ["", ".", "../here"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_folder_that_one_is_in_is_no_output(tmp_path, monkeypatch, name, overwrite):
    _run(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(RequestError, match=r"is the folder you are in, /.*/here; name one that does not exist yet"):
        OutputFolder(type(tmp_path)(name), overwrite=overwrite)


def test_the_model_that_is_read_is_safe(tmp_path):
    source = tmp_path / "models/llama"
    (source / "sub").mkdir(parents=True)
    (source / "config.json").write_text("{}")
    (tmp_path / "models/index.json").write_text("{}")
    (tmp_path / "alias").symlink_to(source)
    for out in (source, source / "out", source / "sub/out", tmp_path / "alias/out"):
        with pytest.raises(RequestError, match="is, or lies in, the folder that is read"):
            OutputFolder(out, overwrite=True, source=str(source))
    with pytest.raises(RequestError, match="is, or lies in"):
        OutputFolder(source / "out", source=str(tmp_path / "alias"))
    with pytest.raises(RequestError, match="and with it the model that is read"):
        OutputFolder(tmp_path / "models", overwrite=True, source=str(source))
    for reference in (str(source), "org/name", "sample:x"):
        OutputFolder(tmp_path / "out", source=reference)


@pytest.mark.parametrize("error", [OutOfRoomError("the disk is full."), OSError(errno.ENOSPC, "No space left")])
def test_work_that_a_full_disk_stopped_is_kept_and_said_to_be(tmp_path, error):
    with pytest.raises(RequestError, match=r"is full.* repeat the command with --resume\.$"):
        _work_and_fail(tmp_path / "out", error)
    again = OutputFolder(tmp_path / "out", resume=True, resumed_from="config.json")
    with again as folder:
        assert again.is_resumed
        assert (folder / "config.json").read_text() == "done"


def test_work_that_was_asked_for_wrongly_is_not_kept(tmp_path):
    with pytest.raises(RequestError, match=r"^bad$"):
        _work_and_fail(tmp_path / "out", RequestError("bad"))
    assert _names(tmp_path) == []
