"""Files and folders that are there whole or not at all, whenever the process is killed."""

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"  # what the project ships, and training replaces
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` make a file beside ``path``, then put it in the place of ``path`` in one step."""
    part = path.with_name(f".{path.name}.part")
    write(part)
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())  # the new content reaches the disk before the new name does
    os.replace(part, path)


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(file: Path) -> dict | list | None:
    """What a command has written; None where it has not, or not whole."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def version(folder: Path) -> tuple:
    """Changes whenever a file in the folder does: of each the name, the size and the time of its last change."""
    try:
        files = sorted((entry.name, entry.stat()) for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in files)


def replace_folder(new: Path, old: Path) -> None:
    """Put the folder ``new`` in the place of ``old`` and delete what was there; both on one file system.

    On Linux the two are exchanged by one system call, so that ``old`` exists with whole content at every moment.
    Elsewhere ``old`` is moved aside first, and for an instant there is nothing under its name.
    """
    if old.exists() and not _exchange(new, old):
        aside = new.with_name(f"{new.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(old, aside)
        os.rename(new, old)
        new = aside
    elif not old.exists():
        os.rename(new, old)
    shutil.rmtree(new, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc 2.28 and later
    paths = os.fsencode(a), os.fsencode(b)
    return renameat2 is not None and renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0
