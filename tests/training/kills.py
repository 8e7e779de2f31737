"""Kill runs as they are about to change a file, and look at what is left: a part of test_output.py, no test by itself.

``python -m tests.training.kills IMAGES FOLDER LAYOUT [STRIDE [FIRST]]``: a run is killed before its change number FIRST
(1), the next one STRIDE (1) changes later, and so on, until one is not killed. Each is a process of its own, ended by
SIGKILL; the modules are loaded once for all.
"""

import contextlib
import io
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import train
from mvit import CheckpointError, MobileViT
from tests.training.runs import arguments

images, root, layout, stride, first = sys.argv[1], Path(sys.argv[2]), sys.argv[3], *map(int, [*sys.argv[4:], 1, 1][:2])
output, mine = root / "out", {"thesis.txt": "years", "sub/notes.txt": "months", "log": "days"}
CHANGES, REMOVALS = {"os.mkdir", "os.rename", "os.truncate"}, {"os.remove", "os.rmdir"}


def in_a_process(*options: str, killed_at: int = 0) -> int:
    """The exit status of a run; negative if it was killed."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0

    def count(event, arguments):
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        removes = event in REMOVALS and os.path.lexists(arguments[0])  # what is not there is removed by no change
        if (event in CHANGES or removes or writes) and str(arguments[0]).startswith(str(root)):
            seen += 1
            if seen == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if killed_at:
        sys.addaudithook(count)
    log = os.open(root.parent / f"{root.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os._exit(train.main(arguments(images, *options, "--epochs", "2")))


def weights(folder: Path) -> list[torch.Tensor]:
    return list(load_file(folder / "model.safetensors").values())


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def begin() -> None:
    """Nothing, a checkpoint, or a checkpoint with a person's own files, in the place of what was there."""
    shutil.rmtree(root)
    root.mkdir()
    if layout != "nothing":
        shutil.copytree(old, output)
    if layout == "mine":
        for name, text in mine.items():
            (output / name).parent.mkdir(exist_ok=True)
            (output / name).write_text(text)


torch.set_num_threads(1)
old, new = root.with_name(f"{root.name}-old"), root.with_name(f"{root.name}-new")
root.mkdir()
with contextlib.redirect_stdout(io.StringIO()):  # in this process: what torch makes at a first step is there for all
    assert train.main(arguments(images, old, "--epochs", "2", "--seed", "1")) == 0
assert in_a_process(new) == 0
before, after = weights(old), weights(new)
number, killed = first, 0
while True:
    begin()
    status = in_a_process(output, killed_at=number)
    killed += status == -signal.SIGKILL
    resumable = (output / "run" / "resume.pt").exists()
    try:
        MobileViT.from_pretrained(output)
        found = weights(output)
        assert same(found, after) or (layout != "nothing" and same(found, before)), number
    except CheckpointError:
        found = None  # for an instant, where files are replaced one by one
    assert found or layout == "nothing" or (layout == "mine" and resumable), number
    if layout == "mine":
        assert {name: (output / name).read_text() for name in mine} == mine, number
    if status == 0:
        break
    assert status == -signal.SIGKILL, (number, status)
    if resumable or found is None or not same(found, after):
        assert in_a_process(output, *(["--resume"] if resumable else [])) == 0, number
        assert [path.name for path in root.iterdir()] == ["out"], number
        assert not (output / "run").exists(), number
    assert same(weights(output), after), number
    number += stride
assert [path.name for path in root.iterdir()] == ["out"]
print(f"{killed} killed, a run has up to {number - 1} changes")
