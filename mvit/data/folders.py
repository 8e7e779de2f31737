"""The pictures in a folder, as people have folders."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from mvit.data.pictures import FORMATS

Image.init()  # loads all of Pillow's plugins, and with them the ends of names
SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)


def is_picture(name: str) -> bool:
    """Whether a file's name is one of a picture that can be read; hidden files (.DS_Store, a Mac's ._1.png) are not."""
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


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
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(path, name) for name in sorted(files) if is_picture(name))
