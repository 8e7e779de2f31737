"""Files and folders that are there whole or not at all, whenever the process is killed."""

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent  # of the project
CHECKPOINTS = ROOT / "checkpoints"  # what the project ships, and training replaces
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def part_of(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` make a file beside ``path``, then put it in the place of ``path`` in one step."""
    part = part_of(path)
    try:
        write(part)
        with open(part, "r+b") as stream:  # to be written: Windows flushes no other
            os.fsync(stream.fileno())  # the new content reaches the disk before the new name does
        os.replace(part, path)
    except Exception:
        part.unlink(missing_ok=True)  # half a file, on a disk that may be full
        raise


def write_text(path: Path, text: str) -> None:
    """In UTF-8. A name's bytes that are none become escapes, which JSON reads as the same name."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def load_json(file: Path) -> Any:
    """What a command has written. Raises OSError or ValueError where it has not, or not whole."""
    return json.loads(file.read_text(encoding="utf-8"))


def read_json(file: Path) -> Any:
    """The same, or None where :func:`load_json` raises."""
    try:
        return load_json(file)
    except (OSError, ValueError, RecursionError):  # the last: brackets in brackets
        return None


def version(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever a file in the folder does: of each the name, the size and the time of its last change."""
    try:
        files = sorted((entry.name, entry.stat()) for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in files)


def exchange(a: Path, b: Path) -> bool:
    """Exchange two files or folders of one file system in one step; returns whether that can be had, as on Linux."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc 2.28 and later
    paths = os.fsencode(a), os.fsencode(b)
    return renameat2 is not None and renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0
