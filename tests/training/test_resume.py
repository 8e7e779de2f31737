"""A run that was stopped goes on, and ends as one that was not."""

import json
import shutil
import signal
import subprocess
import time
from contextlib import redirect_stdout

import pytest
import torch
from safetensors.torch import load_file

import train
from mvit.benchmark.processes import fresh_processes
from mvit.training.processes import Processes
from tests.training.runs import arguments, stop_before_the_first_epoch


def kill_after(epochs, options, output, said):
    """Start a run in a process of its own and kill it, as hard as can be, some time after it has reported these."""
    said.touch()
    process = fresh_processes("train").Process(target=write_down, args=(said, options))
    process.start()
    while f"\nepoch   {epochs}/" not in said.read_text():
        assert process.is_alive(), said.read_text()
        time.sleep(0.002)
    time.sleep(0.02)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (output / "run" / "resume.pt").exists()


def write_down(said, options):
    """A run whose lines go to a file."""
    torch.set_num_threads(1)
    with open(said, "w") as stream, redirect_stdout(stream):
        train.main(options)


@pytest.mark.parametrize("more", [[], ["--optimizer", "muon", "--ema", "0.9", "--schedule", "cosine", "--cutout", "8",
                                       "--randaugment", "9"],
                                  ["--teacher", "FINISHED", "--distillation", "0.5", "--label-smoothing", "0.1",
                                   "--bfloat16"]])
def test_a_killed_run_ends_with_the_same_weights(folder, finished, tmp_path, more):
    more = [str(finished) if option == "FINISHED" else option for option in more]
    finished, output = tmp_path / "finished", tmp_path / "killed"
    assert train.main(arguments(folder, finished, *more)) == 0
    kill_after(1, arguments(folder, output, *more), output, tmp_path / "said")
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
    shutil.copy(folder / "train" / "red" / "00.png", other / "train" / "red")
    (other / "test" / "red" / "00.png").unlink()
    assert train.main([*arguments(other, output, "--resume")]) == 2
    assert "began with other test images" in capsys.readouterr().err


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
