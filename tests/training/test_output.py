"""Where a run writes: which folders it takes, what stays in them, and what is left of one that is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

import train
from mvit import MobileViT
from mvit.training import output
from mvit.training.output import CHECKPOINT_FILES, put_in_place, taken
from tests.training.runs import ROOT, arguments, stop_before_the_first_epoch

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two folders in one step")


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> Path:
    """A checkpoint."""
    folder_of_it = tmp_path_factory.mktemp("run") / "finished"
    assert train.main(arguments(folder, folder_of_it, "--epochs", "1")) == 0
    return folder_of_it


def everything(folder: Path) -> dict:
    """Each path below a folder with what tells whether it was touched."""
    return {path: (path.lstat().st_ino, path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in folder.rglob("*")}


@pytest.fixture
def mount(tmp_path):
    """A function that gives a small disk of so many kilobytes, for who may mount."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str) -> Path:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        return disk

    with suppress(FileNotFoundError):
        yield mount
        subprocess.run(["umount", disk], capture_output=True)


# --------------------------------------------------------------------------- which are taken


@pytest.mark.parametrize(("make", "named", "said"), [
    ("mkdir a; echo x > a/thesis.txt", "a", "holds thesis.txt and no checkpoint"),
    ("mkdir a; echo x > a/README.md", "a", "holds README.md and no checkpoint"),
    ("mkdir a; echo '{}' > a/config.json; touch a/model.safetensors", "a", "no checkpoint of this program"),
    ("mkdir a; echo '{\"hidden_size\": 3}' > a/config.json; touch a/model.safetensors", "a", "no checkpoint of this"),
    ("cp -r FINISHED a; mkdir a/run; echo x > a/run/thesis.txt", "a", "which no run of this program wrote"),
    ("cp -r FINISHED a; echo x > a/run", "a", "is no folder"),
    ("cp -r FINISHED a; rm a/README.md; mkdir a/README.md", "a", "a folder README.md"),
    ("echo x > README.md", ".", "holds README.md and no checkpoint"),
    ("echo x > README.md", "README.md", "is no folder"),
    ("echo x > README.md", "README.md/a", "cannot be used"),
    ("ln -s nowhere a", "a", "leads to no folder"),
    ("ln -s a a", "a", "leads to no folder"),
    ("true", "/", "no checkpoint of this program"),
    ("true", "/dev/null", "is no folder"),
    ("true", "a" * 300, "leads to no folder (File name too long)"),
])
def test_another_folder_is_refused_at_once_and_left_alone(finished, tmp_path, monkeypatch, capsys, make, named, said):
    monkeypatch.chdir(tmp_path)
    subprocess.run(make.replace("FINISHED", str(finished)), shell=True, check=True)
    before = everything(tmp_path)
    assert train.main(arguments("/no/images", named)) == 2  # said before they are looked for
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert everything(tmp_path) == before


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(mount, capsys):
    disk = mount("ro")
    assert train.main(arguments("/no/images", disk / "a")) == 2
    assert "cannot be used (Read-only file system)" in capsys.readouterr().err


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path, capsys):
    assert train.main(arguments("/no/images", tmp_path / "a" / "b")) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_person_s_files_in_a_checkpoint_s_folder_stay(folder, finished, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    shutil.copytree(finished, target)
    (target / "sub").mkdir()
    for name in ("thesis.txt", "sub/notes.txt", "config.json.bak"):
        (target / name).write_text(name)
    link.symlink_to("target")
    before = everything(target)
    assert train.main(arguments(folder, link, "--epochs", "1", "--validation", "30")) == 0
    after = everything(target)
    assert os.readlink(link) == "target"
    assert {path for path in before if after.get(path) == before[path]} == {
        target / name for name in ("thesis.txt", "sub", "sub/notes.txt", "config.json.bak")}
    assert MobileViT.from_pretrained(target).config.temperature != 1
    assert {path.name for path in tmp_path.iterdir()} == {"target", "link"}


def test_the_folder_that_one_is_in_can_be_filled_twice(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert train.main(arguments(folder, ".", "--epochs", "1")) == 0
        assert set(os.listdir()) <= set(CHECKPOINT_FILES)
        assert os.path.samefile(".", tmp_path)


def test_every_file_is_as_readable_as_its_neighbours(folder, tmp_path):
    before = os.umask(0o027)
    try:
        assert train.main(arguments(folder, tmp_path / "run", "--epochs", "1")) == 0
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "run").iterdir()} == {"0o640"}


@pytest.mark.skipif(output.fcntl is None, reason="no locks")
def test_a_second_run_into_one_folder_is_told_who_has_it(folder, tmp_path, capsys, monkeypatch):
    run = tmp_path / "out" / "run"
    with taken(tmp_path / "out", run):
        before = everything(tmp_path)
        assert train.main(arguments(folder, tmp_path / "out")) == 2
        assert f"Process {os.getpid()} on " in capsys.readouterr().err
        assert everything(tmp_path) == before
    stop_before_the_first_epoch(monkeypatch, folder, tmp_path / "out")
    with taken(tmp_path / "out", run):
        assert train.main(arguments(folder, tmp_path / "out", "--resume")) == 2
        assert "is training into" in capsys.readouterr().err
    assert train.main(arguments(folder, tmp_path / "out", "--resume")) == 0


