"""The pictures in a folder, as people have folders."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from mvit.data.pictures import FORMATS

Image.init()  # loads all of Pillow's plugins, and with them the ends of names
SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)
SYSTEM_FOLDERS = {"__MACOSX", "@eaDir"}  # of a Mac's archives; of a Synology's thumbnails
NAMED_AT_MOST = 10  # files or folders in one message
SPLIT_NAMES = {"train", "test", "val", "valid", "validation"}
LAYOUT = "a folder for each class, with its pictures in it, in PATH itself or in PATH/train/ and PATH/test/"


class DataError(Exception):
    """The images cannot be had; the message is one sentence for the person who asked."""


# --------------------------------------------------------------------------- pictures at any depth


def is_picture(name: str) -> bool:
    """Whether a file's name is one of a picture that can be read; hidden files (.DS_Store, a Mac's ._1.png) are not."""
    return not is_hidden(name) and Path(name).suffix.lower() in SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name was not put there by a person."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def picture_files(folder: str | Path, refuse: Callable[[OSError], object]) -> Iterator[str]:
    """The pictures in a folder and in all folders below it, folder by folder, in the order of their names.

    Hidden files and folders are left out. Links to folders are followed, each folder once.

    Args:
        folder: where to begin; its own name may be hidden.
        refuse: is told of each folder that cannot be read.

    Yields:
        paths that begin with ``folder``.
    """
    seen = set()
    for path, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above it would go on for ever
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (os.path.join(path, name) for name in sorted(files) if is_picture(name))


# --------------------------------------------------------------------------- a data set


def find_splits(path: Path) -> dict[str, Path]:
    """The folders "train" and "test" of a data set, however they are capitalized, or what there is of them.

    A plain folder of class folders is its own "train".

    Raises:
        DataError: there is no data set; the message says what was found instead.
    """
    if not path.is_dir():
        raise DataError(_no_folder(path))
    inside = folders_in(path)
    if splits := _splits_among(inside):
        return splits
    beside = {}
    with suppress(DataError):  # one may not look into the folder above: nothing is known of it
        beside = _splits_among(folders_in(path.resolve().parent))
    if path.resolve() in [split.resolve() for split in beside.values()] and len(beside) == 2:
        raise DataError(f"{path} is but one of the two parts of a data set: give the folder above it, with train/ and "
                        "test/ in it.")
    if below := [folder for folder in inside if _splits_among(folders_in(folder))]:
        raise DataError(f"{path} itself holds no train/, but {below[0]} does: give that.")
    if len(inside) == 1 and len(classes := folders_in(inside[0])) > 1:
        raise DataError(f"{path} holds one folder only, {inside[0].name}, and in it are {listed(classes)}: if these "
                        f"are the classes, give {inside[0]}.")
    return {"train": path}


def class_files(folder: Path) -> dict[str, list[str]]:
    """The pictures of each class, by its name, in the order of the names.

    A name is the same whatever the locale and whichever way the system composes accents: UTF-8 in Unicode's form NFC.

    Raises:
        DataError: there are no classes, or one has no pictures; the message says what was found instead.
    """
    folders = folders_in(folder)
    if not folders:
        raise DataError(_no_classes(folder))
    files: dict[str, list[str]] = {}
    for each in folders:  # two may have one name: é, and e with an accent
        files.setdefault(class_name(each.name), []).extend(picture_files(each, _refuse))
    if empty := [f"{name} ({_contents(folder / name)})" for name, found in files.items() if not found]:
        raise DataError(f"{folder} holds folders without pictures: {listed(empty)}; put pictures of their classes "
                        "there, or delete them.")
    return dict(sorted(files.items()))


def class_name(folder: str) -> str:
    """What a folder's name reads; bytes that are no UTF-8 as escapes."""
    return unicodedata.normalize("NFC", os.fsencode(folder).decode("utf-8", "backslashreplace"))


def listed(items: list[Path] | list[str]) -> str:
    """Some of them by name, and how many there are besides."""
    names = [class_name(item.name if isinstance(item, Path) else item) for item in items[:NAMED_AT_MOST]]
    more = len(items) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def folders_in(path: Path) -> list[Path]:
    """Those that are not hidden, in the order of their names."""
    try:
        return sorted(each for each in path.iterdir() if os.path.isdir(each) and not is_hidden(each.name))
    except OSError as error:
        raise DataError(f"The folder {path} cannot be read: {error.strerror}.") from error


def _refuse(error: OSError) -> None:
    raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error


def _splits_among(folders: list[Path]) -> dict[str, Path]:
    splits = {folder.name.lower(): folder for folder in folders if folder.name.lower() in ("train", "test")}
    others = [folder for folder in folders if folder.name.lower() not in SPLIT_NAMES]
    if others and not any(folders_in(split) for split in splits.values()):  # bus/, car/, train/: these are classes
        return {}
    return splits


def _no_folder(path: Path) -> str:
    if path.exists():
        return f"{path} is a file, not a folder: unpack it if it is an archive, and give {LAYOUT}."
    above = next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
    return f"There is no folder {path}; in {above} there is: {listed(folders_in(above)) or 'no folder'}."


def _no_classes(path: Path) -> str:
    flat = any(is_picture(each.name) for each in path.iterdir())
    above = "if they are of one class, give the folder above, or else " if flat else ""
    return f"There are no folders of classes in {path} ({_contents(path)}): {above}give {LAYOUT}."


def _contents(path: Path) -> str:
    """What lies in a folder, in a few words."""
    files = [each.name for each in path.iterdir() if not each.is_dir() and not is_hidden(each.name)] if (
        path.is_dir()) else []
    if pictures := sum(map(is_picture, files)):
        return f"{pictures:,} picture(s)"
    kinds = Counter(Path(name).suffix.lower() or "without an ending" for name in files)
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(3))
    return f"no picture that can be read, but files: {found}" if files else "empty"
