"""A run that was stopped goes on, and ends as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

import train
from mvit.training.processes import Processes
from tests.training.runs import ROOT, arguments, stop_before_the_first_epoch


def kill_after(epochs, command, output):
    """Start a run and kill it, as hard as can be, some time after it has reported these."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        for line in process.stdout:
            if line.startswith(f"epoch   {epochs}/"):
                time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
                break
        process.wait(60)
        assert process.returncode == -signal.SIGKILL
    assert (output / "run" / "resume.pt").exists()


@pytest.mark.parametrize("more", [[], ["--optimizer", "muon", "--ema", "0.9", "--schedule", "cosine", "--cutout", "8",
                                       "--randaugment", "9"],
                                  ["--teacher", "FINISHED", "--distillation", "0.5", "--label-smoothing", "0.1",
                                   "--bfloat16"]])
def test_a_killed_run_ends_with_the_same_weights(folder, finished, tmp_path, more):
    more = [str(finished) if option == "FINISHED" else option for option in more]
    finished, output = tmp_path / "finished", tmp_path / "killed"
    assert train.main(arguments(folder, finished, *more)) == 0
    kill_after(1, [sys.executable, "train.py", *arguments(folder, output, *more)], output)
    assert train.main(arguments(folder, output, *more)) == 2  # not silently anew
    assert train.main(["--output", str(output), "--device", "cpu", "--resume"]) == 0
    expected, weights = (load_file(path / "model.safetensors") for path in (finished, output))
    assert expected.keys() == weights.keys()
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    histories = [json.loads((path / "history.json").read_text()) for path in (finished, output)]
    timing = ("seconds", "images_per_second")
    assert [{k: v for k, v in record.items() if k not in timing} for record in histories[0]] == [
        {k: v for k, v in record.items() if k not in timing} for record in histories[1]
    ]


def test_resuming_is_refused_where_it_would_be_another_run(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "run"
    assert train.main([*arguments(folder, output), "--resume"]) == 2
    assert "There is no unfinished run" in capsys.readouterr().err
    (output / "run").mkdir(parents=True)
    (output / "run" / "resume.pt").write_bytes(b"\x80\x04cos\nsystem\n")
    assert train.main([*arguments(folder, output), "--resume"]) == 2
    assert "damaged or not from this program" in capsys.readouterr().err
    stop_before_the_first_epoch(monkeypatch, folder, tmp_path / "old")
    state = torch.load(tmp_path / "old" / "run" / "resume.pt")
    state["version"] -= 1
    state["settings"]["gone"] = 1
    torch.save(state, tmp_path / "old" / "run" / "resume.pt")
    assert train.main(arguments(folder, tmp_path / "old", "--resume")) == 2
    assert "from another version of this program" in capsys.readouterr().err


def test_resuming_keeps_settings_and_images(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "run"
    stop_before_the_first_epoch(monkeypatch, folder, output)
    assert train.main([*arguments(folder, output, "--resume"), "--epochs", "4"]) == 2
    assert "The run began with epochs 3; it cannot go on with 4." in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(Processes, "join", lambda device: Processes(0, 2))
        assert train.main(arguments(folder, output, "--resume")) == 2
    assert "began with 1 process(es), not 2" in capsys.readouterr().err
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", folder, other], check=True)
    (other / "train" / "red" / "00.png").unlink()
    assert train.main([*arguments(other, output, "--resume")]) == 2
    assert "began with other training images" in capsys.readouterr().err


def test_a_run_whose_images_are_gone_says_so_and_waits_for_them(folder, tmp_path, capsys, monkeypatch):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(folder, data)
    stop_before_the_first_epoch(monkeypatch, data, run)
    data.rename(tmp_path / "away")
    resume = ["--output", str(run), "--device", "cpu", "--resume"]
    capsys.readouterr()
    assert train.main(resume) == 2
    assert f"There is no folder {data}; in {tmp_path} there is: away, run." in capsys.readouterr().err
    (tmp_path / "away").rename(data)
    assert train.main(resume) == 0
