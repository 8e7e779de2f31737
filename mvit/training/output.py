"""Where a run writes: which folders it may take, who is using one, and how a checkpoint gets into its place.

Nothing that this program did not write is deleted: its own files are known by their names, and a folder is removed
only when nothing is left in it.
"""

import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mvit.explain import probes
from mvit.inference import familiarity
from mvit.model import MobileViTConfig
from mvit.networks.compared import ComparedConfig
from mvit.storage.files import CHECKPOINTS, exchange, part_of, read_json, write_whole
from mvit.storage.records import CANONICAL, INTERVENTIONS

try:
    import fcntl
except ImportError:  # Windows: two runs into one output are not noticed
    fcntl = None  # type: ignore[assignment]  # what is not there has no type of its own

# In the order in which they get into a folder: what says that it is ours first, what nothing is loaded without last.
CHECKPOINT_FILES = ("config.json", "README.md", "history.json", "evaluation.json", "validation.json", CANONICAL,
                    "run.json", probes.FILE, INTERVENTIONS, familiarity.RECORD, familiarity.BANK, "model.safetensors")
STATE_FILES = ("resume.pt", "history.json", "lock")


class OutputError(Exception):
    """A folder cannot be taken for a run; the message is one sentence for the person who named it."""


# --------------------------------------------------------------------------- which folders


def checkpoint_folder(name: str, output: Path | None) -> Path:
    """The folder that the checkpoint of this name goes to, or the output; of a symbolic link its target, so that the
    link stays.

    Raises:
        OutputError: it leads nowhere.
    """
    named = output or CHECKPOINTS / name
    try:
        return named.resolve(strict=named.is_symlink())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise OutputError(f"{named} leads to no folder ({getattr(error, 'strerror', 'a loop of links')}): give another "
                          "by --output.") from error


def run_folder(checkpoint: Path) -> Path:
    """Where the state of a run is kept until it is finished: inside, but hidden beside a checkpoint of the project."""
    if checkpoint.parent == CHECKPOINTS.resolve():
        return checkpoint.with_name(f".{checkpoint.name}-run")
    return checkpoint / "run"


def staging_folder(run: Path) -> Path:
    """Where a checkpoint is made before it gets into its place."""
    return run / "new"


def refuse_what_is_not_ours(checkpoint: Path, run: Path) -> None:
    """Only a folder that is missing, empty, or has a checkpoint or an unfinished run of this program in it is taken.

    A checkpoint's folder may hold other files, too; they stay.

    Raises:
        OutputError: it is another.
    """
    for folder in (checkpoint, run):
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputError(f"{folder} is no folder: give a folder by --output.")
    inside = [run.name] if run.parent == checkpoint else []
    held = _others(checkpoint, (), *inside)
    if held and not is_checkpoint(checkpoint) and not (inside and (run / "resume.pt").is_file()):
        raise OutputError(f"{checkpoint} holds {_some(held)} and no checkpoint of this program: give a folder that is "
                          "missing or empty by --output.")
    if folders := set(_others(checkpoint, CHECKPOINT_FILES, *inside)) & set(CHECKPOINT_FILES):
        raise OutputError(f"{checkpoint} holds a folder {min(folders)}, where a checkpoint has a file: move it away, "
                          "or give another folder by --output.")
    if others := _others(run, STATE_FILES, staging_folder(run).name) + _others(staging_folder(run), CHECKPOINT_FILES):
        raise OutputError(f"{run} holds {_some(others)}, which no run of this program wrote: move it away, or give "
                          "another folder by --output.")


def is_checkpoint(folder: Path) -> bool:
    """Whether its ``config.json`` is one that this program wrote. (The weights may be missing: see put_in_place.)"""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        return False
    try:
        if config.keys() >= {"stem_channels", "stages", "class_names"}:
            MobileViTConfig(**config)
        elif config.keys() >= {"network", "stem", "class_names"}:
            ComparedConfig(**config)
        else:
            return False
    except (TypeError, ValueError, AttributeError):
        return False
    return True


def _others(folder: Path, names: Iterable[str], *folders: str) -> list[str]:
    """What is in a folder besides files of these names, or halves of them, and folders of those names."""
    files = {*names, *(part_of(Path(name)).name for name in names)}
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries
                      if entry.name not in (folders if os.path.isdir(entry.path) else files))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# --------------------------------------------------------------------------- taking one


