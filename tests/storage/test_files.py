"""Files whole or not at all."""

import threading

import pytest

from mvit.storage import files


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.json"
    files.write_json(file, {"a": 1})

    def fail(part):
        part.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write_whole(file, fail)
    assert file.read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize("exchange", [True, False])
def test_replace_folder(tmp_path, monkeypatch, exchange):
    if not exchange:  # a system without the call
        monkeypatch.setattr(files.sys, "platform", "other")
    old, new = tmp_path / "old", tmp_path / "new"
    for content in ("first", "second"):
        new.mkdir()
        (new / "file").write_text(content)
        files.replace_folder(new, old)
        assert (old / "file").read_text() == content
        assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(files.sys.platform != "linux", reason="only Linux exchanges two folders in one step")
def test_the_folder_is_there_at_every_moment(tmp_path):
    old, missing, stop = tmp_path / "old", [], threading.Event()
    old.mkdir()
    (old / "file").write_text("0")

    def watch():
        while not stop.is_set():
            if not (old / "file").exists():
                missing.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for i in range(200):
        new = tmp_path / "new"
        new.mkdir()
        (new / "file").write_text(str(i))
        files.replace_folder(new, old)
    stop.set()
    watcher.join()
    assert not missing