# --------------------------------------------------------------------------- getting into place


def checkpoint(folder: Path, text: str) -> Path:
    """A folder with files as a checkpoint has them."""
    folder.mkdir(parents=True)
    for name in CHECKPOINT_FILES:
        (folder / name).write_text(text)
    config = {"stem_channels": int(text), "stages": [{"channels": 8, "dim": 8, "depth": 1}], "class_names": ["a"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def contents(folder: Path) -> set[str]:
    """What the files of a checkpoint are about: one thing only, in one that is not mixed."""
    return {file.read_text() for name in CHECKPOINT_FILES[1:] if (file := folder / name).exists()}


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_checkpoint_takes_the_place_of_another(tmp_path, monkeypatch, exchanges, inside):
    if not exchanges:  # a system without the call
        monkeypatch.setattr(output, "exchange", lambda a, b: False)
    folder = tmp_path / "out"
    run = folder / "run" if inside else tmp_path / "run"
    for text in ("1", "2"):
        new = checkpoint(run / "new", text)
        (run / "resume.pt").touch()
        put_in_place(new, folder, run)
        assert contents(folder) == {text}
        assert (run / "resume.pt").exists()
    output.remove_run(run)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in folder.iterdir()} == set(CHECKPOINT_FILES)


@linux
def test_the_checkpoint_is_there_at_every_moment(tmp_path):
    folder, missing, stop = checkpoint(tmp_path / "out", "1"), [], threading.Event()

    def watch():
        while not stop.is_set():
            if not (folder / "config.json").exists() or not (folder / "model.safetensors").exists():
                missing.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for i in range(200):
        put_in_place(checkpoint(folder / "run" / "new", str(i + 1)), folder, folder / "run")
    stop.set()
    watcher.join()
    assert not missing


@linux
@pytest.mark.parametrize("mine", [True, False])
def test_a_kill_at_any_change_loses_nothing_and_mixes_nothing(tmp_path, mine):
    """The process ends before its first change to a file, its second, and so on; then it is done again."""
    for number in range(1, 100):
        root = tmp_path / str(number)
        folder = checkpoint(root / "out", "1")
        if mine:
            (folder / "thesis.txt").write_text("years")
        new = checkpoint(folder / "run" / "new", "2")
        (folder / "run" / "resume.pt").touch()
        child = os.fork()
        if not child:
            changes = count(1)

            def kill(event, arguments, changes=changes, number=number):
                removed = event in ("os.remove", "os.rmdir") and os.path.lexists(arguments[0])  # else it was not there
                if (removed or event in ("os.rename", "os.mkdir")) and next(changes) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(kill)
            put_in_place(new, folder, folder / "run")
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        weights = folder / "model.safetensors"
        if weights.exists():
            config = (folder / "config.json").read_text()
            assert f'"stem_channels": {weights.read_text()}' in config
        else:
            assert mine  # where files are replaced one by one, for an instant
            assert (folder / "run" / "resume.pt").exists()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        with taken(folder, folder / "run"):  # as by --resume
            shutil.rmtree(folder / "run" / "new", ignore_errors=True)
            put_in_place(checkpoint(folder / "run" / "new", "2"), folder, folder / "run")
        output.remove_run(folder / "run")
        assert contents(folder) == {"2"}
        assert {path.name for path in folder.iterdir()} == {*CHECKPOINT_FILES, *(["thesis.txt"] if mine else [])}
        assert [path.name for path in root.iterdir()] == ["out"]
    assert number > 10
    assert status == 0  # of a process that was not killed: there was no further change


@linux
def test_a_run_that_is_killed_at_some_moments_ends_as_one_that_was_not(folder, tmp_path):
    """From the first folder that it makes to the last file that it deletes; see kills.py for all of them."""
    command = [sys.executable, "-m", "tests.training.kills", str(folder), str(tmp_path / "kills"), "mine", "41", "20"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) >= 3


def test_a_full_disk_loses_nothing_that_was_saved(folder, mount, capsys):
    disk = mount("size=100k")  # enough for the first state, too little for the second beside it
    assert train.main(arguments(folder, disk / "run")) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "the same command with --resume goes on" in error
    assert len(error.strip().splitlines()) == 1
    subprocess.run(["mount", "-o", "remount,size=2m", disk], check=True)
    assert train.main(arguments(folder, disk / "run", "--resume")) == 0


def test_what_was_exchanged_in_a_killed_run_is_deleted_but_not_a_person_s_file(tmp_path):
    folder = checkpoint(tmp_path / "out", "1")
    left = checkpoint(tmp_path / ".out-replaced", "0")
    (left / "thesis.txt").write_text("years")
    put_in_place(checkpoint(tmp_path / "run" / "new", "2"), folder, tmp_path / "run")
    assert contents(folder) == {"2"}
    assert {path.name for path in left.iterdir()} == {"thesis.txt"}