@contextmanager
def taken(checkpoint: Path, run: Path) -> Iterator[None]:
    """Take the folders for one run: made, found to be writable, and locked against a second one.

    What was made is removed again if the run ends before it has saved anything.

    Raises:
        OutputError: they cannot be taken; nothing was changed.
    """
    lock, made = None, []
    try:
        try:
            refuse_what_is_not_ours(checkpoint, run)
            made = [path for path in (run, *run.parents) if not path.exists()]
            run.mkdir(parents=True, exist_ok=True)
            lock = _locked(run / "lock")
        except OSError as error:
            raise OutputError(f"{checkpoint} cannot be used ({error.strerror}): give another folder by "
                              "--output.") from error
        yield
    finally:
        if lock:
            if not fcntl:  # on Windows no open file can be deleted
                lock.close()
            if not (run / "resume.pt").exists():
                remove_run(run)
            lock.close()
        for path in made:
            with suppress(OSError):  # it is not empty, or gone
                path.rmdir()


def _locked(file: Path) -> TextIO:
    """Lock a file, for as long as it is open: the lock ends with this process, however that ends.

    Raises:
        OutputError: another process has it, which says in the file who it is.
    """
    stream = open(file, "a+", encoding="utf-8")
    try:
        if fcntl:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.seek(0)
        with stream:
            raise OutputError(f"{stream.read() or 'Another process'} is training into {file.parent}: wait for it, stop "
                              "it, or give another folder by --output.") from error
    except OSError:
        pass  # a file system without locks
    if not file.exists() or not os.path.samestat(os.fstat(stream.fileno()), file.stat()):
        stream.close()  # the run that had it has finished meanwhile, and removed it
        file.parent.mkdir(parents=True, exist_ok=True)
        return _locked(file)
    try:
        stream.truncate(0)
        stream.write(f"Process {os.getpid()} on {platform.node()}")
        stream.flush()
    except OSError:  # the disk is full
        with suppress(OSError):
            stream.close()
        file.unlink(missing_ok=True)
        raise
    return stream


def remove_run(run: Path) -> None:
    """Delete the state of a run."""
    _remove(staging_folder(run), CHECKPOINT_FILES)
    _remove(run, STATE_FILES)


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Delete the files of these names, and the folder if nothing is left in it."""
    for name in names:
        for file in (folder / name, part_of(folder / name)):
            with suppress(OSError):
                file.unlink()
    with suppress(OSError):
        folder.rmdir()


# --------------------------------------------------------------------------- filling one


def put_in_place(new: Path, checkpoint: Path, run: Path) -> None:
    """Have the files of the folder ``new`` take the place of a checkpoint's; no other file in its folder is touched.

    Where the folder holds nothing but an older checkpoint, the two are exchanged by one system call (on Linux), so that
    who reads finds the old one or the new one, whole, at every moment. With a user's files in it, or a user in it, the
    folder stays, as it does where it cannot be exchanged (a mount, another system): its files are replaced one by one,
    the weights removed first and put last. For an instant there are none, but never one run's with the others of
    another, and a run that is killed then does it again on --resume.
    """
    beside = checkpoint.with_name(f".{checkpoint.name}-replaced")
    _remove_replaced(beside, run)
    inside = [run.name] if run.parent == checkpoint else []
    if (is_checkpoint(checkpoint) and not _others(checkpoint, CHECKPOINT_FILES, *inside)
            and not os.path.samefile(os.curdir, checkpoint)):
        with suppress(OSError):
            shutil.copymode(checkpoint, new)
            new = new.rename(beside)
        if new == beside and exchange(beside, checkpoint):
            for name in _others(beside, CHECKPOINT_FILES):  # the run's state, and what came in meanwhile
                os.rename(beside / name, checkpoint / name)
            _remove_replaced(beside, run)
            return
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / CHECKPOINT_FILES[-1]).unlink(missing_ok=True)
    for name in CHECKPOINT_FILES:
        if (new / name).exists():
            _move(new / name, checkpoint / name)
        else:
            (checkpoint / name).unlink(missing_ok=True)
    _remove(new, CHECKPOINT_FILES)


def _move(file: Path, to: Path) -> None:
    try:
        os.replace(file, to)
    except OSError:  # another file system
        write_whole(to, lambda part: shutil.copyfile(file, part))


def _remove_replaced(beside: Path, run: Path) -> None:
    """Delete what was exchanged; with the state of a run that was killed between that and its end."""
    remove_run(beside / run.name)
    _remove(beside, CHECKPOINT_FILES)
