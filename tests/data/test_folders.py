"""Folders as people have them: what is a picture in them, and what is not."""

import os
from pathlib import Path

import pytest

from mvit.data.folders import picture_files
from mvit.data.pictures import PictureError, load_picture


def found(folder: Path) -> list[str]:
    return [os.path.relpath(file, folder) for file in picture_files(folder, pytest.fail)]


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_pictures_of_all_formats_that_are_read_are_found_at_any_depth(tmp_path):
    pictures = ["B.JPG", "a.jfif", "c.heic", "d.avif", "e.jp2", "f.gif", "g.tiff", "h.webp", "one/i.png", "ü/日.jpg"]
    make(tmp_path, *pictures)
    assert found(tmp_path) == pictures
    for name in pictures:
        with pytest.raises(PictureError, match="empty"):
            load_picture(tmp_path / name)


def test_what_systems_and_programs_leave_in_folders_is_no_picture(tmp_path):
    make(tmp_path, "a.png", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "x.ps", "png",
         ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/._a.png", ".git/b.png")
    assert found(tmp_path) == ["a.png"]


def test_a_folder_that_was_asked_for_may_be_hidden(tmp_path):
    make(tmp_path, ".cache/a.png")
    assert found(tmp_path / ".cache") == ["a.png"]


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    make(tmp_path, "here/a.png", "elsewhere/b.png")
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "circle").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "gone.png").symlink_to(tmp_path / "nowhere")  # found, so that it is named as missing
    assert found(tmp_path / "here") == ["a.png", "gone.png", "link/b.png"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    make(tmp_path, "a.png", "locked/b.png")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    refused = []
    assert len(list(picture_files(tmp_path, refused.append))) == 1
    assert [error.filename for error in refused] == [str(tmp_path / "locked")]
