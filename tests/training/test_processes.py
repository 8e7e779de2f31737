"""Several processes make one run; the memory of each."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mvit import MobileViT
from mvit.evaluation import accuracy as evaluate
from mvit.training.state import State
from tests.training.runs import ROOT, arguments


def test_two_processes_take_the_steps_of_one(tmp_path):
    """Without BatchNorm, whose statistics are each process's own, weights and metrics are those of a single process.

    35 images in batches of 16, so that the last batch does not divide and no half can pass for the whole.
    """
    script = [str(ROOT / "tests" / "training" / "one_epoch.py"), str(tmp_path)]
    running = [subprocess.Popen([sys.executable, *torchrun, *script], cwd=ROOT,
                                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
               for torchrun in ([], ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"])]
    assert [process.wait(120) for process in running] == [0, 0]
    one, two = (torch.load(tmp_path / f"{world_size}.pt", weights_only=True) for world_size in (1, 2))
    assert two["accuracy"] == one["accuracy"]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    moved = [(one["after"][name] - one["before"][name]).abs().max().item() for name in one["after"]]
    assert min(moved) > 0
    for name in one["after"]:
        torch.testing.assert_close(two["after"][name], one["after"][name], rtol=1e-4, atol=1e-5)


def test_two_processes_make_one_run(folder, tmp_path):
    """From the command line: one history, one checkpoint, and every test image counted once.

    With all that a run can end with: images held out, and the estimate that lossless ones of them allow.
    """
    output, data, script = tmp_path / "two", tmp_path / "data", tmp_path / "script.py"
    shutil.copytree(folder, data)
    for file in (data / "test").rglob("*.png"):
        file.unlink()
    script.write_text("import train, mvit.evaluation.canonical as canonical\n"
                      "canonical.JPEG_COPY = 'data test split, JPEG copy'  # as if these were CIFAR-10's\n"
                      "raise SystemExit(train.main())\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script),
               *arguments(data, output, "--epochs", "2", "--validation", "9", "--final-test")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120,
                            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert result.returncode == 0, result.stderr
    assert json.loads((output / "canonical.json").read_text())["held_out"].startswith("9 lossless images")
    assert "2 process(es)" in result.stdout
    assert result.stdout.count("epoch   1/2") == 1
    history = json.loads((output / "history.json").read_text())
    assert len(history) == 2
    evaluation = json.loads((output / "evaluation.json").read_text())
    counted = sum(map(sum, evaluation["confusion_matrix"]))
    assert counted == evaluation["images"] == len(list(data.rglob("test/*/*.jpg")))
    about = json.loads((output / "run.json").read_text())
    assert about["command"].startswith("torchrun --nproc-per-node=2 train.py ")
    assert about["settings"]["processes"] == 2
    # The saved network, evaluated here alone, is as good as the two found it together.
    from mvit.data.images import load_split

    alone = evaluate.evaluate(MobileViT.from_pretrained(output), load_split(data, "test"))
    assert alone["confusion_matrix"] == evaluation["confusion_matrix"]
    assert alone["loss"] == pytest.approx(evaluation["loss"], rel=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_killed_ends_the_others_and_loses_nothing(folder, tmp_path):
    output = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "train.py",
               *arguments(folder, output, "--epochs", "1000")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}) as torchrun:
        for line in torchrun.stdout:
            if line.startswith("epoch   2/"):
                break
        children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
        os.kill(max(map(int, children)), signal.SIGKILL)
        _, error = torchrun.communicate(timeout=60)
    assert torchrun.returncode != 0
    # By the connection that breaks, or where torchrun is faster by its SIGTERM.
    assert (f"What was trained is in {output / 'run'}; the same command with --resume goes on." in error
            or "the same command with --resume goes on after the last whole epoch" in error), error
    assert len(State.load(output / "run").history) >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_serves_the_next_step():
    """Ten tensors of 64 MB, each freed before the next: the pages of earlier ones serve them all.

    Earlier ones, not the first: where the start of torch's threads takes memory between two, the next is laid
    behind it once or twice before a place is found again.
    """
    program = (
        "import resource, sys, torch\n"
        "from mvit.training.processes import keep_freed_memory\n"
        "if sys.argv[1] == 'keep' and not keep_freed_memory(): print(-1); sys.exit()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): torch.ones(2**24)\n"
        "before = faults()\n"
        "for _ in range(10): torch.ones(2**24)\n"
        "print(faults() - before)\n"
    )
    kept, handed_back = (
        int(subprocess.run([sys.executable, "-c", program, what], check=True, capture_output=True, text=True).stdout)
        for what in ("keep", "default"))
    if kept == -1:
        pytest.skip("not glibc")
    assert kept < 0.1 * handed_back
